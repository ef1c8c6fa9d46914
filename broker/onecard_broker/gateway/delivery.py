"""DeliveryService: a participant's inbox as a stream from its own cursor, and stored outputs by number (rule 8)."""

from __future__ import annotations

import asyncio
import contextlib
from binascii import a2b_base64
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Final

from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2, service_pb2, service_pb2_grpc
from onecard_broker.directory.model import Directory
from onecard_broker.gateway.answers_due import AnswersDue
from onecard_broker.gateway.bounded_writes import BoundedWrites
from onecard_broker.gateway.cursors import Cursor, decode_cursor, encode_cursor
from onecard_broker.gateway.recipients import Recipients
from onecard_broker.gateway.serving import (
    StandingRight,
    certificate_names,
    check_participant,
    serve,
    serve_stream,
)
from onecard_broker.gateway.store import OutputReader
from onecard_broker.gateway.watermarks import Watermarks
from onecard_broker.journal import ANSWERS, DELIVERY_TYPE, NUMBER, inbox_topic
from onecard_broker.log.cloud_events import HEADER, SIGNATURE, SUBJECT
from onecard_broker.log.port import Log, LoggedRecord, PositionAfterEnd, PositionBeforeStart, Reader
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import timestamp

DELIVER_METHOD: Final = "/onecard.exchange.v1.DeliveryService/Deliver"
READ_METHOD: Final = "/onecard.exchange.v1.DeliveryService/ReadOutputs"
OPENING_SECONDS: Final = 10.0
_DELIVERY_TYPE: Final = DELIVERY_TYPE.encode()
_NUMBER: Final = f"ce_{NUMBER}"
_ANSWERS: Final = f"ce_{ANSWERS}"
_BATCH_BYTES_MAX: Final = 2 * 1_048_576


class Delivery(service_pb2_grpc.DeliveryServiceServicer):
    """The servicer. Each stream holds one batch at most: what is not taken stays in the log (rule 16)."""

    def __init__(
        self,
        inboxes: Log,
        outputs: OutputReader,
        recipients: Recipients,
        watermarks: Watermarks,
        answers_due: AnswersDue,
        directory: Callable[[], Directory],
        *,
        clock_ms: Callable[[], int],
    ) -> None:
        """`inboxes` is the log that the inboxes lie on; `clock_ms` gives hub time."""
        self._log = inboxes
        self._outputs = outputs
        self._recipients = recipients
        self._watermarks = watermarks
        self._answers_due = answers_due
        self._directory = directory
        self._clock_ms = clock_ms
        self._streams: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams; receivers come again, to another gateway, with their cursors."""
        self._closing.set()

    async def Deliver(  # noqa: N802
        self,
        request_iterator: AsyncIterator[service_pb2.DeliverRequest],
        context: ServicerContext[Any, Any],
    ) -> None:
        """Stream an inbox within the receiver's credit, with a tick each second."""
        writes = BoundedWrites(context)
        await serve_stream(context, DELIVER_METHOD, writes, self._deliver(request_iterator, context, writes))

    async def ReadOutputs(  # noqa: N802
        self,
        request: service_pb2.ReadOutputsRequest,
        context: ServicerContext[Any, Any],
    ) -> service_pb2.ReadOutputsResponse:
        """Read stored outputs by number, as many as fit an answer."""
        return await serve(context, READ_METHOD, lambda: self._read(request, certificate_names(context)))

    async def _read(
        self, request: service_pb2.ReadOutputsRequest, names: frozenset[str]
    ) -> service_pb2.ReadOutputsResponse:
        check_participant(request.participant, names, self._directory())
        count = request.last_number - request.first_number + 1
        if request.first_number < 1 or not 1 <= count <= limits.READ_OUTPUTS_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_MALFORMED, f"a range has 1 to {limits.READ_OUTPUTS_COUNT_MAX} numbers, from 1"
            )
        stored = await self._outputs.read_outputs(
            request.participant,
            request.partition,
            request.first_number,
            request.last_number,
            bytes_max=_BATCH_BYTES_MAX,
        )
        return service_pb2.ReadOutputsResponse(
            deliveries=[
                service_pb2.Delivery(partition=request.partition, number=one.number, message=one.message)
                for one in stored
            ]
        )

    async def _deliver(
        self,
        requests: AsyncIterator[service_pb2.DeliverRequest],
        context: ServicerContext[Any, Any],
        writes: BoundedWrites,
    ) -> AsyncGenerator[service_pb2.DeliverResponse, None]:
        opening = await _opening(requests)
        participant = opening.participant
        right = StandingRight(participant, certificate_names(context), self._directory)
        if self._streams[participant] >= limits.DELIVERIES_PER_PARTICIPANT_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, "too many open deliveries", retry_after_ms=limits.TICK_MS
            )
        positions = await self._positions(participant, opening.cursor)

        def check_cursor(cursor: bytes) -> None:
            decode_cursor(cursor, log_epoch=self._log.epoch, participant=participant, partition_count=len(positions))

        reader = self._log.open_reader(inbox_topic(participant), positions)
        stream = _Stream(participant, reader, opening.credit_count, self._recipients, check_cursor)
        hearing = asyncio.create_task(stream.hear(requests), name=f"hear {participant}")
        self._streams[participant] += 1
        try:
            yield service_pb2.DeliverResponse(
                opened=service_pb2.DeliveryOpened(log_epoch=self._log.epoch, hub_time=timestamp(self._clock_ms()))
            )
            async for response in self._responses(stream, hearing, right):
                yield response
        finally:
            # A write that is stuck keeps its place, so that one who never reads cannot pile up batches here.
            writes.when_free(lambda: self._streams.subtract((participant,)))
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await reader.close()

    async def _positions(self, participant: str, cursor: bytes) -> dict[int, int]:
        bounds = await self._log.bounds(inbox_topic(participant))
        positions = {partition: first for partition, (first, _) in bounds.items()}
        if cursor:
            known = decode_cursor(
                cursor, log_epoch=self._log.epoch, participant=participant, partition_count=len(bounds)
            )
            positions.update(known.positions)
        return positions

    async def _responses(
        self, stream: _Stream, hearing: asyncio.Task[None], right: StandingRight
    ) -> AsyncIterator[service_pb2.DeliverResponse]:
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        with self._watermarks.of(stream.participant) as published:
            # A receiver that only listens (grpcurl) ends its side at once, and gets what its first credit allows.
            while not self._closing.is_set() and not (hearing.done() and stream.must_hear(hearing)):
                if loop.time() >= next_tick:
                    next_tick = loop.time() + limits.TICK_MS / 1000
                    right.check()
                    yield self._tick(stream, published())
                wait_ms = max(1, int((next_tick - loop.time()) * 1000))
                records = await stream.take(wait_ms)
                if records:
                    right.check()
                    yield self._batch(stream, records)
        if hearing.done() and not hearing.cancelled() and (error := hearing.exception()) is not None:
            raise error

    def _batch(self, stream: _Stream, records: Sequence[LoggedRecord]) -> service_pb2.DeliverResponse:
        # Filled in place: building each delivery apart would copy it three times.
        response = service_pb2.DeliverResponse()
        deliveries = response.batch.deliveries
        for record in records:
            values = dict(record.headers)
            if values.get("ce_type") != _DELIVERY_TYPE:
                continue
            number = int(values[_NUMBER])
            partition = record.partition
            if number > stream.highest.get(partition, 0):
                stream.highest[partition] = number
            delivery = deliveries.add(partition=partition, number=number)
            message = delivery.message
            message.header = a2b_base64(values[HEADER])
            message.payload = record.value
            message.signature = a2b_base64(values.get(SIGNATURE, b""))
            if _ANSWERS not in values:
                self._answers_due.delivered(stream.participant, values[SUBJECT].decode(), message.header)
        response.batch.cursor = encode_cursor(
            Cursor(log_epoch=self._log.epoch, participant=stream.participant, positions=stream.reader.positions())
        )
        return response

    def _tick(self, stream: _Stream, published: dict[int, int]) -> service_pb2.DeliverResponse:
        highest = {
            partition: max(published.get(partition, 0), stream.highest.get(partition, 0))
            for partition in sorted(published.keys() | stream.highest.keys())
        }
        return service_pb2.DeliverResponse(
            tick=service_pb2.DeliveryTick(
                hub_time=timestamp(self._clock_ms()),
                watermarks=[
                    service_pb2.PartitionWatermark(partition=partition, number=number)
                    for partition, number in highest.items()
                ],
            )
        )


