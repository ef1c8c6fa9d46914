"""The delivery stream: exactly the next number of each partition, from the receiver's own cursor (rules 6 and 8).

Owns the stream, credit and gaps; what a message means is `reception`'s. Memory is constant: what comes behind a gap is
dropped, and comes again from the publisher or, after 30 s, from the stored outputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import grpc.aio

from onecard.exchange.v1 import errors_pb2, service_pb2
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.runtime.inbox import Place
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.gateways import Gateway, Gateways, brought
from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import to_ms

_READ_OUTPUTS_TIMEOUT_S: Final = 10.0
# A gateway that was not asked of this participant before learns what was published within a tick or two.
_TICKS_BEFORE_PROMPT: Final = 3
_RECONNECT_FIRST_S: Final = 0.1
_RECONNECT_MOST_S: Final = 5.0
_FATAL: Final = frozenset({errors_pb2.ERROR_REASON_CURSOR_FOREIGN_EPOCH})

_Call = grpc.aio.StreamStreamCall[service_pb2.DeliverRequest, service_pb2.DeliverResponse]

_log = logging.getLogger(__name__)


class Receive(Protocol):
    """Takes deliveries durably, with where reception stands behind them."""

    def __call__(
        self, log_epoch: str, deliveries: Sequence[service_pb2.Delivery], cursor: bytes | None, numbers: dict[int, int]
    ) -> Awaitable[None]:
        """See the class."""


class DeliveryStream:
    """Receives the inbox of one participant."""

    def __init__(
        self,
        *,
        participant: str,
        gateways: Gateways,
        clock: HubClock,
        receive: Receive,
        place: Place,
        in_progress: Callable[[], int],
        credit_count: int = limits.DELIVERY_CREDIT_COUNT_MAX,
        gap_open_ms: int = limits.GAP_OPEN_MS,
        silence_ms: int = limits.HUB_TIME_STALE_MS,
        prompt_ms: int = 3 * limits.TICK_MS,
    ) -> None:
        """`in_progress` tells how many received messages are being processed: they take up credit. A tick or a gap
        older than `prompt_ms` says that what is published does not come at once."""
        self._participant = participant
        self._gateways = gateways
        self._clock = clock
        self._receive = receive
        self._log_epoch = place.log_epoch
        self._cursor = place.cursor
        self._numbers = dict(place.numbers)
        self._in_progress = in_progress
        self._credit_count = credit_count
        self._granted = 0
        self._gap_open_s = gap_open_ms / 1000
        self._silence_s = silence_ms / 1000
        self._prompt_s = prompt_ms / 1000
        self._published: dict[int, int] = {}
        self._gap_since_s: dict[int, float] = {}
        self._has_expired = False
        # It was told that a stream ended, and not yet that another one was opened.
        self._is_left = False
        # Partitions without gap, or whose gap was filled, since a cursor expired.
        self._in_step: set[int] = set()
        # Of this stream: how many ticks came, when the last one did, and how many messages it said are still to come.
        self._tick_count = 0
        self._ticked_s = 0.0
        self._behind_count = 0

    @property
    def is_prompt(self) -> bool:
        """Whether what is published now comes at once: ticks come, no gap is open, little is behind, credit is left."""
        now_s = asyncio.get_running_loop().time()
        return (
            self._tick_count >= _TICKS_BEFORE_PROMPT
            and now_s - self._ticked_s < self._prompt_s
            and all(now_s - since_s < self._prompt_s for since_s in self._gap_since_s.values())
            and self._behind_count <= self._credit_count // 4
            and self._in_progress() <= self._credit_count // 2
        )

    async def run(self) -> None:
        """Receive, for ever. Raises OneCardError CURSOR_FOREIGN_EPOCH: an operator must decide."""
        attempt = 0
        while True:
            gateway = await self._gateways.ready()
            try:
                if await self._stream(gateway):
                    attempt = 0
                _log.info("delivery from %s ended", gateway.address)
            except grpc.aio.AioRpcError as error:
                self._note_end(gateway, refusal_of(error))
            self._is_left = True
            self._gateways.failed(gateway)
            await asyncio.sleep(backoff_s(attempt, first_s=_RECONNECT_FIRST_S, most_s=_RECONNECT_MOST_S))
            attempt += 1

    def _note_end(self, gateway: Gateway, refusal: OneCardError | None) -> None:
        if refusal is None:
            _log.info("delivery from %s was interrupted", gateway.address)
            return
        if refusal.reason in _FATAL:
            raise refusal
        _log.warning("delivery from %s was refused: %s", gateway.address, refusal)
        if refusal.reason == errors_pb2.ERROR_REASON_CURSOR_EXPIRED:
            # From the log's start; what lies between shows as a gap of each partition and is read from the stored
            # outputs, without waiting: nobody will publish it again.
            self._cursor = b""
            self._has_expired = True
            self._in_step.clear()

    async def _stream(self, gateway: Gateway) -> bool:
        """Take what one stream brings until it ends or is silent; whether it was opened."""
        self._granted = max(self._credit_count - self._in_progress(), 1)
        call: _Call = gateway.delivery.Deliver()
        arrived: asyncio.Queue[service_pb2.DeliverResponse | None] = asyncio.Queue()
        opening = service_pb2.DeliveryOpening(
            participant=self._participant, cursor=self._cursor, credit_count=self._granted
        )
        reading = asyncio.create_task(self._read(call, opening, arrived))
        is_opened = False
        try:
            while (response := await arrived.get()) is not None:
                responses = [response]
                # Whatever arrived while the last of it was written is written in one transaction.
                while not arrived.empty() and (response := arrived.get_nowait()) is not None:
                    responses.append(response)
                is_opened = await self._take_all(gateway, call, responses) or is_opened
                if response is None:
                    break
            if await reading:
                await self._gateways.replace(gateway)
            return is_opened
        finally:
            self._tick_count = 0
            reading.cancel()
            call.cancel()

    async def _read(
        self,
        call: _Call,
        opening: service_pb2.DeliveryOpening,
        arrived: asyncio.Queue[service_pb2.DeliverResponse | None],
    ) -> bool:
        """Queue what arrives, which credit bounds, and None at its end; returns whether the gateway fell silent."""
        try:
            await _write(call, service_pb2.DeliverRequest(opening=opening))
            while True:
                async with asyncio.timeout(self._silence_s):
                    response = await brought(call.read())
                if not isinstance(response, service_pb2.DeliverResponse):
                    return False
                if response.HasField("tick"):
                    self._clock.observe(to_ms(response.tick.hub_time))
                arrived.put_nowait(response)
        except TimeoutError:
            _log.warning("the delivery is silent")
            return True
        finally:
            arrived.put_nowait(None)

    async def _take_all(self, gateway: Gateway, call: _Call, responses: list[service_pb2.DeliverResponse]) -> bool:
        """Take responses in their order; whether the opening's answer is among them."""
        is_opened = False
        batches: list[service_pb2.DeliveryBatch] = []
        tick: service_pb2.DeliveryTick | None = None
        for response in responses:
            match response.WhichOneof("response"):
                case "opened":
                    self._open(gateway, response.opened)
                    is_opened = True
                case "batch":
                    batches.append(response.batch)
                case "tick":
                    tick = response.tick
                case _:
                    pass  # A later release of the hub says more than this one understands.
        if batches:
            await self._take(batches)
            await self._grant(call)
        if tick is not None:
            await self._tick(gateway, tick)
            await self._grant(call)
            await _write(call, service_pb2.DeliverRequest(received_cursor=self._cursor))
        return is_opened

    def _open(self, gateway: Gateway, opened: service_pb2.DeliveryOpened) -> None:
        if self._log_epoch and opened.log_epoch != self._log_epoch:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CURSOR_FOREIGN_EPOCH,
                f"this adapter's store belongs to log epoch {self._log_epoch}, the hub's log is {opened.log_epoch}",
            )
        self._log_epoch = opened.log_epoch
        self._clock.observe(to_ms(opened.hub_time))
        if self._is_left:
            self._is_left = False
            _log.info("delivery goes on from %s", gateway.address)

    async def _take(self, batches: Sequence[service_pb2.DeliveryBatch]) -> None:
        numbers: dict[int, int] = {}
        taken: list[service_pb2.Delivery] = []
        deliveries = [delivery for batch in batches for delivery in batch.deliveries]
        cursor = batches[-1].cursor
        for delivery in deliveries:
            partition, number = delivery.partition, delivery.number
            last = numbers.get(partition, self._numbers.get(partition, 0))
            if number == last + 1:
                numbers[partition] = number
                taken.append(delivery)
            elif number > last:
                self._published[partition] = max(number, self._published.get(partition, 0))
        self._granted -= len(deliveries)
        # The cursor moves past what lies behind a gap too: a gap is filled by number.
        await self._receive(self._log_epoch, taken, cursor, numbers)
        self._cursor = cursor
        self._advance(numbers)
        self._in_step.update(numbers)

    def _advance(self, numbers: dict[int, int]) -> None:
        self._numbers.update(numbers)
        for partition in numbers:
            self._gap_since_s.pop(partition, None)

    async def _grant(self, call: _Call) -> None:
        credit_count = self._credit_count - self._in_progress() - self._granted
        if credit_count >= self._credit_count // 4:
            self._granted += credit_count
            await _write(call, service_pb2.DeliverRequest(credit_count=credit_count))

    async def _tick(self, gateway: Gateway, tick: service_pb2.DeliveryTick) -> None:
        self._tick_count += 1
        self._ticked_s = now_s = asyncio.get_running_loop().time()
        for watermark in tick.watermarks:
            self._published[watermark.partition] = max(watermark.number, self._published.get(watermark.partition, 0))
            if watermark.number <= self._numbers.get(watermark.partition, 0):
                self._in_step.add(watermark.partition)
        open_partitions = [
            partition for partition, number in self._published.items() if number > self._numbers.get(partition, 0)
        ]
        self._behind_count = sum(
            self._published[partition] - self._numbers.get(partition, 0) for partition in open_partitions
        )
        for partition in open_partitions:
            since_s = self._gap_since_s.setdefault(partition, now_s)
            has_credit = self._in_progress() < self._credit_count
            is_of_expiry = self._has_expired and partition not in self._in_step
            if has_credit and (is_of_expiry or now_s - since_s >= self._gap_open_s):
                await self._fill(gateway, partition, self._published[partition])
                self._in_step.add(partition)

    async def _fill(self, gateway: Gateway, partition: int, until: int) -> None:
        """Take what is missing from the stored outputs, by pages; what those no longer keep is lost, and said so."""
        _log.warning("partition %d: numbers behind %d did not come, reading stored outputs", partition, until)
        last = self._numbers.get(partition, 0)
        while last < until:
            range_end = min(until, last + limits.READ_OUTPUTS_COUNT_MAX)
            response: service_pb2.ReadOutputsResponse = await brought(
                gateway.delivery.ReadOutputs(
                    service_pb2.ReadOutputsRequest(
                        participant=self._participant, partition=partition, first_number=last + 1, last_number=range_end
                    ),
                    timeout=_READ_OUTPUTS_TIMEOUT_S,
                )
            )
            deliveries = sorted(response.deliveries, key=lambda delivery: delivery.number)
            # A page may end before the range: the rest is asked for again. An empty one says that none is kept.
            page_end = deliveries[-1].number if deliveries else range_end
            missing = page_end - last - len(deliveries)
            if missing:
                _log.error(
                    "partition %d: %d of numbers %d to %d are no longer kept", partition, missing, last + 1, page_end
                )
            last = page_end
            await self._receive(self._log_epoch, deliveries, None, {partition: last})
            self._advance({partition: last})


async def _write(call: _Call, request: service_pb2.DeliverRequest) -> None:
    """Write, unless the call is over: gRPC calls that a fault of ours, and what is read from the call next says why."""
    with contextlib.suppress(asyncio.InvalidStateError):
        await call.write(request)
