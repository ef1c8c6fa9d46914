"""Appending to the log's tables: one statement at a time, with everything that waits for it.

A statement is acknowledged in time or has failed, its connection with it; then every call of that moment has failed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg

from onecard_broker.log.embedded_tables import APPEND_SQL, Topic, encode_headers
from onecard_broker.log.in_flight import AppendCall, InFlight
from onecard_broker.log.port import Appended, LogMisconfigured, LogUnavailable, record_size_bytes

_logger = logging.getLogger(__name__)

# Larger statements gain nothing (measurements: writing to PostgreSQL).
_BATCH_RECORDS_MAX = 500
_BATCH_BYTES_MAX = 4 * 1024 * 1024
# What is not acknowledged by then has failed, and the connection with it. Cancelling a statement may take time too.
APPEND_SECONDS = 10.0
_CANCEL_SECONDS = 2.0


class EmbeddedAppender:
    """Takes calls in their order and ends each by `InFlight.finish`."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[psycopg.AsyncConnection[Any]]],
        topic: Callable[[str], Awaitable[Topic]],
        *,
        in_flight_bytes_max: int,
        record_bytes_max: int,
    ) -> None:
        """Connects at the first append; `topic` finds a topic by its name, or raises LogMisconfigured."""
        self._connect = connect
        self._topic = topic
        self._started: deque[AppendCall] = deque()
        self._work = asyncio.Event()
        self.in_flight = InFlight(bytes_max=in_flight_bytes_max, record_bytes_max=record_bytes_max, start=self._take)
        self._task = asyncio.create_task(self._append_forever(), name="log appender")

    async def close(self) -> None:
        """Finish what is in flight and close the connection."""
        await self.in_flight.drain()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _take(self, call: AppendCall) -> None:
        self._started.append(call)
        self._work.set()

    async def _append_forever(self) -> None:
        connection: psycopg.AsyncConnection[Any] | None = None
        try:
            while True:
                await self._work.wait()
                calls = self._next_batch()
                if not calls:
                    self._work.clear()
                    continue
                try:
                    if connection is None:
                        connection = await self._connect()
                    await self._append_in_time(connection, calls)
                except (psycopg.Error, LogUnavailable, LogMisconfigured) as error:
                    if connection is not None and (connection.broken or connection.closed):
                        await connection.close()
                        connection = None
                    self._fail(calls, str(error))
                except Exception as error:
                    # Nobody foresaw it. Callers are told and ask again; if this task ended, they would wait for ever.
                    _logger.exception("a fault while appending")
                    if connection is not None:
                        await connection.close()
                        connection = None
                    self._fail(calls, f"a fault while appending: {type(error).__name__}")
        finally:
            if connection is not None:
                await connection.close()

    def _next_batch(self) -> list[AppendCall]:
        calls: list[AppendCall] = []
        record_count = size_bytes = 0
        while self._started and record_count < _BATCH_RECORDS_MAX and size_bytes < _BATCH_BYTES_MAX:
            call = self._started.popleft()
            calls.append(call)
            record_count += len(call.records)
            size_bytes += call.size_bytes
        return calls

    def _fail(self, calls: Sequence[AppendCall], failure: str) -> None:
        # Whoever called before this moment stands behind the failure, whatever the partition: simple, and enough.
        self.in_flight.fail_waiting(failure)
        behind = list(self._started)
        self._started.clear()
        for call in (*calls, *behind):
            self.in_flight.finish(call, failure)

    async def _append_in_time(self, connection: psycopg.AsyncConnection[Any], calls: Sequence[AppendCall]) -> None:
        """Append, or close the connection and raise LogUnavailable."""
        appending = asyncio.create_task(self._append_batch(connection, calls))
        try:
            done, _ = await asyncio.wait({appending}, timeout=APPEND_SECONDS)
            if not done:
                appending.cancel()
                await asyncio.wait({appending}, timeout=_CANCEL_SECONDS)
                await connection.close()
                raise LogUnavailable(f"the database of the log did not append in {APPEND_SECONDS:g} s")
        finally:
            appending.cancel()
            appending.add_done_callback(_take_result)
        appending.result()

    async def _append_batch(self, connection: psycopg.AsyncConnection[Any], calls: Sequence[AppendCall]) -> None:
        counts: dict[tuple[int, int], int] = {}
        rows: list[tuple[int, int, int, int, bytes, bytes, bytes]] = []
        for call in calls:
            for record in call.records:
                topic = await self._topic(record.topic)
                if not 0 <= record.partition < topic.partition_count:
                    raise LogMisconfigured(f"{record.topic} has no partition {record.partition}")
                head = (topic.topic_id, record.partition)
                place = counts.get(head, 0)
                counts[head] = place + 1
                headers = encode_headers(record.headers)
                rows.append((*head, place, record_size_bytes(record), record.key, record.value, headers))
        topics, partitions, places, sizes, keys, values, headers_list = (
            list(column) for column in zip(*rows, strict=True)
        )
        cursor = connection.cursor(binary=True)
        await cursor.execute(
            APPEND_SQL,
            {
                "head_topics": [topic_id for topic_id, _ in counts],
                "head_partitions": [partition for _, partition in counts],
                "head_counts": list(counts.values()),
                "topics": topics,
                "partitions": partitions,
                "places": places,
                "sizes": sizes,
                "keys": keys,
                "values": values,
                "headers": headers_list,
            },
            prepare=True,
        )
        heads = {
            (topic_id, partition): (base, append_time_ms) async for topic_id, partition, base, append_time_ms in cursor
        }
        if heads.keys() != counts.keys():
            raise LogMisconfigured("a partition of the log has lost its head row")
        row = iter(rows)
        for call in calls:
            for index in range(len(call.records)):
                topic_id, partition, place, *_ = next(row)
                base, append_time_ms = heads[topic_id, partition]
                call.results[index] = Appended(position=base + place, append_time_ms=append_time_ms)
            self.in_flight.finish(call, None)


def _take_result(appending: asyncio.Task[None]) -> None:
    """Of a statement that nobody waits for any more."""
    if not appending.cancelled():
        appending.exception()
