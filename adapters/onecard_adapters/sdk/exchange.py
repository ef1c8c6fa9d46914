"""The exchange as a program sees it: generated stubs call out, generated servicers are called.

Composes the parts of the SDK and owns their lives; each rule lives in its part.

    exchange = Exchange.open(settings)
    add_SettlementServiceServicer_to_server(servicer, exchange)
    async with exchange:
        response = await SettlementServiceStub(exchange.to("cn-51")).Settle(request, timeout=24)
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import types
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

import grpc.aio
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1.message_pb2 import MessageHeader
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.outbox import OutboxState, Outgoing, StoredOutgoing
from onecard_adapters.runtime.processing import Processing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.answers import Waiting
from onecard_adapters.sdk.calls import Calls
from onecard_adapters.sdk.channel import ExchangeChannel
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.delivery import DeliveryStream
from onecard_adapters.sdk.directory import DirectoryView
from onecard_adapters.sdk.failures import CallFailed
from onecard_adapters.sdk.following import follow_directory
from onecard_adapters.sdk.gateways import Gateways
from onecard_adapters.sdk.outgoing import Writer
from onecard_adapters.sdk.reception import Reception
from onecard_adapters.sdk.registration import Servicers
from onecard_adapters.sdk.resolution import Resolution
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.submission import Submission
from onecard_adapters.sdk.verification import Verification
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message
from onecard_protocol.methods import Method, MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import Engine
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.signatures.sm3 import sm3

STOP_GRACE_S: Final = limits.LOCAL_CALL_MS / 1000
_CLEANING_S: Final = 3_600.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Working times that tests shorten; the defaults are the protocol's."""

    gap_open_ms: int = limits.GAP_OPEN_MS
    silence_ms: int = limits.HUB_TIME_STALE_MS
    resolution_poll_s: float = 1.0
    retry_first_s: float = 0.5
    local_call_ms: int = limits.LOCAL_CALL_MS
    credit_count: int = limits.DELIVERY_CREDIT_COUNT_MAX


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Who we are and where the hub is."""

    participant: str
    network: str
    gateways: tuple[str, ...]
    hub_keys: Mapping[str, bytes]
    """Public keys of the hub by key id, 65 bytes each."""
    credentials: grpc.ChannelCredentials | None = None
    server_name: str = ""


class Exchange:
    """One participant's end of the exchange. Register servicers before it is entered, or before the first await in it.

    Entering opens the store, takes up what a former process left, and connects in the background: events, reversals
    and queries are accepted while the hub is down.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        store_file: Path,
        sealer: Sealer,
        signer: Signer,
        engine: Engine,
        signs_by_batch: bool = True,
        timing: Timing | None = None,
    ) -> None:
        self.participant = connection.participant
        self.sealer = sealer
        self.store = Store(store_file)
        self.methods = MethodRegistry.load()
        self._connection = connection
        self._engine = engine
        self._signer = signer
        self._signs_by_batch = signs_by_batch
        self._timing = timing or Timing()
        self._clock = HubClock()
        self._waiting = Waiting()
        self._servicers = Servicers(self.methods)
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[OneCardError] | None = None
        self._writer = Writer(
            network=connection.network, participant=connection.participant, sealer=sealer, now_ms=self._clock.now_ms
        )

    # ---- calling out -----------------------------------------------------------------------------------------------

    def to(self, recipient: str, message_id: bytes | None = None) -> grpc.aio.Channel:
        """A channel for generated stubs. With a message id, of one call that is known by it: a repeat of the same
        request gets its one outcome, also after a restart. Calls raise CallFailed."""
        # As much of a channel as generated stubs use; they ask for the class that gRPC's own types name.
        return cast(grpc.aio.Channel, ExchangeChannel(self._send, recipient, message_id))

    def hub_time_ms(self) -> int:
        """Hub time in ms since 1970; before the first tick the machine's own."""
        return self._clock.now_ms()

    async def find_outcome(self, message_id: bytes) -> Message | None:
        """The stored answer (reply or rejection) of a request that was made durable; None if there is none."""
        stored = await self._find(message_id)
        return None if stored is None else stored.answer

    async def wait_ready(self) -> None:
        """Wait until hub time and directory are fresh: then calls with effect start at once."""
        await self._clock.wait_fresh()
        await self._directory.wait_fresh()

    async def wait_failed(self) -> OneCardError:
        """Wait until the exchange cannot go on by itself, such as for a cursor of a foreign epoch; returns why."""
        if self._failure is None:
            raise RuntimeError("the exchange is not entered")
        return await asyncio.shield(self._failure)

    # ---- being called ----------------------------------------------------------------------------------------------

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """For generated ``add_…Servicer_to_server`` functions."""
        self._servicers.add_generic_rpc_handlers(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """For generated ``add_…Servicer_to_server`` functions. Raises ValueError for what the protocol lacks."""
        self._servicers.add_registered_method_handlers(service_name, method_handlers)

    # ---- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._failure = asyncio.get_running_loop().create_future()
        await self.store.open()
        try:
            await self._start()
        except BaseException:
            await self.store.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop receiving, let servicers that are called finish, submit what they answered, close everything."""
        receiving, rest = self._tasks[:2], self._tasks[2:]
        await _cancel(receiving)
        await self._processing.close(STOP_GRACE_S)
        await self._calls.close()
        await self._submission.flush(STOP_GRACE_S)
        await _cancel(rest)
        await self._gateways.close()
        self._signing.close()
        self._verification.close()
        await self.store.close()

    async def _start(self) -> None:
        connection, timing = self._connection, self._timing
        place, interrupted = await self.store.run(lambda store: (inbox.place(store), outbox.queue_interrupted(store)))
        if interrupted:
            _log.info("%d messages of a former process are sent now", interrupted)
        # Provinces begin at different gateways, so that each gateway gets its share.
        first = int.from_bytes(sm3(self.participant.encode())[:4], "big")
        self._gateways = Gateways(
            connection.gateways, connection.credentials, server_name=connection.server_name, first=first
        )
        verifier = BlockVerifier(self._engine)
        self._directory = DirectoryView(connection.hub_keys, verifier, network=connection.network)
        self._signing = AdaptiveSigning(self._signer, by_batch=self._signs_by_batch)
        self._verification = Verification(
            self._directory, verifier, network=connection.network, participant=self.participant
        )
        self._submission = Submission(
            store=self.store,
            sealer=self.sealer,
            gateways=self._gateways,
            signing=self._signing,
            verification=self._verification,
            clock=self._clock,
        )
        resolution = Resolution(
            store=self.store,
            sealer=self.sealer,
            gateways=self._gateways,
            signing=self._signing,
            verification=self._verification,
            waiting=self._waiting,
            clock=self._clock,
            poll_s=timing.resolution_poll_s,
        )
        self._calls = Calls(
            store=self.store,
            sealer=self.sealer,
            gateways=self._gateways,
            signing=self._signing,
            verification=self._verification,
            waiting=self._waiting,
            clock=self._clock,
            submit=self._submission.put,
            ask=resolution.ask,
        )
        self._processing = Processing(
            store=self.store,
            sealer=self.sealer,
            clock=self._clock,
            directory=self._directory,
            writer=self._writer,
            methods=self.methods,
            handlers=self._servicers.handlers,
            submit=self._submission.put,
            local_call_ms=timing.local_call_ms,
            retry_first_s=timing.retry_first_s,
        )
        reception = Reception(
            store=self.store,
            sealer=self.sealer,
            verification=self._verification,
            waiting=self._waiting,
            clock=self._clock,
            writer=self._writer,
            process=self._processing.add,
            submit=self._submission.put,
        )
        delivery = DeliveryStream(
            participant=self.participant,
            gateways=self._gateways,
            clock=self._clock,
            receive=reception.receive,
            place=place,
            in_progress=lambda: len(self._processing),
            credit_count=timing.credit_count,
            gap_open_ms=timing.gap_open_ms,
            silence_ms=timing.silence_ms,
        )
        self._run("delivery", self._receive(delivery))
        self._run("cleaning", self._clean())
        self._run("directory", follow_directory(self._gateways, self._directory))
        self._run("submission", self._submission.run())
        self._run("resolution", resolution.run())

    def _run(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever ends by itself cannot go on: the process must say so and stop."""
        if task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, OneCardError):
            kind = "nothing" if error is None else type(error).__name__
            error = OneCardError(errors_pb2.ERROR_REASON_INTERNAL, f"the adapter's {task.get_name()} ended with {kind}")
        _log.error("the adapter's %s cannot go on: %s", task.get_name(), error)
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(error)

    async def _receive(self, delivery: DeliveryStream) -> None:
        """Take up what a former process left, in its order, before anything new."""
        left = await self._processing.load()
        if left:
            _log.info("%d received messages of a former process are processed now", left)
        await delivery.run()

    async def _clean(self) -> None:
        """Let go of what nobody can ask for any more."""
        while True:
            now_ms = self._clock.now_ms()
            outbox_ms = now_ms - limits.MESSAGE_AGE_MS_MAX - 24 * 3_600_000
            inbox_ms = now_ms - limits.OUTPUT_KEPT_MS
            await self.store.run(
                lambda store, outbox_ms=outbox_ms, inbox_ms=inbox_ms: (  # type: ignore[misc]
                    outbox.forget_before(store, outbox_ms),
                    inbox.forget_before(store, inbox_ms),
                )
            )
            await asyncio.sleep(_CLEANING_S)

    # ---- one call --------------------------------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        recipient: str,
        request: ProtoMessage,
        payload: bytes,
        *,
        message_id: bytes | None,
        timeout_s: float | None,
        traceparent: str,
    ) -> bytes:
        """Send one request or event; see `ExchangeChannel`."""
        known = self.methods.get(method)
        if known is None:
            raise CallFailed(errors_pb2.ERROR_REASON_UNKNOWN_METHOD, method)
        if len(payload) > known.policy.payload_bytes_max:
            raise CallFailed(
                errors_pb2.ERROR_REASON_PAYLOAD_TOO_LARGE,
                f"{len(payload)} bytes, {known.policy.payload_bytes_max} are allowed",
            )
        limit_s = limits.TYPED_CALL_MS / 1000 if timeout_s is None else timeout_s
        while True:
            if message_id is not None:
                reply = await self._known_outcome(known, recipient, payload, message_id, limit_s)
                if reply is not None:
                    return reply
            if self._clock.is_fresh or not known.carries_execute_before:
                break  # From the last look at what is known until the new request is known, nothing is awaited.
            await self._wait_for_hub_time(known, limit_s)
        outgoing = self._writer.request(
            known,
            recipient,
            request,
            payload,
            message_id=message_id,
            traceparent=traceparent,
        )
        if known.is_event:
            await self._tell(outgoing)
            return b""
        is_durable = known.has_effect or not known.carries_execute_before or message_id is not None
        return (await self._calls.call(outgoing, timeout_s=limit_s, is_durable=is_durable)).payload

    async def _tell(self, outgoing: Outgoing) -> None:
        """Leave an event to the submission pump; it is kept until the hub has it."""
        await self.store.run(lambda store: outbox.insert(store, self.sealer, outgoing, OutboxState.QUEUED))
        self._submission.put(outgoing)

    async def _known_outcome(
        self, method: Method, recipient: str, payload: bytes, message_id: bytes, timeout_s: float
    ) -> bytes | None:
        """The reply to what was sent under this id before; None if nothing was. An event has an empty one."""
        stored = await self._find(message_id)
        pending = self._waiting.find(message_id)
        outgoing = pending.outgoing if pending is not None else stored.outgoing if stored is not None else None
        if outgoing is None:
            return None
        header = MessageHeader.FromString(outgoing.header)
        if (outgoing.method, outgoing.recipient, header.payload_digest) != (method.name, recipient, sm3(payload)):
            raise CallFailed(errors_pb2.ERROR_REASON_ID_CONFLICT, "the id was used for another request")
        if pending is not None:
            return (await self._calls.join(pending, timeout_s=timeout_s)).payload
        if stored is None or method.is_event:
            return b""
        return (await self._calls.resume(stored, timeout_s=timeout_s)).payload

    async def _find(self, message_id: bytes) -> StoredOutgoing | None:
        return await self.store.run(lambda store: outbox.find(store, self.sealer, message_id))

    async def _wait_for_hub_time(self, method: Method, limit_s: float) -> None:
        try:
            async with asyncio.timeout(min(limit_s, method.policy.longest_duration_ms / 1000)):
                await self._clock.wait_fresh()
        except TimeoutError:
            raise CallFailed(
                errors_pb2.ERROR_REASON_EXPIRED, "the hub could not be reached in time; nothing was sent"
            ) from None


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
