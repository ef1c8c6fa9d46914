"""The log on PostgreSQL tables: what `make demo` and a laptop use.

Positions come from a head row for each partition, updated in the transaction that inserts the records: the row's lock
makes the order of commits the order of positions, also with several appending processes. Everything that waits is
appended by one statement. The append time is the database's clock, kept from falling by the head row.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from onecard_broker.log.embedded_reader import EmbeddedReader
from onecard_broker.log.embedded_tables import (
    APPEND_SQL,
    BOUNDS_SQL,
    CREATE_SQL,
    CREATE_TOPIC_SQL,
    EPOCH_SQL,
    EXPIRED_SQL,
    NOTIFY_CHANNEL,
    TOPICS_SQL,
    TRUNCATE_SQL,
    encode_headers,
)
from onecard_broker.log.in_flight import AppendCall, InFlight
from onecard_broker.log.lingering import LingeringReader
from onecard_broker.log.port import (
    Appended,
    ForeignEpoch,
    LogMisconfigured,
    LogUnavailable,
    Reader,
    Record,
    TopicMismatch,
    TopicSpec,
    record_size_bytes,
)

_logger = logging.getLogger(__name__)

# Larger statements gain nothing (measurements: writing to PostgreSQL).
_BATCH_RECORDS_MAX = 500
_BATCH_BYTES_MAX = 4 * 1024 * 1024
_RECONNECT_SECONDS = 0.5
_CONNECT_SECONDS = 10
# What is not acknowledged by then has failed, and the connection with it. Cancelling a statement may take time too.
APPEND_SECONDS = 10.0
_CANCEL_SECONDS = 2.0


class _Topic(NamedTuple):
    name: str
    topic_id: int
    partition_count: int
    retention_ms: int | None


class EmbeddedLog:
    """A `Log` on append-only tables of one PostgreSQL database; three connections a process."""

    def __init__(
        self,
        dsn: str,
        partition_count: int,
        journal_topic: str,
        epoch: str,
        topics: Sequence[_Topic],
        in_flight_bytes_max: int,
        record_bytes_max: int,
    ) -> None:
        """Use `open`."""
        self._dsn = dsn
        self._partition_count = partition_count
        self._journal_topic = journal_topic
        self._epoch = epoch
        self._topics = {topic.name: topic for topic in topics}
        self._started: deque[AppendCall] = deque()
        self._work = asyncio.Event()
        self._in_flight = InFlight(
            bytes_max=in_flight_bytes_max, record_bytes_max=record_bytes_max, start=self._start_call
        )
        self._readers: set[EmbeddedReader] = set()
        self._query_lock = asyncio.Lock()
        self._query_connection: psycopg.AsyncConnection[Any] | None = None
        self._appender = asyncio.create_task(self._append_forever(), name="log appender")
        self._listener = asyncio.create_task(self._listen_forever(), name="log listener")

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        partition_count: int = 8,
        journal_topic: str = "onecard.journal",
        in_flight_bytes_max: int = 32 * 1024 * 1024,
        record_bytes_max: int = 2 * 1024 * 1024,
    ) -> "EmbeddedLog":
        """Open the log in the database at `dsn`, creating its tables when they are missing.

        Raises LogUnavailable when the database does not answer.
        """
        try:
            async with await _connect(dsn, autocommit=False) as connection:
                await connection.execute(CREATE_SQL)
                cursor = await connection.execute(EPOCH_SQL, (secrets.token_hex(8),))
                row = await cursor.fetchone()
                topics = [_Topic(*one) for one in await (await connection.execute(TOPICS_SQL)).fetchall()]
        except psycopg.OperationalError as error:
            raise LogUnavailable(f"the database of the log does not answer: {error}") from error
        if row is None:
            raise LogMisconfigured("the log's epoch could not be read")
        return cls(dsn, partition_count, journal_topic, row[0], topics, in_flight_bytes_max, record_bytes_max)

    @property
    def epoch(self) -> str:
        """Identity of these tables."""
        return self._epoch

    @property
    def partition_count(self) -> int:
        """Number of partitions of the journal and of each inbox."""
        return self._partition_count

    @property
    def made_partition_count(self) -> int | None:
        """Number of partitions of the journal topic; see `Log.made_partition_count`."""
        topic = self._topics.get(self._journal_topic)
        return None if topic is None else topic.partition_count

    @property
    def gathering_s(self) -> float:
        """Nothing gathers longer than the append before it takes."""
        return 0.0

    def coming(self, what: Hashable, *, within_s: float | None = None) -> None:
        """Nothing gathers here."""

    def came(self, what: Hashable) -> None:
        """Nothing was waited for."""

    async def append(self, records: Sequence[Record]) -> list[Appended]:
        """Append records; see `Log.append`."""
        return await self._in_flight.run(records)

    def open_reader(self, topic: str, positions: Mapping[int, int]) -> Reader:
        """Return a reader; see `Log.open_reader`."""

        async def topic_id() -> int:
            return (await self._topic(topic)).topic_id

        async def bounds() -> dict[int, tuple[int, int]]:
            return await self.bounds(topic)

        reader = EmbeddedReader(
            topic=topic,
            positions=positions,
            topic_id=topic_id,
            query=self._query,
            bounds=bounds,
            woken=asyncio.Event(),
            closed=self._readers.discard,
        )
        self._readers.add(reader)
        return LingeringReader(reader)

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return first kept position and end by partition; see `Log.bounds`."""
        rows = await self._query(BOUNDS_SQL, ((await self._topic(topic)).topic_id,))
        return {partition: (first, end) for partition, first, end in rows}

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create and check topics; see `Log.ensure_topics`. Replication has no meaning here."""
        for spec in topics:
            await self._query(
                CREATE_TOPIC_SQL,
                {"name": spec.name, "partition_count": spec.partition_count, "retention_ms": spec.retention_ms},
            )
        await self._load_topics()
        differences: list[str] = []
        for spec in topics:
            found = self._topics[spec.name]
            for name in ("partition_count", "retention_ms"):
                is_now, must_be = getattr(found, name), getattr(spec, name)
                if is_now != must_be:
                    differences.append(f"{spec.name}: {name} is {is_now}, must be {must_be}")
        if differences:
            raise TopicMismatch(differences)

    def check_epoch(self, epoch: str) -> None:
        """Raise ForeignEpoch unless `epoch` is this log's."""
        if epoch != self._epoch:
            raise ForeignEpoch(self._epoch, epoch)

    async def truncate(self, topic: str, first_positions: Mapping[int, int]) -> None:
        """Drop what stands before the given positions of a topic, by partition."""
        await self._query(
            TRUNCATE_SQL,
            {
                "topic_id": (await self._topic(topic)).topic_id,
                "partitions": list(first_positions),
                "positions": list(first_positions.values()),
            },
        )

    async def apply_retention(self) -> None:
        """Drop from every topic the records older than its `retention_ms`, by the database's clock."""
        await self._load_topics()
        for topic in list(self._topics.values()):
            if topic.retention_ms is not None:
                rows = await self._query(EXPIRED_SQL, {"topic_id": topic.topic_id, "retention_ms": topic.retention_ms})
                await self.truncate(topic.name, dict(rows))

    async def close(self) -> None:
        """Finish what is in flight and close the connections."""
        await self._in_flight.drain()
        for task in (self._appender, self._listener):
            task.cancel()
        await asyncio.gather(self._appender, self._listener, return_exceptions=True)
        async with self._query_lock:
            if self._query_connection is not None:
                await self._query_connection.close()
                self._query_connection = None

    # Topics

    async def _load_topics(self) -> None:
        rows = await self._query(TOPICS_SQL, ())
        self._topics = {row[0]: _Topic(*row) for row in rows}

    async def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            await self._load_topics()
        try:
            return self._topics[name]
        except KeyError:
            raise LogMisconfigured(f"the log has no topic {name}; `onecard hub topics` creates the topics") from None

    # Reading

    async def _query(self, query: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
        # Shielded: a cancelled reader leaves the shared connection in order, and has taken nothing yet.
        return await asyncio.shield(self._query_alone(query, parameters))

    async def _query_alone(self, query: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._query_lock:
            try:
                if self._query_connection is None:
                    self._query_connection = await _connect(self._dsn)
                cursor = self._query_connection.cursor(binary=True)
                await cursor.execute(query, parameters, prepare=True)
                return await cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError as error:
                if self._query_connection is not None:
                    await self._query_connection.close()
                    self._query_connection = None
                raise LogUnavailable(f"the database of the log does not answer: {error}") from error

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with await _connect(self._dsn) as connection:
                    await connection.execute(f"LISTEN {NOTIFY_CHANNEL}")
                    # What was appended before this moment came without a wake-up.
                    self._wake(None)
                    async for notification in connection.notifies():
                        self._wake(int(notification.payload))
            except psycopg.OperationalError:
                _logger.warning("the log's wake-ups are interrupted, readers poll", exc_info=True)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake(self, topic_id: int | None) -> None:
        for reader in self._readers:
            topic = self._topics.get(reader.topic)
            if topic_id is None or topic is None or topic.topic_id == topic_id:
                reader.woken.set()

    # Appending

    def _start_call(self, call: AppendCall) -> None:
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
                        connection = await _connect(self._dsn)
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
        self._in_flight.fail_waiting(failure)
        behind = list(self._started)
        self._started.clear()
        for call in (*calls, *behind):
            self._in_flight.finish(call, failure)

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
            self._in_flight.finish(call, None)


async def _connect(dsn: str, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=autocommit, connect_timeout=_CONNECT_SECONDS)


def _take_result(appending: asyncio.Task[None]) -> None:
    """Of a statement that nobody waits for any more."""
    if not appending.cancelled():
        appending.exception()
