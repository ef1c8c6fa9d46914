"""Durable reception: everything delivered is verified, and written with the new cursor in one transaction (rule 8).

What fails verification is recorded and reported, never executed. Answers end their requests in the same transaction;
requests and events go on to processing; a repeat gets the stored answer again under its own header (rule 1). A success
of ours that the hub refuses because it came too late becomes the work of undoing it (rule 12).
"""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.inbox import InboxState, Received
from onecard_adapters.runtime.outbox import OutboxState, Outgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.answers import FINAL_KINDS, Waiting, check_binding
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.outgoing import Writer
from onecard_adapters.sdk.verification import Verification
from onecard_protocol.errors import OneCardError, from_rejection, reason_name
from onecard_protocol.identifiers import HUB, id_text, is_message_id, is_participant
from onecard_protocol.messages import Message, from_wire, reference_to, trusted_message
from onecard_protocol.methods import Method

# The rejection of an event that only says that its effect stands.
_STANDS_ALREADY: Final = frozenset({errors_pb2.ERROR_REASON_CARD_ALREADY})
_BRIEF_COUNT_MAX: Final = 32
_PROCESSED: Final = frozenset({message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT})

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Item:
    """A delivery on its way into the store."""

    message: Message | None
    partition: int
    number: int
    error: OneCardError | None


@dataclasses.dataclass(slots=True)
class _Written:
    """What must be done after the commit."""

    to_process: list[Received] = dataclasses.field(default_factory=list)
    to_send: list[Outgoing] = dataclasses.field(default_factory=list)
    answers: list[Message] = dataclasses.field(default_factory=list)
    refused: list[bytes] = dataclasses.field(default_factory=list)
    """Ids of events."""


