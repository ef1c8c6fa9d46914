"""A typed call on the wire (rule 17): metadata of the request and of what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_status
from onecard_protocol.messages import Message, parse_message

HEADER_KEY: Final = "onecard-header-bin"
SIGNATURE_KEY: Final = "onecard-signature-bin"
REJECTION_KEY: Final = "onecard-rejection-bin"
"""Payload of the signed rejection, beside its header and signature, if the message was journaled and refused."""
RECEIPT_KEY: Final = "onecard-receipt-bin"

Metadata = Iterable[tuple[str, str | bytes]]


def call_metadata(header: bytes, signature: bytes) -> tuple[tuple[str, bytes], ...]:
    """Header and signature of a request."""
    return (HEADER_KEY, header), (SIGNATURE_KEY, signature)


def reply_of(payload: bytes, trailing: Metadata) -> Message:
    """The reply of a call that ended well. Raises OneCardError: it lacks header or signature, or its form is wrong."""
    found = _binary(trailing)
    if HEADER_KEY not in found or SIGNATURE_KEY not in found:
        raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_MISSING, "the reply came without header or signature")
    return parse_message(found[HEADER_KEY], payload, found[SIGNATURE_KEY])


def rejection_of(trailing: Metadata) -> Message | None:
    """The signed rejection of a call that was refused after it was journaled; None if there is none."""
    found = _binary(trailing)
    if REJECTION_KEY not in found or HEADER_KEY not in found or SIGNATURE_KEY not in found:
        return None
    return parse_message(found[HEADER_KEY], found[REJECTION_KEY], found[SIGNATURE_KEY])


def receipt_of(trailing: Metadata) -> message_pb2.SignedReceipt | None:
    """The hub's receipt of a call that was journaled; None if there is none. One without form is an empty one."""
    found = _binary(trailing)
    if RECEIPT_KEY not in found:
        return None
    try:
        return message_pb2.SignedReceipt.FromString(found[RECEIPT_KEY])
    except DecodeError:
        return message_pb2.SignedReceipt()


def refusal_of(error: grpc.aio.AioRpcError) -> OneCardError | None:
    """What the gateway said; None where it said nothing, so that nothing is known of the call."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                return None
            return from_status(status) if status.details else None
    return None


def _binary(metadata: Metadata) -> dict[str, bytes]:
    return {key: value for key, value in metadata if isinstance(value, bytes)}
