"""Requests about money: settle, cancel, reverse, query. Which go on to the insured province, and which do not.

What answers, timers and queries do to a settlement afterwards is in ``findings``.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2
from onecard_broker.domain.business import Accepted, Answered, Refused, Verdict
from onecard_broker.domain.medical_state import (
    QUERIES_REMEMBERED_COUNT_MAX,
    Period,
    Reversal,
    Transaction,
    encounter_key,
)
from onecard_broker.domain.model import KnownState
from onecard_broker.domain.ruling import Ruling
from onecard_broker.domain.settlement_states import (
    BEING_REVERSED,
    NOTHING_DONE,
    UNDONE_PHASES,
    Kind,
    Phase,
    Trigger,
    next_phase,
)
from onecard_broker.domain.stay import CANCEL, KIND_OF, SETTLE, Stay, advanced, reversal_response
from onecard_broker.domain.stay_lines import check_sum, iso_day
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import id_from_text, id_text, message_time_ms

REVERSALS_OPEN_COUNT_MAX: Final = 8
_CLEARING: Final = frozenset({Phase.IN_CLEARING, Phase.CLEARED})


def judge_settlement(ruling: Ruling, payload: settlement_pb2.SettleRequest) -> Verdict:
    """A settlement goes on if nothing else settles, or may have settled, the same stay or days, and its fees add up."""
    terms = payload.terms
    stay = Stay.named(ruling, terms.encounter)
    if stay is None:
        return _refused(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN)
    early = _reversed_before_it_came(stay)
    if early is not None:
        return early
    period = _period(terms.interim_period) if terms.HasField("interim_period") else None
    if stay.encounter.conflicting(period, besides=ruling.message.header.id) is not None:
        return _refused(errors_pb2.ERROR_REASON_DOUBLE_SETTLEMENT)
    mismatch = check_sum(ruling, stay.encounter, terms)
    if mismatch is not None:
        return Refused(error=mismatch)
    question = settlement_pb2.QuerySettlementRequest(
        person=payload.person,
        insured_number=terms.insured_number,
        encounter=terms.encounter,
        original_id=id_text(ruling.message.header.id),
        original_method=SETTLE,
        original_local_transaction_id=terms.local_transaction_id,
    )
    transaction = _requested(stay, Kind.SETTLEMENT, question)
    stay.put(dataclasses.replace(transaction, period=period, fees_total_fen=terms.fees.total_fen))
    return _accepted(stay)


def judge_cancellation(ruling: Ruling, payload: settlement_pb2.CancelSettlementRequest) -> Verdict:
    """A cancellation goes on if its settlement stands."""
    stay = Stay.named(ruling, payload.encounter)
    if stay is None:
        return _refused(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN)
    early = _reversed_before_it_came(stay)
    if early is not None:
        return early
    original_id = id_from_text(payload.original_id)
    settlement = None if original_id is None else stay.encounter.find(original_id)
    if settlement is None or settlement.kind is not Kind.SETTLEMENT or settlement.phase is Phase.ABSENT:
        return _refused(errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN)
    if settlement.phase in _CLEARING:
        return _refused(errors_pb2.ERROR_REASON_CLEARED_ONLY_ADJUSTMENT)
    if settlement.phase is not Phase.STANDING:
        return _refused(errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION, f"the settlement is {settlement.phase}")
    if payload.settlement_id != settlement.settlement_id:
        return _refused(errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN, "the insured province's id is another one")
    question = settlement_pb2.QuerySettlementRequest(
        person=payload.person,
        insured_number=payload.insured_number,
        encounter=payload.encounter,
        original_id=id_text(ruling.message.header.id),
        original_method=CANCEL,
        original_local_transaction_id=payload.local_transaction_id,
        settlement_id=payload.settlement_id,
    )
    transaction = _requested(stay, Kind.CANCELLATION, question)
    stay.put(dataclasses.replace(transaction, cancels=settlement.id))
    return _accepted(stay)


def judge_reversal(ruling: Ruling, payload: settlement_pb2.ReverseRequest) -> Verdict:
    """A reversal goes to the insured province, also for an original that the hub has not seen (rule 12).

    Where the original is undone already, or nothing was done, the hub answers from the state.
    """
    kind = KIND_OF.get(payload.original_method)
    if kind is None:
        return _refused(errors_pb2.ERROR_REASON_REVERSAL_NOT_ALLOWED)
    stay = Stay.named(ruling, payload.encounter)
    if stay is None:
        return _refused(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN)
    question = settlement_pb2.QuerySettlementRequest(
        person=payload.person,
        insured_number=payload.insured_number,
        encounter=payload.encounter,
        original_id=payload.original_id,
        original_method=payload.original_method,
        original_local_transaction_id=payload.original_local_transaction_id,
    )
    transaction = _original(stay, kind, question)
    if transaction is None:
        return _refused(errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN)
    refusal = _reason_against_reversal(stay, transaction)
    if refusal is not None:
        return Refused(error=refusal)
    if transaction.phase in NOTHING_DONE - {Phase.ABSENT}:
        answer = ruling.tell(
            ruling.arrived(KnownState.OPEN),
            message_pb2.MESSAGE_KIND_REPLY,
            reversal_response(transaction),
            answers=ruling.message.key,
        )
        return Answered(answer=answer)
    reversal = Reversal(key=ruling.message.key, digest=ruling.message.digest)
    if transaction.phase is Phase.UNKNOWN:
        transaction = stay.stop_asking(transaction)
    transaction = dataclasses.replace(transaction, reversals=(*transaction.reversals, reversal))
    stay.put(advanced(transaction, Trigger.REVERSAL_REQUESTED))
    return _accepted(stay)


def judge_query(ruling: Ruling, payload: settlement_pb2.QuerySettlementRequest) -> Verdict:
    """A query always goes on; what it is about is noted, so that its answer counts as the hub's own query's does."""
    stay = Stay.named(ruling, payload.encounter)
    if stay is None:
        return _refused(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN)
    if payload.original_id:
        kind = KIND_OF.get(payload.original_method)
        transaction = None if kind is None else _original(stay, kind, payload)
    else:
        transaction = stay.encounter.find_settlement(payload.settlement_id)
    if transaction is not None:
        queries = (*transaction.queries, ruling.message.key)[-QUERIES_REMEMBERED_COUNT_MAX:]
        stay.put(dataclasses.replace(transaction, queries=queries))
    return _accepted(stay)


# ---- shared --------------------------------------------------------------------------------------------------------


def _accepted(stay: Stay) -> Accepted:
    stay.save()
    return Accepted(aggregates=(encounter_key(stay.encounter.id),))


def _refused(reason: int, detail: str = "") -> Refused:
    return Refused(error=OneCardError(reason, detail))


def _period(interim: settlement_pb2.InterimPeriod) -> Period:
    return iso_day(interim.first_day), iso_day(interim.last_day)


def _requested(stay: Stay, kind: Kind, question: settlement_pb2.QuerySettlementRequest) -> Transaction:
    """The transaction of the request in hand, open; a query may have asked about it before it came."""
    message = stay.ruling.message
    asked_about = stay.encounter.find(message.header.id)
    transaction = asked_about or Transaction(id=message.header.id, kind=kind, phase=Phase.ABSENT, question=b"")
    return dataclasses.replace(
        advanced(transaction, Trigger.REQUESTED),
        kind=kind,
        question=question.SerializeToString(deterministic=True),
        digest=message.digest,
    )


def _reversed_before_it_came(stay: Stay) -> Refused | None:
    """A late original behind its own reversal is never executed: the reversal's tombstone, or the reversal itself."""
    transaction = stay.encounter.find(stay.ruling.message.header.id)
    if transaction is None or transaction.phase is Phase.ABSENT:
        return None
    if transaction.phase in BEING_REVERSED:
        stay.put(dataclasses.replace(transaction, before=Phase.NEVER_EXECUTED))
        stay.save()
        return _refused(errors_pb2.ERROR_REASON_NEVER_EXECUTED, "its reversal came before it")
    if transaction.phase in UNDONE_PHASES:
        return _refused(errors_pb2.ERROR_REASON_NEVER_EXECUTED, "it was ended by reversal or query before it came")
    return _refused(errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION, f"it is {transaction.phase}")


