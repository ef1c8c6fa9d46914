"""Replies, rejections and delivery reports: bound to the request that they name, or refused (rules 4, 12 and 13)."""

from __future__ import annotations

from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.business import Business
from onecard_broker.domain.dead_letters import keep_if_open
from onecard_broker.domain.model import KnownMessage, KnownState, MessageKey
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB

DOUBTFUL_REASONS: Final = frozenset(
    {
        errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN,
        errors_pb2.ERROR_REASON_PROCESSING_FAILED,
        errors_pb2.ERROR_REASON_INTERNAL,
    }
)
"""Reasons that do not say whether the recipient's local system acted: to a method with effect they are no outcome."""


def take_answer(ruling: Ruling, business: Business) -> None:
    """A reply or rejection; it is known afterwards, so that its repeat does nothing or gets the same refusal."""
    request = _request_named(ruling)
    if isinstance(request, OneCardError):
        refusal: MessageKey | None = ruling.reject(ruling.arrived(KnownState.DECIDED), request)
    elif _is_decided_by_recipient(request):
        refusal = ruling.reject(
            ruling.arrived(KnownState.DECIDED), OneCardError(errors_pb2.ERROR_REASON_ALREADY_ANSWERED)
        )
    elif _is_doubtful(ruling):
        refusal = None
        if request.state is not KnownState.DECIDED:
            business.doubt(ruling, request)
    else:
        refusal = business.take_answer(ruling, request)
    ruling.remember(ruling.arrived(KnownState.DECIDED, answer=refusal))


def take_report(ruling: Ruling, business: Business) -> None:
    """A recipient gave up on a message that it received (rule 13).

    A request without effect is rejected: nothing can have happened. One with effect is unknown, and asked about. An
    event, or an answer that its requester gave up on, has nobody who waits for an outcome. What then still lacks one
    is kept as a dead letter; not so a query of the hub's own, which it repeats by itself.
    """
    request = _request_named(ruling)
    if isinstance(request, OneCardError):
        refusal = ruling.reject(ruling.arrived(KnownState.DECIDED), request)
        ruling.remember(ruling.arrived(KnownState.DECIDED, answer=refusal))
        return
    if request.state is not KnownState.DECIDED:
        if _has_effect(ruling):
            business.doubt(ruling, request)
        elif request.sender != HUB:
            error = OneCardError(errors_pb2.ERROR_REASON_PROCESSING_FAILED)
            ruling.conclude(request, ruling.reject(request, error))
    if request.sender != HUB and (_has_effect(ruling) or request.state is KnownState.DECIDED):
        keep_if_open(ruling, request)
    ruling.remember(ruling.arrived(KnownState.DECIDED))


def _request_named(ruling: Ruling) -> KnownMessage | OneCardError:
    """The request that the message answers, or why there is none: every part of the reference must fit."""
    header = ruling.message.header
    request = ruling.state.known.get((header.reply_to.sender, header.reply_to.id))
    if request is None or request.digest != header.reply_to.digest:
        return OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_REQUEST)
    takers, givers = {request.sender}, {request.recipient}
    if header.kind == message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
        takers.add(HUB)
        if ruling.inbound.method is not None and ruling.inbound.method.is_published:
            givers.add(header.sender)  # It went to many.
    if header.sender not in givers or header.recipient not in takers:
        return OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_REQUEST, "the request went to another participant")
    if request.method != header.method:
        return OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_REQUEST, "the request is of another method")
    if request.state in {KnownState.CLOSED, KnownState.FORWARDED}:
        return OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_REQUEST, "the request was never sent on")
    return request


def _is_decided_by_recipient(request: KnownMessage) -> bool:
    """Where the hub told the outcome, from a query or a reversal, the recipient's own answer is still to be judged."""
    return request.state is KnownState.DECIDED and (request.answer is None or request.answer[0] != HUB)


def _is_doubtful(ruling: Ruling) -> bool:
    payload = ruling.inbound.payload
    return (
        _has_effect(ruling)
        and ruling.message.header.kind == message_pb2.MESSAGE_KIND_REJECTION
        and isinstance(payload, message_pb2.Rejection)
        and payload.reason in DOUBTFUL_REASONS
    )


def _has_effect(ruling: Ruling) -> bool:
    return ruling.inbound.method is not None and ruling.inbound.method.has_effect
