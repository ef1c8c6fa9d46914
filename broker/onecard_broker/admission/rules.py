"""Admission as one pure function (rules 1, 4, 10, 15, 17): the same for every door, without state, clock or I/O.

The order of checks, each with its own reason. The first that fails refuses the message:

 1. size: payload, header and signature block             PAYLOAD_TOO_LARGE, MALFORMED
 2. form of the header, digest of the payload             MALFORMED, HEADER_INVALID, PAYLOAD_DIGEST_MISMATCH
 3. network                                               WRONG_NETWORK
 4. sender in the directory; its certificate              SENDER_UNKNOWN, CERTIFICATE_MISMATCH
 5. method; kind of message; the method's payload size    UNKNOWN_METHOD, HEADER_INVALID, PAYLOAD_TOO_LARGE
 6. whether the sender may send it                        SENDER_NOT_ALLOWED
 7. signature block and its key at the admitted time      SIGNATURE_MISSING, SIGNATURE_INVALID, KEY_UNKNOWN,
                                                          KEY_OF_OTHER_PARTICIPANT, KEY_NOT_YET_VALID, KEY_EXPIRED,
                                                          KEY_REVOKED
 8. the signature (the one costly check)                  SIGNATURE_INVALID
 9. age, execute_before                                   TOO_OLD, FROM_THE_FUTURE, HEADER_INVALID, EXPIRED
10. recipient; or where an answer's request came from     RECIPIENT_UNKNOWN, RECIPIENT_NOT_ALLOWED,
                                                          RECIPIENT_OFFLINE, HEADER_INVALID, DELIVERY_BINDING_INVALID
11. payload: parses, knows no field that we do not        MALFORMED, PAYLOAD_INVALID
12. identities of persons                                 IDENTITY_INVALID
13. rules of the business, money identities included      PAYLOAD_INVALID, AMOUNTS_INCONSISTENT

`check_header` is 3 to 7 and `check_content` 9 to 13, so that a gateway verifies many signatures at once in between.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.admission.recipients import check_recipient
from onecard_broker.admission.rights import may_give_up, may_receive, may_send
from onecard_broker.admission.times import check_times
from onecard_broker.directory.model import Directory, Key, KeyStatus
from onecard_broker.domain.checks import check as check_business
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.identity import normalise_identity
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, parse_message
from onecard_protocol.methods import Method, MethodRegistry
from onecard_protocol.signatures.blocks import SignedContent
from onecard_protocol.value_class import value_class


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a message meets at the moment of its admission."""

    directory: Directory
    methods: MethodRegistry
    network: str
    log_epoch: str
    partition_count: int
    now_ms: int
    """Hub time, which becomes the admitted time."""
    is_reading: Callable[[str], bool]
    """Whether a participant has read from its inbox of late (RECIPIENT_OFFLINE)."""
    certificate_names: frozenset[str] | None
    """DNS names of the connection's certificate; None at a door without connections, whose topic is the sender's."""


@value_class(frozen=True, slots=True)
class HeaderChecked:
    """A message whose header passed, and whose signature must be verified next."""

    message: Message
    method: Method
    block: message_pb2.SignatureBlock
    key: Key

    def signed_content(self) -> SignedContent:
        """What the verifier must check."""
        return SignedContent(
            context=MESSAGE_CONTEXT,
            content=self.message.header_bytes,
            block=self.block,
            public_key=self.key.public_key,
        )


@value_class(frozen=True, slots=True)
class Admission:
    """An admitted message."""

    message: Message
    method: Method
    payload: ProtoMessage = dataclasses.field(repr=False)
    identity: str | None = dataclasses.field(repr=False)
    """Normal form of the person; None where there is none, and in answers."""
    other_identity: str | None = dataclasses.field(repr=False)
    """Normal form of another identity that the method names, of the same person; None for most."""
    partition: int | None
    """Journal partition that an answer names; None in requests and events, whose partition follows from the person."""


