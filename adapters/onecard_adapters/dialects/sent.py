"""A request as it was sent: a repeat is that one, whatever is known by now (design.md section 4, rule 1).

Of what was certainly never sent, because it was refused before it was journaled, the repeat is another message.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
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

_REVERSED: Final = "reversed"
"""Attribute of a transaction that a reversal named before it was sent."""

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
    """What to remember of a request before it is sent."""
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


def id_of(transaction: Transaction) -> bytes:
    """The id of its message, by which a reversal, a query or a cancellation names it."""
    sent_as = transaction.attributes.get(_ID)
    return bytes.fromhex(sent_as) if sent_as else transaction.message_id


async def fixed_id(
    memory: EdgeMemory,
    transaction: Transaction,
    request: ProtoMessage,
    now_ms: int,
    attributes: Mapping[str, str] = MappingProxyType({}),
    *,
    number: str,
) -> bytes:
    """The id to send a settlement under now, remembered with the request; call it with the transaction's number held.

    Raises NEVER_EXECUTED if a reversal named it before; `number` is what the dialect calls its local number.
    """
    known = _as_known(memory, transaction)
    if known.attributes.get(_REVERSED) and not known.attributes.get(_SENT):
        raise OneCardError(errors_pb2.ERROR_REASON_NEVER_EXECUTED, f"{number} was reversed before it came")
    message_id = id_to_send(known, now_ms)
    # Durable before its number is let go of: a reversal must find another id than the transaction's, and a repeat that
    # did not find what was sent under the transaction's own would be sent under another.
    kept = {**sending(request), **sent_as(transaction, message_id), **attributes}
    await memory.update_transaction(transaction.message_id, kept)
    return message_id


async def id_to_reverse(memory: EdgeMemory, original: Transaction) -> bytes:
    """The id that a reversal names; what was not sent by now never will be. Call it with the original's number held."""
    known = _as_known(memory, original)
    if _SENT not in known.attributes:
        await memory.update_transaction(original.message_id, {_REVERSED: "1"})
    return id_of(known)


async def note_absent(memory: EdgeMemory, original: Transaction, asked_id: bytes) -> None:
    """A query found nothing under an id: what was not sent by now never will be. Call it as `id_to_reverse`.

    Raises OUTCOME_UNKNOWN if it was sent meanwhile under another id.
    """
    if await id_to_reverse(memory, original) != asked_id:
        raise OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "the insured province cannot tell yet")


def _as_known(memory: EdgeMemory, transaction: Transaction) -> Transaction:
    found = memory.find_transactions(transaction.institution_code, transaction.local_transaction_id)
    return next(item for item in found if item.message_id == transaction.message_id)
