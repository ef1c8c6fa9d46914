"""What a card's payload must hold before it is admitted: each rule refuses, with the field, and never with a value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import change_pb2, comparison_pb2, replacement_pb2, status_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_broker.domain.card_state import reference_of
from onecard_broker.domain.checks import check
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from tests.support.domain import METHODS, parse
from tests.support.holders import (
    BEIJING,
    CARRY_OUT,
    CONFIRM,
    FINANCIAL,
    FOLLOW,
    LINK,
    NEW,
    OLD,
    SOCIAL,
    UNLINK,
    SyntheticHolder,
)
from tests.support.stays import coded, day

HOLDER = SyntheticHolder()
RESIDENTS = {"UTO110080010118": ("", "07", "90"), "91199919800101001X": ("", "01", "07", "90")}
"""A permanent resident's numbers, of the form before 2023 and of that since, with the types that they come under."""
IDENTITY_INVALID = errors_pb2.ERROR_REASON_IDENTITY_INVALID
PAYLOAD_INVALID = errors_pb2.ERROR_REASON_PAYLOAD_INVALID
STATUS = "/onecard.card.v1.CardStatusService/"
COMPARISON = "/onecard.card.v1.CardComparisonService/"

SOUND: dict[str, ProtoMessage] = {
    SOCIAL: parse(HOLDER.social("ENABLED", 2, replaces=NEW)),
    FINANCIAL: parse(HOLDER.financial("ACTIVATED", 2)),
    FOLLOW: parse(HOLDER.follow(BEIJING)),
    LINK: parse(HOLDER.link(SyntheticHolder(2))),
    UNLINK: parse(HOLDER.unlink()),
    CONFIRM: parse(HOLDER.confirm("0" * 12 + "7" + "0" * 3 + "8" + "0" * 15)),
    CARRY_OUT: replacement_pb2.CarryOutStepResponse(local_id="L1"),
    STATUS + "GetCardStatus": status_pb2.GetCardStatusRequest(
        question=status_pb2.CardQuestion(person=HOLDER.person, card=reference_of(OLD)), purpose="settlement"
    ),
    STATUS + "BatchGetCardStatus": status_pb2.BatchGetCardStatusRequest(
        questions=[status_pb2.CardQuestion(person=HOLDER.person)] * limits.CARD_QUESTION_COUNT_MAX, purpose="counter"
    ),
    STATUS + "VerifyCard": status_pb2.VerifyCardRequest(
        person=HOLDER.person, card_number=OLD[1], recognition_code="110100" + "0A" * 13, purpose="counter"
    ),
    COMPARISON + "ReadDigests": comparison_pb2.ReadDigestsRequest(
        scope=comparison_pb2.COMPARISON_SCOPE_ISSUED, depth=5, prefixes=["", "0af"]
    ),
    COMPARISON + "ReadCards": comparison_pb2.ReadCardsResponse(
        cards=[
            comparison_pb2.CopiedCard(
                card=reference_of(OLD), social_state="SOCIAL_STATE_ACTIVE", data_digest=bytes(16)
            ),
            comparison_pb2.CopiedCard(
                card=reference_of(NEW), financial_state="FINANCIAL_STATE_ACTIVE", data_digest=bytes(16)
            ),
        ]
    ),
    COMPARISON + "RepairCopy": comparison_pb2.RepairCopyRequest(gone=[reference_of(OLD)]),
}


def refused(method: str, payload: ProtoMessage) -> OneCardError:
    with pytest.raises(OneCardError) as caught:
        check(METHODS[method], payload)
    return caught.value


def changed(method: str, change: Callable[[Any], object]) -> ProtoMessage:
    payload = type(SOUND[method])()
    payload.CopyFrom(SOUND[method])
    change(payload)
    return payload


