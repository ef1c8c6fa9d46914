"""The rows of a local system's tables by update time.

Owns retries and how far the tables were read; knows nothing of what the columns mean. What was read is read again: each
reading begins a little behind the newest row, so that a transaction that commits late is seen, and from time to time
two hours behind it, because batches write old update times (domain.md, 2.3). Rows that stand as they were taken are not
given again; after a restart they are, and content decides.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import logging
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors.database import TIME, Database, kind_of, local_now
from onecard_adapters.runtime import source_rows
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.runtime.source_rows import DeadRow
from onecard_adapters.runtime.store import Store
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, policy, reason_name

Row = Mapping[str, Any]

_KEY: Final = "row_key"
_UPDATED: Final = "row_updated"
_ORDER: Final = "row_order"
_PLACE: Final = frozenset({_KEY, _UPDATED, _ORDER})
_UNREADABLE: Final = "row_unreadable"
_TAKEN_COUNT_MAX: Final = 50_000
_RETRY_FIRST_S: Final = 0.2
_RETRY_MOST_S: Final = 30.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Rows that are read by an update time.

    Several feeds may give the same rows, each by another table's time; the first of a reader gives every row.
    """

    name: str
    rows: sqlalchemy.Select[Any]
    updated: sqlalchemy.ColumnElement[datetime.datetime]
    order: sqlalchemy.ColumnElement[int]
    """A number of the table that has the update time, by whose index the rows come in order."""
    key: sqlalchemy.ColumnElement[int]
    """The row's number, unique among the rows."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often and how far back is read."""

    interval_s: float
    late_s: float
    """How far each reading goes back: the longest time from a row's update time to its commit."""
    overlap_s: float
    """How far the thorough reading goes back."""
    overlap_every_s: float
    page_rows: int


Take = Callable[[Sequence[tuple[int, Row]]], Awaitable[Mapping[int, OneCardError]]]
"""Takes rows by their numbers, and returns those that it cannot take; after what it raises they are given again."""


