"""What becomes of a message whatever its business: known, repeated, answered, overdue, given up, asked about."""

from __future__ import annotations

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2, filing_pb2
from onecard_broker.domain.conversation import BUSINESSES, business_of
from onecard_broker.domain.model import KnownState
from onecard_broker.domain.plain import PlainBusiness
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message
from tests.support.domain import (
    CARE,
    INSURED,
    METHODS,
    START_MS,
    Delivery,
    InMemoryWorker,
    make_answer,
    make_message,
    make_request,
)
from tests.support.stays import SyntheticStay, day, rejection

COVERAGE = "/onecard.medical.v1.CoverageService/QueryCoverage"
WITHDRAW = "/onecard.medical.v1.FilingService/WithdrawFiling"
REPORT_FILING = "/onecard.medical.v1.FilingService/ReportFiling"
STAY = SyntheticStay()


@pytest.fixture
def worker() -> InMemoryWorker:
    return InMemoryWorker()


def coverage(seed: str = "coverage", *, area: str = "510100", created_ms: int = START_MS) -> Message:
    payload = coverage_pb2.QueryCoverageRequest(person=STAY.person, insurance_area=area)
    return make_request(COVERAGE, payload, created_ms=created_ms, seed=seed)


def withdrawal() -> Message:
    """A request with effect that keeps no state at the hub."""
    payload = filing_pb2.WithdrawFilingRequest(person=STAY.person, insured_number=STAY.insured_number, filing_id="F1")
    return make_request(WITHDRAW, payload, created_ms=START_MS, seed="withdrawal")


def covered(request: Message, seed: str = "answer", *, name: str = "510100") -> Message:
    payload = coverage_pb2.QueryCoverageResponse(person=STAY.person)
    payload.insured_number.CopyFrom(STAY.insured_number)
    payload.insured_number.insurance_area = name
    return make_answer(request, payload, created_ms=START_MS + 100, seed=seed)


def reason_of(delivery: Delivery) -> int:
    payload = delivery.payload
    assert isinstance(payload, message_pb2.Rejection)
    return payload.reason


def state_of(delivery: Delivery) -> int:
    payload = delivery.payload
    assert isinstance(payload, message_pb2.Notice)
    return payload.state


# ---- a request and its answer --------------------------------------------------------------------------------------


def test_a_request_goes_to_its_recipient_and_its_answer_to_who_asked(worker: InMemoryWorker) -> None:
    request = coverage()
    (delivery,) = worker.submit(request, subject=STAY.subject)
    assert (delivery.recipient, delivery.message, delivery.answers) == (INSURED, request, None)
    (answer,) = worker.submit(covered(request))
    assert (answer.recipient, answer.message, answer.answers) == (CARE, covered(request), request.key)
    assert worker.known[request.key].state is KnownState.DECIDED
    assert not worker.timers


def test_an_event_is_passed_on_and_its_repeat_does_nothing(worker: InMemoryWorker) -> None:
    event = make_message(
        REPORT_FILING,
        message_pb2.MESSAGE_KIND_EVENT,
        filing_pb2.ReportFilingRequest(person=STAY.person, filing=filing_pb2.Filing(first_day=day(1))),
        sender=INSURED,
        recipient=CARE,
        created_ms=START_MS,
        seed="event",
    )
    assert [delivery.recipient for delivery in worker.submit(event, subject=STAY.subject)] == [CARE]
    assert worker.submit(event, subject=STAY.subject) == []
    assert worker.ask(event).payload == message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_DECIDED)