@pytest.mark.parametrize("method", SOUND)
def test_what_is_sound_is_admitted(method: str) -> None:
    check(METHODS[method], SOUND[method])


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.Clear(),
        lambda data: setattr(data, "generation", 2),
        lambda data: data.ClearField("expiry_day"),
        lambda data: setattr(data, "recognition_code", ""),
        lambda data: setattr(data, "bank", ""),
        lambda data: data.expiry_day.CopyFrom(day(2, 12)),
    ],
)
def test_what_a_place_does_not_send_may_be_absent_and_the_generation_may_not(change: Callable[[Any], object]) -> None:
    payload = changed(SOCIAL, lambda report: change(report.data))
    if payload.data.generation:  # type: ignore[attr-defined]
        check(METHODS[SOCIAL], payload)
    else:
        assert refused(SOCIAL, payload).violations == (("data.generation", "is not 1 to 3"),)


def set_purpose(message: Any, purpose: str) -> None:
    message.purpose = purpose


WRONG = [
    (SOCIAL, "card.issuer", lambda it: setattr(it.card, "issuer", "bank-102")),
    (SOCIAL, "card.number", lambda it: setattr(it.card, "number", "A1000000")),
    (SOCIAL, "card.number", lambda it: setattr(it.card, "number", "A1000000|")),
    (SOCIAL, "card.sequence", lambda it: setattr(it.card, "sequence", limits.CARD_SEQUENCE_MAX + 1)),
    (SOCIAL, "card", lambda it: it.ClearField("card")),
    (SOCIAL, "occurred_time", lambda it: it.ClearField("occurred_time")),
    (SOCIAL, "occurred_time", lambda it: setattr(it.occurred_time, "seconds", -1)),
    (SOCIAL, "occurred_time", lambda it: setattr(it.occurred_time, "seconds", 253_402_300_800)),
    (SOCIAL, "occurred_time", lambda it: setattr(it.occurred_time, "seconds", 2**63 - 1)),
    (SOCIAL, "occurred_time", lambda it: setattr(it.occurred_time, "nanos", 10**9)),
    (SOCIAL, "occurred_time", lambda it: setattr(it.occurred_time, "nanos", -1)),
    (FINANCIAL, "occurred_time", lambda it: setattr(it.occurred_time, "seconds", 253_402_300_800)),
    (CARRY_OUT, "done_time", lambda it: setattr(it.done_time, "seconds", 253_402_300_800)),
    (SOCIAL, "data", lambda it: it.ClearField("data")),
    (SOCIAL, "version", lambda it: setattr(it, "version", 0)),
    (SOCIAL, "version", lambda it: setattr(it, "version", limits.CARD_VERSION_MAX + 1)),
    (SOCIAL, "change", lambda it: setattr(it, "change", 0)),
    (SOCIAL, "change", lambda it: setattr(it, "change", 99)),
    (SOCIAL, "state", lambda it: setattr(it, "state", 0)),
    (SOCIAL, "state", lambda it: setattr(it, "state", 99)),
    (SOCIAL, "state", lambda it: setattr(it, "change", change_pb2.SOCIAL_CHANGE_LOST)),
    (SOCIAL, "replaces", lambda it: it.replaces.CopyFrom(it.card)),
    (SOCIAL, "replaces.issuer", lambda it: setattr(it.replaces, "issuer", "cn-99")),
    (SOCIAL, "local_status.version", lambda it: it.local_status.ClearField("version")),
    (SOCIAL, "data.recognition_code", lambda it: setattr(it.data, "recognition_code", "110100")),
    (SOCIAL, "data.recognition_code", lambda it: setattr(it.data, "recognition_code", "450100" + "0" * 26)),
    (SOCIAL, "data.institution_code", lambda it: setattr(it.data, "institution_code", "11")),
    (SOCIAL, "data.bank", lambda it: setattr(it.data, "bank", "bank-999")),
    (SOCIAL, "data.bank_card_number", lambda it: setattr(it.data, "bank_card_number", "6228480000000000001")),
    (SOCIAL, "data.residence_area", lambda it: setattr(it.data, "residence_area", "51010")),
    (SOCIAL, "data.residence_area", lambda it: setattr(it.data, "residence_area", "990100")),
    (SOCIAL, "data.photo_digest", lambda it: setattr(it.data, "photo_digest", b"1")),
    (SOCIAL, "holder.name", lambda it: setattr(it.holder, "name", "名" * 201)),
    (SOCIAL, "holder.name", lambda it: setattr(it.holder, "name", "a\nb")),
    (SOCIAL, "holder.name", lambda it: setattr(it.holder, "name", "a\0")),
    (SOCIAL, "holder.name", lambda it: setattr(it.holder, "name", "a\x85")),
    (SOCIAL, "data.card_class", lambda it: setattr(it.data, "card_class", "x" * 65)),
    (SOCIAL, "data.electronic_card_id", lambda it: setattr(it.data, "electronic_card_id", "a\nb")),
    (SOCIAL, "data.issue_day", lambda it: it.data.issue_day.CopyFrom(day(31, 2))),
    (SOCIAL, "data.expiry_day", lambda it: it.data.expiry_day.CopyFrom(day(1))),
    (FINANCIAL, "bank_card_number", lambda it: setattr(it, "bank_card_number", "6228480000000000001")),
    (FINANCIAL, "state", lambda it: setattr(it, "change", change_pb2.FINANCIAL_CHANGE_CLOSED)),
    (LINK, "primary", lambda it: it.ClearField("primary")),
    (LINK, "document", lambda it: it.ClearField("document")),
    (UNLINK, "cause", lambda it: it.ClearField("cause")),
    (CONFIRM, "replacement_id", lambda it: setattr(it, "replacement_id", "1")),
    (CONFIRM, "bank", lambda it: setattr(it, "bank", BEIJING)),
    (CARRY_OUT, "local_id", lambda it: setattr(it, "local_id", "x" * 65)),
    (STATUS + "GetCardStatus", "question", lambda it: it.ClearField("question")),
    (STATUS + "GetCardStatus", "purpose", lambda it: it.ClearField("purpose")),
    (FOLLOW, "purpose", lambda it: it.ClearField("purpose")),
    *(
        (method, "purpose", functools.partial(set_purpose, purpose=purpose))
        for method in (FOLLOW, *(STATUS + name for name in ("GetCardStatus", "BatchGetCardStatus", "VerifyCard")))
        for purpose in ("张三", "Counter", "510000197001010011", "desk-7", "a" * 33)
    ),
    (STATUS + "BatchGetCardStatus", "questions", lambda it: it.questions.add().person.CopyFrom(HOLDER.person)),
    (STATUS + "BatchGetCardStatus", "questions", lambda it: it.ClearField("questions")),
    (STATUS + "VerifyCard", "card_number", lambda it: it.ClearField("card_number")),
    (STATUS + "VerifyCard", "recognition_code", lambda it: setattr(it, "recognition_code", "xyz")),
    (COMPARISON + "ReadDigests", "scope", lambda it: it.ClearField("scope")),
    (COMPARISON + "ReadDigests", "prefixes", lambda it: it.prefixes.append("G")),
    (COMPARISON + "ReadDigests", "prefixes", lambda it: it.prefixes.extend(["1"] * limits.CARD_RANGE_COUNT_MAX)),
    (COMPARISON + "ReadCards", "cards[0].social_state", lambda it: setattr(it.cards[0], "social_state", 99)),
    (COMPARISON + "ReadCards", "cards[1].financial_state", lambda it: setattr(it.cards[1], "financial_state", 99)),
    (COMPARISON + "ReadCards", "cards[0].data_digest", lambda it: it.cards[0].ClearField("data_digest")),
    (COMPARISON + "RepairCopy", "cards", lambda it: it.ClearField("gone")),
]


