"""A request as it was sent: a repeat is that one, whatever is known by now (design.md section 4, rule 1).

Of what was certainly never sent, because it was refused before it was journaled, the repeat is another message.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from google.protobuf.message import Message as ProtoMessage

from onecard_adapters.runtime.memory import Transaction
from onecard_protocol import limits
from onecard_protocol.identifiers import message_time_ms, new_message_id

_SENT: Final = "sent"
"""Attribute of a transaction: the national request, since it was first sent."""
_BESIDE: Final = "sent_beside"
"""Attribute of a transaction: what belongs to that request and does not stand in it, as JSON."""
_ID: Final = "sent_id"
"""Attribute of a transaction: the id that its request was sent under, where it is another than the transaction's own;
empty since that request was refused before it was journaled."""
ANSWERED: Final[Mapping[str, str]] = {_SENT: "", _BESIDE: ""}
"""What to remember with the answer of a request: neither is needed any more."""

_OWN_ID_MS: Final = limits.EXECUTE_BEFORE_MS // 2
"""While a transaction is younger, its own id is that of its message: half of the time to execute it is left."""

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


def has_never_left(transaction: Transaction) -> bool:
    """Whether what `sent_before` gives was refused before it was journaled: a repeat may be built anew."""
    return transaction.attributes.get(_ID) == ""


def never_left() -> dict[str, str]:
    """What to remember of a request that was refused before it was journaled."""
    return {_ID: ""}


def id_to_send(transaction: Transaction, now_ms: int) -> bytes:
    """The id of the message to send now: that of the one that was sent, or one with time left to be executed."""
    sent_as = transaction.attributes.get(_ID)
    if sent_as:
        return bytes.fromhex(sent_as)
    own = transaction.message_id
    if sent_as is None and (transaction.attributes.get(_SENT) or now_ms - message_time_ms(own) < _OWN_ID_MS):
        return own
    return new_message_id(now_ms)


def sent_as(transaction: Transaction, message_id: bytes) -> dict[str, str]:
    """What to remember, beside `sending`, of the id of a message."""
    return {} if message_id == transaction.message_id else {_ID: message_id.hex()}