def admit(
    header: bytes,
    payload: bytes,
    signature: bytes,
    circumstances: Circumstances,
    verify: Callable[[SignedContent], bool],
) -> Admission:
    """Admit a message or raise OneCardError with the reason of the first check that fails."""
    checked = check_header(check_form(header, payload, signature), circumstances)
    if not verify(checked.signed_content()):
        raise wrong_signature()
    return check_content(checked, circumstances)


def wrong_signature() -> OneCardError:
    """The refusal of a signature that does not verify."""
    return OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID)


def check_form(header: bytes, payload: bytes, signature: bytes) -> Message:
    """Checks 1 and 2."""
    if len(payload) > limits.PAYLOAD_BYTES_MAX:
        raise OneCardError(
            errors_pb2.ERROR_REASON_PAYLOAD_TOO_LARGE,
            f"{len(payload)} bytes, the protocol allows {limits.PAYLOAD_BYTES_MAX}",
        )
    return parse_message(header, payload, signature)


def check_header(message: Message, circumstances: Circumstances) -> HeaderChecked:
    """Checks 3 to 7."""
    _check_origin(message, circumstances)
    method = _method_of(message, circumstances.methods)
    _check_sender_rights(message, method, circumstances.directory)
    block = _block_of(message)
    return HeaderChecked(message, method, block, _key_of(message, block, circumstances))


def check_content(checked: HeaderChecked, circumstances: Circumstances) -> Admission:
    """Checks 9 to 13, of a message whose signature was verified."""
    message, method = checked.message, checked.method
    check_times(message, method, circumstances.now_ms)
    partition = check_recipient(
        message,
        method,
        directory=circumstances.directory,
        log_epoch=circumstances.log_epoch,
        partition_count=circumstances.partition_count,
        now_ms=circumstances.now_ms,
        is_reading=circumstances.is_reading,
    )
    payload = parse_payload(message, method)
    check_business(method, payload)
    if partition is not None:
        return Admission(message, method, payload, None, None, partition)
    return Admission(message, method, payload, identity_of(method, payload), other_identity_of(method, payload), None)


def _check_origin(message: Message, circumstances: Circumstances) -> None:
    header = message.header
    if header.network != circumstances.network:
        raise OneCardError(errors_pb2.ERROR_REASON_WRONG_NETWORK, f"this hub serves {circumstances.network}")
    sender = circumstances.directory.participants.get(header.sender)
    if sender is None:
        raise OneCardError(errors_pb2.ERROR_REASON_SENDER_UNKNOWN, header.sender)
    names = circumstances.certificate_names
    if names is not None and not names & sender.certificate_names:
        raise OneCardError(errors_pb2.ERROR_REASON_CERTIFICATE_MISMATCH, f"sender {header.sender}")


def _method_of(message: Message, methods: MethodRegistry) -> Method:
    header = message.header
    method = methods.get(header.method)
    if method is None:
        raise OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_METHOD)
    match header.kind:
        case message_pb2.MESSAGE_KIND_REQUEST | message_pb2.MESSAGE_KIND_REPLY | message_pb2.MESSAGE_KIND_REJECTION:
            is_possible = method.is_request
        case message_pb2.MESSAGE_KIND_EVENT:
            is_possible = method.is_event
        case message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
            is_possible = not method.is_read
        case _:
            is_possible = True
    if not is_possible:
        raise OneCardError(
            errors_pb2.ERROR_REASON_HEADER_INVALID, violations=[("kind", "is not a kind of message of this method")]
        )
    if len(message.payload) > method.policy.payload_bytes_max:
        raise OneCardError(
            errors_pb2.ERROR_REASON_PAYLOAD_TOO_LARGE,
            f"{len(message.payload)} bytes, the method allows {method.policy.payload_bytes_max}",
        )
    return method


def _check_sender_rights(message: Message, method: Method, directory: Directory) -> None:
    """Who asks must be allowed to send the method, who answers to receive it, who gives up on it either.

    The hub asks by its own program's hand; what it answers and reports is the worker's and comes through no door.
    """
    sender = message.header.sender
    match message.header.kind:
        case message_pb2.MESSAGE_KIND_REQUEST | message_pb2.MESSAGE_KIND_EVENT:
            is_allowed = may_send(sender, method, directory)
        case message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
            is_allowed = may_give_up(sender, method, directory)
        case message_pb2.MESSAGE_KIND_REPLY | message_pb2.MESSAGE_KIND_REJECTION:
            is_allowed = sender != HUB and may_receive(sender, method, directory)
        case _:
            raise OneCardError(
                errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED, "only the hub makes messages of this kind, and not here"
            )
    if not is_allowed:
        raise OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED, f"{sender}, {method.name}")