@pytest.mark.parametrize(
    ("method", "field", "change"), WRONG, ids=[f"{index}-{field}" for index, (_, field, _) in enumerate(WRONG)]
)
def test_what_is_wrong_is_refused_by_its_field(method: str, field: str, change: Callable[[Any], object]) -> None:
    error = refused(method, changed(method, change))
    assert error.reason == PAYLOAD_INVALID
    assert field in [name for name, _ in error.violations]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "王\u3000五",  # A full-width blank.
        "王\u00a0五",
        "王\ue000",  # GB 18030 had rare characters in the private-use area.
        "王\U0002ebf0",  # Newer than the tables of Python 3.11.
        "阿卜杜热合曼·买买提吐尔逊" * 15,
    ],
)
def test_no_name_that_a_register_may_hold_stops_a_loss(name: str) -> None:
    check(METHODS[SOCIAL], changed(SOCIAL, lambda it: setattr(it.holder, "name", name)))


@pytest.mark.parametrize("method", [SOCIAL, FINANCIAL, FOLLOW, LINK, UNLINK, CONFIRM, STATUS + "VerifyCard"])
def test_a_person_who_is_absent_or_whose_check_digit_is_wrong_is_refused(method: str) -> None:
    assert refused(method, changed(method, lambda it: it.ClearField("person"))).reason == IDENTITY_INVALID
    wrong = HOLDER.number[:-1] + ("1" if HOLDER.number[-1] != "1" else "2")
    error = refused(method, changed(method, lambda it: setattr(it.person, "number", wrong)))
    assert error.reason == IDENTITY_INVALID
    assert wrong not in str(error)


