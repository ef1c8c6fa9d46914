"""What a gateway remembers of cardholders: bounded, dropped with every decision about them, read again when asked for.

An entry holds everything decided up to the decision that was followed last, because a decision is followed only after
it was committed: a row that is read later has it, and an entry made from a row that was read before is dropped by it. A
decision that is followed while its person's row is being read makes it read again. What was written without a decision,
by a load, shows when an entry has been remembered for `limits.CARD_REMEMBERED_MS_MAX`. That nothing may be told of a
person is remembered for `limits.CARD_STALE_MS`: what ends it need be no decision.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from onecard_broker.domain.card_state import Cardholder
from onecard_broker.gateway.card_standings import Standing, standing_of, uncertain
from onecard_protocol import limits

log = logging.getLogger(__name__)


class CardholderReader(Protocol):
    """Where cardholders are read from."""

    async def load(self, wanted: Collection[tuple[int, str]]) -> Mapping[str, Cardholder | None]:
        """The cardholders of (partition, pseudonym), by pseudonym; whom the registry does not know is left out.

        None where a report of the person waits undecided. All of one moment. Raises psycopg.Error where the database
        does not answer.
        """
        ...


class Places(Protocol):
    """Where a person's state lies."""

    def partition_of_pseudonym(self, pseudonym: str) -> int:
        """The partition of a person."""
        ...


class CardCache:
    """Standings by pseudonym, the least recently asked for let go first; a `DecisionListener`."""

    def __init__(
        self,
        reader: CardholderReader,
        places: Places,
        stats: Counter[str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        count_max: int = limits.CARD_CACHE_COUNT_MAX,
    ) -> None:
        """`stats` counts reading of rows and what they were read for."""
        self._reader = reader
        self._places = places
        self._stats = stats
        self._monotonic = monotonic
        self._count_max = count_max
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._being_read: dict[str, asyncio.Future[None]] = {}
        self._overtaken: set[str] = set()
        self._reading: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._standings)

    def find(self, subject: str) -> Standing | None:
        """What is remembered of a person. On the hot path."""
        standing = self._standings.get(subject)
        if standing is None:
            return None
        remembered_ms = limits.CARD_REMEMBERED_MS_MAX if standing.is_certain else limits.CARD_STALE_MS
        if self._monotonic() - standing.read_s > remembered_ms / 1000:
            return None
        self._standings.move_to_end(subject)
        return standing

    async def read(self, subjects: Iterable[str]) -> None:
        """Read persons' rows, together with whatever else is missing at this moment.

        `find` has them afterwards, unless a decision about them was followed since. Raises psycopg.Error.
        """
        loop = asyncio.get_running_loop()
        awaited = []
        for subject in subjects:
            future = self._being_read.get(subject) or self._wanted.get(subject)
            if future is None:
                future = self._wanted[subject] = loop.create_future()
            awaited.append(future)
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_wanted(), name="read cardholders")
        # Shielded: others wait for the same rows.
        for result in await asyncio.shield(asyncio.gather(*awaited, return_exceptions=True)):
            if result is not None:
                raise result

    def drop(self, subject: str) -> None:
        """Forget a person, of whom something was decided."""
        self._standings.pop(subject, None)
        if subject in self._being_read:
            self._overtaken.add(subject)

    def clear(self) -> None:
        """Forget everybody."""
        self._standings.clear()
        self._overtaken.update(self._being_read)

    async def stop(self) -> None:
        """End what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read_wanted(self) -> None:
        """Read until nothing is wanted, one statement at a time; what comes meanwhile goes into the next one."""
        while self._wanted:
            subjects = list(self._wanted)[: limits.CARD_ROW_READ_COUNT_MAX]
            self._being_read = {subject: self._wanted.pop(subject) for subject in subjects}
            read_s = self._monotonic()
            try:
                holders = await self._reader.load(
                    [(self._places.partition_of_pseudonym(subject), subject) for subject in subjects]
                )
                standings = {
                    subject: self._standing(holders.get(subject, Cardholder(subject=subject)), read_s)
                    for subject in subjects
                }
            except asyncio.CancelledError:
                self._end(asyncio.CancelledError())
                raise
            except Exception as error:
                self._end(error)
            else:
                self._stats["card_statements"] += 1
                self._stats["cardholders_read"] += len(subjects)
                self._keep(standings)

    def _standing(self, holder: Cardholder | None, read_s: float) -> Standing:
        """What is remembered of one person, whatever is wrong with the rows: others were read with them."""
        if holder is not None:
            try:
                return standing_of(holder, read_s)
            except Exception as error:  # What the rows hold is personal, and so may be the error's text.
                log.error("rows of person %s cannot be told: %s", holder.subject, type(error).__name__)
        return uncertain(self._monotonic())  # However long the reading took, whoever waits for it finds this.

    def _keep(self, standings: Mapping[str, Standing]) -> None:
        being_read, self._being_read = self._being_read, {}
        overtaken, self._overtaken = self._overtaken, set()
        for subject, future in being_read.items():
            if subject in overtaken:
                self._wanted[subject] = future
            else:
                self._standings[subject] = standings[subject]
                future.set_result(None)
        while len(self._standings) > self._count_max:
            self._standings.popitem(last=False)

    def _end(self, error: BaseException) -> None:
        """Tell all who wait for the rows in hand that they could not be read."""
        being_read, self._being_read = self._being_read, {}
        self._overtaken.clear()
        for future in being_read.values():
            future.set_exception(error)
            future.exception()  # Who asked may be gone; nothing is lost by that.
