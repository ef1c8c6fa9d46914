"""The transition tables: every legal and every illegal transition, and requests that the state does not allow."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2
from onecard_broker.domain.medical_state import Reversal, Transaction, encode_encounter, encounter_key
from onecard_broker.domain.settlement_states import (
    BEING_REVERSED,
    CANCELLATION,
    NAMES,
    SETTLEMENT,
    SHAPE,
    TABLES,
    UNDONE_PHASES,
    Kind,
    Phase,
    Trigger,
)
from onecard_broker.domain.stay import advanced, learnt
from tests.support.domain import CARE, INSURED, START_MS, Delivery, InMemoryWorker, make_answer
from tests.support.stays import SyntheticStay

STAY = SyntheticStay()
_STATES = [phase for phase in Phase if phase is not Phase.BEFORE]
_OF_SETTLEMENTS_ONLY = {Phase.CANCELLING, Phase.VOIDED, Phase.IN_CLEARING, Phase.CLEARED}


def transaction(kind: Kind, phase: Phase) -> Transaction:
    before = Phase.UNKNOWN if phase in BEING_REVERSED else None
    return Transaction(id=STAY.settle().header.id, kind=kind, phase=phase, question=b"", before=before)


_LEGAL = [(kind, phase, trigger) for kind in Kind for phase, trigger in TABLES[kind]]
_ILLEGAL = [
    (kind, phase, trigger)
    for kind, phase, trigger in product(Kind, _STATES, Trigger)
    if (phase, trigger) not in TABLES[kind]
]


@pytest.mark.parametrize(("kind", "phase", "trigger"), _LEGAL, ids=str)
def test_a_transition_of_the_table_leads_where_the_table_says(kind: Kind, phase: Phase, trigger: Trigger) -> None:
    target = TABLES[kind][(phase, trigger)]
    moved = advanced(transaction(kind, phase), trigger)
    assert moved.phase is (Phase.UNKNOWN if target is Phase.BEFORE else target)
    assert (moved.before is not None) == (moved.phase in BEING_REVERSED)


@pytest.mark.parametrize(("kind", "phase", "trigger"), _ILLEGAL, ids=str)
def test_any_other_transition_is_an_error(kind: Kind, phase: Phase, trigger: Trigger) -> None:
    with pytest.raises(ValueError, match="cannot be moved"):
        advanced(transaction(kind, phase), trigger)


def test_what_was_undone_or_cleared_never_moves_again() -> None:
    for kind, phase in product(Kind, (*UNDONE_PHASES, Phase.FAILED, Phase.CLEARED)):
        assert {target for (source, _), target in TABLES[kind].items() if source is phase} <= {phase}


def test_every_state_can_be_reached_and_has_a_name() -> None:
    for kind in Kind:
        reached = {Phase.ABSENT, *TABLES[kind].values()}
        assert reached == {*(source for source, _ in TABLES[kind]), *reached}
        assert reached <= NAMES[kind].keys()
        assert len(set(NAMES[kind].values())) == len(NAMES[kind])
    assert not _OF_SETTLEMENTS_ONLY & {Phase.ABSENT, *SHAPE.values()}


def test_the_tables_speak_the_words_of_the_field() -> None:
    assert SETTLEMENT[("SETTLING", "executed")] == "SETTLED"
    assert SETTLEMENT[("SETTLED", "cancellation requested")] == "CANCELLING"
    assert SETTLEMENT[("CANCELLING", "cancellation stands")] == "VOIDED"
    assert CANCELLATION[("CANCELLING", "overdue")] == "CANCEL_UNKNOWN"
    assert CANCELLATION[("CANCEL_UNKNOWN", "executed")] == "VOIDED"


def test_what_is_learnt_during_a_reversal_moves_the_state_before_it() -> None:
    reversing = dataclasses.replace(transaction(Kind.SETTLEMENT, Phase.REVERSING), before=Phase.OPEN)
    assert learnt(reversing, Trigger.OVERDUE).before is Phase.UNKNOWN
    assert learnt(reversing, Trigger.NOT_EXECUTED).before is Phase.FAILED
    assert learnt(dataclasses.replace(reversing, before=Phase.STANDING), Trigger.OVERDUE).before is Phase.STANDING


# ---- requests that the state does not allow ------------------------------------------------------------------------


def worker_with(kind: Kind, phase: Phase) -> InMemoryWorker:
    """A stay whose settlement, or its cancellation, is in a state."""
    worker = InMemoryWorker(START_MS + 5_000)
    request = STAY.register()
    worker.submit(request, subject=STAY.subject)
    settle, cancel = STAY.settle(), STAY.cancel(STAY.settle())
    worker.submit(settle, subject=STAY.subject)
    worker.submit(make_answer(settle, STAY.settled(settle), created_ms=START_MS, seed="settled"))
    original = settle
    if kind is Kind.CANCELLATION:
        worker.submit(cancel, subject=STAY.subject)
        original = cancel
    encounter = worker.encounter(STAY.encounter_id)
    known = encounter.find(original.header.id)
    assert known is not None
    before = Phase.UNKNOWN if phase in BEING_REVERSED else None
    reversals = (Reversal(key=(CARE, b"r" * 16), digest=b"d"),) if phase in BEING_REVERSED else ()
    placed = dataclasses.replace(known, phase=phase, before=before, reversals=reversals)
    worker.aggregates[encounter_key(encounter.id)] = encode_encounter(encounter.with_transaction(placed))
    return worker


def reason_of(delivery: Delivery) -> int:
    assert isinstance(delivery.payload, message_pb2.Rejection)
    return delivery.payload.reason


_CLEARED_ONLY = errors_pb2.ERROR_REASON_CLEARED_ONLY_ADJUSTMENT
_ILLEGAL_TRANSITION = errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION
_SENT_ON = {Phase.OPEN, Phase.UNKNOWN, Phase.STANDING, *BEING_REVERSED}
_ANSWERED = {Phase.REVERSED, Phase.NEVER_EXECUTED, Phase.FAILED}


@pytest.mark.parametrize("phase", [phase for phase in _STATES if phase is not Phase.ABSENT])
def test_a_reversal_of_a_settlement_goes_on_is_answered_or_refused_by_its_state(phase: Phase) -> None:
    _check_reversal(Kind.SETTLEMENT, phase)


@pytest.mark.parametrize("phase", [phase for phase in _STATES if phase not in {Phase.ABSENT, *_OF_SETTLEMENTS_ONLY}])
def test_a_reversal_of_a_cancellation_goes_on_is_answered_or_refused_by_its_state(phase: Phase) -> None:
    _check_reversal(Kind.CANCELLATION, phase)


def _check_reversal(kind: Kind, phase: Phase) -> None:
    worker = worker_with(kind, phase)
    original = STAY.settle() if kind is Kind.SETTLEMENT else STAY.cancel(STAY.settle())
    (delivery,) = worker.submit(STAY.reverse(original), subject=STAY.subject)
    if phase in _SENT_ON:
        assert (delivery.recipient, delivery.message) == (INSURED, STAY.reverse(original))
    elif phase in _ANSWERED:
        assert isinstance(delivery.payload, settlement_pb2.ReverseResponse)
        is_reversed = delivery.payload.result == settlement_pb2.REVERSAL_RESULT_REVERSED
        assert is_reversed == (phase is Phase.REVERSED)
    else:
        expected = _CLEARED_ONLY if phase in {Phase.IN_CLEARING, Phase.CLEARED} else _ILLEGAL_TRANSITION
        assert reason_of(delivery) == expected


@pytest.mark.parametrize("phase", [phase for phase in _STATES if phase is not Phase.ABSENT])
def test_only_a_settlement_that_stands_can_be_cancelled(phase: Phase) -> None:
    worker = worker_with(Kind.SETTLEMENT, phase)
    (delivery,) = worker.submit(STAY.cancel(STAY.settle()), subject=STAY.subject)
    if phase is Phase.STANDING:
        assert delivery.recipient == INSURED
    else:
        expected = _CLEARED_ONLY if phase in {Phase.IN_CLEARING, Phase.CLEARED} else _ILLEGAL_TRANSITION
        assert reason_of(delivery) == expected


_FREE = {Phase.FAILED, Phase.REVERSED, Phase.NEVER_EXECUTED, Phase.VOIDED}


@pytest.mark.parametrize("phase", [phase for phase in _STATES if phase is not Phase.ABSENT])
def test_another_settlement_goes_on_only_where_the_first_is_gone(phase: Phase) -> None:
    worker = worker_with(Kind.SETTLEMENT, phase)
    (delivery,) = worker.submit(STAY.settle("another"), subject=STAY.subject)
    if phase in _FREE:
        assert delivery.recipient == INSURED
    else:
        assert reason_of(delivery) == errors_pb2.ERROR_REASON_DOUBLE_SETTLEMENT
