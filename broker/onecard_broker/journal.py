"""The records of journal and inboxes as CloudEvents: their topics, types and extension attributes.

Owns the names; knows nothing of how a log keeps records (``log/``) or of what they mean (``domain/``).
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final

from onecard_broker.domain.model import MessageKey
from onecard_broker.log.cloud_events import HEADER, SIGNATURE, CloudEvent, encode
from onecard_broker.log.port import Record, TopicSpec
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB, PARTICIPANTS, id_text
from onecard_protocol.messages import Message, trusted_message

JOURNAL_TOPIC: Final = "onecard.journal"
CONTROL_TOPIC: Final = "onecard.control"

MESSAGE_TYPE: Final = "onecard.message.v1"
QUESTION_TYPE: Final = "onecard.question.v1"
TIMER_TYPE: Final = "onecard.timer.v1"
TICK_TYPE: Final = "onecard.tick.v1"
CONTROL_TYPE: Final = "onecard.control.v1"
DELIVERY_TYPE: Final = "onecard.delivery.v1"

# Extension attributes (CloudEvents allows lower-case letters and digits).
ADMITTED: Final = "admitted"
PSEUDONYM: Final = "pseudonym"
OTHER_PSEUDONYM: Final = "otherpseudonym"
DIRECTORY_VERSION: Final = "dirversion"
QUESTION: Final = "question"
NUMBER: Final = "number"
ANSWERS: Final = "answers"

_JOURNAL_RECIPIENT: Final = "journal/"
_QUESTION_ANSWERS: Final = "question:"

HUB_SOURCE: Final = "/onecard/cn-00"
PROTOBUF: Final = "application/protobuf"


def inbox_topic(participant: str) -> str:
    """The inbox topic of a participant, ``onecard.inbox.cn-44``."""
    return f"onecard.inbox.{participant}"


def topics(partition_count: int) -> list[TopicSpec]:
    """All topics of the hub; the journal is kept for ever, inboxes shorter than the outputs that fill their gaps."""
    return [
        TopicSpec(name=JOURNAL_TOPIC, partition_count=partition_count),
        TopicSpec(name=CONTROL_TOPIC, partition_count=1, retention_ms=limits.OUTPUT_KEPT_MS),
        *(
            TopicSpec(
                name=inbox_topic(participant),
                partition_count=partition_count,
                # The hub's own is followed from its end, and has ticks several times a second.
                retention_ms=limits.HUB_INBOX_KEPT_MS if participant == HUB else limits.INBOX_KEPT_MS,
            )
            for participant in sorted(PARTICIPANTS)
        ),
    ]


def partition_of_pseudonym(pseudonym: str, partition_count: int) -> int:
    """The partition of a person: the pseudonym's first 8 bytes modulo the number of partitions."""
    return int(pseudonym[:16], 16) % partition_count


def journal_recipient(partition: int) -> str:
    """Who outputs go to that are forwarded to a partition of the journal, ``journal/0007``; no participant's name."""
    return f"{_JOURNAL_RECIPIENT}{partition:04d}"


def journal_partition(recipient: str) -> int | None:
    """The partition that outputs to this recipient are forwarded to; None for a participant."""
    return int(recipient[len(_JOURNAL_RECIPIENT) :]) if recipient.startswith(_JOURNAL_RECIPIENT) else None


def source_of(participant: str) -> str:
    """The CloudEvents source of a participant's messages."""
    return f"/onecard/{participant}"


def answers_text(key: MessageKey) -> str:
    """A request's (sender, id), or ("question", question id), as it stands in the attribute `answers`."""
    return f"{key[0]}:{id_text(key[1])}"


def _record(
    event_type: str,
    message: Message | None,
    *,
    topic: str,
    partition: int,
    key: bytes,
    event_id: str,
    time_ms: int,
    extensions: dict[str, str],
) -> Record:
    return encode(
        topic=topic,
        partition=partition,
        key=key,
        event=CloudEvent(
            id=event_id,
            source=HUB_SOURCE if message is None else source_of(message.header.sender),
            type=event_type,
            time_ms=time_ms,
            subject="" if message is None else message.header.method,
            extensions=extensions,
            header=b"" if message is None else message.header_bytes,
            signature=b"" if message is None else message.signature,
            data=b"" if message is None else message.payload,
            content_type=PROTOBUF,
        ),
    )


def message_of(headers: Mapping[str, bytes], payload: bytes) -> Message:
    """The message of a record that this hub wrote: its headers by name, and its value. On the hot path.

    Raises KeyError, binascii.Error or DecodeError for what no hub wrote.
    """
    return trusted_message(a2b_base64(headers[HEADER]), payload, a2b_base64(headers.get(SIGNATURE, b"")))


def record_key(message: Message, pseudonym: str) -> bytes:
    """The Kafka key: the pseudonym, or the message's own identity where it has no person."""
    return (pseudonym or answers_text(message.key)).encode()


def _admission(pseudonym: str, other_pseudonym: str, admitted_ms: int, directory_version: int) -> dict[str, str]:
    extensions = {ADMITTED: str(admitted_ms), PSEUDONYM: pseudonym, DIRECTORY_VERSION: str(directory_version)}
    if other_pseudonym:
        extensions[OTHER_PSEUDONYM] = other_pseudonym
    return extensions


