"""A request as it was sent: a repeat is that one, whatever is known by now (design.md section 4, rule 1)."""

from typing import Final, TypeVar

from google.protobuf.message import Message as ProtoMessage

from onecard_adapters.runtime.memory import Transaction

_SENT: Final = "sent"
"""Attribute of a transaction: the national request, since it was first sent."""

_Request = TypeVar("_Request", bound=ProtoMessage)


def sent_before(transaction: Transaction, kind: type[_Request]) -> _Request | None:
    """The request that this transaction was sent as; None if it never was."""
    sent = transaction.attributes.get(_SENT)
    return None if sent is None else kind.FromString(bytes.fromhex(sent))


def sending(request: ProtoMessage) -> dict[str, str]:
    """What to remember of a request; it may run ahead of the message itself, with which it is durable."""
    return {_SENT: request.SerializeToString(deterministic=True).hex()}
