"""Appending to Kafka: for each partition one batch under way, the next one gathers meanwhile, no hole after a failure.

aiokafka keeps order and repeats what it must (idempotent, acks=all), without end and without a bound of its own. So the
bytes in flight are bounded here, and a batch that is not acknowledged in time fails. Once a record of a partition has
failed, every call for that partition made until the failure is told fails too, and the producer is replaced.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Hashable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from onecard_broker.log.busyness import BUSYNESS
from onecard_broker.log.in_flight import AppendCall, InFlight
from onecard_broker.log.kafka_clients import Leaving, start
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import COMING_S, Appended

_logger = logging.getLogger(__name__)

_BATCH_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_LINGER_SECONDS_BUSY = 0.1
_LINGER_SECONDS_FULL = 0.2
_AT_ANY_MOMENT = float("inf")
_VAIN_SHARE_MAX = 0.5
"""When half of the last waits for what is due were in vain, no append waits for it, for a while."""
_VAIN_SHARE_OF_ONE = 1 / 8
_VAIN_SHARE_LET_GO = 1 / 128
_WATCH_SECONDS = 0.5

_Entry = tuple[AppendCall, int]
"""A call and the index of one of its records."""


class _Lane:
    """One partition: what waits for it, and the one batch that is under way."""

    __slots__ = ("failing", "partition", "sending", "topic", "under_way_since", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: deque[_Entry] = deque()
        self.sending: list[_Entry] = []
        self.under_way_since = 0.0
        # Calls with a failed record here that were not told yet: whatever is called until then must fail as well.
        self.failing: set[AppendCall] = set()

    def __str__(self) -> str:
        return f"{self.topic} partition {self.partition}"


class KafkaAppender:
    """Takes calls in their order and ends each by `InFlight.finish`. Everything runs on the event loop."""

    def __init__(self, settings: KafkaSettings, *, gathers: bool) -> None:
        """Connects at the first append; where it `gathers`, batches begin apart."""
        self._settings = settings
        self._gathers = gathers
        self._loop = asyncio.get_running_loop()
        self.in_flight = InFlight(
            bytes_max=settings.in_flight_bytes_max, record_bytes_max=settings.record_bytes_max, start=self._take
        )
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._ready: dict[_Lane, None] = {}
        self._wakeup = asyncio.Event()
        self._gathers_until = float("-inf")
        self._coming: dict[Hashable, float] = {}
        self._awaited: set[Hashable] = set()
        self._vain_share = 0.0
        self._all_came = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._leaving = Leaving()
        self._watch_timer: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run(), name="kafka appender")

    async def close(self) -> None:
        """Wait until every call has ended, then close the producer."""
        await self.in_flight.drain()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self._producer is not None:
            self._break(self._producer)
        await self._leaving.all_gone()

    @property
    def gathering_s(self) -> float:
        """How long from now the next batches gather."""
        return max(self._gathers_until - self._loop.time(), 0.0)

    def coming(self, what: Hashable, *, within_s: float | None) -> None:
        """See `Log.coming`."""
        self._coming[what] = _AT_ANY_MOMENT if within_s is None else self._loop.time() + within_s

    def came(self, what: Hashable) -> None:
        """See `Log.came`."""
        self._coming.pop(what, None)
        self._awaited.discard(what)
        if not self._awaited:
            self._all_came.set()

    def _take(self, call: AppendCall) -> None:
        """Queue a call's records in the lanes of their partitions."""
        call.open_count = len(call.records)
        for index, record in enumerate(call.records):
            key = record.topic, record.partition
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane(*key)
            if lane.failing:
                self._refuse(lane, [(call, index)], f"{lane}: stands behind a failed append")
                continue
            lane.waiting.append((call, index))
            if not lane.sending:
                self._ready[lane] = None
        if self._ready:
            self._wakeup.set()
        if self._watch_timer is None:
            self._watch_timer = self._loop.call_later(_WATCH_SECONDS, self._watch)

    async def _run(self) -> None:
        while True:
            await self._wakeup.wait()
            if (pause := self.gathering_s) > 0:
                await asyncio.sleep(pause)
                await self._wait_for_what_is_coming()
            self._wakeup.clear()
            if self._gathers:
                # An idle log sends at once; a busy one waits, longer where the machine has less time left, as what
                # goes together goes through all that follows together (docs/adr/0010, 0012).
                linger = BUSYNESS.wait(self._settings.linger_ms / 1000, _LINGER_SECONDS_BUSY, _LINGER_SECONDS_FULL)
                self._gathers_until = self._loop.time() + linger
            try:
                await self._send_ready()
            except Exception as error:
                # Nobody foresaw it. Callers are told and ask again; if this task ended, they would wait for ever.
                _logger.exception("a fault while appending")
                if self._producer is not None:
                    self._break(self._producer)
                self._fail_all(f"a fault while appending: {type(error).__name__}")

    async def _wait_for_what_is_coming(self) -> None:
        """Those that miss this append wait for the next."""
        now_s = self._loop.time()
        self._coming = {what: due_s for what, due_s in self._coming.items() if due_s > now_s - COMING_S}  # Not overdue.
        # Without those that are said to come meanwhile: there would be no end.
        self._awaited = {what for what, due_s in self._coming.items() if due_s == _AT_ANY_MOMENT}
        due = {what for what, due_s in self._coming.items() if due_s < now_s + COMING_S}
        is_for_due = bool(due) and self._vain_share < _VAIN_SHARE_MAX
        if is_for_due:
            self._awaited |= due
        elif due:
            self._vain_share *= 1 - _VAIN_SHARE_LET_GO
        if self._awaited:
            self._all_came.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMING_S):
                    await self._all_came.wait()
            if is_for_due:
                is_in_vain = not due.isdisjoint(self._awaited)
                self._vain_share += _VAIN_SHARE_OF_ONE * (is_in_vain - self._vain_share)

    async def _send_ready(self) -> None:
        lanes, self._ready = list(self._ready), {}
        producer = self._producer or await self._connect()
        if producer is None:
            return
        for lane in lanes:
            if lane.waiting and not lane.sending:
                await self._send(producer, lane)

    async def _connect(self) -> AIOKafkaProducer | None:
        """A producer; None after everything that waits has failed because there is none to be had."""
        settings = self._settings
        producer = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            max_batch_size=settings.record_bytes_max + _BATCH_BYTES,
            request_timeout_ms=min(10_000, settings.delivery_timeout_ms // 2),
            **settings.aiokafka_options(),
        )
        try:
            await start(producer, _CONNECT_SECONDS)
        except BaseException as error:
            self._leaving.let_go(producer)
            if not isinstance(error, KafkaError | OSError | TimeoutError):
                raise
            self._fail_all(f"Kafka does not answer: {error!r}")
            return None
        self._producer = producer
        return producer

    async def _send(self, producer: AIOKafkaProducer, lane: _Lane) -> None:
        lane.under_way_since = self._loop.time()
        sent = lane.sending
        batch = producer.create_batch()
        now_ms = time.time_ns() // 1_000_000  # The broker writes its own time; the format wants one.
        size_bytes = 0
        topic = self._settings.topic_prefix + lane.topic
        try:
            while lane.waiting and size_bytes < _BATCH_BYTES:
                call, index = lane.waiting.popleft()
                sent.append((call, index))
                record = call.records[index]
                size_bytes += call.sizes[index]
                batch.append(timestamp=now_ms, key=record.key, value=record.value, headers=list(record.headers))
            async with asyncio.timeout(_CONNECT_SECONDS):
                acknowledged = await producer.send_batch(batch, topic, partition=lane.partition)
        # An unknown partition is an assertion of aiokafka's.
        except (KafkaError, TimeoutError, AssertionError, TypeError, ValueError) as error:
            if lane.sending is sent:
                self._fail(lane, f"{lane}: {error!r}")
            return
        acknowledged.add_done_callback(functools.partial(self._done, producer, lane, sent))

    def _done(
        self, producer: AIOKafkaProducer, lane: _Lane, sent: list[_Entry], acknowledged: "asyncio.Future[Any]"
    ) -> None:
        error = acknowledged.exception()
        if lane.sending is not sent:
            return  # It failed before, for want of time; what is under way now is another batch.
        if error is not None:
            self._break(producer)
            self._fail(lane, f"{lane}: {error!r}")
            return
        metadata = acknowledged.result()
        lane.sending = []
        for offset, (call, index) in enumerate(sent, metadata.offset):
            call.results[index] = Appended(position=offset, append_time_ms=metadata.timestamp)
            self._end(call, None)
        if lane.waiting:
            self._ready[lane] = None
            self._wakeup.set()

    def _watch(self) -> None:
        self._watch_timer = None
        patience = self._settings.delivery_timeout_ms / 1000
        is_busy = False
        for lane in list(self._lanes.values()):  # As in _fail_all.
            if lane.sending and self._loop.time() - lane.under_way_since > patience:
                if self._producer is not None:
                    self._break(self._producer)
                self._fail(lane, f"{lane}: not acknowledged within {patience:g} s")
            is_busy = is_busy or bool(lane.sending or lane.waiting)
        if is_busy:
            self._watch_timer = self._loop.call_later(_WATCH_SECONDS, self._watch)

    def _fail(self, lane: _Lane, failure: str) -> None:
        """Fail all that was called for a partition; what is called next starts anew."""
        entries = [*lane.sending, *lane.waiting]
        lane.sending = []
        lane.waiting.clear()
        if entries:
            _logger.warning("append failed: %s", failure)
            self._refuse(lane, entries, failure)
            self.in_flight.fail_waiting(failure, frozenset(((lane.topic, lane.partition),)))

    def _fail_all(self, failure: str) -> None:
        self._ready.clear()
        # A copy: what fails makes room for calls, which may be the first of their partitions.
        for lane in list(self._lanes.values()):
            self._fail(lane, failure)

    def _refuse(self, lane: _Lane, entries: list[_Entry], failure: str) -> None:
        # All are marked before the first is told: its caller must not find the lane open again too early.
        lane.failing.update(call for call, _ in entries)
        for call, _ in entries:
            self._end(call, failure)

    def _end(self, call: AppendCall, failure: str | None) -> None:
        """One record of a call is done with; the last one ends the call."""
        call.failure = call.failure or failure
        call.open_count -= 1
        if call.open_count:
            return
        if call.failure is not None:
            for record in call.records:
                self._lanes[(record.topic, record.partition)].failing.discard(call)
        self.in_flight.finish(call, call.failure)

    def _break(self, producer: AIOKafkaProducer) -> None:
        """Send nothing more through this producer; what it has under way and does not end then fails by the watch."""
        if self._producer is producer:
            self._producer = None
            self._leaving.let_go(producer)
