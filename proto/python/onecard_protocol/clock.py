"""The wall clock, where a process needs one: ms since 1970. Rules never read it; they are given `now`."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Wall clock time in ms since 1970."""
    return time.time_ns() // 1_000_000
