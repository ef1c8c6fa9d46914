"""One decision while it is being made: collects effects and numbers the hub's own messages. Owns no rule."""

from __future__ import annotations

import dataclasses
from typing import Any

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.model import (
    AggregateKey,
    CancelTimer,
    Effect,
    EndDeadLetter,
    Forward,
    Inbound,
    KnownMessage,
    KnownState,
    MessageKey,
    PassOn,
    Remember,
    SaveAggregate,
    Say,
    SetTimer,
    State,
    Timer,
    TimerPurpose,
    timer_id,
)
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, to_rejection
from onecard_protocol.identifiers import HUB, message_time_ms
from onecard_protocol.messages import Message

OPEN_STATES = {
    KnownState.OPEN: message_pb2.OPEN_STATE_WAITING,
    KnownState.UNKNOWN: message_pb2.OPEN_STATE_UNKNOWN,
    KnownState.REVERSING: message_pb2.OPEN_STATE_REVERSING,
    KnownState.MANUAL: message_pb2.OPEN_STATE_MANUAL,
    KnownState.HELD: message_pb2.OPEN_STATE_HELD,
}
"""How the state of a message without an outcome is told."""


class Ruling:
    """The effects of one record so far, and the state that they were decided from."""

    def __init__(self, state: State, inbound: Inbound, now_ms: int) -> None:
        self.state = state
        self.inbound = inbound
        self.now_ms = now_ms
        self.effects: list[Effect] = []
        # A record that was held has already made the hub say something: the notice, under number 0.
        self._said_count = 1 if inbound.is_replay else 0

    @property
    def message(self) -> Message:
        """The record's message; only timers have none."""
        if self.inbound.message is None:
            raise ValueError("the record carries no message")
        return self.inbound.message

    def arrived(
        self, state: KnownState, *, answer: MessageKey | None = None, aggregates: tuple[AggregateKey, ...] = ()
    ) -> KnownMessage:
        """The record's message as it will be known."""
        header = self.message.header
        return KnownMessage(
            sender=header.sender,
            id=header.id,
            digest=self.message.digest,
            recipient=header.recipient,
            method=header.method,
            subject=self.inbound.subject,
            state=state,
            answer=answer,
            aggregates=aggregates,
        )

    def pass_on(self, recipient: str, message: Message, *, answers: MessageKey | None = None) -> None:
        """Deliver a message of a participant as it is."""
        self.effects.append(PassOn(recipient=recipient, message=message, answers=answers))

    def remember(self, known: KnownMessage) -> None:
        """Insert or replace what is known; a message that has outlived its row (rule 2) gets none again."""
        if self.now_ms - message_time_ms(known.id) <= limits.MESSAGE_AGE_MS_MAX:
            self.effects.append(Remember(known=known))

    def save(self, key: AggregateKey, data: Any) -> None:
        """Insert, replace or, by None, delete a business state."""
        self.effects.append(SaveAggregate(key=key, data=data))

    def forward(self, subject: str) -> None:
        """Let the record's message, or the question about it, be decided under another number of the person."""
        self.remember(dataclasses.replace(self.arrived(KnownState.FORWARDED), subject=subject))
        self.effects.append(
            Forward(
                subject=subject,
                message=self.message,
                other_subject=self.inbound.other_subject,
                question_id=self.inbound.question_id,
            )
        )

    def forward_own(self, subject: str, method: str, event: bytes) -> None:
        """Put an event of the hub's own, to itself, into the journal under another number of the person."""
        index = self._said_count
        self._said_count += 1
        say = Say(index=index, recipient=HUB, method=method, kind=message_pb2.MESSAGE_KIND_EVENT, payload=event)
        self.effects.append(Forward(subject=subject, say=say))

    # ---- what the hub says -----------------------------------------------------------------------------------------

    def say(
        self,
        recipient: str,
        method: str,
        kind: message_pb2.MessageKind,
        payload: bytes,
        *,
        reply_to: message_pb2.RequestReference | None = None,
        answers: MessageKey | None = None,
    ) -> MessageKey:
        """Deliver a message of the hub's own; returns its key."""
        index = self._said_count
        self._said_count += 1
        self.effects.append(
            Say(
                index=index,
                recipient=recipient,
                method=method,
                kind=kind,
                payload=payload,
                reply_to=reply_to,
                answers=answers,
            )
        )
        return HUB, self.inbound.derived_id(self.now_ms, index)

    def tell(
        self,
        request: KnownMessage,
        kind: message_pb2.MessageKind,
        payload: ProtoMessage,
        *,
        answers: MessageKey | None,
    ) -> MessageKey:
        """Say something about a message to its sender; the signed reference names it by id and digest."""
        reference = message_pb2.RequestReference(
            sender=request.sender,
            id=request.id,
            digest=request.digest,
            log_epoch=self.inbound.log_epoch,
            partition=self.inbound.partition,
        )
        return self.say(
            request.sender,
            request.method,
            kind,
            payload.SerializeToString(deterministic=True),
            reply_to=reference,
            answers=answers,
        )

    def reject(self, request: KnownMessage, error: OneCardError) -> MessageKey:
        """Tell a message's sender a final refusal; returns the refusal's key."""
        return self.tell(request, message_pb2.MESSAGE_KIND_REJECTION, to_rejection(error), answers=request.key)

    def notify(self, request: KnownMessage) -> None:
        """Tell a request's sender that it has no outcome, and why.

        A notice that it simply waits completes no call: the outcome may come within the call's time.
        """
        is_waiting = request.state is KnownState.OPEN
        reason = errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
        if is_waiting:
            reason = errors_pb2.ERROR_REASON_UNSPECIFIED
        elif request.state is KnownState.HELD:
            reason = errors_pb2.ERROR_REASON_HELD
        notice = message_pb2.Notice(state=OPEN_STATES[request.state], reason=reason)
        answers = None if is_waiting else request.key
        self.tell(request, message_pb2.MESSAGE_KIND_NOTICE, notice, answers=answers)

    # ---- what becomes of a request ---------------------------------------------------------------------------------

    def await_answer(self, request: KnownMessage, due_ms: int) -> None:
        """Set the UNKNOWN timer of a request (rule 10), never before now."""
        self.effects.append(
            SetTimer(
                timer=Timer(
                    id=timer_id(TimerPurpose.ANSWER_OVERDUE, request.key),
                    due_ms=max(self.now_ms, due_ms),
                    purpose=TimerPurpose.ANSWER_OVERDUE,
                    request=request.key,
                )
            )
        )

    def conclude(self, request: KnownMessage, answer: MessageKey) -> None:
        """The request has its outcome."""
        self.remember(dataclasses.replace(request, state=KnownState.DECIDED, answer=answer))
        self.effects.append(CancelTimer(id=timer_id(TimerPurpose.ANSWER_OVERDUE, request.key)))
        self.effects.append(EndDeadLetter(of=request.key, subject=request.subject))

    def accept_answer(self, request: KnownMessage) -> None:
        """The record's message is the outcome of the request: pass it on to who asked, unless that was the hub."""
        if request.sender != HUB:
            self.pass_on(request.sender, self.message, answers=request.key)
        self.conclude(request, self.message.key)

    def leave_unknown(self, request: KnownMessage) -> KnownMessage:
        """The outcome cannot be told: tell who asked, unless that was the hub; returns the request as now known."""
        unknown = dataclasses.replace(request, state=KnownState.UNKNOWN)
        self.remember(unknown)
        if request.sender != HUB:
            self.notify(unknown)
        return unknown