class Reception:
    """Receives deliveries of one stream."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        verification: Verification,
        waiting: Waiting,
        clock: HubClock,
        writer: Writer,
        methods: Mapping[str, Method],
        process: Callable[[Received], None],
        submit: Callable[[Outgoing], None],
        refused: Callable[[bytes], None],
    ) -> None:
        """`refused` is told the id of each event of ours that the hub refused."""
        self._store = store
        self._sealer = sealer
        self._verification = verification
        self._waiting = waiting
        self._clock = clock
        self._writer = writer
        self._methods = methods
        self._process = process
        self._submit = submit
        self._refused = refused

    async def receive(
        self, log_epoch: str, deliveries: Sequence[service_pb2.Delivery], cursor: bytes | None, numbers: dict[int, int]
    ) -> None:
        """Take deliveries that are exactly the next of their partitions; returns once they are durable."""
        items = [_parsed(delivery) for delivery in deliveries]
        now_ms = self._clock.now_ms()
        sound = [item for item in items if item.message is not None and item.error is None]
        errors = await self._verification.check_all(
            [item.message for item in sound if item.message is not None], acting_ms=now_ms
        )
        for item, error in zip(sound, errors, strict=True):
            item.error = error

        def write(connection: sqlite3.Connection) -> _Written:
            written = _Written()
            for item in items:
                self._write(connection, item, log_epoch, now_ms, written)
            inbox.advance(connection, log_epoch, cursor, numbers)
            return written

        written = await self._store.insist(write, is_brief=len(items) <= _BRIEF_COUNT_MAX)
        for answer in written.answers:
            self._waiting.take(answer)
        for outgoing in written.to_send:
            self._submit(outgoing)
        for received in written.to_process:
            self._process(received)
        for message_id in written.refused:
            self._refused(message_id)

    def _write(
        self, connection: sqlite3.Connection, item: _Item, log_epoch: str, now_ms: int, written: _Written
    ) -> None:
        message = item.message
        if message is None:
            _log.error("number %d of partition %d is no message", item.number, item.partition)
            return
        received = Received(message=message, log_epoch=log_epoch, partition=item.partition, number=item.number)
        known = inbox.find(connection, message.header.sender, message.header.id)
        if item.error is not None:
            refused = dataclasses.replace(received, state=InboxState.REFUSED)
            if known is None:
                inbox.insert(connection, self._sealer, refused, now_ms=now_ms, keeps_bytes=False)
            written.to_send.append(self._report(connection, refused, item.error))
        elif known is not None and (known.digest != message.digest or known.partition != item.partition):
            what = "other content" if known.digest != message.digest else "another partition"
            conflict = OneCardError(errors_pb2.ERROR_REASON_ID_CONFLICT, f"the id was received before with {what}")
            written.to_send.append(self._report(connection, received, conflict))
        elif message.header.kind in _PROCESSED:
            self._write_request(connection, received, known, now_ms, written)
        else:
            self._write_answer(connection, received, known, now_ms, written)

    def _write_request(
        self,
        connection: sqlite3.Connection,
        received: Received,
        known: inbox.KnownReceived | None,
        now_ms: int,
        written: _Written,
    ) -> None:
        if known is None:
            inbox.insert(connection, self._sealer, received, now_ms=now_ms, keeps_bytes=True)
            written.to_process.append(received)
        elif known.state is InboxState.DONE:
            again = None if known.answer_id is None else outbox.queue_again(connection, self._sealer, known.answer_id)
            if again is not None:
                written.to_send.append(again)
        elif known.state in {InboxState.GIVEN_UP, InboxState.REFUSED}:
            # An operator replays it.
            written.to_process.append(inbox.receive_again(connection, self._sealer, received))

    def _write_answer(
        self,
        connection: sqlite3.Connection,
        received: Received,
        known: inbox.KnownReceived | None,
        now_ms: int,
        written: _Written,
    ) -> None:
        message = received.message
        request_id = message.header.reply_to.id
        fixed = outbox.fixed(connection, request_id)
        if fixed is not None:
            try:
                check_binding(*fixed, message)
            except OneCardError as error:
                written.to_send.append(self._report(connection, received, error))
                return
            if message.header.kind in FINAL_KINDS:
                outbox.answer(connection, self._sealer, request_id, message)
                self._take_refusal(connection, received, fixed[0], now_ms, written)
        if known is None:
            done = dataclasses.replace(received, state=InboxState.DONE)
            inbox.insert(connection, self._sealer, done, now_ms=now_ms, keeps_bytes=False)
        written.answers.append(message)

    def _take_refusal(
        self, connection: sqlite3.Connection, received: Received, refused: bytes, now_ms: int, written: _Written
    ) -> None:
        """The hub refused an event of ours, or an answer: say so, and undo a success that came too late (rule 12)."""
        rejection, answer = received.message, message_pb2.MessageHeader.FromString(refused)
        if answer.kind == message_pb2.MESSAGE_KIND_EVENT:
            self._take_event_refusal(connection, rejection, answer, written)
            return
        if answer.kind != message_pb2.MESSAGE_KIND_REPLY or rejection.header.sender != HUB:
            return
        original = answer.reply_to
        reason = message_pb2.Rejection.FromString(rejection.payload).reason
        _log.error(
            "the hub refused our answer to %s from %s: %s", id_text(original.id), original.sender, reason_name(reason)
        )
        if reason != errors_pb2.ERROR_REASON_LATE_SUCCESS_REFUSED:
            return
        undo = inbox.undo_of(connection, self._sealer, original.sender, original.id)
        if undo is None:
            _log.error("nothing is kept by which %s could be undone: a person must", id_text(original.id))
            return
        method = self._methods[answer.method].policy.reversing_method
        work = self._writer.undo(method, undo, message_id=rejection.header.id, original=original)
        # One that was given up stays a person's, who was told: the hub may have learnt since that the original stands.
        if inbox.find(connection, *work.key) is None:
            owed = dataclasses.replace(received, message=work)
            inbox.insert(connection, self._sealer, owed, now_ms=now_ms, keeps_bytes=True)
            written.to_process.append(owed)

    def _take_event_refusal(
        self, connection: sqlite3.Connection, rejection: Message, event: message_pb2.MessageHeader, written: _Written
    ) -> None:
        error = from_rejection(message_pb2.Rejection.FromString(rejection.payload))
        if error.reason not in _STANDS_ALREADY:
            _log.error("our event %s, %s, was refused: %s", id_text(event.id), event.method, error)
            outbox.refuse_event(connection, event.id, error)
            written.refused.append(event.id)

    def _report(self, connection: sqlite3.Connection, received: Received, error: OneCardError) -> Outgoing:
        message = received.message
        _log.error(
            "%s from %s is not taken: %s",
            id_text(message.header.id),
            message.header.sender,
            reason_name(error.reason),
        )
        report = self._writer.delivery_report(
            error.reason,
            error.detail,
            method=message.header.method,
            reference=reference_to(message, log_epoch=received.log_epoch, partition=received.partition),
        )
        outbox.insert(connection, self._sealer, report, OutboxState.QUEUED)
        return report


def _parsed(delivery: service_pb2.Delivery) -> _Item:
    signed = delivery.message
    try:
        return _Item(from_wire(signed), delivery.partition, delivery.number, None)
    except OneCardError as error:
        try:
            message = trusted_message(signed.header, signed.payload, signed.signature)
        except DecodeError:
            return _Item(None, delivery.partition, delivery.number, error)
        # Only what names a message can be recorded under its name and reported.
        is_named = is_participant(message.header.sender) and is_message_id(message.header.id)
        return _Item(message if is_named else None, delivery.partition, delivery.number, error)
