"""Appends committed control records to `onecard.control` in number order, and a tick each second (rule 15).

One process does this at a time, the holder of the lease "control". A second one would do no harm but repeat numbers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

from onecard_broker.directory.store import DirectoryStore
from onecard_broker.journal import CONTROL_TOPIC, control_record, control_tick_record
from onecard_broker.log.port import Log, LogError
from onecard_protocol import limits

log = logging.getLogger(__name__)


class ControlTicker:
    """Publishes and ticks until stopped; what fails is tried again with the next tick."""

    def __init__(self, control_log: Log, store: DirectoryStore, *, clock_ms: Callable[[], int]) -> None:
        """`clock_ms` gives hub time in ms since 1970."""
        self._log = control_log
        self._store = store
        self._clock_ms = clock_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; only the holder of the lease does."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="control ticker")

    async def stop(self) -> None:
        """Stop at once; what is not published yet is published by the next holder."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def publish_and_tick(self) -> int:
        """Append what is committed and not published yet, then a tick; returns the newest published number.

        Raises LogError or psycopg.Error; nothing is skipped then.
        """
        epoch = self._log.epoch
        number = await self._store.published_number(epoch)
        while page := await self._store.records(number + 1):
            now_ms = self._clock_ms()
            await self._log.append(
                [
                    control_record(message, index, topic=CONTROL_TOPIC, partition=0, time_ms=now_ms)
                    for index, message in enumerate(page, number + 1)
                ]
            )
            number += len(page)
            await self._store.set_published_number(epoch, number)
            log.info("control records published up to %d", number)
        await self._log.append([control_tick_record(number, time_ms=self._clock_ms())])
        return number

    async def _run(self) -> None:
        while True:
            try:
                await self.publish_and_tick()
            except (LogError, psycopg.Error) as error:
                log.warning("control topic: no tick (%s); trying again", error)
            await asyncio.sleep(limits.TICK_MS / 1000)