class TableReader:
    """Reads the feeds of one source for ever, from where a former process stood."""

    def __init__(
        self, *, source: str, database: Database, store: Store, feeds: Sequence[Feed], pace: Pace, take: Take
    ) -> None:
        self._source = source
        self._database = database
        self._store = store
        self._feeds = tuple(feeds)
        self._pace = pace
        self._take = take
        self._positions: dict[str, datetime.datetime] = {}
        self._taken: OrderedDict[int, int] = OrderedDict()
        self._dead: dict[int, DeadRow] = {}

    @property
    def dead_rows(self) -> Sequence[DeadRow]:
        """The rows that could not be taken and are tried again."""
        return tuple(self._dead.values())

    async def run(self) -> None:
        """Read, for ever. A failure is logged and the reading begun again later."""
        failures = 0
        is_loaded = False
        thorough_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not is_loaded:
                    await self._load()
                    is_loaded = True
                is_thorough = loop.time() >= thorough_s
                await self.read(is_thorough=is_thorough)
                if is_thorough:
                    thorough_s = loop.time() + self._pace.overlap_every_s
                failures = 0
            except OneCardError as error:
                failures += 1
                _log.error("reading %s: %s %s", self._source, reason_name(error.reason), error.detail)
            except Exception as error:
                # The text of an unforeseen error may quote a row: only its kind and place are logged.
                failures += 1
                place = "".join(traceback.format_tb(error.__traceback__))
                _log.error("reading %s failed: %s\n%s", self._source, type(error).__name__, place)
            pause_s = self._pace.interval_s
            if failures:
                pause_s = max(pause_s, backoff_s(failures - 1, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S))
            await asyncio.sleep(pause_s)

    async def read(self, *, is_thorough: bool) -> None:
        """Read once, all feeds, and rows that could not be taken before because of what passes by itself.

        Thoroughly with the long overlap and with all rows that could not be taken before.
        """
        back = datetime.timedelta(seconds=self._pace.overlap_s if is_thorough else self._pace.late_s)
        for feed in self._feeds:
            position = self._positions.get(feed.name)
            await self._read_feed(feed, None if position is None else position - back)
        if again := [key for key, row in self._dead.items() if is_thorough or policy(row.reason).retryable]:
            await self._read_dead(again)
        if is_thorough and self._dead:
            _log.warning("%d rows of %s cannot be taken yet", len(self._dead), self._source)

    async def _load(self) -> None:
        def load(connection: Any) -> tuple[dict[str, str | None], list[DeadRow]]:
            positions = {feed.name: source_rows.position(connection, feed.name) for feed in self._feeds}
            return positions, source_rows.dead_rows(connection, self._source)

        def begin(connection: Any) -> None:
            # The first feed gives every row, so the others need tell only what changes from now on.
            for feed in self._feeds[1:]:
                source_rows.advance(connection, feed.name, local_now().isoformat())

        positions, dead = await self._store.run(load)
        if positions[self._feeds[0].name] is None:
            await self._store.run(begin)
            positions, dead = await self._store.run(load)
        for name, written in positions.items():
            if written is not None:
                self._positions[name] = datetime.datetime.fromisoformat(written)
        self._dead = {row.key: row for row in dead}

    async def _read_feed(self, feed: Feed, since: datetime.datetime | None) -> None:
        after: tuple[datetime.datetime, int, int] | None = None
        unreadable: list[int] = []
        while True:
            page = await self._page(feed, since, after, unreadable)
            await self._take_rows(page)
            unreadable += [row[_KEY] for row in page if _UNREADABLE in row]
            if placed := [row for row in page if _UNREADABLE not in row]:
                after = placed[-1][_UPDATED], placed[-1][_ORDER], placed[-1][_KEY]
                await self._advance(feed, placed)
            if len(page) < self._pace.page_rows:
                return

    async def _page(
        self,
        feed: Feed,
        since: datetime.datetime | None,
        after: tuple[datetime.datetime, int, int] | None,
        unreadable: Sequence[int],
    ) -> Sequence[Row]:
        # A row without a time has no place: it would be the last of a page, or the first, and hide those behind it.
        statement = _placed(feed).where(feed.updated.is_not(None))
        if unreadable:
            statement = statement.where(feed.key.not_in(unreadable))
        place = sqlalchemy.tuple_(feed.updated, feed.order, feed.key)
        if after is not None:
            time, *numbers = after
            behind = sqlalchemy.tuple_(sqlalchemy.literal(time, TIME), *(map(sqlalchemy.literal, numbers)))
            statement = statement.where(place > behind)
            since = time  # Said once more, because not every database finds a pair of values by an index.
        if since is not None:
            statement = statement.where(feed.updated >= sqlalchemy.literal(since, TIME))
        statement = statement.order_by(feed.updated, feed.order, feed.key).limit(self._pace.page_rows)
        return await _rows(self._database, feed, statement)

    async def _take_rows(self, page: Sequence[Row]) -> None:
        """Give what does not stand as it was taken, and note what could not be taken."""
        marks = {row[_KEY]: _mark(row) for row in page}
        fresh = [(row[_KEY], row) for row in page if self._taken.get(row[_KEY]) != marks[row[_KEY]]]
        if not fresh:
            return
        refused = {key: row[_UNREADABLE] for key, row in fresh if _UNREADABLE in row}
        if readable := [(key, row) for key, row in fresh if key not in refused]:
            refused |= await self._take(readable)
        dead = {key: DeadRow(key=key, reason=error.reason, detail=error.detail) for key, error in refused.items()}
        taken = [key for key, _ in fresh if key in self._dead and key not in dead]
        changed = {key: row for key, row in dead.items() if self._dead.get(key) != row}
        if changed or taken:
            await self._note(changed, taken)
        for key, _ in fresh:
            if key not in dead:
                self._taken[key] = marks[key]
                self._taken.move_to_end(key)
        while len(self._taken) > _TAKEN_COUNT_MAX:
            self._taken.popitem(last=False)

    async def _note(self, dead: Mapping[int, DeadRow], taken: Sequence[int]) -> None:
        if len(self._dead.keys() | dead.keys()) - len(taken) > source_rows.DEAD_ROWS_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_PROCESSING_FAILED,
                f"more than {source_rows.DEAD_ROWS_MAX} rows cannot be taken: nothing more is read; the last: "
                f"{next(iter(dead.values())).detail}",
            )
        at_ms = now_ms()
        await self._store.run(
            lambda connection: source_rows.change_dead_rows(connection, self._source, at_ms, dead=dead, taken=taken)
        )
        for row in dead.values():
            _log.error("a row of %s was not taken: %s %s", self._source, reason_name(row.reason), row.detail)
            self._dead[row.key] = row
        for key in taken:
            _log.info("row %d of %s was taken now", key, self._source)
            del self._dead[key]

    async def _advance(self, feed: Feed, page: Sequence[Row]) -> None:
        before = self._positions.get(feed.name)
        # A row from the future is taken, and does not hide what comes before it.
        now = local_now()
        newest = max((row[_UPDATED] for row in page if row[_UPDATED] <= now), default=None)
        if newest is None or (before is not None and newest <= before):
            return
        await self._store.run(lambda connection: source_rows.advance(connection, feed.name, newest.isoformat()))
        self._positions[feed.name] = newest

    async def _read_dead(self, keys: Sequence[int]) -> None:
        """Try rows again that could not be taken: their tables of codes, or the rows that they name, may be mended."""
        feed = self._feeds[0]
        for start in range(0, len(keys), self._pace.page_rows):
            asked = keys[start : start + self._pace.page_rows]
            page = await _rows(self._database, feed, _placed(feed).where(feed.key.in_(asked)))
            await self._take_rows(page)
            if gone := set(asked) - {row[_KEY] for row in page}:
                await self._note({}, sorted(gone))


