"""What answers, timers and queries tell about a settlement or cancellation, and what follows (design.md, rule 12).

The requests themselves are judged in ``settlements``; what follows from a state, whatever led to it, is in ``stay``.
"""

from __future__ import annotations

import dataclasses

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2
from onecard_broker.domain.medical_state import EVIDENCE_COUNT_MAX, Transaction
from onecard_broker.domain.model import KnownMessage, KnownState, MessageKey, Timer
from onecard_broker.domain.plain import take_first_answer
from onecard_broker.domain.ruling import Ruling
from onecard_broker.domain.settlement_amounts import amounts_of, why_not_negated, why_not_of_fees
from onecard_broker.domain.settlement_states import (
    BEING_REVERSED,
    IN_DOUBT,
    UNDONE_PHASES,
    Kind,
    Phase,
    Trigger,
    next_phase,
)
from onecard_broker.domain.stay import METHOD_OF, Stay, advanced, learnt
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.messages import to_ms

_Executed = settlement_pb2.SettleResponse | settlement_pb2.CancelSettlementResponse


# ---- the original's own answer -------------------------------------------------------------------------------------


def take_answer_of_original(ruling: Ruling, request: KnownMessage) -> MessageKey | None:
    """The insured province answered a settlement or cancellation itself."""
    stay = Stay.of_known(ruling, request)
    transaction = stay.find(request)
    payload = ruling.inbound.payload
    is_success = isinstance(payload, settlement_pb2.SettleResponse | settlement_pb2.CancelSettlementResponse)
    if transaction is None:  # Only failures and tombstones are dropped, after seven days.
        return _refuse_answer(ruling, errors_pb2.ERROR_REASON_LATE_SUCCESS_REFUSED) if is_success else None
    if isinstance(payload, settlement_pb2.SettleResponse | settlement_pb2.CancelSettlementResponse):
        refusal = _take_success(stay, transaction, request, payload)
    else:
        refusal = _take_refusal(stay, transaction, request)
    stay.save()
    return refusal


def _take_success(stay: Stay, transaction: Transaction, request: KnownMessage, payload: _Executed) -> MessageKey | None:
    ruling = stay.ruling
    violations = _wrong_amounts(stay, transaction, payload)
    if violations:
        return _refuse_answer(ruling, errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT, violations)
    witnessed = _with_evidence(transaction, ruling.message.key)
    if transaction.amounts:  # A query told it before.
        stay.put(witnessed)
        is_same = _settlement_id(payload) == transaction.settlement_id
        return None if is_same else _refuse_answer(ruling, errors_pb2.ERROR_REASON_ALREADY_ANSWERED)
    if transaction.phase in BEING_REVERSED | UNDONE_PHASES:
        stay.put(learnt(witnessed, Trigger.OVERDUE))
        return _refuse_answer(ruling, errors_pb2.ERROR_REASON_LATE_SUCCESS_REFUSED)
    executed = _executed(transaction, payload)
    ruling.accept_answer(request)
    stay.put(dataclasses.replace(executed, answer=ruling.message.key))
    return None


def _take_refusal(stay: Stay, transaction: Transaction, request: KnownMessage) -> MessageKey | None:
    """NOT_EXECUTED and its like are final: the province did nothing, and will not."""
    ruling = stay.ruling
    if transaction.amounts:
        stay.put(_with_evidence(transaction, ruling.message.key))
        return _refuse_answer(ruling, errors_pb2.ERROR_REASON_ALREADY_ANSWERED)
    if transaction.phase in UNDONE_PHASES:  # The hub told the outcome before; this says the same.
        stay.put(_with_evidence(transaction, ruling.message.key))
        return None
    ruling.accept_answer(request)
    answered = dataclasses.replace(transaction, answer=ruling.message.key)
    if transaction.phase in BEING_REVERSED:
        stay.put(learnt(answered, Trigger.NOT_EXECUTED))
    else:
        stay.put(advanced(answered, Trigger.NOT_EXECUTED))
    return None


# ---- a reversal's answer -------------------------------------------------------------------------------------------


