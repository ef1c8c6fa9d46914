"""Every refusal of admission, each with its own reason; and what is admitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_broker.admission.rules import Admission, Circumstances, admit
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import RECEIPT_CONTEXT, timestamp
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, SignedContent
from onecard_protocol.signatures.engine import native_engine
from tests.support.directories import (
    NETWORK,
    certificate_name,
    directory_of,
    new_signer,
    put_key,
    put_participant,
    revoke_key,
)
from tests.support.messages import (
    COVERAGE,
    DURATION_MS,
    REPORT_FILING,
    REVERSE,
    SETTLE,
    coverage_query,
    filing_report,
    make_event,
    make_request,
    make_signed,
    person,
)

NOW_MS = 1_780_000_000_000
EPOCH = "epoch-1"
CARE, INSURED = new_signer("cn-44-1"), new_signer("cn-51-1")
SPENT, FUTURE, REVOKED, UNLISTED = map(new_signer, ("spent", "future", "revoked", "unlisted"))
VERIFIER = BlockVerifier(native_engine())
METHODS = MethodRegistry.load()

IN_MAINTENANCE = put_participant("cn-33")
IN_MAINTENANCE.put_participant.maintenance.CopyFrom(
    control_pb2.MaintenanceWindow(start_time=timestamp(NOW_MS - 1), end_time=timestamp(NOW_MS + 60_000))
)
DIRECTORY = directory_of(
    put_participant("cn-44"),
    put_participant("cn-51"),
    put_participant("cn-11", ("/onecard.medical.v1.FilingService/File",)),
    IN_MAINTENANCE,
    put_participant("cn-00", ()),
    put_key("cn-44", CARE),
    put_key("cn-51", INSURED),
    put_key("cn-44", SPENT, not_after_ms=NOW_MS),
    put_key("cn-44", FUTURE, not_before_ms=NOW_MS + 1),
    put_key("cn-44", REVOKED),
    revoke_key("revoked", NOW_MS),
    put_key("cn-11", new_signer("cn-11-1")),
)
CIRCUMSTANCES = Circumstances(
    directory=DIRECTORY,
    methods=METHODS,
    network=NETWORK,
    log_epoch=EPOCH,
    partition_count=8,
    now_ms=NOW_MS,
    is_reading=lambda participant: participant != "cn-65",
    certificate_names=frozenset({certificate_name("cn-44")}),
)
AT_INSURED = dataclasses.replace(CIRCUMSTANCES, certificate_names=frozenset({certificate_name("cn-51")}))

Signed = message_pb2.SignedMessage


def verify(content: SignedContent) -> bool:
    return VERIFIER.verify_batch([content])[0]


def admitted(signed: Signed, circumstances: Circumstances = CIRCUMSTANCES) -> Admission:
    return admit(signed.header, signed.payload, signed.signature, circumstances, verify)


def refused(signed: Signed, circumstances: Circumstances = CIRCUMSTANCES) -> OneCardError:
    with pytest.raises(OneCardError) as raised:
        admitted(signed, circumstances)
    return raised.value


def request(**changes: object) -> Signed:
    """A good request with some of its header's fields changed before it is signed."""
    given: dict[str, object] = {"now_ms": NOW_MS, "execute_before_ms": NOW_MS + DURATION_MS, **changes}
    signer, payload = given.pop("signer", CARE), given.pop("payload", coverage_query())
    return make_signed(signer, payload, **given)  # type: ignore[arg-type]


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


def with_signature(signed: Signed, change: Callable[[message_pb2.SignatureBlock], None]) -> Signed:
    block = message_pb2.SignatureBlock.FromString(signed.signature)
    change(block)
    return Signed(header=signed.header, payload=signed.payload, signature=block.SerializeToString())


def flipped(data: bytes, index: int = -1) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def header_changed(signed: Signed) -> Signed:
    header = message_pb2.MessageHeader.FromString(signed.header)
    header.recipient = "cn-33"
    return Signed(header=header.SerializeToString(), payload=signed.payload, signature=signed.signature)


