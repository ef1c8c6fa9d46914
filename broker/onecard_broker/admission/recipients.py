"""Whether a message may go where it wants to: rights of the recipient, or the binding of an answer (rules 4 and 10)."""

from __future__ import annotations

from collections.abc import Callable

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.admission.rights import may_receive
from onecard_broker.directory.model import Directory
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message
from onecard_protocol.methods import Method

_ASKING = frozenset({message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT})


def check_recipient(
    message: Message,
    method: Method,
    *,
    directory: Directory,
    log_epoch: str,
    partition_count: int,
    now_ms: int,
    is_reading: Callable[[str], bool],
) -> int | None:
    """The journal partition that an answer names, None for a request or event; raises OneCardError."""
    if message.header.kind in _ASKING:
        _check_rights(message, method, directory)
        # What carries no execute_before lives seven days and may wait for its recipient.
        if message.execute_before_ms is not None:
            _check_readiness(message.header.recipient, directory, now_ms, is_reading)
        return None
    return _binding_of(message, log_epoch, partition_count)


def _check_rights(message: Message, method: Method, directory: Directory) -> None:
    recipient = message.header.recipient
    if recipient not in directory.participants:
        raise OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_UNKNOWN, recipient)
    if not may_receive(recipient, method, directory):
        raise OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED, f"{recipient}, {method.name}")


def _check_readiness(recipient: str, directory: Directory, now_ms: int, is_reading: Callable[[str], bool]) -> None:
    participant = directory.participants[recipient]
    if participant.is_in_maintenance(now_ms) and participant.maintenance is not None:
        raise OneCardError(
            errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE,
            f"{recipient} is in declared maintenance",
            retry_after_ms=min(participant.maintenance[1] - now_ms, limits.MESSAGE_AGE_MS_MAX),
        )
    if recipient != HUB and not is_reading(recipient):
        raise OneCardError(
            errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE,
            f"{recipient} has read nothing for {limits.RECIPIENT_OFFLINE_MS} ms",
            retry_after_ms=limits.HUB_TIME_STALE_MS,
        )


def _binding_of(message: Message, log_epoch: str, partition_count: int) -> int:
    header, reference = message.header, message.header.reply_to
    expected = {reference.sender}
    if header.kind == message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
        expected.add(HUB)  # The hub keeps the dead letters.
    if header.recipient not in expected:
        raise OneCardError(
            errors_pb2.ERROR_REASON_HEADER_INVALID,
            violations=[("recipient", "is not the sender of the message that reply_to names")],
        )
    if reference.log_epoch != log_epoch or reference.partition >= partition_count:
        raise OneCardError(errors_pb2.ERROR_REASON_DELIVERY_BINDING_INVALID)
    return reference.partition
