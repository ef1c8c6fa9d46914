"""What the rules see and what they may ask for: inputs, state and effects of a decision (design.md, idea 4).

Owns no rule. The exchange worker builds `Inbound` from a journal record, loads `State` by what `needs` names, calls
``decide(state, inbound, now_ms)`` and carries the effects out in one transaction.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, NewType

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_protocol.identifiers import MessageId, message_id_from
from onecard_protocol.messages import Message
from onecard_protocol.methods import Method
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.value_class import value_class

MessageKey = tuple[str, bytes]
"""(sender, message id)."""

AggregateKey = NewType("AggregateKey", str)
"""Key of one business state, such as ``medical/encounter/<encounter id>``; unique within a partition."""


class KnownState(enum.StrEnum):
    """What the exchange knows of a message."""

    OPEN = "open"
    """A request on its way; no answer yet."""
    UNKNOWN = "unknown"
    """A request whose answer is overdue."""
    REVERSING = "reversing"
    """A request that a reversal is under way for."""
    MANUAL = "manual"
    """A request that a person must decide."""
    DECIDED = "decided"
    """It has its outcome: an answer, a rejection, or (an event, a reply) being passed on."""
    CLOSED = "closed"
    """GetOutcome told NEVER_SEEN: a copy that comes later is refused."""
    HELD = "held"
    """The record could not be decided (rule 14), or waits behind another one."""
    FORWARDED = "forwarded"
    """It is decided under another number of the person, `subject`; repeats and questions follow it there."""


@value_class(frozen=True, slots=True, kw_only=True)
class KnownMessage:
    """A message that the partition has seen, kept for seven days (rules 1 and 2)."""

    sender: str
    id: bytes
    digest: bytes
    recipient: str
    method: str
    subject: str
    state: KnownState
    answer: MessageKey | None = None
    """(sender, id) of the message that is its outcome, to be sent again for a repeat."""
    aggregates: tuple[AggregateKey, ...] = ()
    """Business states that its answer and timers concern."""

    @property
    def key(self) -> MessageKey:
        """(sender, id)."""
        return self.sender, self.id


class TimerPurpose(enum.StrEnum):
    """Why a timer was set."""

    ANSWER_OVERDUE = "answer-overdue"
    """The UNKNOWN timer of a request (rule 10)."""
    QUERY = "query"
    """Ask the insured province (again); `attempt` counts from 0 (rule 12)."""
    STATE = "state"
    """Something about a business state is due, whatever became of the messages about it; `what` says what."""


@value_class(frozen=True, slots=True, kw_only=True)
class Timer:
    """A timer as a row; its id is derived from its cause, so setting it twice is setting it once."""

    id: bytes
    due_ms: int
    purpose: TimerPurpose
    request: MessageKey
    """The request that it concerns; of purpose STATE, the message that began what the timer is about."""
    attempt: int = 0
    aggregate: AggregateKey | None = None
    """The business state that it concerns, of purpose STATE."""
    what: str = ""
    """What is due, in the business's own words, of purpose STATE; method names it by its package."""
    method: str = ""
    """A method of the business that set it, of purpose STATE."""


def state_timer_id(aggregate: AggregateKey, what: str, attempt: int = 0) -> bytes:
    """The id of a timer about a state, 16 bytes, by its cause; `what` is unique within the state while it stands."""
    return sm3(f"{TimerPurpose.STATE}|{aggregate}|{what}|{attempt}".encode())[:16]


def timer_id(purpose: TimerPurpose, request: MessageKey, attempt: int = 0) -> bytes:
    """The id of a timer, 16 bytes, by its cause."""
    sender, message_id = request
    return sm3(f"{purpose}|{sender}|{attempt}|".encode() + message_id)[:16]


class Origin(enum.StrEnum):
    """Where a record comes from."""

    MESSAGE = "message"
    """An admitted message: request, event, reply, rejection or delivery report."""
    QUESTION = "question"
    """GetOutcome about a message (rule 3)."""
    TIMER = "timer"
    """A timer that is due."""
    DISPOSITION = "disposition"
    """An operator's decision about a dead letter; the message is the report by which it was given up (rule 13)."""


