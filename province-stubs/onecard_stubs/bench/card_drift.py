"""Drift found in many cards: the registry is loaded from a snapshot, a province holds the same cards but for some.

Measures the ordinary `onecard card drift` as a process of its own: seconds, bytes exchanged, peak memory of both ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from onecard_protocol.explained import ExitCode
from onecard_stubs.bench.card_registry import STEP_SECONDS, load_registry, run_to_end
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.processes import ChildProcess

PROVINCE: Final = "cn-44"
"""The issuer of the load's cards."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriftBenchmark:
    """What to measure."""

    card_count: int = 1_000_000
    differing_count: int = 200
    log: Literal["embedded", "kafka"] = "kafka"
    broker_count: int = 1


async def measure_drift(benchmark: DriftBenchmark, report: Callable[[str], None]) -> dict[str, Any]:
    """Run it and return its figures. Raises Explained where a process fails."""
    plan = CountryPlan(
        log=benchmark.log,
        broker_count=benchmark.broker_count,
        provinces=(PROVINCE, "cn-51"),
        runs_provinces=False,
    )
    with tempfile.TemporaryDirectory(prefix="onecard-bench-", ignore_cleanup_errors=True) as name:
        async with Country(plan, Path(name), report=report) as country:
            return await _measured(benchmark, country, report)


async def _measured(benchmark: DriftBenchmark, country: Country, report: Callable[[str], None]) -> dict[str, Any]:
    held = country.directory / "held.json"
    count = str(benchmark.card_count)
    loaded = await load_registry(country, benchmark.card_count, report, has_accounts=True)
    report("filling the province's copies")
    holder = await country.run_beside(
        "card-copies",
        [
            *("load", "copies", "--config", str(country.adapter_config(PROVINCE)), "--report", str(held)),
            *("--cards", count, "--differing", str(benchmark.differing_count)),
        ],
    )

    async def is_held() -> bool:
        return await asyncio.to_thread(held.exists)

    await holder.wait_until(is_held, STEP_SECONDS)
    holding = json.loads(held.read_text(encoding="ascii"))
    planted: dict[str, int] = holding["planted"]
    # Twice: the first comparison computes the digests of all copies, the next ones find them computed.
    first, peaks = await _compare(country, holder, report, "card-drift-1")
    again, _ = await _compare(country, holder, report, "card-drift-2")
    wrong = sum(abs(first["found"].get(kind, 0) - planted.get(kind, 0)) for kind in first["found"].keys() | planted)
    return {
        "name": "card drift",
        "log": benchmark.log,
        "cards": benchmark.card_count,
        "planted": planted,
        "planted_in_accounts": holding["planted_in_accounts"],
        "found": first["found"],
        "wrong": wrong,
        "seconds": first["seconds"],
        "seconds_again": again["seconds"],
        "bytes": first["byte_count"],
        "requests": first["request_count"],
        "load_seconds": loaded.seconds,
        "processes": {name: {"peak_mb": round(peak, 1)} for name, peak in peaks.items()},
    }


async def _compare(
    country: Country, holder: ChildProcess, report: Callable[[str], None], name: str
) -> tuple[dict[str, Any], dict[str, float]]:
    """One comparison's figures of the issued cards, and both ends' peak memory in MB."""
    report("comparing")
    comparing = await country.run_beside(
        name, ["card", "drift", PROVINCE, "--no-repair", "--json", "--config", str(country.hub_config)]
    )
    peaks = await run_to_end(comparing, holder, expected=frozenset({0, int(ExitCode.FOUND_WRONG)}))
    for line in comparing.log_file.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            return json.loads(line)["scopes"][0], peaks
    raise comparing.failure()