def unbalanced_settlement() -> settlement_pb2.SettleRequest:
    request = settlement_pb2.SettleRequest(person=person())
    request.terms.fees.CopyFrom(
        medical_values_pb2.FeeTotals(total_fen=1_000, full_self_pay_fen=100, in_scope_fen=1_000)
    )
    terms = request.terms
    terms.insured_number.CopyFrom(medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number="5100"))
    terms.encounter.CopyFrom(
        medical_values_pb2.EncounterReference(
            encounter_id=new_message_id(NOW_MS).hex(), institution_code="H44", visit_id="V1"
        )
    )
    terms.institution.CopyFrom(medical_values_pb2.Institution(code="H44", area="440100"))
    for coded in (terms.care_kind, terms.insurance_kind):
        coded.system, coded.version, coded.code = "nhsa.any", "1", "11"
    return request


WRONG_DIGIT = coverage_query()
WRONG_DIGIT.person.number = WRONG_DIGIT.person.number[:17] + ("1" if WRONG_DIGIT.person.number[17] != "1" else "2")
BOTH = [make_request(CARE, NOW_MS), make_request(CARE, NOW_MS)]

REFUSALS: dict[str, tuple[str, Signed]] = {
    "a header that is none": ("MALFORMED", Signed(header=b"\xff\xff", payload=b"", signature=b"")),
    "an empty header": ("MALFORMED", Signed()),
    "a header that is too large": ("MALFORMED", Signed(header=bytes(limits.HEADER_BYTES_MAX + 1))),
    "a signature block that is too large": (
        "MALFORMED",
        Signed(header=BOTH[0].header, payload=BOTH[0].payload, signature=bytes(limits.SIGNATURE_BLOCK_BYTES_MAX + 1)),
    ),
    "a payload beyond every method's": ("PAYLOAD_TOO_LARGE", request(payload=bytes(limits.PAYLOAD_BYTES_MAX + 1))),
    "a payload beyond its method's": ("PAYLOAD_TOO_LARGE", request(payload=bytes(65_537))),
    "an id whose time is not the created time": (
        "HEADER_INVALID",
        Signed(
            header=message_pb2.MessageHeader(
                network=NETWORK,
                sender="cn-44",
                recipient="cn-51",
                method=COVERAGE,
                kind=message_pb2.MESSAGE_KIND_REQUEST,
                id=new_message_id(NOW_MS),
                created_time=timestamp(NOW_MS + 1),
                payload_digest=bytes(32),
            ).SerializeToString()
        ),
    ),
    "a reply without request": ("HEADER_INVALID", request(kind=message_pb2.MESSAGE_KIND_REPLY)),
    "an unknown kind": ("HEADER_INVALID", request(kind=99)),
    "a payload that was changed": (
        "PAYLOAD_DIGEST_MISMATCH",
        Signed(header=BOTH[0].header, payload=flipped(BOTH[0].payload), signature=BOTH[0].signature),
    ),
    "another network": ("WRONG_NETWORK", request(network="test-other")),
    "a sender that is not in the directory": ("SENDER_UNKNOWN", request(sender="cn-62")),
    "another sender than the certificate's": ("CERTIFICATE_MISMATCH", request(sender="cn-51", signer=INSURED)),
    "an unknown method": ("UNKNOWN_METHOD", request(method="/onecard.medical.v1.SettlementService/Nothing")),
    "an event of a request's method": ("HEADER_INVALID", request(kind=message_pb2.MESSAGE_KIND_EVENT)),
    "a request of an event's method": ("HEADER_INVALID", request(method=REPORT_FILING, payload=filing_report())),
    "a control record from a province": ("SENDER_NOT_ALLOWED", request(kind=message_pb2.MESSAGE_KIND_CONTROL)),
    "no signature": ("SIGNATURE_MISSING", Signed(header=BOTH[0].header, payload=BOTH[0].payload)),
    "a signature that is no block": (
        "SIGNATURE_INVALID",
        Signed(header=BOTH[0].header, payload=BOTH[0].payload, signature=b"\xff"),
    ),
    "a key that nobody listed": ("KEY_UNKNOWN", request(signer=UNLISTED)),
    "the right key of the wrong province": ("KEY_OF_OTHER_PARTICIPANT", request(signer=INSURED)),
    "a key that is not valid yet": ("KEY_NOT_YET_VALID", request(signer=FUTURE)),
    "a key that expired": ("KEY_EXPIRED", request(signer=SPENT)),
    "a key that was revoked": ("KEY_REVOKED", request(signer=REVOKED)),
    "a forged signature": (
        "SIGNATURE_INVALID",
        with_signature(BOTH[0], lambda block: setattr(block, "signature", bytes(range(64)))),
    ),
    "a changed signature": (
        "SIGNATURE_INVALID",
        with_signature(BOTH[0], lambda block: setattr(block, "signature", flipped(block.signature))),
    ),
    "a truncated signature": (
        "SIGNATURE_INVALID",
        with_signature(BOTH[0], lambda block: setattr(block, "signature", block.signature[:-1])),
    ),
    "another message's signature": (
        "SIGNATURE_INVALID",
        Signed(header=BOTH[0].header, payload=BOTH[0].payload, signature=BOTH[1].signature),
    ),
    "a signature made as a receipt": ("SIGNATURE_INVALID", request(context=RECEIPT_CONTEXT)),
    "a signature by another key under the right id": (
        "SIGNATURE_INVALID",
        with_signature(request(signer=INSURED), lambda block: setattr(block, "key_id", "cn-44-1")),
    ),
    "a header that was changed": ("SIGNATURE_INVALID", header_changed(BOTH[0])),
    "a message from the future": (
        "FROM_THE_FUTURE",
        request(now_ms=NOW_MS + 5_001, execute_before_ms=NOW_MS + 5_001 + DURATION_MS),
    ),
    "a message older than seven days": (
        "TOO_OLD",
        make_signed(
            CARE,
            coverage_query(),
            now_ms=NOW_MS - limits.MESSAGE_AGE_MS_MAX - 1,
            execute_before_ms=NOW_MS - limits.MESSAGE_AGE_MS_MAX + 1,
        ),
    ),
    "an expired message": ("EXPIRED", request(now_ms=NOW_MS - DURATION_MS, execute_before_ms=NOW_MS)),
    "a request without its deadline": ("HEADER_INVALID", request(execute_before_ms=None)),
    "a deadline beyond the method's": ("HEADER_INVALID", request(execute_before_ms=NOW_MS + DURATION_MS + 1)),
    "a deadline before its creation": ("HEADER_INVALID", request(execute_before_ms=NOW_MS)),
    "a deadline where none belongs": (
        "HEADER_INVALID",
        request(method=REVERSE, payload=settlement_pb2.ReverseRequest()),
    ),
    "a recipient that is not in the directory": ("RECIPIENT_UNKNOWN", request(recipient="cn-62")),
    "a recipient that may not receive it": ("RECIPIENT_NOT_ALLOWED", request(recipient="cn-11")),
    "a recipient in another role": ("RECIPIENT_NOT_ALLOWED", request(recipient="cn-00")),
    "a recipient in maintenance": ("RECIPIENT_OFFLINE", request(recipient="cn-33")),
    "a payload that does not parse": ("MALFORMED", request(payload=b"\x0a\xff\xff\xff\xff\x0f")),
    "a payload of another type": ("MALFORMED", request(payload=b"\x08\x01\x0b")),
    "a payload nested without end": ("MALFORMED", request(payload=b"\x0b" * 4_000)),
    "a field that the protocol does not have": (
        "PAYLOAD_INVALID",
        request(payload=coverage_query().SerializeToString() + b"\xf8\x3f\x01"),
    ),
    "a field hidden in a part that the protocol does not have": (
        "PAYLOAD_INVALID",
        request(payload=b"\x0a\x03\xf8\x3f\x01" + coverage_query().SerializeToString()),
    ),
    "text that is no UTF-8": ("MALFORMED", request(payload=b"\x0a\x03\x12\x01\xff")),
    "no person": ("IDENTITY_INVALID", request(payload=b"")),
    "a wrong check digit": ("IDENTITY_INVALID", request(payload=WRONG_DIGIT)),
    "amounts that do not add up": ("AMOUNTS_INCONSISTENT", request(method=SETTLE, payload=unbalanced_settlement())),
}


@pytest.mark.parametrize(("reason", "signed"), REFUSALS.values(), ids=REFUSALS.keys())
def test_each_fault_is_refused_with_its_own_reason(reason: str, signed: Signed) -> None:
    assert reason_name(refused(signed).reason) == reason


@pytest.mark.parametrize(("reason", "signed"), REFUSALS.values(), ids=REFUSALS.keys())
def test_no_refusal_holds_a_personal_number(reason: str, signed: Signed) -> None:
    refusal = refused(signed)

    assert person().number not in refusal.describe("en") + refusal.describe("zh") + repr(refusal)
    assert WRONG_DIGIT.person.number not in refusal.describe("en") + repr(refusal)


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


def test_the_hub_itself_comes_through_no_door() -> None:
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

    signed = request(signer=REVOKED)
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
