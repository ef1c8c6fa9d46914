"""What becomes of a message that its recipient gave up on (rule 13), and that rule 12 goes on beside it."""

from __future__ import annotations

import pytest

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard.medical.v1 import encounter_pb2, filing_pb2
from onecard_broker.domain import conversation
from onecard_broker.domain.model import Inbound, KnownState, Origin
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message
from tests.support.domain import (
    CARE,
    INSURED,
    LOG_EPOCH,
    METHODS,
    PARTITION,
    START_MS,
    Delivery,
    InMemoryWorker,
    make_answer,
    make_message,
    make_request,
    parse,
)
from tests.support.stays import SyntheticStay

STAY = SyntheticStay()
REPORT_FILING = "/onecard.medical.v1.FilingService/ReportFiling"
QUERY_COVERAGE = "/onecard.medical.v1.CoverageService/QueryCoverage"
REPLAY = control_pb2.DISPOSITION_REPLAY
RELEASE = control_pb2.DISPOSITION_RELEASE
DISCARD = control_pb2.DISPOSITION_DISCARD


@pytest.fixture
def worker() -> InMemoryWorker:
    """A worker at the beginning of 2026."""
    return InMemoryWorker()


def event(seed: str = "event") -> Message:
    """A filing, told to the place of care: the protocol's one event."""
    return make_message(
        REPORT_FILING,
        message_pb2.MESSAGE_KIND_EVENT,
        filing_pb2.ReportFilingRequest(person=STAY.person, insured_number=STAY.insured_number),
        sender=INSURED,
        recipient=CARE,
        created_ms=START_MS,
        seed=seed,
    )


def give_up(worker: InMemoryWorker, message: Message, seed: str = "report") -> list[Delivery]:
    """The recipient's report to the hub, as an adapter makes it."""
    report = message_pb2.DeliveryReport(
        reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED, detail="LOCAL_SYSTEM_DOWN", attempt_count=6
    )
    return worker.submit(make_answer(message, report, created_ms=worker.now_ms, seed=seed, recipient=HUB))


def settled_in_doubt(worker: InMemoryWorker) -> Message:
    """A settlement that the insured province gave up on."""
    settle = STAY.settle()
    worker.submit(STAY.register(), subject=STAY.subject)
    worker.submit(make_answer(STAY.register(), STAY.registered(), created_ms=START_MS, seed="registered"))
    worker.submit(settle, subject=STAY.subject)
    give_up(worker, settle)
    return settle


def waits(worker: InMemoryWorker, message: Message) -> bool:
    """Whether a message of the person waits behind what is given up on now."""
    inbound = Inbound(
        origin=Origin.MESSAGE,
        log_epoch=LOG_EPOCH,
        partition=PARTITION,
        position=worker.position,
        subject=STAY.subject,
        message=message,
        method=METHODS[message.header.method],
        payload=parse(message),
    )
    return conversation.waits(inbound, worker.known, list(worker.dead_letters))


def reason_of(delivery: Delivery) -> int:
    """The reason of a rejection."""
    assert isinstance(delivery.payload, message_pb2.Rejection)
    return delivery.payload.reason


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_an_event_that_was_given_up_on_is_kept_and_its_person_waits(worker: InMemoryWorker) -> None:
    worker.submit(event(), subject=STAY.subject)
    assert give_up(worker, event()) == []
    kept, report = worker.dead_letters[event().key]
    assert (kept.subject, kept.cause) == (STAY.subject, f"given up by {CARE}: PROCESSING_FAILED")
    assert report.header.sender == CARE
    assert waits(worker, event("another"))
    assert waits(worker, STAY.register())


