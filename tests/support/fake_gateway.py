"""A gateway of the fake hub: the real protos over a real gRPC server on loopback, without TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_rejection, to_status
from onecard_protocol.messages import from_wire, timestamp
from onecard_stubs.dev.free_ports import free_ports
from tests.support.fake_hub import METHODS, FakeHub

TICK_S = 0.05
_HEADER, _SIGNATURE = "onecard-header-bin", "onecard-signature-bin"
_RECEIPT, _REJECTION = "onecard-receipt-bin", "onecard-rejection-bin"

Context = grpc.aio.ServicerContext[Any, Any]


class FakeGateway(
    service_pb2_grpc.SubmissionServiceServicer,
    service_pb2_grpc.DeliveryServiceServicer,
    service_pb2_grpc.DirectoryServiceServicer,
):
    """One gateway; it can be killed, and started again on its port."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        # One that no outgoing connection takes while the gateway is down.
        self.port = free_ports(1)[0]
        self.calls = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_metadata_size", 16_384)])
        service_pb2_grpc.add_SubmissionServiceServicer_to_server(self, server)
        service_pb2_grpc.add_DeliveryServiceServicer_to_server(self, server)
        service_pb2_grpc.add_DirectoryServiceServicer_to_server(self, server)
        by_service: dict[str, dict[str, Any]] = {}
        for name in METHODS:
            service, method = name[1:].split("/")
            by_service.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(self._typed(name))
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, handlers) for service, handlers in by_service.items()]
        )
        self.port = server.add_insecure_port(self.address)
        await server.start()
        self._server = server

    async def kill(self) -> None:
        """Break every connection and stop listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def _typed(self, name: str) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def call(payload: bytes, context: Context) -> bytes:
            self.calls += 1
            metadata = dict(context.invocation_metadata() or ())
            if self.hub.faults.is_silent:
                await asyncio.Event().wait()
            try:
                message = self.hub.admit(
                    message_pb2.SignedMessage(
                        header=metadata[_HEADER],  # type: ignore[arg-type]
                        payload=payload,
                        signature=metadata[_SIGNATURE],  # type: ignore[arg-type]
                    )
                )
            except OneCardError as error:
                await _refuse(context, error)
            assert message.header.method == name
            if self.hub.faults.calls_broken_after_journal:
                self.hub.faults.calls_broken_after_journal -= 1
                self.hub.faults.break_behind()
                await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            answer = await self.hub.hold(message)
            if not self.hub.faults.answers_by_call:
                await asyncio.Event().wait()
            trailing = (
                (_HEADER, answer.header_bytes),
                (_SIGNATURE, answer.signature),
                (_RECEIPT, self.hub.receipt(message).SerializeToString()),
            )
            if answer.header.kind == message_pb2.MESSAGE_KIND_REPLY:
                context.set_trailing_metadata(trailing)
                return answer.payload
            refusal = from_rejection(message_pb2.Rejection.FromString(answer.payload))
            if not self.hub.faults.rejections_by_call:
                return await _refuse(context, refusal, trailing[2:])
            return await _refuse(context, refusal, (*trailing, (_REJECTION, answer.payload)))

        return call

    async def SubmitBatch(self, request: service_pb2.SubmitBatchRequest, context: Context) -> Any:  # noqa: N802
        """Journal a batch."""
        if self.hub.faults.is_silent:
            await asyncio.Event().wait()
        if self.hub.faults.batch_refusals:
            await _refuse(context, self.hub.faults.batch_refusals.popleft())
        results = []
        for signed in request.messages:
            try:
                message = self.hub.admit(signed)
            except OneCardError as error:
                refusal = service_pb2.Refusal(
                    reason=error.reason,  # type: ignore[arg-type]
                    detail=error.detail,
                    retry_after_ms=error.retry_after_ms,
                )
                results.append(service_pb2.SubmitResult(refusal=refusal))
            else:
                results.append(service_pb2.SubmitResult(receipt=self.hub.receipt(message)))
        if self.hub.faults.batches_broken_after_journal:
            self.hub.faults.batches_broken_after_journal -= 1
            self.hub.faults.break_behind()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        return service_pb2.SubmitBatchResponse(results=results)

    async def GetOutcome(self, request: service_pb2.GetOutcomeRequest, context: Context) -> Any:  # noqa: N802
        """Tell an outcome."""
        report = self.hub.tell_outcome(from_wire(request.original))
        if self.hub.faults.questions_held:
            await asyncio.Event().wait()
        return service_pb2.GetOutcomeResponse(report=report)

    async def Deliver(  # noqa: N802
        self, request_iterator: AsyncIterator[service_pb2.DeliverRequest], context: Context
    ) -> AsyncIterator[service_pb2.DeliverResponse]:
        """Stream an inbox from the cursor, which is the text ``epoch:index``."""
        opening = (await anext(request_iterator)).opening
        await self._refuse_stream(context)
        epoch, _, index = (opening.cursor.decode() or f"{self.hub.epoch}:0").partition(":")
        if epoch != self.hub.epoch:
            await _refuse(context, OneCardError(errors_pb2.ERROR_REASON_CURSOR_FOREIGN_EPOCH))
        start = self.hub.faults.inbox_start
        if opening.cursor and int(index) < start:
            await _refuse(context, OneCardError(errors_pb2.ERROR_REASON_CURSOR_EXPIRED))
        opened = service_pb2.DeliveryOpened(log_epoch=self.hub.epoch, hub_time=timestamp(self.hub.now_ms()))
        yield service_pb2.DeliverResponse(opened=opened)
        stream = _Stream(self.hub, opening.participant, max(int(index), start), opening.credit_count)
        hearing = asyncio.create_task(stream.hear(request_iterator))
        try:
            while True:
                changed = self.hub.changed
                for response in stream.next():
                    yield response
                await stream.wait(changed)
        finally:
            hearing.cancel()

    async def ReadOutputs(self, request: service_pb2.ReadOutputsRequest, context: Context) -> Any:  # noqa: N802
        """Give stored outputs."""
        self.hub.outputs_read.append(request)
        deliveries = [
            delivery
            for delivery in self.hub.inboxes[request.participant]
            if delivery.partition == request.partition
            and request.first_number <= delivery.number <= request.last_number
            and delivery.number >= self.hub.faults.outputs_kept_from
        ]
        return service_pb2.ReadOutputsResponse(deliveries=deliveries[: self.hub.faults.outputs_page])

    async def WatchDirectory(  # noqa: N802
        self, request: service_pb2.WatchDirectoryRequest, context: Context
    ) -> AsyncIterator[service_pb2.WatchDirectoryResponse]:
        """Stream the control records."""
        await self._refuse_stream(context)
        sent = request.first_number - 1
        while True:
            changed = self.hub.changed
            while sent < len(self.hub.controls):
                sent += 1
                yield self._directory_response(self.hub.controls[sent - 1])
            if self.hub.faults.ticks and not self.hub.faults.is_silent:
                yield self._directory_response(None)
            await _wait(changed)

    async def _refuse_stream(self, context: Context) -> None:
        if self.hub.faults.stream_refusal is not None:
            await _refuse(context, self.hub.faults.stream_refusal)

    def _directory_response(self, record: message_pb2.SignedMessage | None) -> service_pb2.WatchDirectoryResponse:
        return service_pb2.WatchDirectoryResponse(
            record=record, newest_number=len(self.hub.controls), hub_time=timestamp(self.hub.now_ms())
        )


class _Stream:
    """One open delivery."""

    def __init__(self, hub: FakeHub, participant: str, index: int, credit_count: int) -> None:
        self._hub = hub
        self._participant = participant
        self._index = index
        self._credit_count = credit_count
        self._heard = asyncio.Event()

    def next(self) -> list[service_pb2.DeliverResponse]:
        """What may be sent now."""
        faults = self._hub.faults
        if faults.is_silent:
            return []
        responses: list[service_pb2.DeliverResponse] = []
        deliveries = self._hub.inboxes[self._participant][self._index : self._index + self._credit_count]
        self._index += len(deliveries)
        self._credit_count -= len(deliveries)
        if deliveries and faults.deliver is not None:
            deliveries = faults.deliver(deliveries)
        if deliveries:
            cursor = f"{self._hub.epoch}:{self._index}".encode()
            batch = service_pb2.DeliveryBatch(deliveries=deliveries, cursor=cursor)
            responses.append(service_pb2.DeliverResponse(batch=batch))
        if faults.ticks:
            tick = service_pb2.DeliveryTick(
                hub_time=timestamp(self._hub.now_ms()),
                watermarks=self._hub.watermarks(self._participant) if faults.watermarks else [],
            )
            responses.append(service_pb2.DeliverResponse(tick=tick))
        return responses

    async def wait(self, changed: asyncio.Event) -> None:
        """Wait for something to send, or for the next tick."""
        await _wait(changed)

    async def hear(self, requests: AsyncIterator[service_pb2.DeliverRequest]) -> None:
        """Take credit and cursors."""
        async for request in requests:
            if request.WhichOneof("request") == "credit_count":
                self._credit_count += request.credit_count
                self._hub.changed.set()
            else:
                self._hub.received_cursors.append(request.received_cursor)


async def _wait(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(TICK_S):
            await changed.wait()
    except TimeoutError:
        return


async def _refuse(context: Context, error: OneCardError, trailing: tuple[tuple[str, bytes], ...] = ()) -> NoReturn:
    status = to_status(error)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    await context.abort(code, status.message, ((STATUS_DETAILS_KEY, status.SerializeToString()), *trailing))
    raise AssertionError("abort returned")