def take_answer_of_reversal(ruling: Ruling, request: KnownMessage) -> MessageKey | None:
    """The insured province answered a reversal; one that the hub has answered already changes nothing."""
    stay = Stay.of_known(ruling, request)
    transaction = stay.find(request)
    if transaction is None:
        return None
    payload = ruling.inbound.payload
    others = tuple(reversal for reversal in transaction.reversals if reversal.key != request.key)
    transaction = dataclasses.replace(transaction, reversals=others)
    if not isinstance(payload, settlement_pb2.ReverseResponse):
        ruling.accept_answer(request)
        if not others:
            _go_back(stay, transaction)
        else:
            _wait_for(stay, transaction)
    else:
        trigger = {
            settlement_pb2.REVERSAL_RESULT_REVERSED: Trigger.UNDONE,
            settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED: Trigger.NEVER_DONE,
        }.get(payload.result)
        if trigger is None:
            return _refuse_answer(ruling, errors_pb2.ERROR_REASON_PAYLOAD_INVALID, [("result", "is not stated")])
        ruling.accept_answer(request)
        undone_ms = to_ms(payload.reversed_time) if payload.HasField("reversed_time") else ruling.now_ms
        stay.put(advanced(dataclasses.replace(transaction, undone_ms=undone_ms), trigger))
    stay.save()
    return None


def _go_back(stay: Stay, transaction: Transaction) -> None:
    """The last open reversal was refused: the state before, and if that is in doubt the hub asks."""
    back = advanced(transaction, Trigger.REVERSAL_REFUSED)
    if back.phase is Phase.UNKNOWN:
        back = stay.start_asking(stay.stop_asking(back), (stay.encounter.care, back.id))
    stay.put(back)


def _wait_for(stay: Stay, transaction: Transaction) -> None:
    """Other reversals are still open: whatever is asked from now on is asked for one of them."""
    doubted = [reversal for reversal in transaction.reversals if reversal.is_doubted]
    stay.put(stay.start_asking(transaction, doubted[-1].key) if doubted else stay.stop_asking(transaction))


# ---- a query's answer ----------------------------------------------------------------------------------------------


def take_answer_of_query(ruling: Ruling, request: KnownMessage) -> MessageKey | None:
    """The insured province answered a query, of the province of care or of the hub: both count the same."""
    refusal = take_first_answer(ruling, request)
    stay = Stay.of_known(ruling, request)
    transaction = stay.find(request)
    if refusal is not None or transaction is None:
        return refusal
    queries = tuple(key for key in transaction.queries if key != request.key)
    transaction = dataclasses.replace(transaction, queries=queries)
    payload = ruling.inbound.payload
    if isinstance(payload, settlement_pb2.QuerySettlementResponse):
        transaction = _found(stay, transaction, payload)
    stay.put(transaction)
    stay.save()
    return None


def _found(stay: Stay, transaction: Transaction, payload: settlement_pb2.QuerySettlementResponse) -> Transaction:
    ruling = stay.ruling
    witnessed = _with_evidence(transaction, ruling.message.key)
    finding = payload.finding
    if finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED:
        response = _part_of(transaction, payload)
        if transaction.phase not in IN_DOUBT or response is None or _wrong_amounts(stay, transaction, response):
            return transaction
        executed = _executed(witnessed, response)
        original = stay.original(transaction, KnownState.OPEN)
        answer = ruling.tell(original, message_pb2.MESSAGE_KIND_REPLY, response, answers=original.key)
        ruling.conclude(original, answer)
        return dataclasses.replace(executed, answer=answer)
    trigger = {
        settlement_pb2.SETTLEMENT_FINDING_UNDONE: Trigger.UNDONE,
        settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND: Trigger.NEVER_DONE,
    }.get(finding)
    if trigger is None or next_phase(transaction.kind, transaction.phase, trigger) is None:
        return transaction
    if trigger is Trigger.NEVER_DONE and transaction.amounts:
        return witnessed  # The province signed that it was executed: a reversal's own answer decides.
    return advanced(dataclasses.replace(witnessed, undone_ms=ruling.now_ms), trigger)