class _Stream:
    """One open delivery: its reader, its credit, and the highest number seen in each partition."""

    def __init__(
        self,
        participant: str,
        reader: Reader,
        credit_count: int,
        recipients: Recipients,
        check_cursor: Callable[[bytes], None],
    ) -> None:
        self.participant = participant
        self.reader = reader
        self.highest: dict[int, int] = {}
        self._credit_count = min(credit_count, limits.DELIVERY_CREDIT_COUNT_MAX)
        self._recipients = recipients
        self._check_cursor = check_cursor
        self._has_credit = asyncio.Event()
        if self._credit_count:
            self._has_credit.set()

    def must_hear(self, hearing: asyncio.Task[None]) -> bool:
        """Whether nothing can be sent any more now that the receiver's side has ended."""
        return not self._credit_count or hearing.cancelled() or hearing.exception() is not None

    async def hear(self, requests: AsyncIterator[service_pb2.DeliverRequest]) -> None:
        """Take credit and reports until the receiver ends its side; raises MALFORMED or CURSOR_FOREIGN_EPOCH."""
        async for request in requests:
            self._recipients.note_reading(self.participant)
            match request.WhichOneof("request"):
                case "credit_count":
                    self._credit_count = min(
                        self._credit_count + request.credit_count, limits.DELIVERY_CREDIT_COUNT_MAX
                    )
                    if self._credit_count:
                        self._has_credit.set()
                case "received_cursor":
                    if request.received_cursor:  # Empty until something was received.
                        self._check_cursor(request.received_cursor)
                        self._recipients.note_received(self.participant, request.received_cursor)
                case _:
                    raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "a delivery is opened once")

    async def take(self, wait_ms: int) -> list[LoggedRecord]:
        """The next records within the credit, or none after the time."""
        if not self._credit_count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_credit.wait(), wait_ms / 1000)
            return []
        self._recipients.note_reading(self.participant)
        try:
            records = await self.reader.read(
                min(self._credit_count, limits.DELIVERY_BATCH_COUNT_MAX), _BATCH_BYTES_MAX, wait_ms
            )
        except PositionBeforeStart:
            raise OneCardError(errors_pb2.ERROR_REASON_CURSOR_EXPIRED) from None
        except PositionAfterEnd:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CURSOR_FOREIGN_EPOCH, "the cursor lies behind the end of this log"
            ) from None
        self._credit_count -= len(records)
        if not self._credit_count:
            self._has_credit.clear()
        return records


async def _opening(requests: AsyncIterator[service_pb2.DeliverRequest]) -> service_pb2.DeliveryOpening:
    try:
        first = await asyncio.wait_for(anext(aiter(requests), None), OPENING_SECONDS)
    except TimeoutError:
        first = None
    if first is None or first.WhichOneof("request") != "opening":
        raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "a delivery begins with its opening")
    return first.opening
