"""How busy the machine is, and how long work may wait for company because of it.

Everything that a message passes costs by the batch. On a machine with time to spare a batch is whatever waits; on one
that has less the next batch gathers longer, so that more share its cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psutil

_WINDOW_SECONDS: Final = 0.25
_MEMORY_SECONDS: Final = 2.0
_QUIET_SHARE: Final = 0.45
_BUSY_SHARE: Final = 0.8
_FULL_SHARE: Final = 0.95


def _machine_seconds() -> tuple[float, float]:
    """Seconds that the machine's cores were busy, and seconds they had, since it was started."""
    times = psutil.cpu_times()
    # Time of guests is counted in that of users already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


class Busyness:
    """The share of the machine's cores that is in use, or of one core by this process where that is more."""

    def __init__(
        self,
        *,
        machine_seconds: Callable[[], tuple[float, float]] = _machine_seconds,
        process_seconds: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Each gives seconds: the machine's busy and all, the process's own, and what time it is."""
        self._machine_seconds = machine_seconds
        self._process_seconds = process_seconds
        self._clock = clock
        self._seen_at = clock()
        self._busy, self._total = machine_seconds()
        self._own = process_seconds()
        self._share = 0.0

    def share(self) -> float:
        """From 0 to 1, over the last two seconds or so while it is asked often."""
        now = self._clock()
        elapsed = now - self._seen_at
        if elapsed < _WINDOW_SECONDS:
            return self._share
        busy, total = self._machine_seconds()
        own = self._process_seconds()
        machine_share = (busy - self._busy) / max(total - self._total, 0.01)
        own_share = (own - self._own) / elapsed
        weight = min(elapsed / _MEMORY_SECONDS, 1.0)
        self._share += weight * (min(max(machine_share, own_share), 1.0) - self._share)
        self._seen_at, self._busy, self._total, self._own = now, busy, total, own
        return self._share

    def wait(self, quiet: float, busy: float, full: float) -> float:
        """How long a batch may gather, in the unit given: up to 45 % of the share, at 4/5 of it, and from 19/20."""
        share = self.share()
        if share < _BUSY_SHARE:
            return quiet + (busy - quiet) * max((share - _QUIET_SHARE) / (_BUSY_SHARE - _QUIET_SHARE), 0.0)
        return busy + (full - busy) * min((share - _BUSY_SHARE) / (_FULL_SHARE - _BUSY_SHARE), 1.0)


BUSYNESS: Final = Busyness()
"""This process's."""
