"""The transition tables of a replacement and its steps, against their theory told again."""

from __future__ import annotations

import pytest

from onecard_broker.domain.replacement_states import (
    REPLACEMENT,
    STEP,
    ReplacementPhase,
    ReplacementTrigger,
    StepPhase,
    StepTrigger,
)

_EVERY_STEP = [(phase, trigger) for phase in StepPhase for trigger in StepTrigger]


@pytest.mark.parametrize(("phase", "trigger"), _EVERY_STEP, ids=str)
def test_a_step_moves_as_the_theory_says(phase: StepPhase, trigger: StepTrigger) -> None:
    forward = {StepPhase.ASKED, StepPhase.RETRYING, StepPhase.STUCK}
    back = {StepPhase.UNDO_WAITING, StepPhase.UNDOING, StepPhase.UNDO_RETRYING, StepPhase.UNDO_STUCK}
    expected: StepPhase | None = None
    match trigger:
        case StepTrigger.ASKED if phase in {StepPhase.WAITING, StepPhase.RETRYING, StepPhase.STUCK}:
            expected = StepPhase.ASKED
        case StepTrigger.ASKED if phase in {StepPhase.UNDO_WAITING, StepPhase.UNDO_RETRYING, StepPhase.UNDO_STUCK}:
            expected = StepPhase.UNDOING
        case StepTrigger.DONE if phase in forward | back:
            expected = StepPhase.UNDONE if phase in back else StepPhase.DONE
        case StepTrigger.OPENED if phase in forward:
            expected = StepPhase.OPEN
        case StepTrigger.CONFIRMED if phase in forward | {StepPhase.WAITING, StepPhase.OPEN}:
            expected = StepPhase.DONE
        case StepTrigger.FAILED:
            expected = {StepPhase.ASKED: StepPhase.RETRYING, StepPhase.UNDOING: StepPhase.UNDO_RETRYING}.get(phase)
        case StepTrigger.SPENT | StepTrigger.REFUSED:
            expected = {StepPhase.ASKED: StepPhase.STUCK, StepPhase.UNDOING: StepPhase.UNDO_STUCK}.get(phase)
        case StepTrigger.CANCELLED if phase is StepPhase.WAITING:
            expected = StepPhase.UNDONE
        case StepTrigger.CANCELLED if phase in forward | {StepPhase.OPEN, StepPhase.DONE}:
            expected = StepPhase.UNDO_WAITING
    assert STEP.get((phase, trigger)) == expected


@pytest.mark.parametrize(
    ("phase", "trigger"), [(phase, trigger) for phase in ReplacementPhase for trigger in ReplacementTrigger], ids=str
)
def test_a_replacement_moves_as_the_theory_says(phase: ReplacementPhase, trigger: ReplacementTrigger) -> None:
    running = {ReplacementPhase.RUNNING, ReplacementPhase.STUCK}
    expected: ReplacementPhase | None = None
    match trigger:
        case ReplacementTrigger.STEP_STUCK:
            expected = {
                ReplacementPhase.RUNNING: ReplacementPhase.STUCK,
                ReplacementPhase.UNDOING: ReplacementPhase.UNDO_STUCK,
            }.get(phase)
        case ReplacementTrigger.STEP_FREED:
            expected = {
                ReplacementPhase.STUCK: ReplacementPhase.RUNNING,
                ReplacementPhase.UNDO_STUCK: ReplacementPhase.UNDOING,
            }.get(phase)
        case ReplacementTrigger.HANDED_OVER if phase in running:
            expected = ReplacementPhase.OPEN
        case ReplacementTrigger.COMPLETED if phase in running | {ReplacementPhase.OPEN}:
            expected = ReplacementPhase.COMPLETED
        case ReplacementTrigger.CANCELLED if phase in running | {ReplacementPhase.OPEN}:
            expected = ReplacementPhase.UNDOING
        case ReplacementTrigger.UNDONE if phase in {ReplacementPhase.UNDOING, ReplacementPhase.UNDO_STUCK}:
            expected = ReplacementPhase.UNDONE
    assert REPLACEMENT.get((phase, trigger)) == expected
