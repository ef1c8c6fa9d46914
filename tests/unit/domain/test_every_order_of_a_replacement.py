"""Every order of what can happen to a replacement: what must hold at each moment, and that it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard_broker.domain.model import KnownState, TimerPurpose, timer_id
from onecard_broker.domain.replacement_states import (
    BEING_UNDONE,
    UNDO_PHASES,
    ReplacementPhase,
    StepPhase,
)
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message
from tests.support.holders import (
    NEW,
    OLD,
    Registry,
    step_name,
)
from tests.support.replacements import (
    AGAIN,
    FINAL,
    ORDER,
    begun,
    cancel,
    confirm,
    phases,
)

_WAITS_FOR = dict(zip(ORDER[1:], ["OLD_SUPERSEDED", "OLD_SUPERSEDED", *ORDER[1:2], "CREDENTIAL_FOLLOWED"], strict=True))


MISHAPS_MAX = 2


def moves(registry: Registry) -> Iterator[tuple[str, bool, Callable[[Registry], object]]]:
    """Everything that can happen next, and whether it is a mishap.

    To each open request each answer, in time or late; each timer; the cancellation; the agency's word.
    """
    for asked in registry.steps_asked():
        if registry.known[asked.key].state is not KnownState.DECIDED:
            for word, payload in (("done", None), ("again", AGAIN), ("final", FINAL)):
                yield (
                    f"{step_name(asked)}: {word}",
                    payload is not None,
                    _replies(asked, payload),
                )
    for timer in registry.timers.values():
        if not timer.what.endswith("benefit-due"):
            yield (
                f"timer {timer.purpose}",
                timer.purpose is not TimerPurpose.STATE,
                _fires(timer.id),
            )
    if registry.social_state(NEW) == "ACTIVE":
        yield "cancel", False, cancel
        yield "confirm", False, confirm


def _replies(asked: Message, payload: ProtoMessage | None) -> Callable[[Registry], object]:
    return lambda registry: registry.reply(asked, payload)


def _fires(due: bytes) -> Callable[[Registry], object]:
    return lambda registry: registry.fire(due)


def essence(registry: Registry) -> object:
    """What tells two moments apart: where the saga stands, what is open, and what is due."""
    replacement = registry.replacement()
    return (
        replacement.phase,
        replacement.is_alarmed,
        tuple(
            (
                step.phase,
                step.attempt,
                any(registry.known[(HUB, asked)].state is not KnownState.DECIDED for asked in step.asked_ids[:-1]),
                step.asked_ids != () and registry.known[(HUB, step.asked_ids[-1])].state is KnownState.DECIDED,
            )
            for step in replacement.steps
        ),
        registry.social_state(NEW),
    )


def wrong(before: Registry, registry: Registry) -> list[str]:
    """What does not hold after a move."""
    was, now, replacement = phases(before), phases(registry), registry.replacement()
    found = []
    for asked in registry.steps_asked()[len(before.steps_asked()) :]:
        name = step_name(asked)
        if name.startswith("back "):
            if name[5:] == "OLD_SUPERSEDED" or replacement.phase not in BEING_UNDONE:
                found.append(f"{name} is asked for")
            names = list(now)
            if any(now[later] != StepPhase.UNDONE for later in names[names.index(name[5:]) + 1 :]):
                found.append(f"{name} before what followed it was undone")
        elif name != "OLD_SUPERSEDED":
            if replacement.phase in BEING_UNDONE:
                found.append(f"{name} is carried out on the way back")
            if now[_WAITS_FOR[name]] != StepPhase.DONE:
                found.append(f"{name} before {_WAITS_FOR[name]}")
    for name, phase in now.items():
        if was[name] == StepPhase.DONE and phase not in {StepPhase.DONE, *UNDO_PHASES}:
            found.append(f"{name} was done and is {phase}")
        if was[name] == StepPhase.UNDONE and phase != StepPhase.UNDONE:
            found.append(f"{name} was undone and is {phase}")
    for step in replacement.steps:
        due = [timer for timer in registry.timers.values() if f"/{step.step}/" in timer.what]
        if (step.phase in {StepPhase.RETRYING, StepPhase.UNDO_RETRYING}) != (len(due) == 1):
            found.append(f"{step.step} is {step.phase} with {len(due)} timers")
        if step.phase in {StepPhase.ASKED, StepPhase.UNDOING}:
            request = registry.known[(HUB, step.asked_ids[-1])]
            if (
                request.state is not KnownState.OPEN
                or timer_id(TimerPurpose.ANSWER_OVERDUE, request.key) not in registry.timers
            ):
                found.append(f"{step.step} is {step.phase} and nothing is on its way")
    if registry.social_state(OLD) != "SUPERSEDED" or sum(card.is_active for card in registry.holder().cards) > 1:
        found.append("the old card is in use")
    is_stuck = any(step.phase in {StepPhase.STUCK, StepPhase.UNDO_STUCK} for step in replacement.steps)
    if replacement.phase in {ReplacementPhase.STUCK, ReplacementPhase.UNDO_STUCK} and not is_stuck:
        found.append("it is stuck and no step is")
    return found


@pytest.mark.timeout(300)
def test_every_order_of_replies_refusals_doubts_lateness_and_cancelling_keeps_the_steps_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every moment that two mishaps anywhere lead to, with one delay before a step is stuck.

    Each record is decided twice and gives the same, as after a crash; and from each moment the saga still ends, unless
    a final refusal leaves it to a person.
    """
    monkeypatch.setattr(limits, "REPLACEMENT_RETRY_DELAYS_MS", (1_000,))
    seen = set()
    waiting = [(begun(), 0)]
    ends: set[str] = set()
    while waiting:
        registry, mishaps = waiting.pop()
        for name, is_mishap, move in moves(registry):
            if mishaps + is_mishap > MISHAPS_MAX:
                continue
            after = registry.copy()
            move(after)
            assert wrong(registry, after) == [], name
            key = (essence(after), mishaps + is_mishap)
            if key not in seen:
                seen.add(key)
                waiting.append((after, mishaps + is_mishap))
        if mishaps == MISHAPS_MAX:
            ends.add(ended(registry))
    assert len(seen) > 1_000
    assert ends == {
        ReplacementPhase.COMPLETED,
        ReplacementPhase.UNDONE,
        ReplacementPhase.STUCK,
        ReplacementPhase.UNDO_STUCK,
    }


def ended(registry: Registry) -> str:
    """Where the saga ends if nothing goes wrong any more; stuck only where a step was refused for good."""
    ending = registry.copy()
    ending.decides_twice = False
    if ending.replacement().phase not in BEING_UNDONE:
        confirm(ending, seed="end")
    for _ in range(8):
        ending.advance(ending.now_ms + 1_000)
        for asked in ending.steps_asked():
            if ending.known[asked.key].state is not KnownState.DECIDED:
                ending.reply(asked, seed="end")
    replacement = ending.replacement()
    if replacement.phase in {ReplacementPhase.STUCK, ReplacementPhase.UNDO_STUCK}:
        stuck = [step for step in replacement.steps if step.phase in {StepPhase.STUCK, StepPhase.UNDO_STUCK}]
        assert all(ending.known[(HUB, asked)].state is KnownState.DECIDED for step in stuck for asked in step.asked_ids)
    return replacement.phase
