"""The rules of the exchange for every method (design.md, section 4: rules 1, 3, 10, 13 and 14), as pure functions.

Owns what becomes of any message, whatever its business; hands what touches business state to the module of the
method's package. Knows no module but by the table `BUSINESSES`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, assert_never

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.answers import take_answer, take_report
from onecard_broker.domain.business import Accepted, Answered, Business, Refused
from onecard_broker.domain.cards import CardBusiness
from onecard_broker.domain.dead_letters import dispose, given_up_in
from onecard_broker.domain.medical import MedicalBusiness
from onecard_broker.domain.model import (
    Effect,
    Inbound,
    KnownMessage,
    KnownState,
    MessageKey,
    Needs,
    NeedsAfter,
    Origin,
    State,
    TimerPurpose,
)
from onecard_broker.domain.plain import PlainBusiness
from onecard_broker.domain.questions import answer_question
from onecard_broker.domain.ruling import Ruling
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message

BUSINESSES: Final[Mapping[str, Business]] = {
    "onecard.card.v1": CardBusiness(),
    "onecard.medical.v1": MedicalBusiness(),
}
"""The module of each package that keeps state at the hub; a method of any other package is plain conversation."""

_PLAIN: Final = PlainBusiness()
_ANSWERS: Final = frozenset({message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION})
_ASKING: Final = frozenset({message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT})
_NAMES_A_REQUEST: Final = _ANSWERS | {message_pb2.MESSAGE_KIND_DELIVERY_REPORT}


def business_of(method: str) -> Business:
    """The business module of a full method name."""
    return BUSINESSES.get(method.removeprefix("/").rpartition("/")[0].rpartition(".")[0], _PLAIN)


# ---- what must be loaded -------------------------------------------------------------------------------------------


def needs(inbound: Inbound) -> Needs:
    """What the record alone tells that must be loaded."""
    if inbound.origin is Origin.TIMER:
        return Needs(known=frozenset() if inbound.timer is None else frozenset({inbound.timer.request}))
    message = inbound.message
    if message is None:
        return Needs()
    known: set[MessageKey] = {message.key}
    if message.header.kind in _NAMES_A_REQUEST:
        known.add((message.header.reply_to.sender, message.header.reply_to.id))
    if not _is_for_business(message):
        return Needs(known=frozenset(known))
    named = business_of(message.header.method).names(inbound)
    return Needs(known=named.known | known, aggregates=named.aggregates)


def needs_after(inbound: Inbound, known: Mapping[MessageKey, KnownMessage]) -> NeedsAfter:
    """What the known messages tell that must be loaded: states of the request concerned, outcomes to send again."""
    if inbound.origin is Origin.TIMER:
        request = None if inbound.timer is None else known.get(inbound.timer.request)
        named = set(() if request is None else request.aggregates)
        if inbound.timer is not None and inbound.timer.aggregate is not None:
            named.add(inbound.timer.aggregate)
        return NeedsAfter(aggregates=frozenset(named))
    message = inbound.message
    if message is None:
        return NeedsAfter()
    if inbound.origin is Origin.DISPOSITION:
        key = given_up_in(message)
        request = known.get(key)
        return NeedsAfter(aggregates=frozenset(() if request is None else request.aggregates), answers=frozenset({key}))
    seen = known.get(message.key)
    if seen is not None and not _is_let_go(inbound, seen):
        return NeedsAfter(answers=frozenset(() if seen.answer is None else {seen.answer}))
    if inbound.origin is Origin.MESSAGE and message.header.kind in _NAMES_A_REQUEST:
        request = known.get((message.header.reply_to.sender, message.header.reply_to.id))
        return NeedsAfter(aggregates=frozenset(() if request is None else request.aggregates))
    return NeedsAfter()


# ---- deciding ------------------------------------------------------------------------------------------------------


def waits(inbound: Inbound, known: Mapping[MessageKey, KnownMessage], stuck: Collection[MessageKey]) -> bool:
    """Whether a message waits behind the dead letters of its person (rule 13), given what `needs` named.

    New requests and events do. An answer, a repeat, and whatever clears one of the dead letters up do not.
    """
    message = inbound.message
    if message is None or message.header.kind not in _ASKING:
        return False
    seen = known.get(message.key)
    if seen is not None and seen.state is not KnownState.HELD:
        return False
    business = business_of(message.header.method)
    return bool(stuck) and not any(business.goes_ahead(inbound, key) for key in stuck)


def decide(state: State, inbound: Inbound, now_ms: int) -> list[Effect]:
    """What a record does, given what `needs` and `needs_after` named.

    Equal input gives equal effects. Raises only where state contradicts itself: the record is then held (rule 14).
    """
    ruling = Ruling(state, inbound, now_ms)
    match inbound.origin:
        case Origin.MESSAGE:
            seen = state.known.get(ruling.message.key)
            if seen is None or _is_let_go(inbound, seen):
                _decide_first(ruling)
            else:
                _decide_again(ruling, seen)
        case Origin.QUESTION:
            seen = state.known.get(ruling.message.key)
            # Two numbers of a person may share a partition: what was forwarded to this one has not come here yet.
            is_unseen = seen is None or (seen.state is KnownState.FORWARDED and seen.subject == inbound.subject)
            if is_unseen and (primary := _stands_under(ruling)):
                ruling.forward(primary)
            else:
                answer_question(ruling, None if is_unseen else seen)
        case Origin.TIMER:
            _decide_timer(ruling)
        case Origin.DISPOSITION:
            dispose(ruling, business_of(ruling.message.header.method))
        case _:
            assert_never(inbound.origin)
    return ruling.effects


def _is_for_business(message: Message) -> bool:
    """Whether a business reads it as it comes: a request, or an event to the hub."""
    kind = message.header.kind
    return kind == message_pb2.MESSAGE_KIND_REQUEST or (
        kind == message_pb2.MESSAGE_KIND_EVENT and message.header.recipient == HUB
    )


def _stands_under(ruling: Ruling) -> str:
    message = ruling.message
    return business_of(message.header.method).stands_under(ruling) if _is_for_business(message) else ""


def _is_let_go(inbound: Inbound, seen: KnownMessage) -> bool:
    return inbound.is_replay and seen.state is KnownState.HELD


def _decide_again(ruling: Ruling, seen: KnownMessage) -> None:
    """A message whose (sender, id) is known (rule 1)."""
    copy = ruling.arrived(seen.state)
    if copy.digest != seen.digest:
        ruling.reject(copy, OneCardError(errors_pb2.ERROR_REASON_ID_CONFLICT))
    elif seen.state is KnownState.CLOSED:
        ruling.reject(copy, OneCardError(errors_pb2.ERROR_REASON_OUTCOME_ALREADY_TOLD))
    elif seen.state is KnownState.FORWARDED:
        _decide_first(ruling)  # By where the number stands now: a link may have been taken back, or have closed a loop.
    elif seen.state is not KnownState.DECIDED:
        ruling.notify(seen)
    elif seen.answer is not None:
        ruling.pass_on(seen.sender, ruling.state.answers[seen.answer], answers=seen.key)
    # An event or an answer that was passed on has no outcome of its own; its repeat does nothing.


def _decide_first(ruling: Ruling) -> None:
    kind = ruling.message.header.kind
    if primary := _stands_under(ruling):
        ruling.forward(primary)
    elif kind == message_pb2.MESSAGE_KIND_REQUEST:
        _decide_request(ruling)
    elif kind == message_pb2.MESSAGE_KIND_EVENT and ruling.message.header.recipient == HUB:
        refusal = business_of(ruling.message.header.method).take_event(ruling)
        ruling.remember(ruling.arrived(KnownState.DECIDED, answer=refusal))
    elif kind == message_pb2.MESSAGE_KIND_EVENT:
        ruling.remember(ruling.arrived(KnownState.DECIDED))
        ruling.pass_on(ruling.message.header.recipient, ruling.message)
    elif kind in _ANSWERS:
        take_answer(ruling, business_of(ruling.message.header.method))
    elif kind == message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
        take_report(ruling, business_of(ruling.message.header.method))
    else:
        raise ValueError("a message of this kind does not belong in the journal")


def _decide_request(ruling: Ruling) -> None:
    message = ruling.message
    execute_before_ms = message.execute_before_ms
    if execute_before_ms is not None and ruling.now_ms >= execute_before_ms:
        _refuse(ruling, OneCardError(errors_pb2.ERROR_REASON_EXPIRED))
        return
    verdict = business_of(message.header.method).judge(ruling)
    match verdict:
        case Accepted():
            request = ruling.arrived(KnownState.OPEN, aggregates=verdict.aggregates)
            ruling.remember(request)
            ruling.pass_on(request.recipient, message)
            began_ms = ruling.now_ms if execute_before_ms is None else message.created_ms
            ruling.await_answer(request, began_ms + limits.UNKNOWN_TIMER_MS)
        case Refused():
            _refuse(ruling, verdict.error)
        case Answered():
            ruling.remember(ruling.arrived(KnownState.DECIDED, answer=verdict.answer))
        case _:
            assert_never(verdict)


def _refuse(ruling: Ruling, error: OneCardError) -> None:
    refusal = ruling.reject(ruling.arrived(KnownState.OPEN), error)
    ruling.remember(ruling.arrived(KnownState.DECIDED, answer=refusal))


def _decide_timer(ruling: Ruling) -> None:
    """A timer whose request has its outcome, or is not known, does nothing (rule 9), except one about a state."""
    timer = ruling.inbound.timer
    if timer is None:
        return
    if timer.purpose is TimerPurpose.STATE:
        business_of(timer.method).wake(ruling, timer)
        return
    request = ruling.state.known.get(timer.request)
    if request is None:
        return
    business = business_of(request.method)
    match timer.purpose:
        case TimerPurpose.ANSWER_OVERDUE:
            if request.state not in {KnownState.DECIDED, KnownState.CLOSED}:
                business.doubt(ruling, request)
        case TimerPurpose.QUERY:
            business.ask_again(ruling, request, timer)
        case _:
            assert_never(timer.purpose)
