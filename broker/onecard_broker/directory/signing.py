"""Control records as signed messages from the hub to itself and all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard_broker.directory.model import Directory, KeyStatus
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, build_header, parse_message
from onecard_protocol.signatures.blocks import BlockVerifier, sign_one
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.signatures.sm3 import sm3

CONTROL_METHOD: Final = "/onecard.exchange.v1.DirectoryService/WatchDirectory"


def sign_control(record: control_pb2.ControlRecord, signer: Signer, *, network: str, now_ms: int) -> Message:
    """The record as a message signed by the hub."""
    payload = record.SerializeToString(deterministic=True)
    header = build_header(
        network=network,
        sender=HUB,
        recipient=HUB,
        method=CONTROL_METHOD,
        kind=message_pb2.MESSAGE_KIND_CONTROL,
        message_id=new_message_id(now_ms),
        payload=payload,
    )
    return parse_message(header, payload, sign_one(signer, MESSAGE_CONTEXT, header))


def read_control(
    message: Message,
    *,
    network: str,
    directory: Directory,
    hub_keys: Mapping[str, bytes],
    verifier: BlockVerifier,
) -> control_pb2.ControlRecord:
    """The record of a control message whose signature and origin are checked.

    `hub_keys` are the configured public keys by id, where trust begins; beside them count the hub's keys that the
    directory itself named before and that were valid when the record was made. Raises OneCardError.
    """
    header = message.header
    if sm3(message.payload) != header.payload_digest:  # The signature covers the header alone.
        raise OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_DIGEST_MISMATCH, "control record")
    if header.network != network:
        raise OneCardError(
            errors_pb2.ERROR_REASON_WRONG_NETWORK,
            f"control record of network {header.network}; the hub's setting `network` is {network}"
            f" / 控制记录属于网络 {header.network}，枢纽的 network 设置为 {network}",
        )
    if (header.sender, header.kind, header.method) != (HUB, message_pb2.MESSAGE_KIND_CONTROL, CONTROL_METHOD):
        raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, "no control record of the hub")
    try:
        block = message_pb2.SignatureBlock.FromString(message.signature)
        record = control_pb2.ControlRecord.FromString(message.payload)
    except DecodeError:
        raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "control record") from None
    public_key = _public_key(block.key_id, message.created_ms, directory, hub_keys)
    if public_key is None:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, f"control record signed by {block.key_id!r}")
    if not verifier.verify(MESSAGE_CONTEXT, message.header_bytes, block, public_key):
        raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, f"control record {record.number}")
    return record


def _public_key(key_id: str, at_ms: int, directory: Directory, hub_keys: Mapping[str, bytes]) -> bytes | None:
    known = directory.key_for(key_id)
    if known is not None and known.participant == HUB and known.status(at_ms) is KeyStatus.OK:
        return known.public_key
    # A key that the directory knows is judged by the directory alone: revoking it must end the configured one too.
    return hub_keys.get(key_id) if known is None else None