@value_class(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One journal record as the rules see it. Ticks and control records are the worker's own."""

    origin: Origin
    log_epoch: str
    partition: int
    position: int
    subject: str
    """Pseudonym of the person, hex; of the request's person in answers; empty where there is none."""
    message: Message | None = None
    """The message; in a question the one asked about; None in a timer."""
    method: Method | None = None
    """The message's method; None in a timer."""
    payload: ProtoMessage | None = None
    """The parsed payload: the method's input in requests and events, its output in replies, Rejection in rejections."""
    other_subject: str = ""
    """Pseudonym of the other identity that a method names, hex; empty where there is none."""
    question_id: bytes = b""
    timer: Timer | None = None
    disposition: control_pb2.Disposition = control_pb2.DISPOSITION_UNSPECIFIED
    """What the operator decided, in a disposition."""
    is_replay: bool = False
    """A held record that an operator let go on: it is decided as if it came for the first time (rule 14)."""

    def derived_id(self, now_ms: int, index: int) -> MessageId:
        """Id of the index-th message that the hub makes of this record: the same whenever it is decided again."""
        cause = f"{self.log_epoch}|{self.partition}|{self.position}|{index}".encode()
        return message_id_from(now_ms, sm3(cause))


@value_class(frozen=True, slots=True, kw_only=True)
class Feeds:
    """Who gets a package's published events by the directory in force, beside whom the business names."""

    everything: frozenset[str] = frozenset()
    residents: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    """By province, "cn-45"."""

    def of_province(self, province: str) -> frozenset[str]:
        """Who gets the events about a province's residents."""
        return self.everything | self.residents.get(province, frozenset())


@value_class(frozen=True, slots=True, kw_only=True)
class State:
    """What was loaded for a record. A key that is absent was never seen or does not exist."""

    known: Mapping[MessageKey, KnownMessage]
    aggregates: Mapping[AggregateKey, Any]
    """Business states by key: bytes, or the value of a kind that has a table of its own (`records.state_tables`)."""
    answers: Mapping[MessageKey, Message]
    """Stored outcomes of known messages, for repeats and questions, by the outcome's own key."""
    feeds: Mapping[str, Feeds] = dataclasses.field(default_factory=dict)
    """By package."""


@value_class(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a record needs loaded."""

    known: frozenset[MessageKey] = frozenset()
    aggregates: frozenset[AggregateKey] = frozenset()


@value_class(frozen=True, slots=True, kw_only=True)
class NeedsAfter:
    """What a record needs loaded that only the known messages tell."""

    aggregates: frozenset[AggregateKey] = frozenset()
    answers: frozenset[MessageKey] = frozenset()
    """Outcomes to be sent again, by their own key."""


# ---- effects -------------------------------------------------------------------------------------------------------


@value_class(frozen=True, slots=True, kw_only=True)
class PassOn:
    """Deliver the message, byte for byte, to a participant's inbox under its next number."""

    recipient: str
    message: Message
    answers: MessageKey | None = None
    """The request or question that it answers, so that gateways can complete the call they hold."""


@value_class(frozen=True, slots=True, kw_only=True)
class Say:
    """Deliver a message of the hub's own, signed by the hub; `index` counts the record's own messages from 0."""

    index: int
    recipient: str
    method: str
    kind: message_pb2.MessageKind
    payload: bytes
    reply_to: message_pb2.RequestReference | None = None
    answers: MessageKey | None = None


@value_class(frozen=True, slots=True, kw_only=True)
class Remember:
    """Insert or replace what is known of a message."""

    known: KnownMessage


@value_class(frozen=True, slots=True, kw_only=True)
class SaveAggregate:
    """Insert or replace a business state; None deletes it."""

    key: AggregateKey
    data: Any
    """Bytes, or the value of a kind that has a table of its own."""


@value_class(frozen=True, slots=True, kw_only=True)
class Forward:
    """Put a message into the journal partition of another subject, to be decided there (rule 4: linked numbers).

    A message of the hub's own is made first, as by Say to the hub; `message` is then None and `say` states it.
    """

    subject: str
    message: Message | None = None
    say: Say | None = None
    other_subject: str = ""
    """As in `Inbound`."""
    question_id: bytes = b""
    """Of a question about the message; empty where the message itself is forwarded."""


@value_class(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Set a timer."""

    timer: Timer


@value_class(frozen=True, slots=True, kw_only=True)
class CancelTimer:
    """Cancel a timer; one that does not exist is left so."""

    id: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeepDeadLetter:
    """Keep the record in hand, a delivery report, as the dead letter of the message that it gives up on."""

    of: MessageKey
    subject: str
    """Whose later requests and events wait behind it; empty where nobody waits."""
    cause: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndDeadLetter:
    """The message has its outcome: its dead letter ends, and those behind it go on; one that does not exist is none."""

    of: MessageKey
    subject: str


Effect = PassOn | Say | Forward | Remember | SaveAggregate | SetTimer | CancelTimer | KeepDeadLetter | EndDeadLetter
