"""The national side in process: provinces' servicers called as the exchange would call them, without hub and network.

A message is known by its id: asked for again it is answered from what is stored, with another payload it is a conflict.
What ends in doubt is tried again as a recovery, as the adapter's runtime does. Faults are asked for by method.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.context import ExchangeContext, local_transaction_id_of, rejection_of
from onecard_adapters.sdk.failures import CallFailed
from onecard_broker.domain.medical_checks import check_payload
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import new_message_id

ATTEMPTS_MAX = 3


@dataclasses.dataclass(slots=True)
class SentCall:
    """A call that was made, with its outcome."""

    sender: str
    recipient: str
    method: str
    message_id: bytes
    request: ProtoMessage
    response: ProtoMessage | None = None
    error: OneCardError | None = None


class FakeExchange:
    """The exchange as one province sees it; `peer` gives the same exchange as another sees it."""

    def __init__(self, sender: str = "cn-44", *, shared: "FakeExchange | None" = None) -> None:
        self.sender = sender
        self._servicers: dict[str, list[object]] = shared._servicers if shared else {}
        self._outcomes: dict[bytes, SentCall] = shared._outcomes if shared else {}
        self._lost_answers: dict[str, int] = shared._lost_answers if shared else {}
        self._expired: dict[str, int] = shared._expired if shared else {}
        self._held: dict[str, asyncio.Event] = shared._held if shared else {}
        self.calls: list[SentCall] = shared.calls if shared else []
        self._stopped_ms: int | None = None

    def peer(self, sender: str) -> "FakeExchange":
        """The same exchange, used by another province."""
        return FakeExchange(sender, shared=self)

    def serve(self, participant: str, *servicers: object) -> None:
        """Register a province's servicers; a method is found by its name."""
        self._servicers.setdefault(participant, []).extend(servicers)

    def lose_answers(self, method: str, count: int = 1) -> None:
        """The next calls of a method are carried out, and their callers are told OUTCOME_UNKNOWN."""
        self._lost_answers[method] = count

    def expire(self, method: str, count: int = 1) -> None:
        """The next messages of a method reach nobody before their execute_before."""
        self._expired[method] = count

    def hold(self, method: str) -> asyncio.Event:
        """Calls of a method hang, once they are sent, until the event is set."""
        self._held[method] = asyncio.Event()
        return self._held[method]

    def hub_time_ms(self) -> int:
        """This machine's time, or where it was stopped."""
        return time.time_ns() // 1_000_000 if self._stopped_ms is None else self._stopped_ms

    def stop_a_minute_later(self) -> int:
        """From now on it is a minute later for this province, and stays so; returns that time in ms."""
        self._stopped_ms = self.hub_time_ms() + 60_000
        return self._stopped_ms

    def to(self, recipient: str, message_id: bytes | None = None) -> grpc.aio.Channel:
        """A channel for generated stubs."""
        return cast("grpc.aio.Channel", _Channel(self, recipient, message_id))

    def methods_called(self) -> list[str]:
        """The names of the methods called, in order, without their services."""
        return [call.method.rpartition("/")[2] for call in self.calls]

    def check_traffic(self) -> None:
        """Raise what the hub would have refused of all that travelled, were it medical.

        A request that its recipient refused by itself as PAYLOAD_INVALID was made so on purpose.
        """
        for call in self.calls:
            if call.error is not None and call.error.reason == errors_pb2.ERROR_REASON_PAYLOAD_INVALID:
                continue
            for payload in (call.request, call.response):
                if payload is not None:
                    check_payload(payload)

    async def call(
        self,
        recipient: str,
        method: str,
        request: ProtoMessage,
        *,
        message_id: bytes | None = None,
        is_recovery: bool = False,
    ) -> Any:
        """Call one method. Raises CallFailed."""
        known = self._outcomes.get(message_id) if message_id else None
        if known is None:
            known = await self._carried_out(recipient, method, request, message_id, is_recovery)
        elif known.request != request:
            raise CallFailed(errors_pb2.ERROR_REASON_ID_CONFLICT)
        if self._lost_answers.get(method, 0):
            self._lost_answers[method] -= 1
            raise CallFailed(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "the answer was lost on purpose")
        if known.error is not None:
            raise CallFailed(
                known.error.reason,
                known.error.detail,
                violations=known.error.violations,
                rejection=rejection_of(known.error),
            )
        return known.response

    async def _carried_out(
        self, recipient: str, method: str, request: ProtoMessage, message_id: bytes | None, is_recovery: bool
    ) -> SentCall:
        call = SentCall(
            self.sender, recipient, method, message_id or new_message_id(self.hub_time_ms()), _copied(request)
        )
        self.calls.append(call)
        if method in self._held:
            await self._held[method].wait()
        if self._expired.get(method, 0):
            self._expired[method] -= 1
            call.error = CallFailed(errors_pb2.ERROR_REASON_EXPIRED)
            self._outcomes[call.message_id] = call
            return call
        for attempt in range(ATTEMPTS_MAX):
            try:
                call.response = await self._attempt(call, is_recovery=is_recovery or attempt > 0)
                break
            except OutcomeInDoubt as error:
                call.error = error
                await asyncio.sleep(0)
            except OneCardError as error:
                call.error = error
                break
        if call.response is not None:
            call.error = None
        if call.error is None or not isinstance(call.error, OutcomeInDoubt):
            self._outcomes[call.message_id] = call
        return call

    async def _attempt(self, call: SentCall, *, is_recovery: bool) -> ProtoMessage:
        context = ExchangeContext(
            sender=self.sender,
            method=call.method,
            message_id=call.message_id,
            is_recovery=is_recovery,
            local_transaction_id=local_transaction_id_of(call.message_id),
            execute_before_ms=None,
        )
        name = call.method.rpartition("/")[2]
        for servicer in self._servicers.get(call.recipient, []):
            handler: Callable[[Any, Any], Awaitable[ProtoMessage]] | None = getattr(servicer, name, None)
            if handler is not None:
                return await handler(_copied(call.request), context)
        raise OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED, f"nobody serves {call.method}")


class _Channel:
    """As much of a channel as generated stubs use."""

    def __init__(self, exchange: FakeExchange, recipient: str, message_id: bytes | None) -> None:
        self._exchange = exchange
        self._recipient = recipient
        self._message_id = message_id

    def unary_unary(self, method: str, *_: object, **__: object) -> Callable[..., Awaitable[Any]]:
        async def invoke(request: ProtoMessage, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as gRPC has it
            async with asyncio.timeout(timeout):
                return await self._exchange.call(self._recipient, method, request, message_id=self._message_id)

        return invoke


def _copied(message: ProtoMessage) -> ProtoMessage:
    """What arrives is parsed from bytes: no party sees the other's object."""
    return type(message).FromString(message.SerializeToString())
