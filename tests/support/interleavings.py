"""Every interleaving of a settlement or a cancellation with its timer, queries and reversals, as scripts of steps.

A script names what happens in which order; a `Scene` turns its steps into messages and timers of one synthetic person.
The same scripts run against the pure rules and, each as another person, through the real worker on each log.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2
from onecard_broker.domain.medical_state import Encounter
from onecard_broker.domain.model import TimerPurpose, timer_id
from onecard_broker.domain.settlement_states import BEING_REVERSED, Phase
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message
from tests.support.domain import LOG_EPOCH, PARTITION, Delivery, make_answer
from tests.support.stays import REVERSE, SyntheticStay, rejection

QUERY_TIMERS_MAX: Final = 16


class Race(enum.StrEnum):
    """What is in doubt."""

    SETTLEMENT = "settlement"
    CANCELLATION = "cancellation"


class Step(enum.StrEnum):
    """One thing that happens."""

    REQUEST = "request"
    ANSWER = "answer"
    TIMER = "timer"
    QUERY = "query"
    FOUND = "found"
    HUB_FOUND = "hub's query answered"
    SPENT = "queries spent"
    REVERSAL = "reversal"
    REVERSAL_ANSWER = "reversal answered"
    REVERSAL_TIMER = "reversal's timer"
    SECOND = "second reversal"
    SECOND_ANSWER = "second reversal answered"


class Word(enum.StrEnum):
    """What the insured province says; empty where the step says nothing."""

    NOTHING = ""
    EXECUTED = "executed"
    NOT_EXECUTED = "not executed"
    NOT_FOUND = "not found"
    UNDONE = "undone"
    IN_DOUBT = "in doubt"
    REVERSED = "reversed"
    NEVER_EXECUTED = "never executed"
    REFUSED = "refused"


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """A step, and what the province says in it."""

    step: Step
    word: Word = Word.NOTHING

    def __str__(self) -> str:
        return f"{self.step} ({self.word})" if self.word else str(self.step)


Script = tuple[Move, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A step that must happen once, after others, with any of its words."""

    step: Step
    after: frozenset[Step] = frozenset()
    words: tuple[Word, ...] = (Word.NOTHING,)


_FINDINGS: Final = (Word.EXECUTED, Word.NOT_FOUND, Word.UNDONE)
_REVERSAL_WORDS: Final = (Word.REVERSED, Word.NEVER_EXECUTED, Word.REFUSED)
_OUTCOMES: Final = (Word.EXECUTED, Word.NOT_EXECUTED)


def _event(step: Step, *after: Step, words: tuple[Word, ...] = (Word.NOTHING,)) -> Event:
    return Event(step, frozenset(after), words)


_REQUEST: Final = _event(Step.REQUEST)
_TIMER: Final = _event(Step.TIMER, Step.REQUEST)
_QUERY: Final = _event(Step.QUERY)
_FOUND: Final = _event(Step.FOUND, Step.QUERY, words=_FINDINGS)
_REVERSAL: Final = _event(Step.REVERSAL)
_REVERSAL_ANSWER: Final = _event(Step.REVERSAL_ANSWER, Step.REVERSAL, words=_REVERSAL_WORDS)
_SECOND: Final = _event(Step.SECOND, Step.REVERSAL)


def _answer(*words: Word) -> Event:
    return _event(Step.ANSWER, Step.REQUEST, words=words)


QUERY_BY_PROVINCE: Final = (
    _REQUEST,
    _answer(Word.EXECUTED),
    _TIMER,
    _QUERY,
    _event(Step.FOUND, Step.QUERY, words=(Word.EXECUTED, Word.NOT_FOUND)),
    _REVERSAL,
    _event(Step.REVERSAL_ANSWER, Step.REVERSAL, words=(Word.REVERSED, Word.REFUSED)),
    _SECOND,
    _event(Step.SECOND_ANSWER, Step.SECOND, words=(Word.REVERSED,)),
)
"""{request, success, timer, query, reversal, second reversal}, and the answers to the last three at any time.

More words in the same orders would only multiply them: every word meets every other in the sets below.
"""
QUERY_BY_HUB: Final = (
    _REQUEST,
    _answer(*_OUTCOMES),
    _TIMER,
    _event(Step.HUB_FOUND, Step.TIMER, words=(*_FINDINGS, Word.IN_DOUBT)),
    _REVERSAL,
    _REVERSAL_ANSWER,
    _SECOND,
    _event(Step.SECOND_ANSWER, Step.SECOND, words=(Word.REVERSED, Word.REFUSED)),
)
"""The same with the query that the hub sends when the timer fires."""
QUERIES_SPENT: Final = (
    _REQUEST,
    _answer(*_OUTCOMES),
    _TIMER,
    _event(Step.SPENT, Step.TIMER),
    _event(Step.HUB_FOUND, Step.TIMER, words=(Word.EXECUTED, Word.NOT_FOUND)),
    _REVERSAL,
    _event(Step.REVERSAL_TIMER, Step.REVERSAL),
    _event(Step.REVERSAL_ANSWER, Step.REVERSAL, words=(Word.REVERSED, Word.REFUSED)),
)
"""The hub's queries get no answer, or a late one; a person must decide, and what comes late still counts."""
CANCELLATION: Final = (
    _REQUEST,
    _answer(*_OUTCOMES),
    _TIMER,
    _QUERY,
    _FOUND,
    _REVERSAL,
    _REVERSAL_ANSWER,
)
"""{cancel, answer, timer, query, reversal of the cancellation}, and the answers to the last two at any time."""
CANCELLATION_BY_HUB: Final = QUERIES_SPENT
"""A cancellation with the hub's queries, answered or spent."""


