"""Single stories of settlements: what the rules say where an interleaving alone does not show it."""

from __future__ import annotations

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2
from onecard_broker.domain.settlement_states import Phase
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB, message_id_from
from onecard_protocol.messages import Message
from tests.support.domain import CARE, INSURED, START_MS, Delivery, InMemoryWorker, finals, make_answer
from tests.support.stays import CANCEL, QUERY, SETTLE, SyntheticStay, rejection

STAY = SyntheticStay()
SETTLEMENT = STAY.settle()
FOUND = settlement_pb2.SETTLEMENT_FINDING_EXECUTED
NOT_FOUND = settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND
IN_DOUBT = settlement_pb2.SETTLEMENT_FINDING_IN_DOUBT


@pytest.fixture
def worker() -> InMemoryWorker:
    """A worker with a registered stay."""
    worker = InMemoryWorker(START_MS + 5_000)
    request = STAY.register()
    worker.submit(request, subject=STAY.subject)
    worker.submit(make_answer(request, STAY.registered(), created_ms=START_MS, seed="registered"))
    return worker


def submit(worker: InMemoryWorker, message: Message) -> list[Delivery]:
    return worker.submit(message, subject=STAY.subject)


def answer(worker: InMemoryWorker, request: Message, payload: object, seed: str = "answer") -> list[Delivery]:
    made = make_answer(request, payload, created_ms=START_MS + 5_000, seed=seed)  # type: ignore[arg-type]
    return worker.submit(made)


def phase(worker: InMemoryWorker, original: Message = SETTLEMENT) -> Phase:
    transaction = worker.encounter(STAY.encounter_id).find(original.header.id)
    return Phase.ABSENT if transaction is None else transaction.phase


def reason_of(delivery: Delivery) -> int:
    assert isinstance(delivery.payload, message_pb2.Rejection)
    return delivery.payload.reason