def test_a_repeat_gets_the_stored_outcome_as_a_new_delivery(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    worker.submit(covered(request))
    (again,) = worker.submit(request)
    assert (again.recipient, again.message, again.answers) == (CARE, covered(request), request.key)


def test_a_repeat_of_an_open_request_is_told_that_it_waits_and_completes_no_call(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    (notice,) = worker.submit(request)
    assert state_of(notice) == message_pb2.OPEN_STATE_WAITING
    assert notice.answers is None
    assert len(worker.inbox(INSURED)) == 1


def test_the_same_id_with_other_content_is_a_conflict_and_never_replayed(worker: InMemoryWorker) -> None:
    request = coverage()
    other = coverage(area="510700")
    assert other.key == request.key
    worker.submit(request)
    worker.submit(covered(request))
    (refusal,) = worker.submit(other)
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_ID_CONFLICT
    assert refusal.message.header.reply_to.digest == other.digest
    assert worker.known[request.key].digest == request.digest


@pytest.mark.parametrize(("late_ms", "is_expired"), [(-1, False), (0, True), (1, True)])
def test_a_request_that_was_never_sent_on_expires_at_execute_before(
    worker: InMemoryWorker, late_ms: int, is_expired: bool
) -> None:
    request = coverage()
    worker.now_ms = START_MS + limits.EXECUTE_BEFORE_MS + late_ms
    (delivery,) = worker.submit(request)
    assert (delivery.message != request) == is_expired
    if is_expired:
        assert reason_of(delivery) == errors_pb2.ERROR_REASON_EXPIRED
        assert worker.submit(request) == [delivery]
        assert not worker.inbox(INSURED)
        assert not worker.timers


# ---- answers that do not fit ---------------------------------------------------------------------------------------


def test_an_answer_that_names_no_request_is_refused_and_its_repeat_gets_the_same(worker: InMemoryWorker) -> None:
    answer = covered(coverage())
    (refusal,) = worker.submit(answer)
    assert (refusal.recipient, reason_of(refusal)) == (INSURED, errors_pb2.ERROR_REASON_UNKNOWN_REQUEST)
    assert [delivery.message for delivery in worker.submit(answer)] == [refusal.message]


def test_an_answer_is_bound_to_digest_participants_and_method(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    payload = coverage_pb2.QueryCoverageResponse()
    other_digest = make_answer(coverage(area="510700"), payload, created_ms=START_MS, seed="digest")
    other_sender = make_answer(request, payload, created_ms=START_MS, seed="sender", sender="cn-53")
    other_recipient = make_answer(request, payload, created_ms=START_MS, seed="recipient", recipient="cn-53")
    other_method = make_message(
        WITHDRAW,
        message_pb2.MESSAGE_KIND_REPLY,
        filing_pb2.WithdrawFilingResponse(),
        sender=INSURED,
        recipient=CARE,
        created_ms=START_MS,
        seed="method",
        reply_to=other_recipient.header.reply_to,
    )
    for wrong in (other_digest, other_sender, other_recipient, other_method):
        (refusal,) = worker.submit(wrong)
        assert reason_of(refusal) == errors_pb2.ERROR_REASON_UNKNOWN_REQUEST
        assert refusal.recipient == wrong.header.sender
    assert worker.known[request.key].state is KnownState.OPEN


def test_the_first_answer_counts_the_same_again_does_nothing_and_another_is_refused(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    worker.submit(covered(request))
    assert worker.submit(covered(request)) == []
    (refusal,) = worker.submit(covered(request, "another answer", name="510700"))
    assert (refusal.recipient, reason_of(refusal)) == (INSURED, errors_pb2.ERROR_REASON_ALREADY_ANSWERED)
    (again,) = worker.submit(request)
    assert again.message == covered(request)


# ---- no answer -----------------------------------------------------------------------------------------------------


def test_an_overdue_request_is_unknown_and_a_late_answer_still_decides_it(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    assert worker.advance(START_MS + limits.UNKNOWN_TIMER_MS - 1) == []
    (notice,) = worker.advance(START_MS + limits.UNKNOWN_TIMER_MS)
    assert (notice.recipient, notice.answers) == (CARE, request.key)
    assert state_of(notice) == message_pb2.OPEN_STATE_UNKNOWN
    assert state_of(worker.submit(request)[0]) == message_pb2.OPEN_STATE_UNKNOWN
    (answer,) = worker.submit(covered(request))
    assert (answer.recipient, answer.answers) == (CARE, request.key)


def test_the_unknown_timer_of_a_request_that_waited_long_is_due_now_and_never_before(worker: InMemoryWorker) -> None:
    reverse = STAY.reverse(STAY.settle())
    worker.submit(STAY.register(), subject=STAY.subject)
    worker.now_ms = START_MS + 3_600_000
    worker.submit(reverse, subject=STAY.subject)
    (due_ms,) = [timer.due_ms for timer in worker.timers.values() if timer.request == reverse.key]
    assert due_ms == worker.now_ms + limits.UNKNOWN_TIMER_MS


def test_giving_up_on_a_request_without_effect_rejects_it(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    report = message_pb2.DeliveryReport(reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED)
    (refusal,) = worker.submit(make_answer(request, report, created_ms=START_MS, seed="report"))
    assert (refusal.recipient, reason_of(refusal)) == (CARE, errors_pb2.ERROR_REASON_PROCESSING_FAILED)
    assert worker.known[request.key].state is KnownState.DECIDED


@pytest.mark.parametrize(
    "word",
    [
        message_pb2.DeliveryReport(reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED),
        rejection(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
        rejection(errors_pb2.ERROR_REASON_INTERNAL),
    ],
)
def test_giving_up_on_a_request_with_effect_leaves_it_unknown(
    worker: InMemoryWorker, word: message_pb2.DeliveryReport | message_pb2.Rejection
) -> None:
    request = withdrawal()
    worker.submit(request)
    (notice,) = worker.submit(make_answer(request, word, created_ms=START_MS, seed="report"))
    assert (notice.recipient, state_of(notice)) == (CARE, message_pb2.OPEN_STATE_UNKNOWN)
    done = make_answer(request, filing_pb2.WithdrawFilingResponse(filing_id="F1"), created_ms=START_MS, seed="done")
    (answer,) = worker.submit(done)
    assert (answer.recipient, answer.message) == (CARE, done)


def test_a_report_about_a_message_that_the_reporter_never_received_is_refused(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    report = make_answer(request, message_pb2.DeliveryReport(), created_ms=START_MS, seed="report", sender="cn-53")
    (refusal,) = worker.submit(report)
    assert (refusal.recipient, reason_of(refusal)) == ("cn-53", errors_pb2.ERROR_REASON_UNKNOWN_REQUEST)
    assert worker.known[request.key].state is KnownState.OPEN


def test_a_report_after_the_outcome_changes_nothing(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    worker.submit(covered(request))
    assert worker.submit(make_answer(request, message_pb2.DeliveryReport(), created_ms=START_MS, seed="report")) == []


# ---- questions -----------------------------------------------------------------------------------------------------


def test_a_question_about_a_decided_message_gets_its_stored_outcome(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    worker.submit(covered(request))
    answer = worker.ask(request, question=b"q")
    assert (answer.recipient, answer.answers) == (CARE, ("question", b"q"))
    assert answer.message.header.sender == HUB
    assert answer.message.header.reply_to.digest == request.digest
    assert answer.payload == message_pb2.OutcomeReport(
        state=message_pb2.OUTCOME_STATE_DECIDED, answer=covered(request).to_wire()
    )


def test_a_question_about_an_open_message_says_why_it_is_open(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request)
    assert worker.ask(request).payload == message_pb2.OutcomeReport(
        state=message_pb2.OUTCOME_STATE_OPEN, open_state=message_pb2.OPEN_STATE_WAITING
    )
    worker.advance(START_MS + limits.UNKNOWN_TIMER_MS)
    assert worker.ask(request).payload == message_pb2.OutcomeReport(
        state=message_pb2.OUTCOME_STATE_OPEN, open_state=message_pb2.OPEN_STATE_UNKNOWN
    )


def test_never_seen_closes_the_id_and_a_copy_that_comes_later_is_never_executed(worker: InMemoryWorker) -> None:
    request = coverage()
    for _ in range(2):
        assert worker.ask(request).payload == message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_NEVER_SEEN)
    (refusal,) = worker.submit(request)
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_OUTCOME_ALREADY_TOLD
    assert not worker.inbox(INSURED)
    (refused_answer,) = worker.submit(covered(request))
    assert reason_of(refused_answer) == errors_pb2.ERROR_REASON_UNKNOWN_REQUEST


def test_a_question_with_other_content_under_a_known_id_is_a_conflict(worker: InMemoryWorker) -> None:
    worker.submit(coverage())
    answer = worker.ask(coverage(area="510700"), question=b"q")
    assert (reason_of(answer), answer.answers) == (errors_pb2.ERROR_REASON_ID_CONFLICT, ("question", b"q"))


def test_past_seven_days_nothing_is_told_and_nothing_closed(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.now_ms = START_MS + limits.MESSAGE_AGE_MS_MAX + 1
    assert reason_of(worker.ask(request)) == errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL
    assert not worker.known


# ---- held records --------------------------------------------------------------------------------------------------


def test_a_held_message_is_open_until_an_operator_lets_it_go_on(worker: InMemoryWorker) -> None:
    request = coverage()
    worker.submit(request, subject=STAY.subject)
    held = worker.known[request.key]
    worker.known[request.key] = type(held)(
        sender=held.sender,
        id=held.id,
        digest=held.digest,
        recipient=held.recipient,
        method=held.method,
        subject=held.subject,
        state=KnownState.HELD,
    )
    assert state_of(worker.submit(request)[0]) == message_pb2.OPEN_STATE_HELD
    assert worker.ask(request).payload == message_pb2.OutcomeReport(
        state=message_pb2.OUTCOME_STATE_OPEN, open_state=message_pb2.OPEN_STATE_HELD
    )
    (delivery,) = worker.submit(request, subject=STAY.subject, is_replay=True)
    assert (delivery.recipient, delivery.message) == (INSURED, request)
    assert worker.known[request.key].state is KnownState.OPEN


# ---- which rules ---------------------------------------------------------------------------------------------------


def test_every_method_has_the_rules_of_its_package() -> None:
    for method in METHODS.values():
        assert business_of(method.name) is BUSINESSES[method.package]
    assert isinstance(business_of("/onecard.unknown.v1.Service/Method"), PlainBusiness)