def test_the_printed_number_has_check_digits_too() -> None:
    payload = changed(SOCIAL, lambda it: setattr(it.holder, "social_security_number", "110000192001010012"))
    error = refused(SOCIAL, payload)
    assert (error.reason, error.violations[0][0]) == (IDENTITY_INVALID, "holder.social_security_number")


def test_no_violation_holds_a_value() -> None:
    payload = changed(SOCIAL, lambda it: setattr(it.data, "bank_card_number", "6228480000000000001"))
    assert "6228480000000000001" not in refused(SOCIAL, payload).describe("zh")


@pytest.mark.parametrize(
    ("kind", "number"),
    [("08", "E12345678"), *((kind, number) for number, kinds in RESIDENTS.items() for kind in kinds)],
)
@pytest.mark.parametrize("method", [SOCIAL, FINANCIAL, FOLLOW, STATUS + "VerifyCard"])
def test_a_foreigner_and_a_permanent_resident_are_persons_as_well(method: str, kind: str, number: str) -> None:
    check(METHODS[method], changed(method, lambda it: name_person(it.person, kind, number)))


@pytest.mark.parametrize(
    ("field", "old_kind", "last"), [("", "07", "X"), ("primary.number", "07", "1"), ("person.number", "01", "X")]
)
def test_a_permanent_residents_old_and_new_number_may_be_linked(field: str, old_kind: str, last: str) -> None:
    def name_both(link: Any) -> None:
        old, new = RESIDENTS
        name_person(link.person, old_kind, old)
        name_person(link.primary, "01", new[:17] + last)

    if not field:
        check(METHODS[LINK], changed(LINK, name_both))
    else:
        error = refused(LINK, changed(LINK, name_both))
        assert (error.reason, [name for name, _ in error.violations]) == (IDENTITY_INVALID, [field])


@pytest.mark.parametrize("number", ["UTO123456789012", *RESIDENTS])
def test_a_foreigners_social_security_number_may_be_printed(number: str) -> None:
    check(METHODS[SOCIAL], changed(SOCIAL, lambda it: setattr(it.holder, "social_security_number", number)))


def name_person(person: Any, kind: str, number: str) -> None:
    person.number = number
    person.ClearField("kind")
    if kind:
        person.kind.CopyFrom(coded("nhsa.psn_cert_type", kind))
