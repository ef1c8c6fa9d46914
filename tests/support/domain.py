"""Runs the pure rules in memory: an exchange worker for tests, without log, database and signatures.

It gives the rules exactly what they name in `needs` and `needs_after`, so a rule that forgets to name something fails.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_broker.domain import conversation
from onecard_broker.domain.medical_state import Encounter, decode_encounter, encounter_key
from onecard_broker.domain.model import (
    AggregateKey,
    CancelTimer,
    Effect,
    EndDeadLetter,
    Feeds,
    Forward,
    Inbound,
    KeepDeadLetter,
    KnownMessage,
    MessageKey,
    Origin,
    PassOn,
    Remember,
    SaveAggregate,
    Say,
    SetTimer,
    State,
    Timer,
)
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB, message_id_from
from onecard_protocol.messages import Message, build_header, reference_to, trusted_message
from onecard_protocol.methods import Method, MethodRegistry
from onecard_protocol.signatures.sm3 import sm3

METHODS: Final = MethodRegistry.load()
NETWORK: Final = "test-rules"
LOG_EPOCH: Final = "epoch-1"
PARTITION: Final = 3
START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
CARE: Final = "cn-44"
INSURED: Final = "cn-51"


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """A message in a participant's inbox."""

    recipient: str
    message: Message
    answers: MessageKey | None

    @property
    def payload(self) -> ProtoMessage:
        """The payload by what the message is."""
        return parse(self.message)


def parse(message: Message) -> ProtoMessage:
    """A message's payload, parsed by its kind and method."""
    method = METHODS[message.header.method]
    classes: dict[int, type[ProtoMessage]] = {
        message_pb2.MESSAGE_KIND_REQUEST: method.input_class,
        message_pb2.MESSAGE_KIND_EVENT: method.input_class,
        message_pb2.MESSAGE_KIND_REPLY: method.output_class,
        message_pb2.MESSAGE_KIND_REJECTION: message_pb2.Rejection,
        message_pb2.MESSAGE_KIND_NOTICE: message_pb2.Notice,
        message_pb2.MESSAGE_KIND_OUTCOME_REPORT: message_pb2.OutcomeReport,
        message_pb2.MESSAGE_KIND_DELIVERY_REPORT: message_pb2.DeliveryReport,
    }
    return classes[message.header.kind].FromString(message.payload)


def make_message(
    method: str,
    kind: message_pb2.MessageKind,
    payload: ProtoMessage,
    *,
    sender: str,
    recipient: str,
    created_ms: int,
    seed: str,
    execute_before_ms: int | None = None,
    reply_to: message_pb2.RequestReference | None = None,
) -> Message:
    """A message without a signature; equal arguments give the equal message, its id comes from time and seed."""
    content = payload.SerializeToString(deterministic=True)
    header = build_header(
        network=NETWORK,
        sender=sender,
        recipient=recipient,
        method=method,
        kind=kind,
        message_id=message_id_from(created_ms, sm3(f"{sender}|{seed}".encode())),
        payload=content,
        execute_before_ms=execute_before_ms,
        reply_to=reply_to,
    )
    return trusted_message(header, content, b"")


def make_request(
    method: str,
    payload: ProtoMessage,
    *,
    created_ms: int,
    seed: str,
    sender: str = CARE,
    recipient: str = INSURED,
) -> Message:
    """A request as an adapter makes it: with `execute_before` where its method carries one."""
    carries = METHODS[method].carries_execute_before
    return make_message(
        method,
        message_pb2.MESSAGE_KIND_REQUEST,
        payload,
        sender=sender,
        recipient=recipient,
        created_ms=created_ms,
        seed=seed,
        execute_before_ms=created_ms + limits.EXECUTE_BEFORE_MS if carries else None,
    )


