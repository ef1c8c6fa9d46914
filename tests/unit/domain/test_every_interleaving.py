"""Every order in which a request, its answer, timer, queries and reversals can meet, against the pure rules."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.medical_state import Encounter, decode_encounter, encounter_key
from onecard_broker.domain.settlement_states import BEING_REVERSED, NOTHING_DONE, TABLES, UNDONE_PHASES, Kind, Phase
from onecard_protocol.messages import Message
from tests.support.domain import CARE, INSURED, START_MS, InMemoryWorker, finals
from tests.support.interleavings import (
    CANCELLATION,
    CANCELLATION_BY_HUB,
    QUERIES_SPENT,
    QUERY_BY_HUB,
    QUERY_BY_PROVINCE,
    Event,
    Fire,
    Move,
    Race,
    Scene,
    Script,
    Submit,
    every_script,
    short_scripts,
    wrong_at_the_end,
)
from tests.support.stays import SyntheticStay

pytestmark = pytest.mark.long

_LATE = errors_pb2.ERROR_REASON_LATE_SUCCESS_REFUSED
_SETTLED_PHASES = {Phase.STANDING, Phase.CANCELLING, Phase.VOIDED}


_decoded = functools.lru_cache(maxsize=1_024)(decode_encounter)


class Play:
    """One state of a race, with the checks that hold after every step."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.worker = InMemoryWorker(START_MS + 5_000, decides_twice=False)
        self.submitted: tuple[Message, ...] = ()
        for message in scene.setting():
            self.worker.submit(message, subject=scene.stay.subject)

    def copy(self) -> Play:
        other = object.__new__(Play)
        other.scene, other.worker, other.submitted = self.scene, self.worker.copy(), self.submitted
        return other

    def encounter(self) -> Encounter:
        return _decoded(self.worker.aggregates[encounter_key(self.scene.encounter_id)])

    def perform(self, move: Move) -> None:
        delivered = [delivery.message for delivery in self.worker.inbox(INSURED)]
        for action in self.scene.actions(move, delivered):
            before = self.encounter()
            count = len(self.worker.deliveries)
            match action:
                case Submit(message=message):
                    self.submitted = (*self.submitted, message)
                    self.worker.submit(message, subject=self.scene.stay.subject)
                case Fire(timer_id=timer_id):
                    self.worker.fire(timer_id)
            self._check_step(before, count)

    def _check_step(self, before: Encounter, delivery_count: int) -> None:
        after = self.encounter()
        for transaction in after.transactions:
            old = before.find(transaction.id)
            was = Phase.ABSENT if old is None else old.phase
            _check_transition(transaction.kind, was, transaction.phase)
            assert (transaction.phase in BEING_REVERSED) == (transaction.before is not None)
            assert bool(transaction.reversals) <= (transaction.phase in BEING_REVERSED)
            if was in UNDONE_PHASES:
                assert transaction.phase is was, "what was undone moved again"
                passed_on = [delivery.message.key for delivery in self.worker.deliveries[delivery_count:]]
                assert self.scene.original.key not in passed_on or transaction.id != self.scene.original.header.id
            if transaction.kind is Kind.CANCELLATION and transaction.cancels:
                settlement = after.find(transaction.cancels)
                assert settlement is not None
                assert settlement.phase is _of_cancelled(transaction.phase)
        settled = [known for known in after.transactions if known.kind is Kind.SETTLEMENT and known.occupies]
        assert len(settled) <= 1, "a stay is settled twice"


def _of_cancelled(cancellation: Phase) -> Phase:
    if cancellation is Phase.STANDING:
        return Phase.VOIDED
    return Phase.STANDING if cancellation in NOTHING_DONE else Phase.CANCELLING


def _check_transition(kind: Kind, was: Phase, phase: Phase) -> None:
    if was is phase:
        return
    targets = {target for (source, _), target in TABLES[kind].items() if source is was}
    assert phase in targets or Phase.BEFORE in targets, f"{was} led to {phase}, which the table does not know"


def _check_end(play: Play, checked: set[object]) -> None:
    scene, worker = play.scene, play.worker
    wrong = wrong_at_the_end(scene, play.submitted, play.encounter(), worker.inbox(CARE))
    assert not wrong
    _check_late_success(play)
    shape = _shape(play)
    if shape not in checked:  # What a repeat gets depends on nothing else.
        checked.add(shape)
        _check_repeats(play)
        _check_another_settlement(play)


def _shape(play: Play) -> object:
    """What is known at the end, without the ids that differ from script to script."""
    transactions = [
        (known.phase, known.before, known.answer is None, len(known.reversals), len(known.queries))
        for known in play.encounter().transactions
    ]
    messages = {
        (message.key, play.worker.known[message.key].state, play.worker.known[message.key].answer is None)
        for message in play.submitted
    }
    return tuple(transactions), frozenset(messages)


