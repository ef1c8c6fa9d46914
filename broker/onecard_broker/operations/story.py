"""The story of a message: where it lies in the journal, what was decided, who got it when, and what answered it.

Reads the rows of the exchange and the records of the log; decides and changes nothing. What it shows of payloads is
redacted by the fields' options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import message_pb2
from onecard_broker.directory.model import Directory, KeyStatus
from onecard_broker.domain.model import KnownState
from onecard_broker.journal import (
    ADMITTED,
    DELIVERY_TYPE,
    DIRECTORY_VERSION,
    JOURNAL_TOPIC,
    MESSAGE_TYPE,
    NUMBER,
    PSEUDONYM,
    answers_text,
    inbox_topic,
)
from onecard_broker.log.cloud_events import CloudEvent, decode
from onecard_broker.log.port import LoggedRecord
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.records.exchange_store import IS_DELIVERED
from onecard_broker.records.pool import Connection
from onecard_broker.records.schema import day_of
from onecard_protocol.identifiers import HUB, id_text, message_time_ms
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, trusted_message
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.redaction import redact
from onecard_protocol.signatures.blocks import BlockVerifier

_PAYLOAD_OF_KIND: Final[dict[int, type[ProtoMessage]]] = {
    message_pb2.MESSAGE_KIND_REJECTION: message_pb2.Rejection,
    message_pb2.MESSAGE_KIND_NOTICE: message_pb2.Notice,
    message_pb2.MESSAGE_KIND_OUTCOME_REPORT: message_pb2.OutcomeReport,
    message_pb2.MESSAGE_KIND_DELIVERY_REPORT: message_pb2.DeliveryReport,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlace:
    """Where a message lies in the journal, and when it came; times in ms since 1970."""

    log_epoch: str
    partition: int
    position: int
    admitted_ms: int
    append_time_ms: int
    directory_version: int
    pseudonym: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCheck:
    """Whether the signature holds, and what the directory says of its key at the time of admission."""

    key_id: str
    key_owner: str
    is_valid: bool
    key_status: str
    batch: tuple[int, int] | None
    """(index, count) where it was signed by the batch."""

    @property
    def is_good(self) -> bool:
        """Signature and key are both as they must be."""
        return self.is_valid and self.key_status == KeyStatus.OK.value


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One delivery of the message: number, and when it was appended to the recipient's inbox.

    None where it does not stand there: not yet, or no longer, after `limits.INBOX_KEPT_MS`.
    """

    recipient: str
    partition: int
    number: int
    decided_ms: int
    position: int
    appended_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that the hub knows of one message."""

    message: Message
    state: str
    """What the exchange knows of it (`KnownState`); "admitted" before it was decided; empty for the hub's own."""
    payload: dict[str, Any]
    """The payload, redacted."""
    place: JournalPlace | None
    check: SignatureCheck
    deliveries: tuple[Delivered, ...]
    answers: tuple[Story, ...]
    """What answered it: reply, rejection, notices; in order of their ids."""


