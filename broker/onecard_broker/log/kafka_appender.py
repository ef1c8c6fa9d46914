"""Appending to Kafka: one thread that sends, acknowledgements by callback, no hole after a failure.

kafka-python keeps order and repeats what it must (idempotent, acks=all), but has no bound of its own, blocks in `send`,
and after a change of its epoch lets later batches pass a failed one. So: everything is sent from one thread, with the
bytes in flight bounded by the caller; once a record of a partition has failed, every call for that partition made
until the failure is reported fails too, and the producer is replaced.
"""

import asyncio
import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from onecard_broker.log.in_flight import AppendCall, InFlight
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import Appended, Record

_logger = logging.getLogger(__name__)

_GATHERED_BYTES_MAX = 256 * 1024
_BATCH_BYTES = 256 * 1024
_MAX_BLOCK_MS = 5000
# A failed producer may still finish what it has under way on other partitions.
_ABANDON_SECONDS = 2.0
_GIVE_UP_SECONDS = 10.0
# kafka-python gives up late batches only while it has a producer id: a call this much beyond the delivery timeout
# shows that it has none and gets none.
_OVERDUE_SECONDS = 3.0
_WATCH_SECONDS = 0.5

_Partition = tuple[str, int]


class _Group:
    """The records of one call that go to one partition."""

    __slots__ = ("call", "failure", "futures", "generation", "indexes", "partition")

    def __init__(self, call: AppendCall, partition: _Partition) -> None:
        self.call = call
        self.partition = partition
        self.indexes: list[int] = []
        self.futures: list[Any] = []
        self.generation = 0
        self.failure: str | None = None