def _check_late_success(play: Play) -> None:
    """A success that was refused posted nothing: the settlement does not stand by it."""
    refusals = [
        delivery
        for delivery in play.worker.inbox(INSURED)
        if isinstance(delivery.payload, message_pb2.Rejection) and delivery.payload.reason == _LATE
    ]
    assert len(refusals) <= 1
    if refusals:
        transaction = play.encounter().find(play.scene.original.header.id)
        assert transaction is not None
        told = [message for message in play.submitted if message.key == refusals[0].answers]
        assert transaction.answer != told[0].key


def _check_repeats(play: Play) -> None:
    """Asked or sent again, everything is told as it was told."""
    subject, again = play.scene.stay.subject, play.copy()
    for message in play.submitted:
        known = play.worker.known[message.key]
        outcomes = {delivery.message.key for delivery in finals(play.worker.answers_to(message))}
        assert outcomes == ({known.answer} - {None})
        told = again.worker.submit(message, subject=subject)
        if known.answer is not None:
            assert [delivery.message.key for delivery in told] == [known.answer]
        report = again.worker.ask(message, subject=subject).payload
        assert isinstance(report, message_pb2.OutcomeReport)
        if known.answer is None:
            assert not report.HasField("answer")
        else:
            assert report.answer.header == play.worker.messages[known.answer].header_bytes
    assert again.worker.aggregates == play.worker.aggregates
    assert again.worker.known == play.worker.known


def _check_another_settlement(play: Play) -> None:
    """Another settlement of the stay goes on only where nothing stands or may stand."""
    occupied = any(known.occupies for known in play.encounter().transactions if known.kind is Kind.SETTLEMENT)
    other = play.copy()
    another = play.scene.another
    delivered = other.worker.submit(another, subject=play.scene.stay.subject)
    assert any(delivery.message.key == another.key for delivery in delivered) != occupied


def _run(scripts: Iterator[Script], race: Race) -> int:
    """Run scripts that share their beginnings, performing a shared beginning once."""
    stack: list[Play] = [Play(Scene(race, SyntheticStay()))]
    checked: set[object] = set()
    previous: Script = ()
    count = 0
    for script in scripts:
        shared = next((i for i, (a, b) in enumerate(zip(script, previous, strict=False)) if a != b), 0)
        del stack[shared + 1 :]
        for index in range(shared, len(script)):
            play = stack[-1].copy()
            try:
                play.perform(script[index])
                if index == len(script) - 1:
                    _check_end(play, checked)
            except Exception as error:
                raise AssertionError(_story(script, index)) from error
            stack.append(play)
        previous = script
        count += 1
    return count


def _story(script: Script, index: int) -> str:
    return " → ".join(str(move) for move in script[: index + 1]) + " | then " + ", ".join(map(str, script[index + 1 :]))


def _parts(name: str, race: Race, events: tuple[Event, ...]) -> list[object]:
    """One case for each beginning of two moves, so that they run side by side."""
    beginnings = dict.fromkeys(script[:2] for script in every_script(events))
    return [
        pytest.param(race, events, beginning, id=f"{name}: {', '.join(map(str, beginning))}")
        for beginning in beginnings
    ]


@pytest.mark.parametrize(
    ("race", "events", "beginning"),
    [
        *_parts("settlement and the province's query", Race.SETTLEMENT, QUERY_BY_PROVINCE),
        *_parts("settlement and the hub's query", Race.SETTLEMENT, QUERY_BY_HUB),
        *_parts("settlement and spent queries", Race.SETTLEMENT, QUERIES_SPENT),
        *_parts("cancellation and the province's query", Race.CANCELLATION, CANCELLATION),
        *_parts("cancellation and spent queries", Race.CANCELLATION, CANCELLATION_BY_HUB),
    ],
)
def test_every_interleaving_ends_in_one_outcome(race: Race, events: tuple[Event, ...], beginning: Script) -> None:
    assert _run((script for script in every_script(events) if script[:2] == beginning), race)


@pytest.mark.parametrize(
    ("events", "count"),
    [(QUERY_BY_PROVINCE, 7_560 * 4), (QUERY_BY_HUB, 630 * 48), (CANCELLATION, 420 * 18)],
)
def test_the_enumeration_is_complete(events: tuple[Event, ...], count: int) -> None:
    assert len(set(every_script(events))) == count


@pytest.mark.parametrize(("race", "count"), [(Race.SETTLEMENT, 2_160), (Race.CANCELLATION, 720)])
def test_the_short_scripts_for_real_logs_hold_too(race: Race, count: int) -> None:
    assert _run(short_scripts(race), race) == count
