"""Typed calls: every national method by its own name, as raw bytes with header and signature in metadata (rule 17)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.gateway.admitting import Admitting
from onecard_broker.gateway.inbox_follower import InboxFollowers
from onecard_broker.gateway.journaling import Admitted, Journaled, Journaling
from onecard_broker.gateway.refusals import Refusals, entered
from onecard_broker.gateway.serving import (
    CallRefused,
    RawHandler,
    certificate_names,
    raw_handlers,
    refuse_early,
    serve,
)
from onecard_broker.gateway.submission import CallTime
from onecard_broker.gateway.trailing import Metadata
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, from_rejection, reason_name
from onecard_protocol.messages import Message
from onecard_protocol.methods import Method, MethodRegistry

HEADER_KEY: Final = "onecard-header-bin"
SIGNATURE_KEY: Final = "onecard-signature-bin"
RECEIPT_KEY: Final = "onecard-receipt-bin"
REJECTION_KEY: Final = "onecard-rejection-bin"


class TypedCalls:
    """Generic handlers for the methods of the registry."""

    def __init__(
        self,
        admitting: Admitting,
        journaling: Journaling,
        refusals: Refusals,
        followers: InboxFollowers,
        methods: MethodRegistry,
    ) -> None:
        """Reads are served by `Reads`, whose handlers stand before these."""
        self._admitting = admitting
        self._journaling = journaling
        self._refusals = refusals
        self._followers = followers
        self._methods = methods

    def generic_handlers(self) -> list[grpc.GenericRpcHandler]:
        """One handler for each service. None has a (de)serialiser: bodies pass as the bytes they are."""
        handlers = raw_handlers(
            {method.name: self._handler(method) for method in self._methods.values() if not method.is_read}
        )
        return [*handlers, UnknownMethods()]

    def _handler(self, method: Method) -> RawHandler:
        async def call(request: bytes, context: ServicerContext[bytes, bytes]) -> bytes:
            return await serve(context, method.name, lambda: self._call_in_time(method, request, context))

        return call

    async def _call_in_time(self, method: Method, request: bytes, context: ServicerContext[bytes, bytes]) -> bytes:
        time = CallTime(context)
        try:
            async with time.whole():
                return await self._call(method, request, context, time)
        except TimeoutError:
            # Whatever was slow, it may have been journaled.
            raise OneCardError(
                errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "the gateway did not end the call within its time"
            ) from None

    async def _call(
        self, method: Method, request: bytes, context: ServicerContext[bytes, bytes], time: CallTime
    ) -> bytes:
        names = certificate_names(context)
        try:
            header, signature = _asking_metadata(context)
        except OneCardError as error:
            self._refusals.note(error, None, names)
            raise
        signed = message_pb2.SignedMessage(header=header, payload=request, signature=signature)
        outcome = (await self._admitting.admit([signed], names))[0]
        if isinstance(outcome, OneCardError):
            raise outcome
        admitted = outcome
        asked = admitted.message.header
        if asked.method != method.name or asked.kind not in _CALLED_KINDS:
            refusal = OneCardError(
                errors_pb2.ERROR_REASON_HEADER_INVALID,
                violations=[
                    ("method", f"is not the method that was called, {method.name}, or the message is an answer")
                ],
            )
            self._refusals.note(refusal, outcome.message, names)
            raise refusal
        if not outcome.is_answered:
            journaled = await self._append(outcome)
            receipt = _receipt(journaled, await self._journaling.sign_receipts([journaled]))
            context.set_trailing_metadata(((RECEIPT_KEY, receipt),))
            return b""
        holding = self._followers.awaiting(
            asked.sender, outcome.message.key, outcome.message.digest, recipient=asked.recipient
        )
        async with entered(holding, lambda error: self._refusals.note(error, admitted.message, names)) as awaited:
            journaled = await self._append(outcome)
            # The receipt is signed while the call waits for its answer.
            signing = self._journaling.sign_receipts([journaled])
            answer = await awaited.within(time.left_seconds())
            receipt = _receipt(journaled, await signing)
        return _give(context, answer, receipt)

    async def _append(self, admitted: Admitted) -> Journaled:
        end = (await self._journaling.append([admitted]))[0]
        if isinstance(end, OneCardError):
            raise end
        return end


_CALLED_KINDS: Final = frozenset({message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT})


class UnknownMethods(grpc.GenericRpcHandler):
    """Answers calls of methods that nobody serves with the catalogue's reason; must be the last handler."""

    def __init__(self) -> None:
        self._refusing: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(_refuse_unknown)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """A handler that refuses, for methods under ``/onecard.``."""
        return self._refusing if handler_call_details.method.startswith("/onecard.") else None


async def _refuse_unknown(request: bytes, context: ServicerContext[bytes, bytes]) -> bytes:
    await refuse_early(context, OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_METHOD))


def _receipt(journaled: Journaled, blocks: Sequence[bytes]) -> bytes:
    return message_pb2.SignedReceipt(receipt=journaled.receipt, signature=blocks[0]).SerializeToString()


def _asking_metadata(context: ServicerContext[bytes, bytes]) -> tuple[bytes, bytes]:
    """Header and signature block of the call; raises HEADER_INVALID, SIGNATURE_MISSING or MALFORMED."""
    values: dict[str, bytes] = {}
    for key, value in context.invocation_metadata() or ():
        if key in (HEADER_KEY, SIGNATURE_KEY):
            if key in values:
                raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, f"{key} stands there twice")
            values[key] = value if isinstance(value, bytes) else value.encode()
    header, signature = values.get(HEADER_KEY, b""), values.get(SIGNATURE_KEY, b"")
    if not header:
        # Without header there is nothing that a signature could be of; most callers that see this sign nothing yet.
        raise OneCardError(
            errors_pb2.ERROR_REASON_SIGNATURE_MISSING if not signature else errors_pb2.ERROR_REASON_HEADER_INVALID,
            f"the call carries no {HEADER_KEY}",
        )
    if len(header) + len(signature) > limits.CALL_METADATA_BYTES_MAX:
        raise OneCardError(
            errors_pb2.ERROR_REASON_MALFORMED,
            f"header and signature take {len(header) + len(signature)} bytes, {limits.CALL_METADATA_BYTES_MAX} at most",
        )
    return header, signature


def _give(context: ServicerContext[bytes, bytes], answer: Message | None, receipt: bytes) -> bytes:
    """The reply's payload, or CallRefused by what the answer is; its own bytes go in the trailing metadata."""
    receipt_only: Metadata = ((RECEIPT_KEY, receipt),)
    if answer is None:
        error = OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "no answer within the call's time")
        raise CallRefused(error, receipt_only)
    signed: Metadata = ((HEADER_KEY, answer.header_bytes), (SIGNATURE_KEY, answer.signature))
    if answer.header.kind == message_pb2.MESSAGE_KIND_REPLY:
        context.set_trailing_metadata((*signed, *receipt_only))
        return answer.payload
    if answer.header.kind == message_pb2.MESSAGE_KIND_REJECTION:
        error = from_rejection(message_pb2.Rejection.FromString(answer.payload))
        raise CallRefused(error, receipt_only, (*signed, (REJECTION_KEY, answer.payload)))
    notice = message_pb2.Notice.FromString(answer.payload)
    raise CallRefused(
        OneCardError(
            errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, f"the hub says {reason_name(notice.reason)}: {notice.detail}"
        ),
        receipt_only,
    )