@functools.cache
def every_script(events: tuple[Event, ...], done: frozenset[Step] = frozenset()) -> tuple[Script, ...]:
    """Every order of the events that their causes allow, with every word; neighbours share their beginning."""
    if len(done) == len(events):
        return ((),)
    return tuple(
        (Move(event.step, word), *rest)
        for event in events
        if event.step not in done and event.after <= done
        for word in event.words
        for rest in every_script(events, done | {event.step})
    )


_ANSWER_TO: Final = {
    Step.QUERY: Step.FOUND,
    Step.REVERSAL: Step.REVERSAL_ANSWER,
    Step.SECOND: Step.SECOND_ANSWER,
}


def short_scripts(race: Race) -> Iterator[Script]:
    """Every order of the race's own events, the answers to queries and reversals at once or all at the end.

    2,160 for a settlement, 720 for a cancellation: few enough for a journal on a real log.
    """
    events = [_REQUEST, _answer(Word.EXECUTED), _TIMER, _QUERY, _REVERSAL]
    if race is Race.SETTLEMENT:
        events.append(_SECOND)
    for order in every_script(tuple(events)):
        for finding, undone, at_once in product(_FINDINGS, _REVERSAL_WORDS, (True, False)):
            yield _with_answers(order, finding, undone, at_once=at_once)


def _with_answers(order: Script, finding: Word, undone: Word, *, at_once: bool) -> Script:
    moves: list[Move] = []
    late: list[Move] = []
    for move in order:
        moves.append(move)
        answer = _ANSWER_TO.get(move.step)
        if answer is not None:
            word = finding if answer is Step.FOUND else undone
            (moves if at_once else late).append(Move(answer, word))
    return (*moves, *late)


# ---- a script with a person ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Submit:
    """A message is admitted."""

    message: Message


@dataclasses.dataclass(frozen=True, slots=True)
class Fire:
    """A timer's record lies in the journal; one that is unknown, cancelled or spent does nothing."""

    timer_id: bytes


Action = Submit | Fire

_FINDING_OF: Final = {
    Word.EXECUTED: settlement_pb2.SETTLEMENT_FINDING_EXECUTED,
    Word.NOT_FOUND: settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND,
    Word.UNDONE: settlement_pb2.SETTLEMENT_FINDING_UNDONE,
    Word.IN_DOUBT: settlement_pb2.SETTLEMENT_FINDING_IN_DOUBT,
}
_RESULT_OF: Final = {
    Word.REVERSED: settlement_pb2.REVERSAL_RESULT_REVERSED,
    Word.NEVER_EXECUTED: settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED,
}


