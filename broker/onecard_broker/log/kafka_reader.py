"""Reading a topic of the Kafka log from given positions: one consumer in one thread, without a group."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import (
    LoggedRecord,
    LogUnavailable,
    PositionAfterEnd,
    PositionBeforeStart,
    record_size_bytes,
)

# A waiting poll looks this often whether the reader was closed.
_POLL_MS = 200
_FETCH_BYTES = 4 * 1024 * 1024
_PARTITION_FETCH_BYTES = 1024 * 1024


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
        # Counts the seeks of each partition: what was fetched before one is not given out after it.
        self._seek_counts = dict.fromkeys(self._positions, 0)
        self._done_seek_counts = dict.fromkeys(self._positions, -1)
        self._fetched: deque[tuple[int, LoggedRecord]] = deque()
        self._consumer: KafkaConsumer | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-reader")
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
            # A cancelled read leaves the poll to finish in its thread, its records to the next read.
            await loop.run_in_executor(self._thread, self._fetch, max_records, min(left_ms, _POLL_MS))
            if not left_ms:
                return self._take(max_records, max_bytes)
        return []

    def seek(self, partition: int, position: int) -> None:
        """Continue this partition from `position`."""
        if partition not in self._positions:
            raise ValueError(f"the reader of {self._topic} was not opened for partition {partition}")
        self._positions[partition] = position
        self._seek_counts[partition] += 1

    def positions(self) -> dict[int, int]:
        """Return the next position to read of each partition."""
        return dict(self._positions)

    async def close(self) -> None:
        """Close the consumer and its thread."""
        if self._closing:
            return
        self._closing = True
        self._closed(self)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_consumer)
        self._thread.shutdown()

    def _take(self, max_records: int, max_bytes: int) -> list[LoggedRecord]:
        taken: list[LoggedRecord] = []
        size_bytes = 0
        fetched = self._fetched
        while fetched and len(taken) < max_records:
            seek_count, record = fetched[0]
            if seek_count != self._seek_counts[record.partition]:
                fetched.popleft()
                continue
            size_bytes += record_size_bytes(record)
            if taken and size_bytes > max_bytes:
                break
            fetched.popleft()
            taken.append(record)
            self._positions[record.partition] = record.position + 1
        return taken

    # In the reader's thread

    def _fetch(self, max_records: int, wait_ms: int) -> None:
        # After a cancelled read the next one may find its poll's records here.
        if self._fetched:
            return
        try:
            consumer = self._connected()
            polled = consumer.poll(timeout_ms=wait_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            self._explain(error)
            return
        except KafkaError as error:
            self._close_consumer()
            raise LogUnavailable(f"Kafka at {self._settings.bootstrap_servers} cannot be read: {error!r}") from error
        for tp, records in polled.items():
            partition = tp.partition
            seek_count = self._done_seek_counts[partition]
            for record in records:
                logged = LoggedRecord(
                    topic=self._topic,
                    partition=partition,
                    position=record.offset,
                    append_time_ms=record.timestamp,
                    key=record.key or b"",
                    value=record.value or b"",
                    headers=tuple(record.headers),
                )
                self._fetched.append((seek_count, logged))

    def _connected(self) -> KafkaConsumer:
        name = self._settings.topic_prefix + self._topic
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                fetch_max_bytes=_FETCH_BYTES,
                max_partition_fetch_bytes=max(_PARTITION_FETCH_BYTES, self._settings.record_bytes_max + 64 * 1024),
                request_timeout_ms=10_000,
                metrics_enabled=False,
                **self._settings.client_options(),
            )
            self._consumer.assign([TopicPartition(name, partition) for partition in self._positions])
            self._done_seek_counts = dict.fromkeys(self._positions, -1)
        for partition, seek_count in self._seek_counts.items():
            if seek_count != self._done_seek_counts[partition]:
                # In this order: a seek that comes in between is done again with the next fetch.
                self._done_seek_counts[partition] = seek_count
                self._consumer.seek(TopicPartition(name, partition), self._positions[partition])
        return self._consumer

    def _explain(self, error: OffsetOutOfRangeError) -> None:
        consumer = self._consumer
        if consumer is None:
            return
        for tp, position in error.args[0].items():
            try:
                start = consumer.beginning_offsets([tp], timeout_ms=5000)[tp]
                end = consumer.end_offsets([tp], timeout_ms=5000)[tp]
            except KafkaError as lookup_error:
                raise LogUnavailable(f"the bounds of {tp.topic} cannot be read: {lookup_error!r}") from lookup_error
            # Asked again at the next read, should it not have been moved by then.
            self._done_seek_counts[tp.partition] = -1
            if position < start:
                raise PositionBeforeStart(self._topic, tp.partition, start) from error
            if position > end:
                raise PositionAfterEnd(self._topic, tp.partition, position, end) from error

    def _close_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=1000)