def _part_of(transaction: Transaction, payload: settlement_pb2.QuerySettlementResponse) -> _Executed | None:
    if transaction.kind is Kind.SETTLEMENT:
        return payload.settlement if payload.HasField("settlement") else None
    return payload.cancellation if payload.HasField("cancellation") else None


# ---- no answer -----------------------------------------------------------------------------------------------------


def doubt(ruling: Ruling, request: KnownMessage) -> None:
    """An answer is overdue or cannot be told: tell who asked, and ask the insured province (rule 12)."""
    stay = Stay.of_known(ruling, request)
    transaction = stay.find(request)
    if transaction is None:
        return
    if request.method == METHOD_OF[transaction.kind]:
        _doubt_original(stay, transaction, request)
    else:
        _doubt_reversal(stay, transaction, request)
    stay.save()


def _doubt_original(stay: Stay, transaction: Transaction, request: KnownMessage) -> None:
    if transaction.phase in BEING_REVERSED:
        stay.put(learnt(transaction, Trigger.OVERDUE))
        stay.ruling.notify(request)
    elif transaction.phase is Phase.OPEN:
        unknown = stay.start_asking(advanced(transaction, Trigger.OVERDUE), request.key)
        stay.put(unknown)
        stay.ruling.notify(dataclasses.replace(request, state=KnownState.UNKNOWN))


def _doubt_reversal(stay: Stay, transaction: Transaction, request: KnownMessage) -> None:
    if any(reversal.key == request.key and reversal.is_doubted for reversal in transaction.reversals):
        return
    reversals = tuple(
        dataclasses.replace(reversal, is_doubted=True) if reversal.key == request.key else reversal
        for reversal in transaction.reversals
    )
    stay.ruling.leave_unknown(request)
    stay.put(stay.start_asking(dataclasses.replace(transaction, reversals=reversals), request.key))


def ask_again(ruling: Ruling, request: KnownMessage, timer: Timer) -> None:
    """The next query is due; after the last one a person decides, and everybody who waits is told so."""
    stay = Stay.of_known(ruling, request)
    transaction = stay.find(request)
    if transaction is None:
        return
    asked = stay.go_on_asking(transaction, timer)
    if asked is not None:
        if asked is not transaction:
            stay.put(asked)
    else:
        spent = stay.put(advanced(transaction, Trigger.QUERIES_SPENT))
        if spent.digest and spent.answer is None:
            ruling.notify(stay.original(spent, KnownState.MANUAL))
        for reversal in spent.reversals:
            ruling.notify(stay.reversal(reversal, KnownState.MANUAL))
    stay.save()


# ---- shared --------------------------------------------------------------------------------------------------------


def _executed(transaction: Transaction, payload: _Executed) -> Transaction:
    return dataclasses.replace(
        advanced(transaction, Trigger.EXECUTED),
        settlement_id=_settlement_id(payload),
        amounts=amounts_of(payload.split),
    )


def _settlement_id(payload: _Executed) -> str:
    """The id that the insured province gave to what it executed."""
    if isinstance(payload, settlement_pb2.SettleResponse):
        return payload.settlement_id
    return payload.red_settlement_id


def _wrong_amounts(stay: Stay, transaction: Transaction, payload: _Executed) -> list[Violation]:
    """A settlement is of the fees asked about; a cancellation is the negation of what it cancels."""
    if isinstance(payload, settlement_pb2.SettleResponse):
        return why_not_of_fees(payload.split, transaction.fees_total_fen)
    settlement = stay.encounter.find(transaction.cancels)
    return [] if settlement is None else why_not_negated(payload.split, settlement.amounts)


def _with_evidence(transaction: Transaction, key: MessageKey) -> Transaction:
    return dataclasses.replace(transaction, evidence=(*transaction.evidence, key)[-EVIDENCE_COUNT_MAX:])


def _refuse_answer(ruling: Ruling, reason: int, violations: list[Violation] | None = None) -> MessageKey:
    """Tell the insured province that its answer is not taken; names the answer."""
    error = OneCardError(reason, violations=violations or [])
    return ruling.reject(ruling.arrived(KnownState.DECIDED), error)
