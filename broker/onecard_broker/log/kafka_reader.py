"""Reading a topic of the Kafka log from given positions, on the event loop.

A reader that is behind has a consumer of its own, without a group. One that has come to the end is given what comes by
the log's `KafkaTail`, until it does not take it in time.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from onecard_broker.log.kafka_clients import Leaving
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.kafka_tail import KafkaTail, logged_records, started_consumer
from onecard_broker.log.port import (
    LoggedRecord,
    LogUnavailable,
    PositionAfterEnd,
    PositionBeforeStart,
    record_size_bytes,
)

# A read that waits for its own consumer looks this often whether the reader was closed.
_POLL_MS = 200
_WAITING_BYTES_MAX = 2 * 1024 * 1024


class KafkaReader:
    """A `Reader` over a Kafka topic."""

    def __init__(
        self,
        *,
        topic: str,
        positions: Mapping[int, int],
        settings: KafkaSettings,
        tail: KafkaTail,
        closed: Callable[["KafkaReader"], None],
    ) -> None:
        """Connects at the first read."""
        self._topic = topic
        self._settings = settings
        self._tail = tail
        self._positions = dict(positions)
        self._name = settings.topic_prefix + topic
        self._next = {TopicPartition(self._name, partition): position for partition, position in positions.items()}
        self._fetched: deque[LoggedRecord] = deque()
        self._fetched_bytes = 0
        self._offered = asyncio.Event()
        self._has_joined = False
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
            if self._is_fed():
                await self._wait_for_offer(left_ms / 1000)
            else:
                await self._fetch(max_records, min(left_ms, _POLL_MS))
            if not left_ms:
                return self._take(max_records, max_bytes)
        return []

    def seek(self, partition: int, position: int) -> None:
        """Continue this partition from `position`."""
        if partition not in self._positions:
            raise ValueError(f"the reader of {self._topic} was not opened for partition {partition}")
        self._leave_tail()
        self._positions[partition] = position
        self._fetched = deque(record for record in self._fetched if record.partition != partition)
        self._fetched_bytes = sum(map(record_size_bytes, self._fetched))
        tp = TopicPartition(self._name, partition)
        self._next[tp] = position
        if self._consumer is not None:
            self._consumer.seek(tp, position)

    def positions(self) -> dict[int, int]:
        """Return the next position to read of each partition."""
        return dict(self._positions)

    async def close(self) -> None:
        """Close the consumer."""
        self._closing = True
        self._leave_tail()
        self._disconnect()
        await self._leaving.all_gone()
        self._closed(self)

    @property
    def next_positions(self) -> Mapping[TopicPartition, int]:
        """See `TailReader.next_positions`."""
        return self._next

    def offer(self, partition: TopicPartition, records: Sequence[LoggedRecord]) -> bool:
        """See `TailReader.offer`. Whoever does not read gets what it missed from the log."""
        if self._fetched_bytes > _WAITING_BYTES_MAX or records[0].position > self._next[partition]:
            return False
        self._accept(partition, records)
        self._offered.set()
        return True

    def left(self) -> None:
        """See `TailReader.left`."""
        self._has_joined = False
        self._offered.set()

    def _accept(self, partition: TopicPartition, records: Sequence[LoggedRecord]) -> None:
        """Take what the tail and the reader's own consumer bring, each record once."""
        following = self._next[partition]
        if records[0].position < following:
            records = [record for record in records if record.position >= following]
        if records:
            self._fetched.extend(records)
            self._fetched_bytes += sum(map(record_size_bytes, records))
            self._next[partition] = records[-1].position + 1

    def _take(self, max_records: int, max_bytes: int) -> list[LoggedRecord]:
        taken: list[LoggedRecord] = []
        size_bytes = 0
        fetched = self._fetched
        while fetched and len(taken) < max_records:
            record = fetched[0]
            record_bytes = record_size_bytes(record)
            size_bytes += record_bytes
            if taken and size_bytes > max_bytes:
                break
            taken.append(fetched.popleft())
            self._fetched_bytes -= record_bytes
            self._positions[record.partition] = record.position + 1
        return taken

    def _is_fed(self) -> bool:
        """Whether all that comes is given by the tail; joins it at the end of the topic."""
        if not self._has_joined:
            if not self._is_at_end():
                return False
            self._has_joined = self._tail.join(self)
        if not self._has_joined or not self._tail.feeds(self):
            return False
        self._disconnect()
        return True

    def _is_at_end(self) -> bool:
        consumer = self._consumer
        if consumer is None:
            return False
        ends = ((consumer.highwater(tp), position) for tp, position in self._next.items())
        return all(position == end for end, position in ends)

    async def _wait_for_offer(self, seconds: float) -> None:
        self._offered.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._offered.wait()

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
        for tp, records in polled.items():
            self._accept(tp, logged_records(self._topic, tp, records))

    async def _connect(self) -> AIOKafkaConsumer:
        self._leave_tail()
        consumer = await started_consumer(self._settings, list(self._next), self._leaving)
        self._consumer = consumer
        # What was fetched and not taken comes again.
        self._fetched.clear()
        self._fetched_bytes = 0
        for tp in self._next:
            self._next[tp] = self._positions[tp.partition]
            consumer.seek(tp, self._next[tp])
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

    def _leave_tail(self) -> None:
        self._tail.leave(self)
        self.left()

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._leaving.let_go(consumer)