class StoryReader:
    """Reads stories. One task uses it at a time."""

    def __init__(
        self,
        connection: Connection,
        window: LogWindow,
        *,
        directory: Directory,
        methods: MethodRegistry,
        verifier: BlockVerifier,
        hub_keys: dict[str, bytes],
    ) -> None:
        """`window` shows the log; `hub_keys` are the hub's configured keys by id, beside the directory's own."""
        self._connection = connection
        self._window = window
        self._directory = directory
        self._methods = methods
        self._verifier = verifier
        self._hub_keys = hub_keys

    async def find(self, message_id: bytes) -> list[Story]:
        """The stories of all messages with this id, one a sender; empty if the hub never saw it."""
        senders = await self._senders(message_id)
        if not senders:
            event = await self._find_undecided(message_id)
            return [] if event is None else [await self._story_of_undecided(*event)]
        return [story for sender in senders if (story := await self._story(sender, message_id)) is not None]

    async def newest(self, count: int) -> list[tuple[Message, str, int]]:
        """The messages last delivered, newest first: message, request that it answers, and decision time in ms."""
        cursor = await self._connection.execute(
            f"SELECT header, payload, signature, answers, decided_ms FROM outputs WHERE {IS_DELIVERED}"
            " ORDER BY id DESC LIMIT %b",
            (count,),
            binary=True,
        )
        return [(trusted_message(row[0], row[1], row[2]), row[3], row[4]) for row in await cursor.fetchall()]

    def public_key(self, key_id: str) -> bytes | None:
        """The public key of an id, 65 bytes; None if nobody named it."""
        key = self._directory.key_for(key_id)
        return key.public_key if key is not None else self._hub_keys.get(key_id)

    # ---- finding ---------------------------------------------------------------------------------------------------

    async def _senders(self, message_id: bytes) -> list[str]:
        cursor = await self._connection.execute(
            "SELECT sender FROM known_messages WHERE day = %b AND id = %b"
            " UNION SELECT sender FROM outputs WHERE id = %b ORDER BY sender",
            (day_of(message_time_ms(message_id)), message_id, message_id),
            binary=True,
        )
        return [row[0] for row in await cursor.fetchall()]

    async def _story(self, sender: str, message_id: bytes) -> Story | None:
        known = await (
            await self._connection.execute(
                # What was forwarded is decided in another partition.
                "SELECT partition, state, answer_sender, answer_id FROM known_messages"
                " WHERE day = %b AND sender = %b AND id = %b ORDER BY state = %b",
                (day_of(message_time_ms(message_id)), sender, message_id, KnownState.FORWARDED),
                binary=True,
            )
        ).fetchone()
        outputs = await (
            await self._connection.execute(
                "SELECT recipient, partition, number, decided_ms, position, header, payload, signature FROM outputs"
                f" WHERE sender = %b AND id = %b AND {IS_DELIVERED} ORDER BY number",
                (sender, message_id),
                binary=True,
            )
        ).fetchall()
        partition = known[0] if known is not None else outputs[0][1]
        answers = [] if known is None else await self._answers(sender, message_id, partition)
        place, message = None, None
        if sender != HUB:
            position = await self._position(outputs, answers, sender, message_id, partition)
            if position is not None:
                record = await self._window.record(JOURNAL_TOPIC, partition, position)
            else:
                record = await self._find_in_journal(partition, message_id)
            if record is not None:
                place, message = self._place(record)
        if message is None and outputs:
            message = trusted_message(outputs[0][5], outputs[0][6], outputs[0][7])
        if message is None:
            return None
        return Story(
            message=message,
            state="" if known is None else known[1],
            payload=self._shown(message),
            place=place,
            check=self._check(message, message.created_ms if place is None else place.admitted_ms),
            deliveries=tuple([await self._delivered(row) for row in outputs]),
            answers=tuple(answers),
        )

    async def _answers(self, sender: str, message_id: bytes, partition: int) -> list[Story]:
        """What was delivered to the sender as answer to the message, each message once."""
        cursor = await self._connection.execute(
            "SELECT DISTINCT sender, id FROM outputs WHERE recipient = %b AND partition = %b AND day >= %b"
            " AND answers = %b ORDER BY id",
            (sender, partition, day_of(message_time_ms(message_id)), answers_text((sender, message_id))),
            binary=True,
        )
        found = [await self._story(row[0], row[1]) for row in await cursor.fetchall()]
        return [story for story in found if story is not None]

    async def _position(
        self, outputs: Sequence[Any], answers: Sequence[Story], sender: str, message_id: bytes, partition: int
    ) -> int | None:
        """Journal position: of its own delivery, of the hub's refusal that was decided from it, or where it is held."""
        if outputs:
            position: int = outputs[0][4]
            return position
        for answer in answers:
            if answer.message.header.sender == HUB and answer.deliveries:
                return answer.deliveries[0].position
        row = await (
            await self._connection.execute(
                "SELECT position FROM parked WHERE partition = %b AND sender = %b AND id = %b",
                (partition, sender, message_id),
                binary=True,
            )
        ).fetchone()
        return None if row is None else row[0]

    async def _find_in_journal(self, partition: int, message_id: bytes) -> LoggedRecord | None:
        """The record of a message that led to nothing, such as a late report: only the journal has it."""
        start, _ = (await self._window.bounds(JOURNAL_TOPIC))[partition]
        async for record in self._window.records(JOURNAL_TOPIC, partition, start):
            event = decode(record)
            if event.type == MESSAGE_TYPE and event.id == id_text(message_id):
                return record
        return None

    async def _find_undecided(self, message_id: bytes) -> tuple[LoggedRecord, CloudEvent] | None:
        """The message among what was admitted and not decided yet."""
        cursor = await self._connection.execute("SELECT partition, position FROM partitions", binary=True)
        starts: dict[int, int] = dict(await cursor.fetchall())
        bounds = await self._window.bounds(JOURNAL_TOPIC)
        open_at = {part: max(starts.get(part, first), first) for part, (first, end) in bounds.items()}
        backlog = {part: at for part, at in open_at.items() if at < bounds[part][1]}
        for part, at in backlog.items():
            async for record in self._window.records(JOURNAL_TOPIC, part, at):
                event = decode(record)
                if event.type == MESSAGE_TYPE and event.id == id_text(message_id):
                    return record, event
        return None

    async def _story_of_undecided(self, record: LoggedRecord, event: CloudEvent) -> Story:
        place, message = self._place(record)
        return Story(
            message=message,
            state="admitted",
            payload=self._shown(message),
            place=place,
            check=self._check(message, place.admitted_ms),
            deliveries=(),
            answers=(),
        )

    # ---- the log ---------------------------------------------------------------------------------------------------

    async def _delivered(self, row: Any) -> Delivered:
        recipient, partition, number, decided_ms, position = row[:5]
        appended_ms = None
        # Each number stands in the inbox at least once and in order, so it is never found before this position.
        async for record in self._window.records(inbox_topic(recipient), partition, number - 1):
            event = decode(record)
            if event.type == DELIVERY_TYPE and event.extensions[NUMBER] == str(number):
                appended_ms = record.append_time_ms
                break
        return Delivered(
            recipient=recipient,
            partition=partition,
            number=number,
            decided_ms=decided_ms,
            position=position,
            appended_ms=appended_ms,
        )

    def _place(self, record: LoggedRecord) -> tuple[JournalPlace, Message]:
        event = decode(record)
        place = JournalPlace(
            log_epoch=self._window.epoch,
            partition=record.partition,
            position=record.position,
            admitted_ms=int(event.extensions.get(ADMITTED, "0")),
            append_time_ms=record.append_time_ms,
            directory_version=int(event.extensions.get(DIRECTORY_VERSION, "0")),
            pseudonym=event.extensions.get(PSEUDONYM, ""),
        )
        return place, trusted_message(event.header, event.data, event.signature)

    # ---- the message -----------------------------------------------------------------------------------------------

    def _check(self, message: Message, at_ms: int) -> SignatureCheck:
        try:
            block = message_pb2.SignatureBlock.FromString(message.signature)
        except DecodeError:
            block = message_pb2.SignatureBlock()
        key = self._directory.key_for(block.key_id)
        public_key = self.public_key(block.key_id)
        owner = key.participant if key is not None else HUB if block.key_id in self._hub_keys else ""
        status = "unknown" if not owner else KeyStatus.OK.value if key is None else key.status(at_ms).value
        proof = block.batch_proof
        return SignatureCheck(
            key_id=block.key_id,
            key_owner=owner,
            is_valid=owner == message.header.sender
            and public_key is not None
            and self._verifier.verify(MESSAGE_CONTEXT, message.header_bytes, block, public_key),
            key_status=status,
            batch=(proof.leaf_index, proof.leaf_count) if block.HasField("batch_proof") else None,
        )

    def _shown(self, message: Message) -> dict[str, Any]:
        kind = message.header.kind
        payload_class = _PAYLOAD_OF_KIND.get(kind)
        if payload_class is None:
            method = self._methods.get(message.header.method)
            if method is None:
                return {}
            is_reply = kind == message_pb2.MESSAGE_KIND_REPLY
            payload_class = method.output_class if is_reply else method.input_class
        try:
            return redact(payload_class.FromString(message.payload))
        except DecodeError:
            return {}
