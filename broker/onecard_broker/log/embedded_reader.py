"""Reading a topic of the embedded log from given positions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from onecard_broker.log.embedded_tables import READ_SQL, decode_headers
from onecard_broker.log.port import LogError, LoggedRecord, PositionAfterEnd, PositionBeforeStart

# Readers are woken by NOTIFY; this often they look themselves, should one have been lost with its connection.
_POLL_MS = 1000

Query = Callable[[str, Mapping[str, Any]], Awaitable[list[tuple[Any, ...]]]]
Bounds = Callable[[], Awaitable[dict[int, tuple[int, int]]]]


class EmbeddedReader:
    """A `Reader` over the log's tables; `woken` is set by the log whenever the topic grew."""

    def __init__(
        self,
        *,
        topic: str,
        positions: Mapping[int, int],
        topic_id: Callable[[], Awaitable[int]],
        query: Query,
        bounds: Bounds,
        woken: asyncio.Event,
        closed: Callable[["EmbeddedReader"], None],
    ) -> None:
        """Take the log's ways to ask the database; nothing is read yet."""
        self.topic = topic
        self.woken = woken
        self._positions = dict(positions)
        self._order = sorted(self._positions)
        self._topic_id = topic_id
        self._query = query
        self._bounds = bounds
        self._closed = closed

    async def read(self, max_records: int, max_bytes: int, wait_ms: int) -> list[LoggedRecord]:
        """Return the next records; see `Reader.read`."""
        deadline = asyncio.get_running_loop().time() + wait_ms / 1000
        while True:
            self.woken.clear()
            records = await self._read_now(max_records, max_bytes)
            if records:
                return records
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            try:
                async with asyncio.timeout(min(left, _POLL_MS / 1000)):
                    await self.woken.wait()
            except TimeoutError:
                continue

    def seek(self, partition: int, position: int) -> None:
        """Continue this partition from `position`."""
        if partition not in self._positions:
            raise ValueError(f"the reader of {self.topic} was not opened for partition {partition}")
        self._positions[partition] = position

    def positions(self) -> dict[int, int]:
        """Return the next position to read of each partition."""
        return dict(self._positions)

    async def close(self) -> None:
        """Let go of the wake-ups."""
        self._closed(self)

    async def _read_now(self, max_records: int, max_bytes: int) -> list[LoggedRecord]:
        if not self._order:
            return []
        # Another partition comes first each time, so that a backlog in one does not hold up the others.
        self._order.append(self._order.pop(0))
        rows = await self._query(
            READ_SQL,
            {
                "topic_id": await self._topic_id(),
                "partitions": self._order,
                "positions": [self._positions[partition] for partition in self._order],
                "max_records": max_records,
                "max_bytes": max_bytes,
            },
        )
        if not rows:
            await self._check_bounds()
            return []
        return self._take(rows)

    def _take(self, rows: Sequence[tuple[Any, ...]]) -> list[LoggedRecord]:
        positions = dict(self._positions)
        records: list[LoggedRecord] = []
        for partition, position, append_time_ms, key, value, headers in rows:
            expected = positions[partition]
            if position != expected:
                if expected != self._positions[partition] or position < expected:
                    raise LogError(f"{self.topic} partition {partition} has {position} where {expected} was to come")
                raise PositionBeforeStart(self.topic, partition, position)
            positions[partition] = position + 1
            records.append(
                LoggedRecord(
                    topic=self.topic,
                    partition=partition,
                    position=position,
                    append_time_ms=append_time_ms,
                    key=key,
                    value=value,
                    headers=decode_headers(headers),
                )
            )
        self._positions = positions
        return records

    async def _check_bounds(self) -> None:
        bounds = await self._bounds()
        for partition, position in self._positions.items():
            if partition not in bounds:
                raise LogError(f"{self.topic} has no partition {partition}")
            start, end = bounds[partition]
            if position < start:
                raise PositionBeforeStart(self.topic, partition, start)
            if position > end:
                raise PositionAfterEnd(self.topic, partition, position, end)
