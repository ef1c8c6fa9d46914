"""The order of the checks: of a message that is wrong in two neighbouring ways the earlier one is told."""

from __future__ import annotations

import dataclasses
import re

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_broker.admission import rules
from onecard_broker.admission.rules import Circumstances
from onecard_protocol import limits
from onecard_protocol.errors import reason_name
from tests.support.admission import CIRCUMSTANCES, DIRECTORY, INSURED, NOW_MS, SIGNERS, Signed, refused, request
from tests.support.bad_messages import flipped, unbalanced_settlement, with_signature, wrong_digit
from tests.support.directories import directory_of, put_participant
from tests.support.messages import DURATION_MS, SETTLE, coverage_query

WITHOUT_RIGHTS = dataclasses.replace(
    CIRCUMSTANCES, directory=directory_of(put_participant("cn-44", ()), onto=DIRECTORY)
)
NOTHING = "/onecard.medical.v1.SettlementService/Nothing"
TOO_LARGE, BEYOND_ITS_METHOD = bytes(limits.PAYLOAD_BYTES_MAX + 1), bytes(65_537)
NO_PAYLOAD = b"\x0a\xff\xff\xff\xff\x0f"
UNKNOWN_FIELD = b"\xf8\x3f\x01"


def other_payload(signed: Signed, payload: bytes) -> Signed:
    return Signed(header=signed.header, payload=payload, signature=signed.signature)


def forged(signed: Signed) -> Signed:
    return with_signature(signed, lambda block: setattr(block, "signature", flipped(block.signature)))


def unsigned(signed: Signed) -> Signed:
    return Signed(header=signed.header, payload=signed.payload)


def expired(recipient: str = "cn-51") -> Signed:
    return request(now_ms=NOW_MS - DURATION_MS, execute_before_ms=NOW_MS, recipient=recipient)


def unbalanced(number: str = "", *, without_care_kind: bool = False) -> bytes:
    settlement = unbalanced_settlement(NOW_MS)
    settlement.person.number = number or settlement.person.number
    if without_care_kind:
        settlement.terms.ClearField("care_kind")
    return settlement.SerializeToString()


Wrong = tuple[str, Signed, Circumstances]
# For each check: a message wrong in it alone. Then, by the number of the first of two neighbours, one wrong in both.
ALONE: dict[int, Wrong] = {
    1: ("PAYLOAD_TOO_LARGE", request(payload=TOO_LARGE), CIRCUMSTANCES),
    2: ("PAYLOAD_DIGEST_MISMATCH", other_payload(request(), flipped(request().payload)), CIRCUMSTANCES),
    3: ("WRONG_NETWORK", request(network="test-other"), CIRCUMSTANCES),
    4: ("CERTIFICATE_MISMATCH", request(INSURED, sender="cn-51"), CIRCUMSTANCES),
    5: ("UNKNOWN_METHOD", request(method=NOTHING), CIRCUMSTANCES),
    6: ("SENDER_NOT_ALLOWED", request(), WITHOUT_RIGHTS),
    7: ("KEY_REVOKED", request(SIGNERS.revoked), CIRCUMSTANCES),
    8: ("SIGNATURE_INVALID", forged(request()), CIRCUMSTANCES),
    9: ("EXPIRED", expired(), CIRCUMSTANCES),
    10: ("RECIPIENT_UNKNOWN", request(recipient="cn-62"), CIRCUMSTANCES),
    11: ("PAYLOAD_INVALID", request(payload=coverage_query().SerializeToString() + UNKNOWN_FIELD), CIRCUMSTANCES),
    12: ("IDENTITY_INVALID", request(payload=wrong_digit()), CIRCUMSTANCES),
    13: ("AMOUNTS_INCONSISTENT", request(method=SETTLE, payload=unbalanced()), CIRCUMSTANCES),
}
BOTH: dict[int, Wrong] = {
    1: ("PAYLOAD_TOO_LARGE", other_payload(request(), TOO_LARGE), CIRCUMSTANCES),
    2: (
        "PAYLOAD_DIGEST_MISMATCH",
        other_payload(request(network="test-other"), flipped(request().payload)),
        CIRCUMSTANCES,
    ),
    3: ("WRONG_NETWORK", request(INSURED, network="test-other", sender="cn-51"), CIRCUMSTANCES),
    4: ("CERTIFICATE_MISMATCH", request(INSURED, sender="cn-51", method=NOTHING), CIRCUMSTANCES),
    5: ("PAYLOAD_TOO_LARGE", request(payload=BEYOND_ITS_METHOD), WITHOUT_RIGHTS),
    6: ("SENDER_NOT_ALLOWED", request(SIGNERS.revoked), WITHOUT_RIGHTS),
    7: ("KEY_REVOKED", forged(request(SIGNERS.revoked)), CIRCUMSTANCES),
    8: ("SIGNATURE_INVALID", forged(expired()), CIRCUMSTANCES),
    9: ("EXPIRED", expired(recipient="cn-62"), CIRCUMSTANCES),
    10: ("RECIPIENT_UNKNOWN", request(recipient="cn-62", payload=NO_PAYLOAD), CIRCUMSTANCES),
    11: ("PAYLOAD_INVALID", request(payload=wrong_digit().SerializeToString() + UNKNOWN_FIELD), CIRCUMSTANCES),
    12: ("IDENTITY_INVALID", request(method=SETTLE, payload=unbalanced(wrong_digit().person.number)), CIRCUMSTANCES),
}


def test_the_table_has_every_check_and_every_pair_of_neighbours() -> None:
    written = [int(number) for number in re.findall(r"^ ?(\d+)\. ", rules.__doc__ or "", flags=re.MULTILINE)]

    assert list(ALONE) == written
    assert list(BOTH) == written[:-1]


@pytest.mark.parametrize("check", ALONE)
def test_one_thing_wrong_is_told_by_its_check(check: int) -> None:
    reason, signed, circumstances = ALONE[check]

    assert reason_name(refused(signed, circumstances).reason) == reason


@pytest.mark.parametrize("check", BOTH)
def test_of_two_neighbours_the_earlier_check_is_told(check: int) -> None:
    reason, signed, circumstances = BOTH[check]

    assert reason_name(refused(signed, circumstances).reason) == reason


@pytest.mark.parametrize(
    ("reason", "signed"),
    [
        ("PAYLOAD_TOO_LARGE", request(kind=message_pb2.MESSAGE_KIND_CONTROL, payload=BEYOND_ITS_METHOD)),
        ("SENDER_NOT_ALLOWED", unsigned(request(kind=message_pb2.MESSAGE_KIND_CONTROL))),
        ("PAYLOAD_INVALID", request(method=SETTLE, payload=unbalanced(without_care_kind=True))),
    ],
    ids=["size before a kind of the hub", "a kind of the hub before the signature", "form before sums"],
)
def test_the_order_within_a_check_is_kept_too(reason: str, signed: Signed) -> None:
    assert reason_name(refused(signed).reason) == reason