def message_record(
    message: Message,
    *,
    partition: int,
    pseudonym: str,
    admitted_ms: int,
    directory_version: int,
    other_pseudonym: str = "",
) -> Record:
    """An admitted message for the journal; `other_pseudonym` is of the other identity that its method names."""
    return _record(
        MESSAGE_TYPE,
        message,
        topic=JOURNAL_TOPIC,
        partition=partition,
        key=record_key(message, pseudonym),
        event_id=id_text(message.header.id),
        time_ms=message.created_ms,
        extensions=_admission(pseudonym, other_pseudonym, admitted_ms, directory_version),
    )


def question_record(
    message: Message,
    *,
    partition: int,
    pseudonym: str,
    admitted_ms: int,
    directory_version: int,
    question_id: bytes,
    other_pseudonym: str = "",
) -> Record:
    """GetOutcome about a message, for the journal; its answer comes to the asker's inbox (`answers` = question)."""
    return _record(
        QUESTION_TYPE,
        message,
        topic=JOURNAL_TOPIC,
        partition=partition,
        key=record_key(message, pseudonym),
        event_id=id_text(question_id),
        time_ms=admitted_ms,
        extensions=_admission(pseudonym, other_pseudonym, admitted_ms, directory_version)
        | {QUESTION: id_text(question_id)},
    )


def forwarded_record(
    message: Message, *, partition: int, pseudonym: str, other_pseudonym: str, question: str, decided_ms: int
) -> Record:
    """What another partition forwards, for the journal: a message, or a question as `answers_text` names it.

    It was not admitted again: its time is that of the decision to forward it, and no directory is named.
    """
    if question:
        return question_record(
            message,
            partition=partition,
            pseudonym=pseudonym,
            other_pseudonym=other_pseudonym,
            admitted_ms=decided_ms,
            directory_version=0,
            question_id=bytes.fromhex(question.removeprefix(_QUESTION_ANSWERS)),
        )
    return message_record(
        message,
        partition=partition,
        pseudonym=pseudonym,
        other_pseudonym=other_pseudonym,
        admitted_ms=decided_ms,
        directory_version=0,
    )


def timer_record(timer_id: bytes, *, partition: int, time_ms: int) -> Record:
    """A timer that is due, for the journal."""
    return _record(
        TIMER_TYPE,
        None,
        topic=JOURNAL_TOPIC,
        partition=partition,
        key=timer_id.hex().encode(),
        event_id=timer_id.hex(),
        time_ms=time_ms,
        extensions={},
    )


def tick_record(*, partition: int, time_ms: int) -> Record:
    """A tick of an idle partition, for the journal."""
    return _record(
        TICK_TYPE,
        None,
        topic=JOURNAL_TOPIC,
        partition=partition,
        key=b"tick",
        event_id=f"tick-{partition}-{time_ms}",
        time_ms=time_ms,
        extensions={},
    )


def control_record(message: Message, number: int, *, topic: str, partition: int, time_ms: int) -> Record:
    """A signed control record, for `onecard.control` or as its copy in a journal partition."""
    return _record(
        CONTROL_TYPE,
        message,
        topic=topic,
        partition=partition,
        key=HUB.encode(),
        event_id=f"control-{number}",
        time_ms=time_ms,
        extensions={NUMBER: str(number)},
    )


def control_tick_record(newest_number: int, *, time_ms: int) -> Record:
    """The tick of `onecard.control`, with the newest number."""
    return _record(
        TICK_TYPE,
        None,
        topic=CONTROL_TOPIC,
        partition=0,
        key=b"tick",
        event_id=f"tick-control-{time_ms}",
        time_ms=time_ms,
        extensions={NUMBER: str(newest_number)},
    )


def hub_tick_record(*, partition: int, time_ms: int, number: int) -> Record:
    """The tick of a partition of the hub's inbox.

    Every output to the hub that was decided at the partition's `now` of `time_ms` or before stands before it; `number`
    is the highest of them, so that a lost last one shows.
    """
    return _record(
        TICK_TYPE,
        None,
        topic=inbox_topic(HUB),
        partition=partition,
        key=b"tick",
        event_id=f"tick-hub-{partition}-{time_ms}",
        time_ms=time_ms,
        extensions={NUMBER: str(number)},
    )


def delivery_record(
    message: Message, *, recipient: str, partition: int, number: int, answers: str, time_ms: int, pseudonym: str = ""
) -> Record:
    """An output for a participant's inbox, under its delivery number; only the hub's inbox tells of whom it is."""
    extensions = {NUMBER: str(number)}
    if answers:
        extensions[ANSWERS] = answers
    if pseudonym and recipient == HUB:
        extensions[PSEUDONYM] = pseudonym
    return _record(
        DELIVERY_TYPE,
        message,
        topic=inbox_topic(recipient),
        partition=partition,
        key=answers_text(message.key).encode(),
        event_id=id_text(message.header.id),
        time_ms=time_ms,
        extensions=extensions,
    )
