"""Hub time at the adapter: the last tick plus monotonic time (rule 8)."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

from onecard_protocol import limits

_log = logging.getLogger(__name__)


class HubClock:
    """Knows hub time since the first tick; before it, the machine's own time stands in, which is not fresh."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        stale_ms: int = limits.HUB_TIME_STALE_MS,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._stale_s = stale_ms / 1000
        self._offset_ms: float | None = None
        self._ticked_s = 0.0
        self._ticked = asyncio.Event()
        self._ahead_ms = math.inf
        self._is_apart = False

    def observe(self, hub_time_ms: int) -> None:
        """Take a tick."""
        self._ticked_s = self._monotonic()
        self._offset_ms = hub_time_ms - self._ticked_s * 1000
        self._ticked.set()
        self._compare(hub_time_ms)

    def _compare(self, hub_time_ms: int) -> None:
        """Say once that the machine's clock is wrong: nothing depends on it but what people read."""
        before_ms, self._ahead_ms = self._ahead_ms, self._wall() * 1000 - hub_time_ms
        if abs(self._ahead_ms - before_ms) > limits.TICK_MS / 2:
            return  # Of ticks that waited and are read one upon the other none tells how far it is.
        was_apart, self._is_apart = self._is_apart, abs(self._ahead_ms) > limits.CLOCK_SKEW_MS_MAX
        if self._is_apart and not was_apart:
            apart_s = round(self._ahead_ms / 1000)
            _log.warning(
                "this machine's clock is %+d s from the hub's: messages carry hub time, the lines of this log the"
                " machine's; set the clock / 本机时钟与枢纽相差 %+d 秒：报文使用枢纽时间，日志使用本机时间，请校时",
                apart_s,
                apart_s,
            )

    def now_ms(self) -> int:
        """Hub time in ms since 1970."""
        if self._offset_ms is None:
            return int(self._wall() * 1000)
        return int(self._monotonic() * 1000 + self._offset_ms)

    @property
    def is_fresh(self) -> bool:
        """Whether the last tick is young enough for calls with effect."""
        return self._offset_ms is not None and self._monotonic() - self._ticked_s < self._stale_s

    async def wait_fresh(self) -> None:
        """Wait until hub time is fresh."""
        while not self.is_fresh:
            self._ticked.clear()
            await self._ticked.wait()
