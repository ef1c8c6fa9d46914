"""How processes that serve for long are run, and what their log lines look like."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from onecard_protocol.china_time import SHANGHAI

Result = TypeVar("Result")

ALLOCATIONS_BEFORE_COLLECTION: Final = 50_000
"""Python's own number, 700, lets a hub spend a sixth of its time looking for cycles among messages that have none."""


class LogLine(logging.Formatter):
    """A line of a log: the time as screens show it, in Asia/Shanghai, with its offset, wherever it is written."""

    def __init__(self) -> None:
        """Time, level, who, what."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Such as 2026-11-28 17:22:37.123+08:00."""
        return datetime.datetime.fromtimestamp(record.created, SHANGHAI).isoformat(sep=" ", timespec="milliseconds")


def start_log(level: int = logging.INFO) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLine())
    logging.basicConfig(level=level, handlers=[handler])


def run_service(service: Coroutine[Any, Any, Result]) -> Result:
    """Run until it ends. What start-up made is never searched for cycles, and cycles are searched for rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_BEFORE_COLLECTION, 20, 20)
    return asyncio.run(service)
