"""A message: header, payload and signature as the three byte strings that travel (design.md, idea 2).

Nothing here re-serialises what came from outside: the header is parsed to be read, and its bytes are kept.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import is_message_id, is_network, is_participant, message_time_ms
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.tracing import is_traceparent
from onecard_protocol.value_class import value_class

MESSAGE_CONTEXT: Final = b"onecard.v1.message"
RECEIPT_CONTEXT: Final = b"onecard.v1.receipt"

Kind = message_pb2.MessageKind

_ANSWERS: Final = frozenset(
    {
        message_pb2.MESSAGE_KIND_REPLY,
        message_pb2.MESSAGE_KIND_REJECTION,
        message_pb2.MESSAGE_KIND_NOTICE,
        message_pb2.MESSAGE_KIND_OUTCOME_REPORT,
        message_pb2.MESSAGE_KIND_DELIVERY_REPORT,
    }
)
_KNOWN_KINDS: Final = frozenset(message_pb2.MessageKind.values()) - {message_pb2.MESSAGE_KIND_UNSPECIFIED}


@value_class(frozen=True, slots=True)
class Message:
    """A parsed message with its bytes."""

    header_bytes: bytes
    payload: bytes
    signature: bytes
    header: message_pb2.MessageHeader
    digest: bytes
    """SM3 of the header bytes, 32 bytes: with (sender, id) the identity of the message."""

    @property
    def key(self) -> tuple[str, bytes]:
        """(sender, id), by which a message is known (rule 1)."""
        return self.header.sender, self.header.id

    @property
    def created_ms(self) -> int:
        """Time of creation in ms since 1970."""
        return message_time_ms(self.header.id)

    @property
    def execute_before_ms(self) -> int | None:
        """Hub time from which the recipient must not act, in ms; None where the method carries none."""
        return to_ms(self.header.execute_before) if self.header.HasField("execute_before") else None

    def to_wire(self) -> message_pb2.SignedMessage:
        """The message as it travels."""
        return message_pb2.SignedMessage(header=self.header_bytes, payload=self.payload, signature=self.signature)


def to_ms(timestamp: Timestamp) -> int:
    """A timestamp in ms since 1970."""
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000


def timestamp(time_ms: int) -> Timestamp:
    """The timestamp of ms since 1970."""
    return Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 1_000_000)


def build_header(
    *,
    network: str,
    sender: str,
    recipient: str,
    method: str,
    kind: message_pb2.MessageKind,
    message_id: bytes,
    payload: bytes,
    execute_before_ms: int | None = None,
    reply_to: message_pb2.RequestReference | None = None,
    traceparent: str = "",
) -> bytes:
    """The header bytes of a new message; its time of creation is the id's. They are fixed from here on (rule 1)."""
    return message_pb2.MessageHeader(
        network=network,
        sender=sender,
        recipient=recipient,
        method=method,
        kind=kind,
        id=message_id,
        created_time=timestamp(message_time_ms(message_id)),
        execute_before=None if execute_before_ms is None else timestamp(execute_before_ms),
        payload_digest=sm3(payload),
        reply_to=reply_to,
        traceparent=traceparent,
    ).SerializeToString(deterministic=True)


def parse_message(header_bytes: bytes, payload: bytes, signature: bytes) -> Message:
    """Parse the header and check its form and the payload's digest.

    Raises OneCardError: MALFORMED, HEADER_INVALID or PAYLOAD_DIGEST_MISMATCH. Signature, authorisation, time and the
    payload's content are not looked at here.
    """
    if not 0 < len(header_bytes) <= limits.HEADER_BYTES_MAX:
        raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, f"header of {len(header_bytes)} bytes")
    if len(signature) > limits.SIGNATURE_BLOCK_BYTES_MAX:
        raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, f"signature block of {len(signature)} bytes")
    try:
        header = message_pb2.MessageHeader.FromString(header_bytes)
    except DecodeError:
        raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "the header bytes are no MessageHeader") from None
    if wrong := _wrong_fields(header):
        raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, violations=wrong)
    if sm3(payload) != header.payload_digest:
        raise OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_DIGEST_MISMATCH)
    return Message(header_bytes, payload, signature, header, sm3(header_bytes))


def from_wire(signed: message_pb2.SignedMessage) -> Message:
    """`parse_message` of a message as it travels."""
    return parse_message(signed.header, signed.payload, signed.signature)


def trusted_message(header_bytes: bytes, payload: bytes, signature: bytes) -> Message:
    """A message that was checked before and comes from our own journal or store: parsed without checking again."""
    return Message(
        header_bytes, payload, signature, message_pb2.MessageHeader.FromString(header_bytes), sm3(header_bytes)
    )


def reference_to(message: Message, *, log_epoch: str, partition: int) -> message_pb2.RequestReference:
    """What an answer says of the request that it answers, and of where that was delivered from."""
    return message_pb2.RequestReference(
        sender=message.header.sender,
        id=message.header.id,
        digest=message.digest,
        log_epoch=log_epoch,
        partition=partition,
    )


def _wrong_fields(header: message_pb2.MessageHeader) -> list[tuple[str, str]]:
    wrong: list[tuple[str, str]] = []
    if not is_network(header.network):
        wrong.append(("network", "is no network's name"))
    if not is_participant(header.sender):
        wrong.append(("sender", "is no participant"))
    if not is_participant(header.recipient):
        wrong.append(("recipient", "is no participant"))
    if not 0 < len(header.method) <= limits.METHOD_CHARACTERS_MAX:
        wrong.append(("method", "is empty or too long"))
    if header.kind not in _KNOWN_KINDS:
        wrong.append(("kind", "is not known"))
    if len(header.payload_digest) != 32:
        wrong.append(("payload_digest", "is not 32 bytes"))
    if header.traceparent and not is_traceparent(header.traceparent):
        wrong.append(("traceparent", "is no W3C trace context"))
    if not is_message_id(header.id):
        wrong.append(("id", "is no UUIDv7"))
    elif to_ms(header.created_time) != message_time_ms(header.id):
        wrong.append(("created_time", "is not the id's time"))
    wrong += _wrong_reference(header)
    return wrong


def _wrong_reference(header: message_pb2.MessageHeader) -> list[tuple[str, str]]:
    if header.HasField("reply_to") != (header.kind in _ANSWERS):
        return [("reply_to", "stands in answers and only there")]
    if header.kind not in _ANSWERS:
        return []
    reference = header.reply_to
    wrong: list[tuple[str, str]] = []
    if not is_participant(reference.sender):
        wrong.append(("reply_to.sender", "is no participant"))
    if not is_message_id(reference.id):
        wrong.append(("reply_to.id", "is no UUIDv7"))
    if len(reference.digest) != 32:
        wrong.append(("reply_to.digest", "is not 32 bytes"))
    return wrong
