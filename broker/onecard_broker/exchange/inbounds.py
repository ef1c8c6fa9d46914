"""From a journal record to what the rules see."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_broker import journal
from onecard_broker.domain.model import Inbound, Origin, Timer
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import LoggedRecord
from onecard_broker.records.parking import Parked
from onecard_protocol.identifiers import HUB, is_participant
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.methods import Method, MethodRegistry

_MESSAGES: Final = frozenset({journal.MESSAGE_TYPE.encode(), journal.QUESTION_TYPE.encode()})
_ADMITTED: Final = f"ce_{journal.ADMITTED}"
_PSEUDONYM: Final = f"ce_{journal.PSEUDONYM}"
_OTHER_PSEUDONYM: Final = f"ce_{journal.OTHER_PSEUDONYM}"
_QUESTION: Final = f"ce_{journal.QUESTION}"


@dataclasses.dataclass(slots=True, kw_only=True)
class Entry:
    """A journal record on its way through a batch; exactly one of `inbound`, `timer_id`, `control` or none (a tick)."""

    record: LoggedRecord
    claimed_ms: int
    """The gateway's admitted time, or the append time where no gateway was involved."""
    inbound: Inbound | None = None
    timer_id: bytes | None = None
    timer: Timer | None = None
    """The timer itself, once it is taken; None for one that was cancelled or spent."""
    control: control_pb2.ControlRecord | None = None
    control_message: Message | None = None
    parked: Parked | None = None
    """The row that it was parked under; None for a record that comes from the journal."""
    has_dispositions: bool = False
    """The parked record that a disposition concerns stands behind it already."""
    disposition: control_pb2.Disposition = control_pb2.DISPOSITION_UNSPECIFIED
    """What an operator decided about a held record, where that is not to decide it again."""
    held_because: str = ""
    """Set for a record that cannot be read, or that PostgreSQL refused: it is held without being decided."""

    @property
    def is_replay(self) -> bool:
        """Whether it was parked and may go on (rules 13 and 14)."""
        return self.parked is not None

    @property
    def is_disposed(self) -> bool:
        """Whether it stands behind the control record that decides about it."""
        return self.parked is not None and self.parked.is_offender


def read_entry(record: LoggedRecord, *, log_epoch: str, methods: MethodRegistry) -> Entry:
    """Parse a record of the journal; whatever it raises makes the record undecidable."""
    headers = dict(record.headers)
    if headers.get("ce_type") in _MESSAGES:
        return _read_message(record, headers, log_epoch, methods)
    event = decode(record)
    match event.type:
        case journal.TIMER_TYPE:
            return Entry(record=record, claimed_ms=record.append_time_ms, timer_id=bytes.fromhex(event.id))
        case journal.CONTROL_TYPE:
            control = control_pb2.ControlRecord.FromString(event.data)
            return Entry(
                record=record,
                claimed_ms=record.append_time_ms,
                control=control,
                control_message=trusted_message(event.header, event.data, event.signature),
            )
        case journal.TICK_TYPE:
            return Entry(record=record, claimed_ms=record.append_time_ms)
        case _:
            raise ValueError(f"record of unknown type {event.type}")


def unread(record: LoggedRecord, cause: str, *, log_epoch: str) -> Entry:
    """A record that `read_entry` cannot read, to be held; of a message also whose it is and which, if it says so."""
    headers = dict(record.headers)
    entry = Entry(record=record, claimed_ms=record.append_time_ms, held_because=cause)
    if headers.get("ce_type") != journal.MESSAGE_TYPE.encode():
        return entry
    inbound = Inbound(
        origin=Origin.MESSAGE, log_epoch=log_epoch, partition=record.partition, position=record.position, subject=""
    )
    with contextlib.suppress(Exception):
        inbound = dataclasses.replace(inbound, subject=bytes.fromhex(headers[_PSEUDONYM].decode()).hex())
    with contextlib.suppress(Exception):
        inbound = dataclasses.replace(inbound, message=_message(record, headers))
    entry.inbound = inbound
    return entry


def _message(record: LoggedRecord, headers: Mapping[str, bytes]) -> Message:
    message = journal.message_of(headers, record.value)
    if not is_participant(message.header.sender) or not is_participant(message.header.recipient):
        raise ValueError("a message from or to nobody")  # No inbox takes what would be said of it.
    return message


def _read_message(record: LoggedRecord, headers: Mapping[str, bytes], log_epoch: str, methods: MethodRegistry) -> Entry:
    message = _message(record, headers)
    method = methods.get(message.header.method)
    question = headers.get(_QUESTION)
    header = message.header
    is_unread = header.kind == message_pb2.MESSAGE_KIND_EVENT and header.recipient != HUB
    return Entry(
        record=record,
        claimed_ms=int(headers[_ADMITTED]),
        inbound=Inbound(
            origin=Origin.MESSAGE if question is None else Origin.QUESTION,
            log_epoch=log_epoch,
            partition=record.partition,
            position=record.position,
            subject=headers.get(_PSEUDONYM, b"").decode(),
            message=message,
            method=method,
            other_subject=headers.get(_OTHER_PSEUDONYM, b"").decode(),
            # No rule reads an event between participants.
            payload=None if method is None or is_unread else parse_payload(message, method),
            question_id=b"" if question is None else bytes.fromhex(question.decode()),
        ),
    )


def parse_payload(message: Message, method: Method) -> ProtoMessage:
    """The payload by what the message is."""
    match message.header.kind:
        case message_pb2.MESSAGE_KIND_REQUEST | message_pb2.MESSAGE_KIND_EVENT:
            return method.input_class.FromString(message.payload)
        case message_pb2.MESSAGE_KIND_REPLY:
            return method.output_class.FromString(message.payload)
        case message_pb2.MESSAGE_KIND_REJECTION:
            return message_pb2.Rejection.FromString(message.payload)
        case message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
            return message_pb2.DeliveryReport.FromString(message.payload)
        case _:
            raise ValueError(f"a message of kind {message.header.kind} does not belong in the journal")
