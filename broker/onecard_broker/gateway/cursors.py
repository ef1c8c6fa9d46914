"""The receiver's cursor: log epoch, inbox and next position by partition, opaque outside the hub (rule 8).

Form: 1 byte version, then UTF-8 texts (u16 length) of epoch and participant, then (u32 partition, u64 position) each.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError

_VERSION: Final = 1
_LENGTH: Final = struct.Struct(">H")
_POSITION: Final = struct.Struct(">IQ")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a receiver goes on."""

    log_epoch: str
    participant: str
    positions: Mapping[int, int]


def encode_cursor(cursor: Cursor) -> bytes:
    """The bytes that the receiver keeps."""
    parts = [bytes([_VERSION])]
    for text in (cursor.log_epoch, cursor.participant):
        encoded = text.encode()
        parts += [_LENGTH.pack(len(encoded)), encoded]
    parts += [_POSITION.pack(partition, position) for partition, position in sorted(cursor.positions.items())]
    return b"".join(parts)


def decode_cursor(data: bytes, *, log_epoch: str, participant: str, partition_count: int) -> Cursor:
    """The cursor of these bytes.

    Raises CURSOR_FOREIGN_EPOCH for another life of the log, MALFORMED for anything that was not made for this inbox.
    """
    try:
        if data[:1] != bytes([_VERSION]):
            raise ValueError
        epoch, offset = _text(data, 1)
        owner, offset = _text(data, offset)
        pairs = list(_POSITION.iter_unpack(data[offset:]))
    except (ValueError, struct.error):
        raise _malformed() from None
    if epoch != log_epoch:
        raise OneCardError(errors_pb2.ERROR_REASON_CURSOR_FOREIGN_EPOCH, "the cursor is of another log epoch")
    positions = dict(pairs)
    if owner != participant or len(positions) != len(pairs) or any(number >= partition_count for number in positions):
        raise _malformed()
    return Cursor(log_epoch=epoch, participant=owner, positions=positions)


def _text(data: bytes, offset: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(data, offset)
    start = offset + _LENGTH.size
    if start + length > len(data):
        raise ValueError
    return data[start : start + length].decode(), start + length


def _malformed() -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "the cursor is none that this hub gave for this inbox")