def _original(stay: Stay, kind: Kind, question: settlement_pb2.QuerySettlementRequest) -> Transaction | None:
    """The transaction that a reversal or query names; one that the hub has not seen yet and still may see is ABSENT.

    None for an id that is none, that belongs to something else, or that is too old to be on its way.
    """
    original_id = id_from_text(question.original_id)
    if original_id is None:
        return None
    transaction = stay.encounter.find(original_id)
    if transaction is not None:
        return transaction if transaction.kind is kind else None
    ruling = stay.ruling
    known = ruling.state.known.get((ruling.message.header.sender, original_id))
    is_elsewhere = known is not None and (
        KIND_OF.get(known.method) is not kind or (known.aggregates and known.state is not KnownState.CLOSED)
    )
    if is_elsewhere or ruling.now_ms - message_time_ms(original_id) > limits.MESSAGE_AGE_MS_MAX:
        return None
    return Transaction(
        id=original_id, kind=kind, phase=Phase.ABSENT, question=question.SerializeToString(deterministic=True)
    )


def _reason_against_reversal(stay: Stay, transaction: Transaction) -> OneCardError | None:
    if transaction.phase in _CLEARING:
        return OneCardError(errors_pb2.ERROR_REASON_CLEARED_ONLY_ADJUSTMENT)
    if next_phase(transaction.kind, transaction.phase, Trigger.REVERSAL_REQUESTED) is None:
        return OneCardError(
            errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION, f"the {transaction.kind} is {transaction.phase}"
        )
    if len(transaction.reversals) >= REVERSALS_OPEN_COUNT_MAX:
        return OneCardError(errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION, "its reversals wait for their answer")
    if transaction.kind is Kind.CANCELLATION and transaction.phase is Phase.STANDING:
        settlement = stay.encounter.find(transaction.cancels)
        if settlement is not None and stay.encounter.conflicting(settlement.period, settlement.id) is not None:
            return OneCardError(
                errors_pb2.ERROR_REASON_DOUBLE_SETTLEMENT, "the stay was settled again after the cancellation"
            )
    return None