def test_a_request_with_effect_is_kept_and_unknown(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    assert worker.known[settle.key].state is KnownState.UNKNOWN
    assert worker.dead_letters[settle.key][0].subject == STAY.subject


def test_a_request_without_effect_is_rejected_and_not_kept(worker: InMemoryWorker) -> None:
    """Its rejection is its outcome: there is nothing left to replay or to tell."""
    query = make_request(QUERY_COVERAGE, encounter_pb2.DischargeRequest(), created_ms=START_MS, seed="coverage")
    worker.submit(query, subject=STAY.subject)
    (refusal,) = give_up(worker, query)
    assert reason_of(refusal) == errors_pb2.ERROR_REASON_PROCESSING_FAILED
    assert not worker.dead_letters


def test_an_answer_is_kept_and_nobody_waits(worker: InMemoryWorker) -> None:
    reply = make_answer(STAY.register(), STAY.registered(), created_ms=START_MS, seed="registered")
    worker.submit(STAY.register(), subject=STAY.subject)
    worker.submit(reply)
    give_up(worker, reply)
    assert worker.dead_letters[reply.key][0].subject == ""


def test_a_query_of_the_hub_is_not_kept_because_the_hub_repeats_it(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    query = next(one.message for one in worker.deliveries if one.message.header.sender == HUB and one.recipient != CARE)
    give_up(worker, query, "second report")
    assert list(worker.dead_letters) == [settle.key]


def test_a_second_report_changes_nothing_and_one_after_the_outcome_keeps_nothing(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    worker.submit(make_answer(settle, STAY.settled(settle), created_ms=worker.now_ms, seed="late success"))
    give_up(worker, settle, "second report")
    assert not worker.dead_letters


# ---- who waits -----------------------------------------------------------------------------------------------------


def test_a_reversal_and_a_query_of_the_very_message_go_ahead_and_other_requests_wait(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    other = STAY.settle("another")
    assert not waits(worker, STAY.reverse(settle))
    assert not waits(worker, STAY.query(settle))
    assert waits(worker, STAY.reverse(other))
    assert waits(worker, STAY.query(other))
    assert waits(worker, STAY.cancel(settle))
    assert waits(worker, STAY.pre_settle())


def test_answers_and_repeats_never_wait(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    assert not waits(worker, make_answer(settle, STAY.settled(settle), created_ms=START_MS, seed="late"))
    assert not waits(worker, settle)


def test_a_query_of_a_message_goes_ahead_also_when_its_reversal_was_given_up_on(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    reverse = STAY.reverse(settle)
    worker.submit(reverse, subject=STAY.subject)
    give_up(worker, reverse, "report of reversal")
    assert set(worker.dead_letters) == {settle.key, reverse.key}
    assert not waits(worker, STAY.query(settle))
    assert not waits(worker, STAY.reverse(settle, "second"))


# ---- how it ends ---------------------------------------------------------------------------------------------------


def test_a_late_answer_ends_it(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    worker.submit(make_answer(settle, STAY.settled(settle), created_ms=worker.now_ms, seed="late success"))
    assert worker.known[settle.key].state is KnownState.DECIDED
    assert not worker.dead_letters


def test_a_reversal_ends_both_the_original_and_the_reversal_that_was_given_up_on(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    first, second = STAY.reverse(settle, "first"), STAY.reverse(settle, "second")
    worker.submit(first, subject=STAY.subject)
    give_up(worker, first, "report of reversal")
    worker.submit(second, subject=STAY.subject)
    worker.submit(make_answer(second, STAY.reversed(settle), created_ms=worker.now_ms, seed="reversed"))
    assert not worker.dead_letters


def test_replay_sends_the_stored_bytes_again(worker: InMemoryWorker) -> None:
    worker.submit(event(), subject=STAY.subject)
    give_up(worker, event())
    (again,) = worker.dispose(event(), REPLAY)
    assert (again.recipient, again.message) == (CARE, event())
    assert not worker.dead_letters


def test_what_has_expired_is_not_sent_again_and_stays_as_it_was(worker: InMemoryWorker) -> None:
    settle = settled_in_doubt(worker)
    before = worker.dead_letters[settle.key][0].subject
    worker.now_ms = settle.created_ms + limits.EXECUTE_BEFORE_MS
    assert worker.dispose(settle, REPLAY) == []
    assert worker.dead_letters[settle.key][0].subject == before


def test_what_is_not_stored_any_more_is_not_sent_again(worker: InMemoryWorker) -> None:
    worker.submit(event(), subject=STAY.subject)
    give_up(worker, event())
    del worker.messages[event().key]
    assert worker.dispose(event(), REPLAY) == []
    assert event().key in worker.dead_letters


def test_release_keeps_it_and_lets_the_person_go_on(worker: InMemoryWorker) -> None:
    worker.submit(event(), subject=STAY.subject)
    give_up(worker, event())
    assert worker.dispose(event(), RELEASE) == []
    assert worker.dead_letters[event().key][0].subject == ""
    (again,) = worker.dispose(event(), REPLAY)
    assert again.message == event()


def test_discarding_an_event_tells_nobody(worker: InMemoryWorker) -> None:
    worker.submit(event(), subject=STAY.subject)
    give_up(worker, event())
    assert worker.dispose(event(), DISCARD) == []
    assert not worker.dead_letters


def test_discarding_a_registration_rejects_it_finally_and_frees_the_visit(worker: InMemoryWorker) -> None:
    register = STAY.register()
    worker.submit(register, subject=STAY.subject)
    give_up(worker, register)
    (refusal,) = worker.dispose(register, DISCARD)
    assert (refusal.recipient, reason_of(refusal)) == (CARE, errors_pb2.ERROR_REASON_DISCARDED)
    assert worker.known[register.key].state is KnownState.DECIDED
    (late,) = worker.submit(make_answer(register, STAY.registered(), created_ms=worker.now_ms, seed="late"))
    assert (late.recipient, reason_of(late)) == (INSURED, errors_pb2.ERROR_REASON_ALREADY_ANSWERED)
    (passed_on,) = worker.submit(STAY.register("again"), subject=STAY.subject)
    assert passed_on.recipient == INSURED


def test_discarding_a_settlement_leaves_its_outcome_to_queries_and_reversal(worker: InMemoryWorker) -> None:
    """Rule 12 wins: nobody is told that it was not executed while it may have been."""
    settle = settled_in_doubt(worker)
    assert worker.dispose(settle, DISCARD) == []
    assert worker.known[settle.key].state is KnownState.UNKNOWN
    assert not worker.dead_letters
    worker.submit(make_answer(settle, STAY.settled(settle), created_ms=worker.now_ms, seed="late success"))
    assert worker.known[settle.key].state is KnownState.DECIDED