async def rows_by_key(
    database: Database, feed: Feed, page_rows: int
) -> AsyncIterator[list[tuple[int, Row | OneCardError]]]:
    """Every row of a feed once with its number, page by page, whatever its update time, or why it cannot be read.

    Raises LOCAL_SYSTEM_DOWN.
    """
    after: int | None = None
    while True:
        statement = _placed(feed).order_by(feed.key).limit(page_rows)
        if after is not None:
            statement = statement.where(feed.key > after)
        page = await _rows(database, feed, statement)
        if page:
            after = page[-1][_KEY]
            yield [(row[_KEY], row.get(_UNREADABLE, row)) for row in page]
        if len(page) < page_rows:
            return


class _UnreadableError(Exception):
    """A row holds what the driver makes no value of, such as a day after the year 9999."""


async def _rows(database: Database, feed: Feed, statement: sqlalchemy.Select[Any]) -> list[dict[str, Any]]:
    """The rows; of one that cannot be read only its number, and why: it is found by halves, so it hides no others."""
    try:
        return await database.run(functools.partial(_fetch, statement))
    except _UnreadableError as error:
        kind = str(error)
    numbers = statement.with_only_columns(feed.key.label(_KEY))
    keys = [row[_KEY] for row in await database.run(functools.partial(_fetch, numbers))]
    if len(keys) == 1:
        detail = f"{feed.key} {keys[0]}: one of its columns holds what the database's driver cannot read ({kind})"
        return [{_KEY: keys[0], _UNREADABLE: OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, detail)}]
    halves = [half for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]) if half]
    return [row for half in halves for row in await _rows(database, feed, statement.where(feed.key.in_(half)))]


def _fetch(statement: sqlalchemy.Select[Any], connection: sqlalchemy.Connection) -> list[dict[str, Any]]:
    try:
        return [dict(row) for row in connection.execute(statement).mappings()]
    except sqlalchemy.exc.DataError as error:
        raise _UnreadableError(kind_of(error)) from None
    except ValueError as error:
        raise _UnreadableError(type(error).__name__) from None


def _placed(feed: Feed) -> sqlalchemy.Select[Any]:
    return feed.rows.add_columns(feed.updated.label(_UPDATED), feed.order.label(_ORDER), feed.key.label(_KEY))


def _mark(row: Row) -> int:
    """By which a row that did not change shows, within this process."""
    return hash(tuple(value for name, value in row.items() if name not in _PLACE))
