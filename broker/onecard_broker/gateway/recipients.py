"""Which participants read their inboxes of late, at this gateway or another (RECIPIENT_OFFLINE, rule 10)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import psycopg

from onecard_broker.gateway.store import ReadTimes
from onecard_protocol import limits

log = logging.getLogger(__name__)

EXCHANGE_MS: Final = 1_000


class Recipients:
    """Times of reading, told to and learnt from the other gateways each second; reported cursors, only told."""

    def __init__(
        self, read_times: ReadTimes, *, clock_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock_ms` gives hub time in ms since 1970, in which gateways tell each other; here `monotonic` counts."""
        self._read_times = read_times
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._newest_s: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self._untold_cursors: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def note_reading(self, participant: str) -> None:
        """The participant is ready to take messages at this moment, or took some."""
        self._newest_s[participant] = self._monotonic()
        self._untold[participant] = self._clock_ms()

    def note_received(self, participant: str, cursor: bytes) -> None:
        """The participant reports what it durably received, by a cursor of its inbox."""
        self.note_reading(participant)
        self._untold_cursors[participant] = cursor

    def is_reading(self, participant: str) -> bool:
        """Whether the participant read within `limits.RECIPIENT_OFFLINE_MS`."""
        newest_s = self._newest_s.get(participant)
        return newest_s is not None and self._monotonic() - newest_s <= limits.RECIPIENT_OFFLINE_MS / 1000

    async def start(self) -> None:
        """Learn what the others know, and go on telling and learning."""
        await self.exchange()
        self._task = asyncio.create_task(self._run(), name="recipients")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def exchange(self) -> None:
        """Tell and learn once. Raises psycopg.Error; nothing is forgotten then."""
        untold, self._untold = self._untold, {}
        cursors, self._untold_cursors = self._untold_cursors, {}
        try:
            newest = await self._read_times.exchange_reads(untold, cursors)
        except BaseException:
            self._untold = {**untold, **self._untold}
            self._untold_cursors = {**cursors, **self._untold_cursors}
            raise
        now_ms, now_s = self._clock_ms(), self._monotonic()
        for participant, read_ms in newest.items():
            if read_ms <= now_ms + limits.CLOCK_SKEW_MS_MAX:  # Else it was told by a clock that was wrong.
                read_s = now_s - (now_ms - read_ms) / 1000
                self._newest_s[participant] = max(read_s, self._newest_s.get(participant, read_s))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EXCHANGE_MS / 1000)
            try:
                await self.exchange()
            except psycopg.Error as error:
                # The last known times stand; they end by themselves.
                log.warning("reading times were not exchanged: %s", error)