def make_answer(
    request: Message,
    payload: ProtoMessage,
    *,
    created_ms: int,
    seed: str,
    sender: str | None = None,
    recipient: str | None = None,
    log_epoch: str = LOG_EPOCH,
    partition: int = PARTITION,
) -> Message:
    """The recipient's answer to a request: a rejection or report by its payload, else a reply."""
    kind = message_pb2.MESSAGE_KIND_REPLY
    if isinstance(payload, message_pb2.Rejection):
        kind = message_pb2.MESSAGE_KIND_REJECTION
    elif isinstance(payload, message_pb2.DeliveryReport):
        kind = message_pb2.MESSAGE_KIND_DELIVERY_REPORT
    return make_message(
        request.header.method,
        kind,
        payload,
        sender=sender or request.header.recipient,
        recipient=recipient or request.header.sender,
        created_ms=created_ms,
        seed=seed,
        reply_to=reference_to(request, log_epoch=log_epoch, partition=partition),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Forwarded:
    """A message on its way to the partition of another number of its person."""

    message: Message
    subject: str
    other_subject: str
    question: bytes


class InMemoryWorker:
    """Decides records one after the other and keeps what they lead to."""

    def __init__(
        self, now_ms: int = START_MS, *, decides_twice: bool = True, feeds: Mapping[str, Feeds] | None = None
    ) -> None:
        """`decides_twice` shows with each record that deciding it again gives the same."""
        self.now_ms = now_ms
        self.decides_twice = decides_twice
        self.position = 0
        self.known: dict[MessageKey, KnownMessage] = {}
        self.feeds = feeds or {}
        self.aggregates: dict[AggregateKey, Any] = {}
        self.forwarded: deque[Forwarded] = deque()
        """What lies in the journal of another partition and is not decided yet."""
        self.messages: dict[MessageKey, Message] = {}
        self.timers: dict[bytes, Timer] = {}
        self.deliveries: list[Delivery] = []
        self.dead_letters: dict[MessageKey, tuple[KeepDeadLetter, Message]] = {}
        """Each dead letter with the report that it was kept for."""

    def copy(self) -> Self:
        """Another worker of the same state, to try something else from here on."""
        other = type(self)(self.now_ms, decides_twice=self.decides_twice, feeds=self.feeds)
        other.forwarded = self.forwarded.copy()
        other.position = self.position
        other.known, other.aggregates = dict(self.known), dict(self.aggregates)
        other.messages, other.timers = dict(self.messages), dict(self.timers)
        other.deliveries = list(self.deliveries)
        other.dead_letters = dict(self.dead_letters)
        return other

    # ---- records ---------------------------------------------------------------------------------------------------

    def submit(
        self, message: Message, *, subject: str = "", other_subject: str = "", is_replay: bool = False
    ) -> list[Delivery]:
        """A message from the journal; returns what it led to."""
        method: Method | None = METHODS.get(message.header.method)
        reference = message.header.reply_to
        request = self.known.get((reference.sender, reference.id))
        return self._decide(
            Inbound(
                origin=Origin.MESSAGE,
                log_epoch=LOG_EPOCH,
                partition=PARTITION,
                position=self.position,
                subject=subject or (request.subject if request else ""),
                message=message,
                method=method,
                payload=parse(message),
                other_subject=other_subject,
                is_replay=is_replay,
            )
        )

    def ask(self, message: Message, *, subject: str = "", question: bytes = b"question") -> Delivery:
        """GetOutcome about a message; returns the answer."""
        (answer,) = self._question(message, subject, question)
        return answer

    def _question(self, message: Message, subject: str, question: bytes) -> list[Delivery]:
        return self._decide(
            Inbound(
                origin=Origin.QUESTION,
                log_epoch=LOG_EPOCH,
                partition=PARTITION,
                position=self.position,
                subject=subject,
                message=message,
                method=METHODS[message.header.method],
                payload=parse(message),
                question_id=question,
            )
        )

    def forward(self) -> list[Delivery]:
        """Decide what was forwarded, and what that forwards; a message that goes round for ever is an error."""
        delivered: list[Delivery] = []
        for _ in range(64):
            if not self.forwarded:
                return delivered
            next_one = self.forwarded.popleft()
            if next_one.question:
                delivered += self._question(next_one.message, next_one.subject, next_one.question)
            else:
                delivered += self.submit(
                    next_one.message, subject=next_one.subject, other_subject=next_one.other_subject
                )
        raise AssertionError("something is forwarded for ever")

    def fire(self, timer_id: bytes) -> list[Delivery]:
        """A timer is due; one that was cancelled or is spent does nothing."""
        timer = self.timers.pop(timer_id, None)
        if timer is None:
            return []
        return self._decide(
            Inbound(
                origin=Origin.TIMER,
                log_epoch=LOG_EPOCH,
                partition=PARTITION,
                position=self.position,
                subject="",
                timer=timer,
            )
        )

    def dispose(self, given_up: Message, disposition: control_pb2.Disposition) -> list[Delivery]:
        """An operator decides about a dead letter; what he decides keeps it or not."""
        kept, report = self.dead_letters.pop(given_up.key)
        return self._decide(
            Inbound(
                origin=Origin.DISPOSITION,
                log_epoch=LOG_EPOCH,
                partition=PARTITION,
                position=self.position,
                subject=kept.subject,
                message=report,
                method=METHODS[report.header.method],
                payload=parse(report),
                disposition=disposition,
            )
        )

    def advance(self, to_ms: int) -> list[Delivery]:
        """Let time pass; the timers that become due fire in order."""
        delivered = []
        while due := sorted((timer.due_ms, timer.id) for timer in self.timers.values() if timer.due_ms <= to_ms):
            due_ms, timer_id = due[0]
            self.now_ms = max(self.now_ms, due_ms)
            delivered += self.fire(timer_id)
        self.now_ms = max(self.now_ms, to_ms)
        return delivered

    # ---- what is there ---------------------------------------------------------------------------------------------

    def encounter(self, encounter_id: bytes) -> Encounter:
        """An encounter's state."""
        return decode_encounter(self.aggregates[encounter_key(encounter_id)])

    def inbox(self, participant: str) -> list[Delivery]:
        """Everything delivered to a participant."""
        return [delivery for delivery in self.deliveries if delivery.recipient == participant]

    def answers_to(self, message: Message) -> list[Delivery]:
        """What was delivered as an answer to a message, notices included."""
        return [delivery for delivery in self.deliveries if delivery.answers == message.key]

    # ---- effects ---------------------------------------------------------------------------------------------------

    def _decide(self, inbound: Inbound) -> list[Delivery]:
        needs = conversation.needs(inbound)
        known = {key: self.known[key] for key in needs.known if key in self.known}
        after = conversation.needs_after(inbound, known)
        aggregates = {
            key: self.aggregates[key] for key in needs.aggregates | after.aggregates if key in self.aggregates
        }
        # Only the stored bytes of a dead letter may be gone: outcomes are kept as long as what is known of them.
        gone = inbound.origin is Origin.DISPOSITION
        answers = {key: self.messages[key] for key in after.answers if key in self.messages or not gone}
        state = State(known=known, aggregates=aggregates, answers=answers, feeds=self.feeds)
        effects = conversation.decide(state, inbound, self.now_ms)
        if self.decides_twice:
            assert effects == conversation.decide(state, inbound, self.now_ms), "decided differently the second time"
        before = len(self.deliveries)
        said: dict[bytes, Message] = {}
        for effect in effects:
            self._carry_out(inbound, effect, said)
        self.position += 1
        return self.deliveries[before:]

    def _carry_out(self, inbound: Inbound, effect: Effect, said: dict[bytes, Message]) -> None:
        match effect:
            case PassOn():
                self._deliver(effect.recipient, effect.message, effect.answers)
            case Say():
                message = self._own_message(inbound, effect)
                said[message.header.id] = message
                self._deliver(effect.recipient, message, effect.answers)
            case Remember(known=known):
                if known.sender == HUB and not known.digest:
                    known = dataclasses.replace(known, digest=said[known.id].digest)
                self.known[known.key] = known
            case SaveAggregate(key=key, data=None):
                self.aggregates.pop(key, None)
            case SaveAggregate(key=key, data=data):
                self.aggregates[key] = data
            case Forward(say=None, message=Message() as message):
                self.forwarded.append(Forwarded(message, effect.subject, effect.other_subject, effect.question_id))
            case Forward(say=Say() as say):
                self.forwarded.append(Forwarded(self._own_message(inbound, say), effect.subject, "", b""))
            case SetTimer(timer=timer):
                assert timer.due_ms >= self.now_ms, "a timer in the past"
                self.timers[timer.id] = timer
            case CancelTimer(id=timer_id):
                self.timers.pop(timer_id, None)
            case KeepDeadLetter(of=key):
                assert inbound.message is not None
                self.dead_letters[key] = (effect, inbound.message)
            case EndDeadLetter(of=key):
                self.dead_letters.pop(key, None)

    def _deliver(self, recipient: str, message: Message, answers: MessageKey | None) -> None:
        self.messages[message.key] = message
        self.deliveries.append(Delivery(recipient, message, answers))

    def _own_message(self, inbound: Inbound, say: Say) -> Message:
        header = build_header(
            network=NETWORK,
            sender=HUB,
            recipient=say.recipient,
            method=say.method,
            kind=say.kind,
            message_id=inbound.derived_id(self.now_ms, say.index),
            payload=say.payload,
            reply_to=say.reply_to,
        )
        message = trusted_message(header, say.payload, b"")
        parse(message)
        return message


def finals(deliveries: list[Delivery]) -> Iterator[Delivery]:
    """Those that are outcomes: replies and rejections."""
    for delivery in deliveries:
        if delivery.message.header.kind in {message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION}:
            yield delivery