def settled(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    answer(worker, SETTLEMENT, STAY.settled(SETTLEMENT), "settled")
    assert phase(worker) is Phase.STANDING


# ---- the hub's queries ---------------------------------------------------------------------------------------------


def test_the_hub_asks_at_once_then_after_1_5_and_30_minutes_and_then_a_person_decides(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    overdue_ms = SETTLEMENT.created_ms + limits.UNKNOWN_TIMER_MS
    asked_ms = []
    for at_ms in [overdue_ms + delay_ms for delay_ms in limits.QUERY_DELAYS_MS]:
        before = len(worker.inbox(INSURED))
        worker.advance(at_ms - 1)
        assert len(worker.inbox(INSURED)) == before
        worker.advance(at_ms)
        (query,) = worker.inbox(INSURED)[before:]
        assert (query.message.header.sender, query.message.header.method) == (HUB, QUERY)
        assert isinstance(query.payload, settlement_pb2.QuerySettlementRequest)
        assert query.payload.person == STAY.person
        assert query.payload.original_id == SETTLEMENT.header.id.hex()
        asked_ms.append(worker.now_ms)
        assert phase(worker) is Phase.UNKNOWN
    assert asked_ms == [overdue_ms, overdue_ms + 60_000, overdue_ms + 300_000, overdue_ms + 1_800_000]
    (notice,) = worker.advance(asked_ms[-1] + limits.UNKNOWN_TIMER_MS)
    assert phase(worker) is Phase.MANUAL
    assert notice.payload == message_pb2.Notice(
        state=message_pb2.OPEN_STATE_MANUAL, reason=errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
    )
    assert not worker.timers


@pytest.mark.parametrize("is_reversed", [False, True])
def test_who_asks_is_told_that_a_person_decides_or_that_it_is_being_reversed(
    worker: InMemoryWorker, is_reversed: bool
) -> None:
    """Rule 3: OPEN with the state that the business is in."""
    submit(worker, SETTLEMENT)
    if is_reversed:
        submit(worker, STAY.reverse(SETTLEMENT))
    else:
        worker.advance(worker.now_ms + 3_600_000)
    assert phase(worker) is (Phase.REVERSING if is_reversed else Phase.MANUAL)
    assert worker.ask(SETTLEMENT).payload == message_pb2.OutcomeReport(
        state=message_pb2.OUTCOME_STATE_OPEN,
        open_state=message_pb2.OPEN_STATE_REVERSING if is_reversed else message_pb2.OPEN_STATE_MANUAL,
    )


def test_an_answer_found_by_query_is_told_as_a_reply_of_the_hub_that_a_stub_understands(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    worker.advance(START_MS + 30_000)
    query = worker.inbox(INSURED)[-1].message
    (told,) = answer(worker, query, STAY.found(SETTLEMENT, FOUND))
    assert (told.recipient, told.answers) == (CARE, SETTLEMENT.key)
    assert (told.message.header.sender, told.message.header.method) == (HUB, SETTLE)
    assert told.message.header.reply_to.digest == SETTLEMENT.digest
    assert told.payload == STAY.settled(SETTLEMENT)
    assert not worker.timers


def test_the_provinces_own_late_answer_to_what_a_query_told_is_kept_and_nothing_said(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    submit(worker, STAY.query(SETTLEMENT))
    answer(worker, STAY.query(SETTLEMENT), STAY.found(SETTLEMENT, FOUND), "found")
    assert answer(worker, SETTLEMENT, STAY.settled(SETTLEMENT), "settled") == []
    other = STAY.settled(SETTLEMENT)
    other.settlement_id = "another"
    (refusal,) = answer(worker, SETTLEMENT, other, "contradiction")
    assert (refusal.recipient, reason_of(refusal)) == (INSURED, errors_pb2.ERROR_REASON_ALREADY_ANSWERED)


def test_a_finding_without_the_settlement_or_with_wrong_amounts_tells_nothing(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    worker.advance(START_MS + 30_000)
    query = worker.inbox(INSURED)[-1].message
    wrong = STAY.found(SETTLEMENT, FOUND)
    wrong.settlement.split.total_fen += 1
    assert answer(worker, query, wrong, "wrong") == []
    assert phase(worker) is Phase.UNKNOWN


def test_a_delivery_report_makes_a_settlement_unknown_and_asks_at_once(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    notice, query = sorted(
        answer(worker, SETTLEMENT, message_pb2.DeliveryReport(), "report"), key=lambda delivery: delivery.recipient
    )
    assert isinstance(notice.payload, message_pb2.Notice)
    assert (query.recipient, query.message.header.method) == (INSURED, QUERY)
    assert phase(worker) is Phase.UNKNOWN


def test_an_overdue_reversal_is_asked_about_and_a_later_success_still_counts(worker: InMemoryWorker) -> None:
    settled(worker)
    reversal = STAY.reverse(SETTLEMENT)
    submit(worker, reversal)
    worker.advance(worker.now_ms + 3_600_000)
    assert phase(worker) is Phase.REVERSAL_MANUAL
    queries = [delivery for delivery in worker.inbox(INSURED) if delivery.message.header.sender == HUB]
    assert len(queries) == len(limits.QUERY_DELAYS_MS)
    answer(worker, reversal, STAY.reversed(SETTLEMENT), "late")
    assert phase(worker) is Phase.REVERSED
    assert len(list(finals(worker.answers_to(reversal)))) == 1


def test_a_refused_reversal_of_an_unknown_settlement_has_the_hub_ask_again(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    worker.advance(START_MS + 30_000)
    reversal = STAY.reverse(SETTLEMENT)
    submit(worker, reversal)
    assert not [timer for timer in worker.timers.values() if timer.request == SETTLEMENT.key]
    told = answer(worker, reversal, rejection(errors_pb2.ERROR_REASON_REVERSAL_REFUSED), "refused")
    assert [(delivery.recipient, delivery.message.header.method) for delivery in told if delivery.recipient == INSURED]
    assert phase(worker) is Phase.UNKNOWN
    assert [timer for timer in worker.timers.values() if timer.request == SETTLEMENT.key]
    worker.advance(worker.now_ms + 3_600_000)
    assert phase(worker) is Phase.MANUAL


# ---- reversals -----------------------------------------------------------------------------------------------------


def test_a_reversal_of_an_original_that_the_hub_never_saw_goes_to_the_province_and_leaves_a_tombstone(
    worker: InMemoryWorker,
) -> None:
    reversal = STAY.reverse(SETTLEMENT)
    (sent,) = submit(worker, reversal)
    assert (sent.recipient, sent.message) == (INSURED, reversal)
    never = STAY.reversed(SETTLEMENT, settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED)
    answer(worker, reversal, never)
    (refusal,) = submit(worker, SETTLEMENT)
    assert (refusal.recipient, reason_of(refusal)) == (CARE, errors_pb2.ERROR_REASON_NEVER_EXECUTED)


def test_an_original_that_comes_during_its_reversal_is_refused_for_good(worker: InMemoryWorker) -> None:
    reversal = STAY.reverse(SETTLEMENT)
    submit(worker, reversal)
    (refusal,) = submit(worker, SETTLEMENT)
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_NEVER_EXECUTED
    answer(worker, reversal, rejection(errors_pb2.ERROR_REASON_REVERSAL_REFUSED))
    assert phase(worker) is Phase.NEVER_EXECUTED


def test_a_refused_reversal_of_an_original_never_seen_leaves_nothing(worker: InMemoryWorker) -> None:
    reversal = STAY.reverse(SETTLEMENT)
    submit(worker, reversal)
    answer(worker, reversal, rejection(errors_pb2.ERROR_REASON_REVERSAL_REFUSED))
    assert phase(worker) is Phase.ABSENT
    assert submit(worker, SETTLEMENT)[0].recipient == INSURED


def test_a_late_success_is_kept_posts_nothing_and_its_repeat_gets_the_same_refusal(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    submit(worker, STAY.reverse(SETTLEMENT))
    success = make_answer(SETTLEMENT, STAY.settled(SETTLEMENT), created_ms=START_MS, seed="late")
    (refusal,) = worker.submit(success)
    assert (refusal.recipient, refusal.answers) == (INSURED, success.key)
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_LATE_SUCCESS_REFUSED
    assert refusal.message.header.reply_to.digest == success.digest
    transaction = worker.encounter(STAY.encounter_id).find(SETTLEMENT.header.id)
    assert transaction is not None
    assert (transaction.phase, transaction.amounts, transaction.evidence) == (Phase.REVERSING, {}, (success.key,))
    assert [delivery.message for delivery in worker.submit(success)] == [refusal.message]


def test_a_reversal_of_a_settled_settlement_leaves_its_own_outcome_as_it_was_told(worker: InMemoryWorker) -> None:
    settled(worker)
    reversal = STAY.reverse(SETTLEMENT)
    submit(worker, reversal)
    answer(worker, reversal, STAY.reversed(SETTLEMENT), "reversed")
    (again,) = submit(worker, SETTLEMENT)
    assert again.payload == STAY.settled(SETTLEMENT)
    second = STAY.reverse(SETTLEMENT, "second")
    (told,) = submit(worker, second)
    assert (told.recipient, told.payload, told.answers) == (CARE, STAY.reversed(SETTLEMENT), second.key)


@pytest.mark.parametrize(
    ("original", "reason"),
    [
        (STAY.pre_settle(), errors_pb2.ERROR_REASON_REVERSAL_NOT_ALLOWED),
        (STAY.register(), errors_pb2.ERROR_REASON_REVERSAL_NOT_ALLOWED),
        (STAY.cancel(SETTLEMENT), 0),
        (SETTLEMENT, 0),
    ],
)
def test_only_settlements_and_cancellations_can_be_reversed(
    worker: InMemoryWorker, original: Message, reason: int
) -> None:
    (delivery,) = submit(worker, STAY.reverse(original))
    assert (reason_of(delivery) if delivery.recipient == CARE else 0) == reason


def test_an_original_is_named_by_its_own_method_and_encounter(worker: InMemoryWorker) -> None:
    settled(worker)
    reversal = STAY.reverse(SETTLEMENT)
    payload = settlement_pb2.ReverseRequest.FromString(reversal.payload)
    payload.original_method = CANCEL
    wrong_method = STAY.request(reversal.header.method, payload, "wrong method", 4_000)
    assert reason_of(submit(worker, wrong_method)[0]) == errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN
    payload.original_method = SETTLE
    payload.original_id = STAY.register().header.id.hex()
    registration = STAY.request(reversal.header.method, payload, "registration", 4_000)
    assert reason_of(submit(worker, registration)[0]) == errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN
    payload.original_id = message_id_from(START_MS - limits.MESSAGE_AGE_MS_MAX - 1, b"0" * 10).hex()
    too_old = STAY.request(reversal.header.method, payload, "too old", 4_000)
    assert reason_of(submit(worker, too_old)[0]) == errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN


def test_a_cancellation_is_not_reversed_once_the_stay_is_settled_again(worker: InMemoryWorker) -> None:
    settled(worker)
    cancel = STAY.cancel(SETTLEMENT)
    submit(worker, cancel)
    answer(worker, cancel, STAY.cancelled(SETTLEMENT, cancel), "cancelled")
    assert phase(worker) is Phase.VOIDED
    submit(worker, STAY.settle("again"))
    (refusal,) = submit(worker, STAY.reverse(cancel))
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_DOUBLE_SETTLEMENT


# ---- amounts and periods -------------------------------------------------------------------------------------------


def test_a_settlement_of_other_fees_than_asked_about_is_no_answer(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    wrong = STAY.settled(SETTLEMENT)
    wrong.split.total_fen += 1
    (refusal,) = answer(worker, SETTLEMENT, wrong, "wrong")
    assert (refusal.recipient, reason_of(refusal)) == (INSURED, errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT)
    assert phase(worker) is Phase.OPEN
    (told,) = answer(worker, SETTLEMENT, STAY.settled(SETTLEMENT), "right")
    assert told.recipient == CARE


def test_a_cancellation_must_negate_its_original(worker: InMemoryWorker) -> None:
    settled(worker)
    cancel = STAY.cancel(SETTLEMENT)
    submit(worker, cancel)
    wrong = STAY.cancelled(SETTLEMENT, cancel)
    wrong.split.cash_fen += 1
    (refusal,) = answer(worker, cancel, wrong, "wrong")
    assert (refusal.recipient, reason_of(refusal)) == (INSURED, errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT)
    assert isinstance(refusal.payload, message_pb2.Rejection)
    assert [violation.field for violation in refusal.payload.violations] == ["split.cash_fen"]
    assert phase(worker) is Phase.CANCELLING


def test_a_cancellation_names_the_settlement_by_both_ids(worker: InMemoryWorker) -> None:
    settled(worker)
    for wrong in (STAY.cancel(STAY.settle("other")), STAY.cancel(SETTLEMENT, "other", settlement_id="A1")):
        assert reason_of(submit(worker, wrong)[0]) == errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN


@pytest.mark.parametrize(
    ("first", "second", "goes_on"),
    [
        ((1, 5), (6, 9), True),
        ((1, 5), (5, 9), False),
        ((3, 4), (1, 9), False),
        ((1, 5), None, True),
        (None, (1, 5), False),
    ],
)
def test_interim_settlements_may_not_overlap_and_none_follows_the_final_one(
    worker: InMemoryWorker, first: tuple[int, int] | None, second: tuple[int, int] | None, goes_on: bool
) -> None:
    submit(worker, STAY.settle("first", period=first))
    (delivery,) = submit(worker, STAY.settle("second", period=second))
    assert (delivery.recipient == INSURED) == goes_on
    if not goes_on:
        assert reason_of(delivery) == errors_pb2.ERROR_REASON_DOUBLE_SETTLEMENT


# ---- queries -------------------------------------------------------------------------------------------------------


def test_a_query_by_the_provinces_own_settlement_id_counts_too(worker: InMemoryWorker) -> None:
    settled(worker)
    payload = settlement_pb2.QuerySettlementRequest(
        person=STAY.person,
        insured_number=STAY.insured_number,
        encounter=STAY.encounter,
        settlement_id=STAY.settlement_id(SETTLEMENT),
    )
    query = STAY.request(QUERY, payload, "by settlement id", 4_000)
    submit(worker, query)
    transaction = worker.encounter(STAY.encounter_id).find(SETTLEMENT.header.id)
    assert transaction is not None
    assert transaction.queries == (query.key,)
    (told,) = answer(worker, query, STAY.found(SETTLEMENT, FOUND))
    assert (told.recipient, told.answers) == (CARE, query.key)


def test_not_found_sets_the_tombstone_also_for_an_original_that_never_came(worker: InMemoryWorker) -> None:
    query = STAY.query(SETTLEMENT)
    submit(worker, query)
    answer(worker, query, STAY.found(SETTLEMENT, NOT_FOUND))
    (refusal,) = submit(worker, SETTLEMENT)
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_NEVER_EXECUTED


def test_a_query_that_tells_nothing_of_an_original_never_seen_leaves_nothing(worker: InMemoryWorker) -> None:
    query = STAY.query(SETTLEMENT)
    submit(worker, query)
    answer(worker, query, STAY.found(SETTLEMENT, IN_DOUBT))
    assert worker.encounter(STAY.encounter_id).transactions == ()


def test_a_settlement_that_was_signed_is_not_forgotten_by_a_query_that_finds_nothing(worker: InMemoryWorker) -> None:
    settled(worker)
    submit(worker, STAY.reverse(SETTLEMENT))
    query = STAY.query(SETTLEMENT)
    submit(worker, query)
    answer(worker, query, STAY.found(SETTLEMENT, NOT_FOUND))
    assert phase(worker) is Phase.REVERSING


def test_failures_and_tombstones_are_dropped_when_no_message_can_reach_them(worker: InMemoryWorker) -> None:
    submit(worker, SETTLEMENT)
    answer(worker, SETTLEMENT, rejection(), "not executed")
    assert phase(worker) is Phase.FAILED
    worker.now_ms += limits.MESSAGE_AGE_MS_MAX + 60_000
    later = SyntheticStay(start_ms=worker.now_ms)
    payload = settlement_pb2.SettleRequest(person=STAY.person, terms=STAY.terms())
    again = later.request(SETTLE, payload, "again", 0)
    submit(worker, again)
    assert [known.id for known in worker.encounter(STAY.encounter_id).transactions] == [again.header.id]