class Scene:
    """A race of one synthetic person: knows the messages of each step."""

    def __init__(
        self, race: Race, stay: SyntheticStay, *, log_epoch: str = LOG_EPOCH, partition: int = PARTITION
    ) -> None:
        """`log_epoch` and `partition` are those that the person's messages are delivered from."""
        self.race = race
        self.stay = stay
        self._binding = {"log_epoch": log_epoch, "partition": partition}
        self.settlement = stay.settle()
        self.original = stay.cancel(self.settlement) if race is Race.CANCELLATION else self.settlement
        self.query = stay.query(self.original)
        self.reversal = stay.reverse(self.original)
        self.second = stay.reverse(self.original, "second reversal")
        self.another = stay.settle("another settlement", at_ms=4_500)
        self.encounter_id = stay.encounter_id
        self._words: dict[tuple[Move, bytes], Message] = {}

    def setting(self) -> list[Message]:
        """What comes before the race: the registration, and the settlement that is to be cancelled."""
        registration = self.stay.register()
        messages = [registration, self._answer(registration, self.stay.registered(), "registered")]
        if self.race is Race.CANCELLATION:
            messages += [self.settlement, self._answer(self.settlement, self.stay.settled(self.settlement), "settled")]
        return messages

    def actions(self, move: Move, delivered: Sequence[Message]) -> list[Action]:
        """What a move is, given what the insured province has received; nothing if it cannot answer yet."""
        match move.step:
            case Step.REQUEST:
                return [Submit(self.original)]
            case Step.QUERY:
                return [Submit(self.query)]
            case Step.REVERSAL:
                return [Submit(self.reversal)]
            case Step.SECOND:
                return [Submit(self.second)]
            case Step.TIMER:
                return [Fire(timer_id(TimerPurpose.ANSWER_OVERDUE, self.original.key))]
            case Step.REVERSAL_TIMER:
                return [Fire(timer_id(TimerPurpose.ANSWER_OVERDUE, self.reversal.key))]
            case Step.SPENT:
                causes = (self.original, self.reversal, self.second)
                return [
                    Fire(timer_id(TimerPurpose.QUERY, cause.key, attempt))
                    for cause in causes
                    for attempt in range(1, QUERY_TIMERS_MAX)
                ]
            case _:
                request = self._answered(move.step, delivered)
                if request is None:
                    return []
                key = (move, request.header.id)
                if key not in self._words:
                    self._words[key] = self._word(request, move)
                return [Submit(self._words[key])]

    def _answered(self, step: Step, delivered: Sequence[Message]) -> Message | None:
        """The request that the province answers in a step, if it was delivered."""
        if step is Step.HUB_FOUND:
            own = [message for message in delivered if message.header.sender == HUB and message.header.kind == 1]
            return own[-1] if own else None
        request = {
            Step.ANSWER: self.original,
            Step.FOUND: self.query,
            Step.REVERSAL_ANSWER: self.reversal,
            Step.SECOND_ANSWER: self.second,
        }[step]
        return request if any(message.key == request.key for message in delivered) else None

    def _word(self, request: Message, move: Move) -> Message:
        seed = f"{move}|{request.header.id.hex()}"
        if move.word in {Word.NOT_EXECUTED, Word.REFUSED}:
            reason = errors_pb2.ERROR_REASON_NOT_EXECUTED
            if move.word is Word.REFUSED:
                reason = errors_pb2.ERROR_REASON_REVERSAL_REFUSED
            return self._answer(request, rejection(reason), seed)
        if move.word in _RESULT_OF:
            return self._answer(request, self.stay.reversed(self.original, _RESULT_OF[move.word]), seed)
        if move.step in {Step.FOUND, Step.HUB_FOUND}:
            cancelled = self.settlement if self.race is Race.CANCELLATION else None
            found = self.stay.found(self.original, _FINDING_OF[move.word], settlement=cancelled)
            return self._answer(request, found, seed)
        if self.race is Race.CANCELLATION:
            return self._answer(request, self.stay.cancelled(self.settlement, self.original), seed)
        return self._answer(request, self.stay.settled(self.original), seed)

    def _answer(self, request: Message, payload: object, seed: str) -> Message:
        return make_answer(
            request,
            payload,  # type: ignore[arg-type]
            created_ms=self.stay.start_ms + 5_000,
            seed=f"{self.stay.serial}|{seed}",
            **self._binding,  # type: ignore[arg-type]
        )


# ---- what must then be true ----------------------------------------------------------------------------------------

_FINAL_KINDS: Final = {message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION}
_DECIDED_PHASES: Final = {
    Phase.STANDING,
    Phase.FAILED,
    Phase.REVERSED,
    Phase.NEVER_EXECUTED,
    Phase.CANCELLING,
    Phase.VOIDED,
}


def wrong_at_the_end(
    scene: Scene, submitted: Iterable[Message], encounter: Encounter, deliveries: Sequence[Delivery]
) -> list[str]:
    """What does not hold after a script: outcomes told twice or not at all, or that contradict each other."""
    wrong = []
    requests = {message.key: message for message in submitted if message.header.kind == 1}
    told: dict[bytes, list[Message]] = {}
    for request in requests.values():
        answers = [delivery.message for delivery in deliveries if delivery.answers == request.key]
        outcomes = {message.key: message for message in answers if message.header.kind in _FINAL_KINDS}
        told[request.header.id] = list(outcomes.values())
        if len(outcomes) > 1:
            wrong.append(f"{request.header.method} has {len(outcomes)} outcomes")
    transaction = encounter.find(scene.original.header.id)
    own = told.get(scene.original.header.id)
    if own is not None and transaction is not None:
        if transaction.phase in _DECIDED_PHASES and not own:
            wrong.append(f"the original is {transaction.phase} and its requester was not told")
        if transaction.phase is Phase.STANDING and own[0].header.kind != message_pb2.MESSAGE_KIND_REPLY:
            wrong.append("the original stands and its requester was told otherwise")
        if transaction.phase in {Phase.UNKNOWN, Phase.MANUAL} and own:
            wrong.append(f"the original is {transaction.phase} and its requester was told an outcome")
    if transaction is not None and transaction.phase not in BEING_REVERSED:
        for reversal in (scene.reversal, scene.second):
            if told.get(reversal.header.id) == []:
                wrong.append("a reversal's requester was not told")
    results = {
        answer.payload
        for answers in told.values()
        for answer in answers
        if answer.header.method == REVERSE and answer.header.kind == message_pb2.MESSAGE_KIND_REPLY
    }
    if len({settlement_pb2.ReverseResponse.FromString(payload).result for payload in results}) > 1:
        wrong.append("reversals of one original were answered differently")
    return wrong
