"""The message: what is parsed, what is refused by its form, and ids."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import (
    id_from_text,
    id_text,
    is_message_id,
    is_network,
    is_participant,
    message_id_from,
    message_time_ms,
    new_message_id,
    participant_of_area,
)
from onecard_protocol.messages import build_header, from_wire, parse_message, reference_to, timestamp

NOW_MS = 1_790_000_000_123
METHOD = "/onecard.medical.v1.CoverageService/QueryCoverage"


def header_bytes(payload: bytes = b"payload", **changes: object) -> bytes:
    """A valid header, with changes."""
    fields: dict[str, object] = {
        "network": "test-unit",
        "sender": "cn-44",
        "recipient": "cn-51",
        "method": METHOD,
        "kind": message_pb2.MESSAGE_KIND_REQUEST,
        "message_id": new_message_id(NOW_MS),
        "payload": payload,
        "execute_before_ms": NOW_MS + 10_000,
    }
    return build_header(**(fields | changes))  # type: ignore[arg-type]


def test_a_message_is_read_back_with_its_bytes_untouched() -> None:
    """Header, digest and times; to the wire and back gives the same bytes."""
    message = parse_message(header_bytes(), b"payload", b"signature")
    assert message.created_ms == NOW_MS
    assert message.execute_before_ms == NOW_MS + 10_000
    assert message.key == ("cn-44", message.header.id)
    again = from_wire(message_pb2.SignedMessage.FromString(message.to_wire().SerializeToString()))
    assert again == message


def _unlike_id(header: message_pb2.MessageHeader) -> None:
    header.created_time.CopyFrom(timestamp(NOW_MS + 1))


def _reference_in_request(header: message_pb2.MessageHeader) -> None:
    header.reply_to.sender = "cn-51"


def _change(**values: object) -> Callable[[message_pb2.MessageHeader], None]:
    def change(header: message_pb2.MessageHeader) -> None:
        for name, value in values.items():
            setattr(header, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_change(network="Test"), "network"),
        (_change(sender="cn-99"), "sender"),
        (_change(recipient=""), "recipient"),
        (_change(method=""), "method"),
        (_change(kind=0), "kind"),
        (_change(kind=99), "kind"),
        (_change(id=bytes(16)), "id"),
        (_unlike_id, "created_time"),
        (_reference_in_request, "reply_to"),
        (_change(kind=message_pb2.MESSAGE_KIND_REPLY), "reply_to"),
        (_change(traceparent="x" * 55), "traceparent"),
        (_change(payload_digest=b"short"), "payload_digest"),
    ],
)
def test_a_header_field_out_of_form_is_named(change: Callable[[message_pb2.MessageHeader], None], field: str) -> None:
    """HEADER_INVALID with the field's path."""
    header = message_pb2.MessageHeader.FromString(header_bytes())
    change(header)
    with pytest.raises(OneCardError) as caught:
        parse_message(header.SerializeToString(), b"payload", b"")
    assert caught.value.reason == errors_pb2.ERROR_REASON_HEADER_INVALID
    assert field in dict(caught.value.violations)


@pytest.mark.parametrize("header", [b"", b"\xff" * 40, b"x" * (limits.HEADER_BYTES_MAX + 1)])
def test_bytes_that_are_no_header_are_malformed(header: bytes) -> None:
    """Empty, not protobuf, too long."""
    with pytest.raises(OneCardError) as caught:
        parse_message(header, b"payload", b"")
    assert caught.value.reason == errors_pb2.ERROR_REASON_MALFORMED


def test_a_changed_payload_is_found_by_its_digest() -> None:
    """The header names the SM3 of the payload."""
    with pytest.raises(OneCardError) as caught:
        parse_message(header_bytes(), b"Payload", b"")
    assert caught.value.reason == errors_pb2.ERROR_REASON_PAYLOAD_DIGEST_MISMATCH


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail_otherwise(content: bytes) -> None:
    """Whatever comes is a message or a reason."""
    try:
        parse_message(content, b"", b"")
    except OneCardError:
        return


def test_an_answer_names_what_it_answers_and_where_that_was_delivered_from() -> None:
    """Sender, id, digest, epoch and partition."""
    request = parse_message(header_bytes(), b"payload", b"")
    reference = reference_to(request, log_epoch="e", partition=3)
    reply = parse_message(
        header_bytes(
            sender="cn-51",
            recipient="cn-44",
            kind=message_pb2.MESSAGE_KIND_REPLY,
            execute_before_ms=None,
            reply_to=reference,
        ),
        b"payload",
        b"",
    )
    assert reply.header.reply_to.digest == request.digest
    assert reply.execute_before_ms is None


@given(st.integers(min_value=0, max_value=2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_keeps_its_time_and_its_text(time_ms: int, randomness: bytes) -> None:
    """A UUIDv7 of 16 bytes, equal for equal causes."""
    message_id = message_id_from(time_ms, randomness)
    assert is_message_id(message_id)
    assert message_time_ms(message_id) == time_ms
    assert id_from_text(id_text(message_id)) == message_id
    assert message_id_from(time_ms, randomness) == message_id


def test_names() -> None:
    """Participants, networks and areas; what is none."""
    assert is_participant("cn-00")
    assert is_participant("cn-66")
    assert not is_participant("cn-71")
    assert is_network("production")
    assert is_network("test-a1")
    assert not is_network("test-")
    assert participant_of_area("510100") == "cn-51"
    assert participant_of_area("100000") is None
    assert participant_of_area("5101") is None
    assert id_from_text("00" * 16) is None
    assert id_from_text("not an id") is None
