"""Every refusal of admission, each with its own reason; and what is admitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.admission.rules import Admission, admit
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.signatures.blocks import SignedContent
from tests.support.admission import (
    AT_INSURED,
    CARE,
    CIRCUMSTANCES,
    DIRECTORY,
    EPOCH,
    INSURED,
    NOW_MS,
    SIGNERS,
    admitted,
    refused,
    request,
    verify,
)
from tests.support.bad_messages import (
    OTHER_FORMS,
    ReferenceSigner,
    refusals,
    signed_anew,
    with_signature,
    wrong_digit,
)
from tests.support.directories import certificate_name, directory_of, new_signer, put_key, put_participant
from tests.support.messages import COVERAGE, REPORT_FILING, make_event, make_request, make_signed, person

Signed = message_pb2.SignedMessage


def answer(kind: message_pb2.MessageKind, payload: object, **changes: object) -> Signed:
    """A good answer of cn-51 to a request of cn-44."""
    reference = {"sender": "cn-44", "log_epoch": EPOCH, "partition": 3, **changes}
    return make_signed(
        INSURED,
        payload,  # type: ignore[arg-type]
        now_ms=NOW_MS,
        sender="cn-51",
        recipient=str(reference.pop("recipient", "cn-44")),
        method=COVERAGE,
        kind=kind,
        reply_to=message_pb2.RequestReference(id=new_message_id(NOW_MS), digest=bytes(32), **reference),  # type: ignore[arg-type]
    )


REFUSALS = refusals(SIGNERS, NOW_MS)


@pytest.mark.parametrize(("reason", "signed"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_fault_is_refused_with_its_own_reason(reason: str, signed: Signed) -> None:
    assert reason_name(refused(signed).reason) == reason


@pytest.mark.parametrize(("reason", "signed"), REFUSALS.values(), ids=REFUSALS.keys())
def test_no_refusal_holds_a_personal_number(reason: str, signed: Signed) -> None:
    refusal = refused(signed)

    assert person().number not in refusal.describe("en") + refusal.describe("zh") + repr(refusal)
    assert wrong_digit().person.number not in refusal.describe("en") + repr(refusal)


def test_the_standard_user_id_by_the_same_signer_is_admitted() -> None:
    """So the refusal above is of the user ID, and of nothing else."""
    right = ReferenceSigner(SIGNERS.other_user_id.key_id, b"1234567812345678")

    assert admitted(request(right))


@pytest.mark.parametrize("form", OTHER_FORMS.values(), ids=OTHER_FORMS.keys())
def test_a_header_of_any_form_is_admitted_in_exactly_the_bytes_that_were_signed(form: Callable[[bytes], bytes]) -> None:
    """So the refusals above are of the other bytes, and not of the form."""
    usual = make_request(CARE, NOW_MS)
    other = signed_anew(usual, form(usual.header), CARE)

    assert other.header != usual.header
    assert admitted(other).message.header_bytes == other.header


ANSWER_REFUSALS: dict[str, tuple[str, Signed]] = {
    "another epoch": ("DELIVERY_BINDING_INVALID", answer(message_pb2.MESSAGE_KIND_REJECTION, b"", log_epoch="old")),
    "no epoch": ("DELIVERY_BINDING_INVALID", answer(message_pb2.MESSAGE_KIND_REJECTION, b"", log_epoch="")),
    "a partition that is none": (
        "DELIVERY_BINDING_INVALID",
        answer(message_pb2.MESSAGE_KIND_REJECTION, b"", partition=8),
    ),
    "another recipient than who asked": (
        "HEADER_INVALID",
        answer(message_pb2.MESSAGE_KIND_REJECTION, b"", recipient="cn-33"),
    ),
    "a notice, which is the hub's": ("SENDER_NOT_ALLOWED", answer(message_pb2.MESSAGE_KIND_NOTICE, b"")),
    "an outcome report, which is the hub's": (
        "SENDER_NOT_ALLOWED",
        answer(message_pb2.MESSAGE_KIND_OUTCOME_REPORT, b""),
    ),
    "a rejection that is none": ("MALFORMED", answer(message_pb2.MESSAGE_KIND_REJECTION, b"\xff")),
    "a reply without its fields": ("IDENTITY_INVALID", answer(message_pb2.MESSAGE_KIND_REPLY, b"")),
}


@pytest.mark.parametrize(("reason", "signed"), ANSWER_REFUSALS.values(), ids=ANSWER_REFUSALS.keys())
def test_each_fault_of_an_answer_is_refused_with_its_own_reason(reason: str, signed: Signed) -> None:
    assert reason_name(refused(signed, AT_INSURED).reason) == reason


def test_a_sender_that_may_not_send_the_method_is_refused() -> None:
    directory = directory_of(put_participant("cn-44", ()), onto=DIRECTORY)

    refusal = refused(make_request(CARE, NOW_MS), dataclasses.replace(CIRCUMSTANCES, directory=directory))

    assert reason_name(refusal.reason) == "SENDER_NOT_ALLOWED"


def test_who_may_not_receive_a_method_may_not_answer_it() -> None:
    directory = directory_of(put_participant("cn-51", ()), onto=DIRECTORY)
    rejection = answer(
        message_pb2.MESSAGE_KIND_REJECTION,
        message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM),
    )

    refusal = refused(rejection, dataclasses.replace(AT_INSURED, directory=directory))

    assert reason_name(refusal.reason) == "SENDER_NOT_ALLOWED"


def test_the_hub_sends_nothing_whose_policy_does_not_name_it() -> None:
    hub = new_signer("hub-1")
    directory = directory_of(put_key("cn-00", hub), onto=DIRECTORY)
    circumstances = dataclasses.replace(
        CIRCUMSTANCES, directory=directory, certificate_names=frozenset({certificate_name("cn-00")})
    )

    assert reason_name(refused(request(sender="cn-00", signer=hub), circumstances).reason) == "SENDER_NOT_ALLOWED"


def test_a_request_that_would_expire_is_refused_while_its_recipient_reads_nothing() -> None:
    directory = directory_of(put_participant("cn-65"), onto=DIRECTORY)

    refusal = refused(request(recipient="cn-65"), dataclasses.replace(CIRCUMSTANCES, directory=directory))

    assert reason_name(refusal.reason) == "RECIPIENT_OFFLINE"
    assert refusal.retry_after_ms > 0


def test_an_event_waits_for_a_recipient_that_reads_nothing() -> None:
    event = make_event(INSURED, NOW_MS)

    admission = admitted(event, dataclasses.replace(AT_INSURED, is_reading=lambda _: False))

    assert admission.method.name == REPORT_FILING


def test_a_good_request_is_admitted_with_its_person() -> None:
    admission = admitted(make_request(CARE, NOW_MS))

    assert admission.identity == f"citizen|{person().number}"
    assert admission.partition is None
    assert person().number not in repr(admission).replace(repr(admission.message), "")


def test_an_answer_goes_where_its_request_was_delivered_from() -> None:
    rejection = answer(
        message_pb2.MESSAGE_KIND_REJECTION,
        message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM),
    )

    admission = admitted(rejection, AT_INSURED)

    assert (admission.partition, admission.identity) == (3, None)


@pytest.mark.parametrize("recipient", ["cn-00", "cn-44"])
def test_a_delivery_report_goes_to_the_hub_or_to_who_sent_the_message(recipient: str) -> None:
    report = answer(
        message_pb2.MESSAGE_KIND_DELIVERY_REPORT,
        message_pb2.DeliveryReport(reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED),
        recipient=recipient,
    )

    assert admitted(report, AT_INSURED).partition == 3


def test_a_door_without_connections_looks_at_no_certificate() -> None:
    circumstances = dataclasses.replace(CIRCUMSTANCES, certificate_names=None)

    assert admitted(request(sender="cn-51", recipient="cn-44", signer=INSURED), circumstances)


@pytest.mark.parametrize("offset_ms", [-limits.MESSAGE_AGE_MS_MAX, limits.CLOCK_SKEW_MS_MAX])
def test_the_allowed_age_and_skew_are_admitted_to_the_millisecond(offset_ms: int) -> None:
    event = make_event(INSURED, NOW_MS + offset_ms)

    assert admitted(event, AT_INSURED)


def test_a_signature_is_asked_for_only_after_every_cheap_check() -> None:
    asked = []

    def count(content: SignedContent) -> bool:
        asked.append(content)
        return verify(content)

    signed = request(SIGNERS.revoked)
    with pytest.raises(OneCardError):
        admit(signed.header, signed.payload, signed.signature, CIRCUMSTANCES, count)
    assert asked == []

    good = make_request(CARE, NOW_MS)
    admit(good.header, good.payload, good.signature, CIRCUMSTANCES, count)
    assert len(asked) == 1


def test_a_payload_is_parsed_only_after_its_signature_was_verified() -> None:
    signed = with_signature(
        request(payload=b"\x0a\xff\xff\xff\xff\x0f"), lambda block: setattr(block, "signature", bytes(64))
    )

    assert reason_name(refused(signed).reason) == "SIGNATURE_INVALID"


@given(data=st.binary(max_size=200), header=st.binary(max_size=200), signature=st.binary(max_size=200))
def test_whatever_bytes_come_the_answer_is_a_refusal(data: bytes, header: bytes, signature: bytes) -> None:
    assert refused(Signed(header=header, payload=data, signature=signature)).reason


@given(payload=st.binary(max_size=120))
def test_whatever_a_valid_signer_sends_as_payload_is_admitted_or_refused(payload: bytes) -> None:
    signed = request(payload=payload)
    try:
        outcome: object = admitted(signed)
    except OneCardError as refusal:
        outcome = refusal
    assert isinstance(outcome, Admission | OneCardError)
