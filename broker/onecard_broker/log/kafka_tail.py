"""One consumer for all readers of a Kafka log that have come to the end of what they read.

A request for records costs client and broker a fixed price, whatever comes. Where each reader asks by itself, a message
and its answer are fetched once for each inbox that something came into; here one answer of a broker carries what came
into all of them, and is unpacked once for all readers of an inbox. A reader that is behind, or does not take what
comes, reads by a consumer of its own (`KafkaReader`), so nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from onecard_broker.log.kafka_clients import Leaving, start
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import LoggedRecord

_logger = logging.getLogger(__name__)

_FETCH_BYTES: Final = 4 * 1024 * 1024
_PARTITION_FETCH_BYTES: Final = 1024 * 1024
_CONNECT_SECONDS: Final = 10.0
_POLL_MS: Final = 10_000
_ASSIGN_SECONDS: Final = 0.5
"""A broker answers a connection's requests in their order, and holds one for half a second where nothing comes: those
for ever other partitions, one right after the other, would stand in a row."""
_RETRY_SECONDS: Final = 5.0


class TailReader(Protocol):
    """A reader that has read all there is, and is given what comes."""

    @property
    def next_positions(self) -> Mapping[TopicPartition, int]:
        """The position of the next record that it lacks, by partition."""
        ...

    def offer(self, partition: TopicPartition, records: Sequence[LoggedRecord]) -> bool:
        """Take records that follow one another; False, and nothing taken, where it wants no more of them from here."""
        ...

    def left(self) -> None:
        """Nothing comes from here any more."""
        ...


class KafkaTail:
    """Gives what comes to all that joined. Everything runs on the event loop."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connects when the first reader joins."""
        self._settings = settings
        self._readers: dict[TopicPartition, list[TailReader]] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._is_settled: dict[TailReader, bool] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._assigning: asyncio.TimerHandle | None = None
        self._retry_at = 0.0
        self._consumer: AIOKafkaConsumer | None = None
        self._leaving = Leaving()
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def join(self, reader: TailReader) -> bool:
        """Give a reader what comes, until it leaves or is told `left`; False where it lacks what was given before.

        False as well for some seconds after the common consumer failed.
        """
        positions = reader.next_positions
        lacks_some = any(position < self._positions.get(partition, 0) for partition, position in positions.items())
        if lacks_some or asyncio.get_running_loop().time() < self._retry_at:
            return False
        for partition, position in positions.items():
            self._positions.setdefault(partition, position)
            self._readers.setdefault(partition, []).append(reader)
        self._is_settled[reader] = False
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="kafka tail")
        elif not positions.keys() <= self._assigned:
            self._assign_soon()
        return True

    def feeds(self, reader: TailReader) -> bool:
        """Whether a reader that joined may leave the asking to this consumer: a broker answered for its partitions."""
        consumer = self._consumer
        if not self._is_settled[reader] and consumer is not None and reader.next_positions.keys() <= self._assigned:
            # Unknown after each assigning, until a request that names the partition was answered, if with nothing.
            self._is_settled[reader] = all(consumer.highwater(tp) is not None for tp in reader.next_positions)
        return self._is_settled[reader]

    def leave(self, reader: TailReader) -> None:
        """Give this reader nothing more; one that never joined may leave as well."""
        if self._is_settled.pop(reader, None) is None:
            return
        for partition in reader.next_positions:
            self._readers[partition].remove(reader)
        unread = [partition for partition in reader.next_positions if not self._readers[partition]]
        for partition in unread:
            del self._readers[partition], self._positions[partition]
        if not self._positions:
            self._stop()
        elif unread:
            self._assign_soon()

    async def close(self) -> None:
        """Let go of everything."""
        self._stop()
        while self._ending:
            await asyncio.wait(self._ending)
        await self._leaving.all_gone()

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._assigning is not None:
            self._assigning.cancel()
            self._assigning = None
        consumer, self._consumer = self._consumer, None
        self._assigned = frozenset()
        if consumer is not None:
            self._leaving.let_go(consumer)

    def _assign_soon(self) -> None:
        # One that is starting is assigned what is asked of it by then.
        if self._consumer is not None and self._assigning is None:
            self._assigning = asyncio.get_running_loop().call_later(_ASSIGN_SECONDS, self._assign, self._consumer)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        self._assigning = None
        self._assigned = frozenset(self._positions)
        consumer.assign(list(self._positions))
        for partition, position in self._positions.items():
            consumer.seek(partition, position)

    async def _run(self) -> None:
        try:
            consumer = await self._connect()
            while True:
                polled = await consumer.getmany(timeout_ms=_POLL_MS)
                for partition, records in polled.items():
                    self._give(partition, records)
        except asyncio.CancelledError:
            raise
        except (KafkaError, OSError, TimeoutError) as error:
            _logger.warning("reading the ends of Kafka's topics together failed: %r; each is read by itself", error)
        except Exception:
            _logger.exception("reading the ends of Kafka's topics together failed; each is read by itself")
        if self._task is not asyncio.current_task():
            return  # Stopped meanwhile, and perhaps begun anew.
        self._task = None
        self._retry_at = asyncio.get_running_loop().time() + _RETRY_SECONDS
        self._disconnect()
        readers = list(self._is_settled)
        self._is_settled.clear()
        self._readers.clear()
        self._positions.clear()
        for reader in readers:
            reader.left()

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = await started_consumer(self._settings, list(self._positions), self._leaving)
        self._consumer = consumer
        self._assign(consumer)
        return consumer

    def _give(self, partition: TopicPartition, fetched: Sequence[Any]) -> None:
        position = self._positions.get(partition)
        if position is None:
            return  # Its last reader has left.
        # What was fetched before the partitions were assigned anew comes again.
        fetched = [record for record in fetched if record.offset >= position]
        records = logged_records(partition.topic.removeprefix(self._settings.topic_prefix), partition, fetched)
        if not records:
            return
        self._positions[partition] = records[-1].position + 1
        for reader in list(self._readers[partition]):
            if not reader.offer(partition, records):
                self.leave(reader)
                reader.left()


async def started_consumer(
    settings: KafkaSettings, partitions: Sequence[TopicPartition], leaving: Leaving
) -> AIOKafkaConsumer:
    """A consumer without a group, to be told its positions at once; where it does not start, `leaving` has it."""
    consumer = AIOKafkaConsumer(
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=_FETCH_BYTES,
        max_partition_fetch_bytes=max(_PARTITION_FETCH_BYTES, settings.record_bytes_max + 64 * 1024),
        request_timeout_ms=10_000,
        **settings.aiokafka_options(),
    )
    try:
        consumer.assign(partitions)
        await start(consumer, _CONNECT_SECONDS)
    except BaseException:
        leaving.let_go(consumer)
        raise
    return consumer


def logged_records(topic: str, partition: TopicPartition, fetched: Sequence[Any]) -> list[LoggedRecord]:
    """What a consumer fetched of a partition of a topic of the log, as its port has it."""
    number = partition.partition
    return [
        LoggedRecord(
            topic=topic,
            partition=number,
            position=record.offset,
            append_time_ms=record.timestamp,
            key=record.key or b"",
            value=record.value or b"",
            headers=record.headers,
        )
        for record in fetched
    ]