def _block_of(message: Message) -> message_pb2.SignatureBlock:
    if not message.signature:
        raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_MISSING)
    try:
        return message_pb2.SignatureBlock.FromString(message.signature)
    except DecodeError:
        raise OneCardError(
            errors_pb2.ERROR_REASON_SIGNATURE_INVALID, "the signature bytes are no SignatureBlock"
        ) from None


def _key_of(message: Message, block: message_pb2.SignatureBlock, circumstances: Circumstances) -> Key:
    if len(block.key_id) > limits.KEY_ID_CHARACTERS_MAX:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, "the key id is too long")
    key = circumstances.directory.key_for(block.key_id)
    if key is None:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, f"key id {block.key_id!r}")
    detail = f"key {key.key_id}"
    if key.participant != message.header.sender:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_OF_OTHER_PARTICIPANT, detail)
    match key.status(circumstances.now_ms):
        case KeyStatus.NOT_YET:
            raise OneCardError(
                errors_pb2.ERROR_REASON_KEY_NOT_YET_VALID,
                detail,
                retry_after_ms=min(key.not_before_ms - circumstances.now_ms, limits.MESSAGE_AGE_MS_MAX),
            )
        case KeyStatus.EXPIRED:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_EXPIRED, detail)
        case KeyStatus.REVOKED:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_REVOKED, detail)
        case KeyStatus.OK:
            return key


def parse_payload(message: Message, method: Method) -> ProtoMessage:
    """The payload as its kind's type (check 11).

    A field that this protocol version does not know is refused: nobody could have checked it, and logs could not tell
    whether it is sensitive. The hub is upgraded before the provinces. Depth is bounded by protobuf (100 levels).
    """
    payload_class: type[ProtoMessage]
    match message.header.kind:
        case message_pb2.MESSAGE_KIND_REPLY:
            payload_class = method.output_class
        case message_pb2.MESSAGE_KIND_REJECTION:
            payload_class = message_pb2.Rejection
        case message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
            payload_class = message_pb2.DeliveryReport
        case _:
            payload_class = method.input_class
    return parse_bytes(message.payload, payload_class)


def parse_bytes(content: bytes, payload_class: type[ProtoMessage]) -> ProtoMessage:
    """Bytes as a payload; raises MALFORMED, or PAYLOAD_INVALID for a field that the type does not have."""
    try:
        payload = payload_class.FromString(content)
    except DecodeError:
        raise OneCardError(
            errors_pb2.ERROR_REASON_MALFORMED, f"the payload is no {payload_class.DESCRIPTOR.full_name}"
        ) from None
    # Unknown fields count in ByteSize, so their removal shows without a walk through the message in Python.
    size_bytes = payload.ByteSize()
    payload.DiscardUnknownFields()
    if payload.ByteSize() != size_bytes:
        raise OneCardError(
            errors_pb2.ERROR_REASON_PAYLOAD_INVALID,
            f"the payload has fields that {payload_class.DESCRIPTOR.full_name} does not have",
        )
    return payload


def identity_of(method: Method, payload: ProtoMessage) -> str | None:
    """The normal form of the person by whom the message is ordered (check 12); None where the method has none."""
    return _identity_in(method.subject_field, payload)


def other_identity_of(method: Method, payload: ProtoMessage) -> str | None:
    """The normal form of the other identity that a method names (check 12); None where the method has none."""
    return _identity_in(method.other_subject_field, payload)


def _identity_in(field: str | None, payload: ProtoMessage) -> str | None:
    if field is None:
        return None
    if not payload.HasField(field):
        raise OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_INVALID, violations=[(field, "must be present")])
    person = getattr(payload, field)
    return normalise_identity(person.kind.code, person.number)
