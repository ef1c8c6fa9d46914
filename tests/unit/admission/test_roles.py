"""Provinces, banks and the hub send and receive what the methods' policies give to their roles."""

from __future__ import annotations

import dataclasses

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import comparison_pb2, feed_pb2
from onecard.exchange.v1 import message_pb2, options_pb2
from onecard_broker.admission.rules import Admission, Circumstances, admit
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import BANKS, PROVINCES, new_message_id, role_of
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from tests.support.card_reports import (
    LINK_NUMBER,
    READ_DIGESTS,
    REPORT_FINANCIAL,
    REPORT_SOCIAL,
    financial_report,
    social_report,
)
from tests.support.directories import NETWORK, certificate_name, directory_of, new_signer, put_key, put_participant
from tests.support.messages import COVERAGE, citizen_number, coverage_query, make_signed, person

NOW_MS = 1_780_000_000_000
SIGNERS = {name: new_signer(f"{name}-1") for name in ("cn-00", "cn-11", "bank-102")}
EVERYTHING = ("/onecard.*",)
VERIFIER = BlockVerifier(native_engine())
CIRCUMSTANCES = Circumstances(
    directory=directory_of(
        put_participant("cn-00", ()),
        put_participant("cn-11", EVERYTHING),
        put_participant("bank-102", EVERYTHING),
        *(put_key(name, signer) for name, signer in SIGNERS.items()),
    ),
    methods=MethodRegistry.load(),
    network=NETWORK,
    log_epoch="epoch-1",
    partition_count=8,
    now_ms=NOW_MS,
    is_reading=lambda _: True,
    certificate_names=None,
)


def admitted(
    payload: ProtoMessage,
    *,
    sender: str,
    method: str,
    recipient: str = "cn-00",
    kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_EVENT,
    execute_before_ms: int | None = None,
    certificate_of: str | None = None,
    reply_to: message_pb2.RequestReference | None = None,
) -> Admission:
    signed = make_signed(
        SIGNERS[sender],
        payload,
        now_ms=NOW_MS,
        sender=sender,
        recipient=recipient,
        method=method,
        kind=kind,
        execute_before_ms=execute_before_ms,
        reply_to=reply_to,
    )
    names = frozenset({certificate_name(certificate_of or sender)})
    circumstances = dataclasses.replace(CIRCUMSTANCES, certificate_names=names)
    return admit(
        signed.header,
        signed.payload,
        signed.signature,
        circumstances,
        lambda content: VERIFIER.verify_batch([content])[0],
    )


def reason_of_refusal(payload: ProtoMessage, **how: object) -> str:
    with pytest.raises(OneCardError) as raised:
        admitted(payload, **how)  # type: ignore[arg-type]
    return reason_name(raised.value.reason)


def test_every_participant_has_one_role() -> None:
    assert {role_of(name) for name in PROVINCES} == {options_pb2.PARTICIPANT_ROLE_PROVINCE}
    assert {role_of(name) for name in BANKS} == {options_pb2.PARTICIPANT_ROLE_BANK}
    assert role_of("cn-00") == options_pb2.PARTICIPANT_ROLE_HUB
    assert role_of("cn-99") == options_pb2.PARTICIPANT_ROLE_UNSPECIFIED


def test_an_issuer_tells_of_the_social_application_and_a_bank_of_the_account() -> None:
    assert admitted(social_report(), sender="cn-11", method=REPORT_SOCIAL).identity
    assert admitted(financial_report(), sender="bank-102", method=REPORT_FINANCIAL).identity


def test_a_bank_event_from_an_agency_is_refused() -> None:
    assert reason_of_refusal(financial_report(), sender="cn-11", method=REPORT_FINANCIAL) == "SENDER_NOT_ALLOWED"


def test_a_social_event_from_a_bank_is_refused() -> None:
    assert reason_of_refusal(social_report(), sender="bank-102", method=REPORT_SOCIAL) == "SENDER_NOT_ALLOWED"


def test_a_bank_takes_no_part_in_what_is_the_provinces() -> None:
    how = {
        "method": COVERAGE,
        "kind": message_pb2.MESSAGE_KIND_REQUEST,
        "execute_before_ms": NOW_MS + 10_000,
    }

    assert reason_of_refusal(coverage_query(), sender="bank-102", recipient="cn-11", **how) == "SENDER_NOT_ALLOWED"
    assert reason_of_refusal(coverage_query(), sender="cn-11", recipient="bank-102", **how) == "RECIPIENT_NOT_ALLOWED"


def test_a_change_goes_to_the_hub_and_to_nobody_else() -> None:
    refusal = reason_of_refusal(social_report(), sender="cn-11", method=REPORT_SOCIAL, recipient="bank-102")

    assert refusal == "RECIPIENT_NOT_ALLOWED"


def compare(**how: object) -> str:
    query = comparison_pb2.ReadDigestsRequest(scope=comparison_pb2.COMPARISON_SCOPE_ISSUED, depth=2, prefixes=[""])
    how = {
        "sender": "cn-00",
        "recipient": "cn-11",
        "method": READ_DIGESTS,
        "kind": message_pb2.MESSAGE_KIND_REQUEST,
        "execute_before_ms": NOW_MS + 10_000,
        **how,
    }
    try:
        admitted(query, **how)  # type: ignore[arg-type]
    except OneCardError as error:
        return reason_name(error.reason)
    return "admitted"


def test_the_hub_asks_by_methods_that_name_it_and_needs_its_own_certificate() -> None:
    assert compare() == "admitted"
    assert compare(certificate_of="cn-11") == "CERTIFICATE_MISMATCH"
    assert compare(sender="cn-11", recipient="cn-11") == "SENDER_NOT_ALLOWED"


@pytest.mark.parametrize("kind", [message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_DELIVERY_REPORT])
def test_the_hub_answers_and_reports_through_no_door(kind: message_pb2.MessageKind) -> None:
    asked = message_pb2.RequestReference(
        sender="cn-11", id=new_message_id(NOW_MS), digest=bytes(32), log_epoch="epoch-1", partition=1
    )

    assert compare(kind=kind, execute_before_ms=None, reply_to=asked) == "SENDER_NOT_ALLOWED"


def test_the_other_number_of_a_link_is_placed_beside_the_first() -> None:
    request = feed_pb2.LinkNumberRequest(person=person(1), primary=person(2), document="D1")

    admission = admitted(request, sender="cn-11", method=LINK_NUMBER, kind=message_pb2.MESSAGE_KIND_REQUEST)

    assert admission.identity == f"citizen|{citizen_number(1)}"
    assert admission.other_identity == f"citizen|{citizen_number(2)}"


def test_a_link_to_nobody_is_refused() -> None:
    request = feed_pb2.LinkNumberRequest(person=person(1), document="D1")

    refusal = reason_of_refusal(request, sender="cn-11", method=LINK_NUMBER, kind=message_pb2.MESSAGE_KIND_REQUEST)

    assert refusal == "PAYLOAD_INVALID"
