"""Reading a topic of the Kafka log from given positions: one consumer without a group, on the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from onecard_broker.log.kafka_clients import Leaving, start
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import (
    LoggedRecord,
    LogUnavailable,
    PositionAfterEnd,
    PositionBeforeStart,
    record_size_bytes,
)

# A waiting read looks this often whether the reader was closed.
_POLL_MS = 200
_FETCH_BYTES = 4 * 1024 * 1024
_PARTITION_FETCH_BYTES = 1024 * 1024
_CONNECT_SECONDS = 10.0


class KafkaReader:
    """A `Reader` over a Kafka topic."""

    def __init__(
        self,
        *,
        topic: str,
        positions: Mapping[int, int],
        settings: KafkaSettings,
        closed: Callable[["KafkaReader"], None],
    ) -> None:
        """Connects at the first read."""
        self._topic = topic
        self._settings = settings
        self._positions = dict(positions)
        self._name = settings.topic_prefix + topic
        self._fetched: deque[LoggedRecord] = deque()
        self._consumer: AIOKafkaConsumer | None = None
        self._leaving = Leaving()
        self._closing = False
        self._closed = closed

    async def read(self, max_records: int, max_bytes: int, wait_ms: int) -> list[LoggedRecord]:
        """Return the next records; see `Reader.read`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        while not self._closing and self._positions:
            records = self._take(max_records, max_bytes)
            if records:
                return records
            left_ms = max(0, int((deadline - loop.time()) * 1000))
            await self._fetch(max_records, min(left_ms, _POLL_MS))
            if not left_ms:
                return self._take(max_records, max_bytes)
        return []

    def seek(self, partition: int, position: int) -> None:
        """Continue this partition from `position`."""
        if partition not in self._positions:
            raise ValueError(f"the reader of {self._topic} was not opened for partition {partition}")
        self._positions[partition] = position
        self._fetched = deque(record for record in self._fetched if record.partition != partition)
        if self._consumer is not None:
            self._consumer.seek(TopicPartition(self._name, partition), position)

    def positions(self) -> dict[int, int]:
        """Return the next position to read of each partition."""
        return dict(self._positions)

    async def close(self) -> None:
        """Close the consumer."""
        self._closing = True
        self._disconnect()
        await self._leaving.all_gone()
        self._closed(self)

    def _take(self, max_records: int, max_bytes: int) -> list[LoggedRecord]:
        taken: list[LoggedRecord] = []
        size_bytes = 0
        fetched = self._fetched
        while fetched and len(taken) < max_records:
            record = fetched[0]
            size_bytes += record_size_bytes(record)
            if taken and size_bytes > max_bytes:
                break
            taken.append(fetched.popleft())
            self._positions[record.partition] = record.position + 1
        return taken

    async def _fetch(self, max_records: int, wait_ms: int) -> None:
        try:
            consumer = self._consumer or await self._connect()
            polled = await consumer.getmany(timeout_ms=wait_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            await self._explain(error)
            return
        except (KafkaError, OSError, TimeoutError) as error:
            self._disconnect()
            raise LogUnavailable(f"Kafka at {self._settings.bootstrap_servers} cannot be read: {error!r}") from error
        topic = self._topic
        for tp, records in polled.items():
            partition = tp.partition
            self._fetched.extend(
                LoggedRecord(
                    topic=topic,
                    partition=partition,
                    position=record.offset,
                    append_time_ms=record.timestamp,
                    key=record.key or b"",
                    value=record.value or b"",
                    headers=record.headers,
                )
                for record in records
            )

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=max(_PARTITION_FETCH_BYTES, self._settings.record_bytes_max + 64 * 1024),
            request_timeout_ms=10_000,
            **self._settings.aiokafka_options(),
        )
        try:
            consumer.assign([TopicPartition(self._name, partition) for partition in self._positions])
            await start(consumer, _CONNECT_SECONDS)
        except BaseException:
            self._leaving.let_go(consumer)
            raise
        self._consumer = consumer
        # What was fetched and not taken comes again.
        self._fetched.clear()
        for partition, position in self._positions.items():
            consumer.seek(TopicPartition(self._name, partition), position)
        return consumer

    async def _explain(self, error: OffsetOutOfRangeError) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        for tp, position in error.args[0].items():
            try:
                start = (await consumer.beginning_offsets([tp]))[tp]
                end = (await consumer.end_offsets([tp]))[tp]
            except KafkaError as lookup_error:
                raise LogUnavailable(f"the bounds of {tp.topic} cannot be read: {lookup_error!r}") from lookup_error
            if position < start:
                raise PositionBeforeStart(self._topic, tp.partition, start) from error
            if position > end:
                raise PositionAfterEnd(self._topic, tp.partition, position, end) from error

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._leaving.let_go(consumer)