class KafkaAppender:
    """Takes calls on the event loop, in order, and ends each by `InFlight.finish`."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Start the sending thread; it connects at the first append."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.in_flight = InFlight(
            bytes_max=settings.in_flight_bytes_max, record_bytes_max=settings.record_bytes_max, start=self._gather
        )
        # On the event loop: what was started and not handed to the thread, and how much the thread has.
        self._gathered: list[AppendCall] = []
        self._gathered_bytes = 0
        self._handed_count = 0
        self._hand_over_timer: asyncio.TimerHandle | asyncio.Handle | None = None
        # Calls under way and when they started, oldest first.
        self._started_at: dict[int, float] = {}
        self._watch_timer: asyncio.TimerHandle | None = None
        # Calls up to this number fail in that partition: the event loop's word on results, the threads' on sending.
        self._failed_until: dict[_Partition, int] = {}
        self._unsent_until: dict[_Partition, int] = {}
        # Between the threads.
        self._work: queue.SimpleQueue[list[AppendCall] | None] = queue.SimpleQueue()
        self._done: deque[_Group] = deque()
        self._done_scheduled = False
        self._generation = 0
        self._broken_generation = 0
        self._thread = threading.Thread(target=self._send_forever, name="log-sender", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Wait until every call has ended, then close the producer."""
        await self.in_flight.drain()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    # On the event loop

    def _gather(self, call: AppendCall) -> None:
        self._started_at[call.number] = self._loop.time()
        if self._watch_timer is None:
            self._watch_timer = self._loop.call_later(_WATCH_SECONDS, self._watch)
        self._gathered.append(call)
        self._gathered_bytes += call.size_bytes
        if self._gathered_bytes >= _GATHERED_BYTES_MAX:
            self._hand_over()
        elif self._hand_over_timer is None:
            # An idle log sends at once (with what else was called in this turn of the loop); a busy one waits a
            # little, as the broker's cost is by the batch.
            if self._handed_count:
                self._hand_over_timer = self._loop.call_later(self._settings.linger_ms / 1000, self._hand_over)
            else:
                self._hand_over_timer = self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        if self._hand_over_timer is not None:
            self._hand_over_timer.cancel()
            self._hand_over_timer = None
        if self._gathered:
            self._handed_count += len(self._gathered)
            self._work.put(self._gathered)
            self._gathered = []
            self._gathered_bytes = 0

    def _watch(self) -> None:
        self._watch_timer = None
        if self._started_at:
            oldest_at = next(iter(self._started_at.values()))
            if self._loop.time() - oldest_at > self._settings.delivery_timeout_ms / 1000 + _OVERDUE_SECONDS:
                self._break(self._generation)
            self._watch_timer = self._loop.call_later(_WATCH_SECONDS, self._watch)

    def _take_done(self) -> None:
        self._done_scheduled = False
        while self._done:
            group = self._done.popleft()
            self._settle(group)
            call = group.call
            call.open_count -= 1
            if not call.open_count:
                self._handed_count -= 1
                del self._started_at[call.number]
                self.in_flight.finish(call, group.failure)
        if self._gathered and not self._handed_count:
            self._hand_over()

    def _settle(self, group: _Group) -> None:
        call, partition = group.call, group.partition
        if call.number <= self._failed_until.get(partition, 0):
            group.failure = group.failure or f"{partition[0]} partition {partition[1]}: stands behind a failed append"
            return
        if group.failure is None:
            for index, future in zip(group.indexes, group.futures, strict=True):
                if not future.is_done or future.exception is not None:
                    group.failure = f"{partition[0]} partition {partition[1]}: {future.exception!r}"
                    break
                metadata = future.value
                call.results[index] = Appended(position=metadata.offset, append_time_ms=metadata.timestamp)
        if group.failure is not None:
            _logger.warning("append failed: %s", group.failure)
            self._failed_until[partition] = self._unsent_until[partition] = self.in_flight.last_number
            self.in_flight.fail_waiting(group.failure, frozenset((partition,)))

    # In the sending thread

    def _send_forever(self) -> None:
        producer: KafkaProducer | None = None
        while (calls := self._work.get()) is not None:
            if producer is not None and self._broken_generation == self._generation:
                self._abandon(producer)
                producer = None
            groups = _grouped(calls)
            if producer is None and groups:
                try:
                    producer = self._connect()
                except (KafkaError, OSError, ValueError) as error:
                    self._refuse([*groups, *self._queued_groups()], f"Kafka does not answer: {error!r}")
                    continue
                self._generation += 1
            for group in groups:
                self._send(producer, group)
        if producer is not None:
            self._abandon(producer)

    def _connect(self) -> KafkaProducer:
        settings = self._settings
        return KafkaProducer(
            acks="all",
            enable_idempotence=True,
            # This appender gathers by itself; what it hands over at once should still share a batch.
            linger_ms=1,
            batch_size=_BATCH_BYTES,
            max_block_ms=_MAX_BLOCK_MS,
            max_request_size=settings.record_bytes_max + 64 * 1024,
            request_timeout_ms=min(10_000, settings.delivery_timeout_ms // 2),
            delivery_timeout_ms=settings.delivery_timeout_ms,
            compression_type=None if settings.compression == "none" else settings.compression,
            allow_auto_create_topics=False,
            metrics_enabled=False,
            **settings.client_options(),
        )

    def _send(self, producer: KafkaProducer, group: _Group) -> None:
        call, (topic, partition) = group.call, group.partition
        if call.number <= self._unsent_until.get(group.partition, 0):
            self._finish(group, f"{topic} partition {partition}: stands behind a failed append")
            return
        group.generation = self._generation
        topic = self._settings.topic_prefix + topic
        try:
            for index in group.indexes:
                record = call.records[index]
                group.futures.append(
                    producer.send(
                        topic, value=record.value, key=record.key, headers=list(record.headers), partition=partition
                    )
                )
        except (KafkaError, ValueError, TypeError) as error:
            # What of it was sent is under way; nothing behind it may pass.
            self._unsent_until[group.partition] = self.in_flight.last_number
            self._break(self._generation)
            self._finish(group, f"{topic} partition {partition}: {error!r}")
            return
        # Within a partition acknowledgements come in order: the last one speaks for all.
        last = group.futures[-1]
        last.add_callback(self._acknowledged, group)
        last.add_errback(self._failed, group)

    def _refuse(self, groups: Sequence[_Group], failure: str) -> None:
        for group in groups:
            self._finish(group, failure)

    def _queued_groups(self) -> list[_Group]:
        groups: list[_Group] = []
        with contextlib.suppress(queue.Empty):
            while (calls := self._work.get_nowait()) is not None:
                groups.extend(_grouped(calls))
            # The end was among them: it stays to be found.
            self._work.put(None)
        return groups

    def _abandon(self, producer: KafkaProducer) -> None:
        try:
            producer.close(timeout=_ABANDON_SECONDS)
        except KafkaError:
            # kafka-python stops closing when its flush takes too long; only its sender can then be told to give up.
            producer._sender.force_close()
            producer._sender.join(_GIVE_UP_SECONDS)
            with contextlib.suppress(KafkaError):
                producer.close(timeout=0)

    # In kafka-python's thread, and where else a producer is found broken

    def _break(self, generation: int) -> None:
        if self._broken_generation < generation:
            self._broken_generation = generation
            # The sending thread may be waiting for work: let it replace the producer now.
            self._work.put([])

    def _acknowledged(self, group: _Group, _metadata: object) -> None:
        self._finish(group, None)

    def _failed(self, group: _Group, error: BaseException) -> None:
        self._unsent_until[group.partition] = self.in_flight.last_number
        self._break(group.generation)
        self._finish(group, None)

    def _finish(self, group: _Group, failure: str | None) -> None:
        group.failure = failure
        self._done.append(group)
        if not self._done_scheduled:
            self._done_scheduled = True
            self._loop.call_soon_threadsafe(self._take_done)


def _grouped(calls: Sequence[AppendCall]) -> list[_Group]:
    groups: list[_Group] = []
    for call in calls:
        by_partition: dict[_Partition, _Group] = {}
        for index, record in enumerate(call.records):
            partition = _partition_of(record)
            group = by_partition.get(partition)
            if group is None:
                group = by_partition[partition] = _Group(call, partition)
                groups.append(group)
            group.indexes.append(index)
        call.open_count = len(by_partition)
    return groups


def _partition_of(record: Record) -> _Partition:
    return record.topic, record.partition
