"""What of a message may be shown: fields marked sensitive appear as present, never with their value."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import options_pb2

HIDDEN: Final = "***"


def redact(message: ProtoMessage) -> dict[str, Any]:
    """The message as plain values for logs and screens, with ``***`` in place of everything sensitive."""
    return {
        field.name: HIDDEN if field.GetOptions().Extensions[options_pb2.sensitive] else _shown(field, value)
        for field, value in message.ListFields()
    }


def _shown(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return [redact(item) for item in value] if field.is_repeated else redact(value)
    if field.is_repeated:
        return [_scalar(field, item) for item in value]
    return _scalar(field, value)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        number = field.enum_type.values_by_number.get(value)
        return number.name if number is not None else value
    return value.hex() if isinstance(value, bytes) else value


def mask_number(number: str) -> str:
    """A number for the eyes of its holder or a clerk: first 2 and last 2 characters."""
    return number if len(number) <= 4 else number[:2] + "*" * (len(number) - 4) + number[-2:]
