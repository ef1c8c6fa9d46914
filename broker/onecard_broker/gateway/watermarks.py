"""Highest published delivery numbers of the participants with open streams, asked for once a second for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg

from onecard_broker.gateway.store import OutputReader
from onecard_protocol import limits

log = logging.getLogger(__name__)


class Watermarks:
    """Kept up to date for whoever is being delivered to."""

    def __init__(self, outputs: OutputReader) -> None:
        self._outputs = outputs
        self._published: dict[str, dict[int, int]] = {}
        self._wanted: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._run(), name="watermarks")

    async def stop(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def of(self, participant: str) -> Iterator[Callable[[], dict[int, int]]]:
        """A function that gives the participant's numbers by partition as last asked for, inside the block."""
        self._wanted[participant] += 1
        try:
            yield lambda: self._published.get(participant, {})
        finally:
            self._wanted[participant] -= 1
            if not self._wanted[participant]:
                del self._wanted[participant]
                self._published.pop(participant, None)

    async def _run(self) -> None:
        while True:
            if self._wanted:
                try:
                    published = await self._outputs.published_numbers(list(self._wanted))
                    self._published = {name: numbers for name, numbers in published.items() if name in self._wanted}
                except psycopg.Error as error:
                    log.warning("published numbers were not read: %s", error)
            await asyncio.sleep(limits.TICK_MS / 1000)
