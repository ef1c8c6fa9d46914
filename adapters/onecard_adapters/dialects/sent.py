"""A request as it was sent: a repeat is that one, whatever is known by now (design.md section 4, rule 1).

Of what was certainly never sent, because it was refused before it was journaled, the repeat is another message.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from google.protobuf.message import Message as ProtoMessage

from onecard_adapters.runtime.memory import Transaction
from onecard_protocol.identifiers import new_message_id

_SENT: Final = "sent"
"""Attribute of a transaction: the national request, since it was first sent."""
_BESIDE: Final = "sent_beside"
"""Attribute of a transaction: what belongs to that request and does not stand in it, as JSON."""
_ID: Final = "sent_id"
"""Attribute of a transaction whose first message never left: the id of the one that stands in its place, as hex."""
ANSWERED: Final[Mapping[str, str]] = {_SENT: "", _BESIDE: ""}
"""What to remember with the answer of a request: neither is needed any more."""

_Request = TypeVar("_Request", bound=ProtoMessage)


def sent_before(transaction: Transaction, kind: type[_Request]) -> _Request | None:
    """The request that this transaction was sent as; None if it never was."""
    sent = transaction.attributes.get(_SENT)
    return kind.FromString(bytes.fromhex(sent)) if sent else None


def beside_it(transaction: Transaction) -> Any:
    """What was remembered beside the request that `sent_before` gives; KeyError if nothing was."""
    return json.loads(transaction.attributes[_BESIDE])


def sending(request: ProtoMessage, beside: object = None) -> dict[str, str]:
    """What to remember of a request; it may run ahead of the message itself, with which it is durable."""
    kept = {_SENT: request.SerializeToString(deterministic=True).hex()}
    return kept if beside is None else {**kept, _BESIDE: json.dumps(beside)}


def sent_id(transaction: Transaction) -> bytes:
    """The id under which the request of this transaction is sent."""
    return bytes.fromhex(transaction.attributes.get(_ID, "")) or transaction.message_id


def never_left(now_ms: int) -> dict[str, str]:
    """What to remember of a request that was refused before it was journaled: its repeat is built anew.

    It gets another id, for the time to execute the first one runs from when that was made.
    """
    return {**ANSWERED, _ID: new_message_id(now_ms).hex()}
