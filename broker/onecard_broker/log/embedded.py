"""The log on PostgreSQL tables: what `make demo` and a laptop use.

Positions come from a head row for each partition, updated in the transaction that inserts the records: the row's lock
makes the order of commits the order of positions, also with several appending processes. The append time is the
database's clock, kept from falling by the head row.
"""

import asyncio
import logging
import secrets
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import psycopg

from onecard_broker.log.embedded_appender import EmbeddedAppender
from onecard_broker.log.embedded_reader import EmbeddedReader
from onecard_broker.log.embedded_tables import (
    BOUNDS_SQL,
    CREATE_SQL,
    CREATE_TOPIC_SQL,
    EPOCH_SQL,
    EXPIRED_SQL,
    NOTIFY_CHANNEL,
    TOPICS_SQL,
    TRUNCATE_SQL,
    Topic,
)
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
)

_logger = logging.getLogger(__name__)

_RECONNECT_SECONDS = 0.5
_CONNECT_SECONDS = 10


class EmbeddedLog:
    """A `Log` on append-only tables of one PostgreSQL database; three connections a process."""

    def __init__(
        self,
        dsn: str,
        partition_count: int,
        journal_topic: str,
        epoch: str,
        topics: Sequence[Topic],
        in_flight_bytes_max: int,
        record_bytes_max: int,
    ) -> None:
        """Use `open`."""
        self._dsn = dsn
        self._partition_count = partition_count
        self._journal_topic = journal_topic
        self._epoch = epoch
        self._topics = {topic.name: topic for topic in topics}
        self._appender = EmbeddedAppender(
            lambda: _connect(dsn),
            self._topic,
            in_flight_bytes_max=in_flight_bytes_max,
            record_bytes_max=record_bytes_max,
        )
        self._readers: set[EmbeddedReader] = set()
        self._query_lock = asyncio.Lock()
        self._query_connection: psycopg.AsyncConnection[Any] | None = None
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
                topics = [Topic(*one) for one in await (await connection.execute(TOPICS_SQL)).fetchall()]
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
        return await self._appender.in_flight.run(records)

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
        await self._appender.close()
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        async with self._query_lock:
            if self._query_connection is not None:
                await self._query_connection.close()
                self._query_connection = None

    # Topics

    async def _load_topics(self) -> None:
        rows = await self._query(TOPICS_SQL, ())
        self._topics = {row[0]: Topic(*row) for row in rows}

    async def _topic(self, name: str) -> Topic:
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


async def _connect(dsn: str, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=autocommit, connect_timeout=_CONNECT_SECONDS)
