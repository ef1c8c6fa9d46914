"""Registering a visit or stay, and what needs a registered one."""

from __future__ import annotations

import dataclasses

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.medical_state import encode_encounter, encounter_key
from onecard_protocol.messages import Message
from tests.support.domain import INSURED, START_MS, InMemoryWorker, make_answer
from tests.support.stays import SyntheticStay, rejection

STAY = SyntheticStay()


def registered(worker: InMemoryWorker, stay: SyntheticStay = STAY) -> None:
    request = stay.register()
    worker.submit(request, subject=stay.subject)
    worker.submit(make_answer(request, stay.registered(), created_ms=START_MS, seed="registered"))


def reason(worker: InMemoryWorker, message: Message, subject: str = STAY.subject) -> int:
    """The reason of the hub's refusal; 0 if the message went on."""
    (delivery,) = worker.submit(message, subject=subject)
    if delivery.recipient == INSURED:
        return 0
    assert isinstance(delivery.payload, message_pb2.Rejection)
    return delivery.payload.reason


def test_one_visit_of_a_person_has_one_encounter() -> None:
    worker = InMemoryWorker()
    registered(worker)
    assert reason(worker, STAY.register("another registration")) == errors_pb2.ERROR_REASON_ENCOUNTER_DUPLICATE


def test_another_visit_and_another_person_have_their_own() -> None:
    worker = InMemoryWorker()
    registered(worker)
    other = SyntheticStay(serial=2)
    assert reason(worker, other.register(), STAY.subject) == 0
    assert reason(worker, SyntheticStay(serial=3).register(), SyntheticStay(serial=3).subject) == 0


def test_a_refused_registration_frees_the_visit_and_its_encounter_takes_nothing() -> None:
    worker = InMemoryWorker()
    request = STAY.register()
    worker.submit(request, subject=STAY.subject)
    worker.submit(make_answer(request, rejection(), created_ms=START_MS, seed="refused"))
    assert reason(worker, STAY.settle()) == errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN
    assert reason(worker, STAY.register("another registration")) == 0


def test_a_registration_in_doubt_keeps_the_visit() -> None:
    worker = InMemoryWorker()
    request = STAY.register()
    worker.submit(request, subject=STAY.subject)
    worker.advance(START_MS + 20_000)
    later = dataclasses.replace(STAY, start_ms=START_MS + 20_000)
    assert reason(worker, later.register("another")) == errors_pb2.ERROR_REASON_ENCOUNTER_DUPLICATE
    worker.submit(make_answer(request, rejection(), created_ms=START_MS, seed="refused"))
    assert reason(worker, later.register("a third")) == 0


def test_a_second_answer_to_a_registration_does_not_end_the_encounter() -> None:
    worker = InMemoryWorker()
    registered(worker)
    worker.submit(make_answer(STAY.register(), rejection(), created_ms=START_MS, seed="second thoughts"))
    assert not worker.encounter(STAY.encounter_id).is_failed


@pytest.mark.parametrize(
    "message",
    [
        STAY.discharge(),
        STAY.pre_settle(),
        STAY.settle(),
        STAY.cancel(STAY.settle()),
        STAY.reverse(STAY.settle()),
        STAY.query(STAY.settle()),
    ],
    ids=lambda message: message.header.method.rpartition("/")[2],
)
def test_what_names_an_encounter_needs_one_of_this_person_and_these_participants(message: Message) -> None:
    unknown = errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN
    assert reason(InMemoryWorker(), message) == unknown
    worker = InMemoryWorker()
    registered(worker)
    assert reason(worker.copy(), message, SyntheticStay(serial=2).subject) == unknown
    assert reason(worker.copy(), message) in {0, errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN}


def test_only_the_province_that_registered_an_encounter_settles_it() -> None:
    worker = InMemoryWorker()
    registered(worker)
    foreign = dataclasses.replace(worker.encounter(STAY.encounter_id), care="cn-53")
    worker.aggregates[encounter_key(STAY.encounter_id)] = encode_encounter(foreign)
    assert reason(worker, STAY.settle()) == errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN
