"""Messages that admission refuses, each with its reason: the issue's list of bad input, and its neighbours.

Tests of the rules meet them at a fixed time, tests of a gateway at the present one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_protocol import limits
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, RECEIPT_CONTEXT, timestamp
from onecard_protocol.signatures.blocks import sign_one
from onecard_protocol.signatures.signer import Signer
from tests.support import sm2_reference
from tests.support.directories import NETWORK, new_signer, put_key, put_participant, revoke_key
from tests.support.messages import (
    COVERAGE,
    DURATION_MS,
    REPORT_FILING,
    REVERSE,
    SETTLE,
    coverage_query,
    filing_report,
    make_request,
    make_signed,
    person,
)
from tests.vectors.national import RECOMMENDED, VECTOR_A

Signed = message_pb2.SignedMessage


class ReferenceSigner:
    """Signs by the reference implementation, with vector A's key and any user ID."""

    def __init__(self, key_id: str, user_id: bytes) -> None:
        self.key_id = key_id
        self.public_key = VECTOR_A.public_key
        self.user_id = user_id

    def sign(self, content: bytes) -> bytes:
        point = int.from_bytes(self.public_key[1:33]), int.from_bytes(self.public_key[33:])
        z = sm2_reference.z_of(RECOMMENDED, self.user_id, point)
        e = int.from_bytes(sm2_reference.digest(z + content))
        r, s = sm2_reference.sign_digest(RECOMMENDED, VECTOR_A.private_key, e, VECTOR_A.nonce)
        return r.to_bytes(32) + s.to_bytes(32)


class RefusalSigners:
    """Who signs what is refused; the directory knows all but the unlisted, by `refusal_records`."""

    def __init__(self, care: Signer, insured: Signer) -> None:
        """`care` is Guangdong's signer and `insured` Sichuan's, whose keys the directory has already."""
        self.care = care
        self.insured = insured
        self.spent, self.future, self.revoked, self.unlisted = map(
            new_signer, ("spent", "future", "revoked", "unlisted")
        )
        # The empty user ID is what an OpenSSL before 4.0 takes where no distid is given.
        self.other_user_id = ReferenceSigner("other-user-id", b"")


def refusal_records(signers: RefusalSigners, now_ms: int) -> list[control_pb2.ControlRecord]:
    """What the directory must hold beside cn-44, cn-51 and their keys."""
    in_maintenance = put_participant("cn-33")
    in_maintenance.put_participant.maintenance.CopyFrom(
        control_pb2.MaintenanceWindow(start_time=timestamp(now_ms - 1), end_time=timestamp(now_ms + 600_000))
    )
    return [
        put_participant("cn-11", ("/onecard.medical.v1.FilingService/File",)),
        in_maintenance,
        put_key("cn-44", signers.spent, not_after_ms=now_ms),
        put_key("cn-44", signers.future, not_before_ms=now_ms + 600_000),
        put_key("cn-44", signers.revoked),
        revoke_key(signers.revoked.key_id, now_ms),
        put_key("cn-44", signers.other_user_id),
    ]


# ---- one thing wrong -------------------------------------------------------------------------------------------------


def changed_request(signer: Signer, now_ms: int, /, **changes: object) -> Signed:
    """A good request with some of its header's fields changed before it is signed."""
    given: dict[str, object] = {"now_ms": now_ms, "execute_before_ms": now_ms + DURATION_MS, **changes}
    return make_signed(signer, given.pop("payload", coverage_query()), **given)  # type: ignore[arg-type]


def with_signature(signed: Signed, change: Callable[[message_pb2.SignatureBlock], None]) -> Signed:
    block = message_pb2.SignatureBlock.FromString(signed.signature)
    change(block)
    return Signed(header=signed.header, payload=signed.payload, signature=block.SerializeToString())


def with_header(signed: Signed, header: bytes) -> Signed:
    return Signed(header=header, payload=signed.payload, signature=signed.signature)


def signed_anew(signed: Signed, header: bytes, signer: Signer) -> Signed:
    """The message with other header bytes and a signature over exactly these."""
    return Signed(header=header, payload=signed.payload, signature=sign_one(signer, MESSAGE_CONTEXT, header))


def flipped(data: bytes, index: int = -1) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def header_changed(signed: Signed) -> Signed:
    header = message_pb2.MessageHeader.FromString(signed.header)
    header.recipient = "cn-33"
    return with_header(signed, header.SerializeToString())


def wrong_digit() -> coverage_pb2.QueryCoverageRequest:
    query = coverage_query()
    right = query.person.number
    query.person.number = right[:17] + ("1" if right[17] != "1" else "2")
    return query


def unbalanced_settlement(now_ms: int) -> settlement_pb2.SettleRequest:
    request = settlement_pb2.SettleRequest(person=person())
    request.terms.fees.CopyFrom(
        medical_values_pb2.FeeTotals(total_fen=1_000, full_self_pay_fen=100, in_scope_fen=1_000)
    )
    terms = request.terms
    terms.insured_number.CopyFrom(medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number="5100"))
    terms.encounter.CopyFrom(
        medical_values_pb2.EncounterReference(
            encounter_id=new_message_id(now_ms).hex(), institution_code="H44", visit_id="V1"
        )
    )
    terms.institution.CopyFrom(medical_values_pb2.Institution(code="H44", area="440100"))
    for coded in (terms.care_kind, terms.insurance_kind):
        coded.system, coded.version, coded.code = "nhsa.any", "1", "11"
    return request


# ---- the same fields in other bytes ----------------------------------------------------------------------------------


def _fields(header: bytes) -> list[bytes]:
    """The fields of a header as they stand in it, each with its tag; its tags and lengths are of one byte each."""
    fields = []
    at = 0
    while at < len(header):
        end = at + 2 + (header[at + 1] if header[at] & 7 == 2 else 0)
        fields.append(header[at:end])
        at = end
    return fields


def in_other_order(header: bytes) -> bytes:
    """The fields backwards: every parser takes them so."""
    return b"".join(reversed(_fields(header)))


def with_a_longer_number(header: bytes) -> bytes:
    """The kind in two bytes where one would do."""
    tag = message_pb2.MessageHeader.KIND_FIELD_NUMBER << 3
    return b"".join(bytes((tag, field[1] | 0x80, 0)) if field[0] == tag else field for field in _fields(header))


def with_an_unknown_field(header: bytes) -> bytes:
    """A field of number 127, which the protocol does not have."""
    return header + b"\xf8\x07\x01"


OTHER_FORMS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "its fields in another order": in_other_order,
    "a number that is longer than needed": with_a_longer_number,
    "a field that nobody knows": with_an_unknown_field,
}


# ---- all of them -----------------------------------------------------------------------------------------------------


def refusals(
    signers: RefusalSigners, now_ms: int, *, future_ms: int = limits.CLOCK_SKEW_MS_MAX + 1
) -> dict[str, tuple[str, Signed]]:
    """By what is wrong: the reason, and the message, sent by cn-44. `future_ms` is what counts as from the future."""
    good, other = make_request(signers.care, now_ms), make_request(signers.care, now_ms)
    ahead_ms = now_ms + future_ms

    def request(**changes: object) -> Signed:
        return changed_request(signers.care, now_ms, **changes)

    return {
        "a header that is none": ("MALFORMED", Signed(header=b"\xff\xff", payload=b"", signature=b"")),
        "an empty header": ("MALFORMED", Signed()),
        "a header that is too large": ("MALFORMED", Signed(header=bytes(limits.HEADER_BYTES_MAX + 1))),
        "a signature block that is too large": (
            "MALFORMED",
            Signed(header=good.header, payload=good.payload, signature=bytes(limits.SIGNATURE_BLOCK_BYTES_MAX + 1)),
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
                    id=new_message_id(now_ms),
                    created_time=timestamp(now_ms + 1),
                    payload_digest=bytes(32),
                ).SerializeToString()
            ),
        ),
        "a reply without request": ("HEADER_INVALID", request(kind=message_pb2.MESSAGE_KIND_REPLY)),
        "an unknown kind": ("HEADER_INVALID", request(kind=99)),
        "a payload that was changed": (
            "PAYLOAD_DIGEST_MISMATCH",
            Signed(header=good.header, payload=flipped(good.payload), signature=good.signature),
        ),
        "another network": ("WRONG_NETWORK", request(network="test-other")),
        "a sender that is not in the directory": ("SENDER_UNKNOWN", request(sender="cn-62")),
        "another sender than the certificate's": (
            "CERTIFICATE_MISMATCH",
            changed_request(signers.insured, now_ms, sender="cn-51"),
        ),
        "an unknown method": ("UNKNOWN_METHOD", request(method="/onecard.medical.v1.SettlementService/Nothing")),
        "an event of a request's method": ("HEADER_INVALID", request(kind=message_pb2.MESSAGE_KIND_EVENT)),
        "a request of an event's method": ("HEADER_INVALID", request(method=REPORT_FILING, payload=filing_report())),
        "a control record from a province": ("SENDER_NOT_ALLOWED", request(kind=message_pb2.MESSAGE_KIND_CONTROL)),
        "no signature": ("SIGNATURE_MISSING", Signed(header=good.header, payload=good.payload)),
        "a signature that is no block": (
            "SIGNATURE_INVALID",
            Signed(header=good.header, payload=good.payload, signature=b"\xff"),
        ),
        "a key that nobody listed": ("KEY_UNKNOWN", changed_request(signers.unlisted, now_ms)),
        "the right key of the wrong province": ("KEY_OF_OTHER_PARTICIPANT", changed_request(signers.insured, now_ms)),
        "a key that is not valid yet": ("KEY_NOT_YET_VALID", changed_request(signers.future, now_ms)),
        "a key that expired": ("KEY_EXPIRED", changed_request(signers.spent, now_ms)),
        "a key that was revoked": ("KEY_REVOKED", changed_request(signers.revoked, now_ms)),
        "a forged signature": (
            "SIGNATURE_INVALID",
            with_signature(good, lambda block: setattr(block, "signature", bytes(range(64)))),
        ),
        "a changed signature": (
            "SIGNATURE_INVALID",
            with_signature(good, lambda block: setattr(block, "signature", flipped(block.signature))),
        ),
        "a truncated signature": (
            "SIGNATURE_INVALID",
            with_signature(good, lambda block: setattr(block, "signature", block.signature[:-1])),
        ),
        "another message's signature": (
            "SIGNATURE_INVALID",
            Signed(header=good.header, payload=good.payload, signature=other.signature),
        ),
        "a signature made as a receipt": ("SIGNATURE_INVALID", request(context=RECEIPT_CONTEXT)),
        "a signature by another key under the right id": (
            "SIGNATURE_INVALID",
            with_signature(changed_request(signers.insured, now_ms), lambda block: setattr(block, "key_id", "cn-44-1")),
        ),
        "a signature under another user ID": ("SIGNATURE_INVALID", changed_request(signers.other_user_id, now_ms)),
        "a header that was changed": ("SIGNATURE_INVALID", header_changed(good)),
        **{
            f"a header with {what}, signed in its usual bytes": (
                "SIGNATURE_INVALID",
                with_header(good, change(good.header)),
            )
            for what, change in OTHER_FORMS.items()
        },
        **{
            f"a header in its usual bytes, signed with {what}": (
                "SIGNATURE_INVALID",
                with_header(signed_anew(good, change(good.header), signers.care), good.header),
            )
            for what, change in OTHER_FORMS.items()
        },
        "a message from the future": (
            "FROM_THE_FUTURE",
            request(now_ms=ahead_ms, execute_before_ms=ahead_ms + DURATION_MS),
        ),
        "a message older than seven days": (
            "TOO_OLD",
            make_signed(
                signers.care,
                coverage_query(),
                now_ms=now_ms - limits.MESSAGE_AGE_MS_MAX - 1,
                execute_before_ms=now_ms - limits.MESSAGE_AGE_MS_MAX + 1,
            ),
        ),
        "an expired message": ("EXPIRED", request(now_ms=now_ms - DURATION_MS, execute_before_ms=now_ms)),
        "a request without its deadline": ("HEADER_INVALID", request(execute_before_ms=None)),
        "a deadline beyond the method's": ("HEADER_INVALID", request(execute_before_ms=now_ms + DURATION_MS + 1)),
        "a deadline before its creation": ("HEADER_INVALID", request(execute_before_ms=now_ms)),
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
        "a wrong check digit": ("IDENTITY_INVALID", request(payload=wrong_digit())),
        "amounts that do not add up": (
            "AMOUNTS_INCONSISTENT",
            request(method=SETTLE, payload=unbalanced_settlement(now_ms)),
        ),
    }
