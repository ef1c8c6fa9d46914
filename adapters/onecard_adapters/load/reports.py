"""What one end of the load has to say, as a JSON file for the benchmark that started it."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from onecard_adapters.load.receiving import Received
from onecard_adapters.load.sending import Sent
from onecard_protocol.whole_files import write_whole


def sent_report(sent: Sent) -> dict[str, Any]:
    """The sending end's figures."""
    return {
        "messages": sent.message_count,
        "ended_ms": sent.ended_ms.tolist(),
        "duration_ms": sent.duration_ms.tolist(),
        "stale": sent.stale_count,
        "failures": len(sent.failures),
        "failure_examples": sorted(set(sent.failures))[:3],
        **used(),
    }


def received_report(received: Received) -> dict[str, Any]:
    """The receiving end's figures."""
    return {
        "messages": len(received.ids),
        "repeats": len(received.arrived_ms) - len(received.ids),
        "arrived_ms": received.arrived_ms.tolist(),
        "latency_ms": received.latency_ms.tolist(),
        **used(),
    }


def used() -> dict[str, float]:
    """CPU seconds and peak memory of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": peak_bytes / 1e6}


def write(file: Path, report: dict[str, Any]) -> None:
    """Write a report; it appears whole, because its reader waits for the file."""
    write_whole(file, json.dumps(report))
