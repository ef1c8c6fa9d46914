"""One step of a replacement: asked for, done, failed, delayed; its states move by the table of ``replacement_states``.

What a step has to wait for, and what follows from it for the whole replacement, is ``card_replacement``'s.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.card.v1 import replacement_pb2
from onecard.card.v1.replacement_pb2 import REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED
from onecard.exchange.v1 import message_pb2
from onecard_broker.domain.card_holding import Holding
from onecard_broker.domain.card_state import Replacement, Step, reference_of
from onecard_broker.domain.model import (
    CancelTimer,
    KnownMessage,
    KnownState,
    SetTimer,
    Timer,
    TimerPurpose,
    state_timer_id,
)
from onecard_broker.domain.replacement_states import STEP, UNDO_PHASES, StepPhase, StepTrigger
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB, id_text

CARRY_OUT: Final = "/onecard.card.v1.CardReplacementService/CarryOutStep"
BENEFIT_DUE: Final = "benefit-due"
"""What the alarm of a benefit account that stays open is named."""
_REQUESTS_REMEMBERED_COUNT_MAX: Final = 2 * (len(limits.REPLACEMENT_RETRY_DELAYS_MS) + 1)


def step_of(replacement: Replacement, number: int) -> Step:
    """A replacement's step."""
    return next(step for step in replacement.steps if step.step == number)


def asked_by(holding: Holding, request_id: bytes) -> tuple[Replacement, Step] | None:
    """The step that was asked for by this request, and its replacement; None if no step remembers it."""
    for replacement in holding.holder.replacements:
        for step in replacement.steps:
            if request_id in step.asked_ids:
                return replacement, step
    return None


def done(holding: Holding, replacement: Replacement, step: Step) -> None:
    """Its province carried it out; of the benefit account it only took the task on."""
    is_benefit = step.step == REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED and step.phase not in UNDO_PHASES
    move(holding, replacement, step, StepTrigger.OPENED if is_benefit else StepTrigger.DONE)


def failed(holding: Holding, replacement: Replacement, step: Step) -> None:
    """It did not come about, and is asked for again later, so often and then no more."""
    if step.attempt <= len(limits.REPLACEMENT_RETRY_DELAYS_MS):
        due_ms = holding.ruling.now_ms + limits.REPLACEMENT_RETRY_DELAYS_MS[step.attempt - 1]
        if move(holding, replacement, step, StepTrigger.FAILED):
            set_retry(holding, replacement, step, due_ms)
    else:
        move(holding, replacement, step, StepTrigger.SPENT)


def move(holding: Holding, replacement: Replacement, step: Step, trigger: StepTrigger) -> bool:
    """Move a step by the table and end its delay; a trigger that its state does not know changes nothing."""
    phase = STEP.get((StepPhase(step.phase), trigger))
    if phase is None:
        return False
    cancel_retry(holding, replacement, step)
    _put(holding, replacement, dataclasses.replace(step, phase=phase, changed_ms=holding.ruling.now_ms))
    return True


def _put(holding: Holding, replacement: Replacement, step: Step) -> None:
    steps = tuple(step if other.step == step.step else other for other in replacement.steps)
    holding.put_replacement(dataclasses.replace(replacement, steps=steps))


def ask(holding: Holding, replacement: Replacement, step: Step, phase: StepPhase) -> None:
    """Ask for a step or its undoing with a message of the hub's own, which is overdue like any other request."""
    ruling = holding.ruling
    is_back = phase in UNDO_PHASES
    payload = replacement_pb2.CarryOutStepRequest(
        person=holding.person(),
        replacement_id=id_text(replacement.id),
        step=step.step,
        direction=replacement_pb2.STEP_DIRECTION_BACK if is_back else replacement_pb2.STEP_DIRECTION_FORWARD,
        old_card=reference_of(replacement.old),
        new_card=reference_of(replacement.new),
    ).SerializeToString(deterministic=True)
    _, request_id = ruling.say(step.recipient, CARRY_OUT, message_pb2.MESSAGE_KIND_REQUEST, payload)
    request = KnownMessage(
        sender=HUB,
        id=request_id,
        digest=b"",  # The header's, which the worker makes; it fills it in.
        recipient=step.recipient,
        method=CARRY_OUT,
        subject=holding.holder.subject,
        state=KnownState.OPEN,
        aggregates=(holding.key,),
    )
    ruling.remember(request)
    ruling.await_answer(request, ruling.now_ms + limits.UNKNOWN_TIMER_MS)
    asked = dataclasses.replace(
        step,
        phase=phase,
        attempt=step.attempt + 1,
        asked_ids=(*step.asked_ids, request_id)[-_REQUESTS_REMEMBERED_COUNT_MAX:],
        changed_ms=ruling.now_ms,
    )
    _put(holding, replacement, asked)


# ---- timers --------------------------------------------------------------------------------------------------------


def delay_name(replacement: Replacement, step: Step) -> str:
    """By what a step's delay is named, which tells forward from back."""
    return f"{id_text(replacement.id)}/{step.step}/{'back' if step.phase in UNDO_PHASES else 'forward'}"


def set_retry(holding: Holding, replacement: Replacement, step: Step, due_ms: int) -> None:
    """Ask again then."""
    _set(holding, replacement, delay_name(replacement, step), due_ms, step.attempt)


def set_alarm(holding: Holding, replacement: Replacement) -> None:
    """Say so when the benefit account is still open at its deadline."""
    _set(holding, replacement, f"{id_text(replacement.id)}/{BENEFIT_DUE}", replacement.benefit_due_ms, 0)


def _set(holding: Holding, replacement: Replacement, what: str, due_ms: int, attempt: int) -> None:
    timer = Timer(
        id=state_timer_id(holding.key, what, attempt),
        due_ms=max(holding.ruling.now_ms, due_ms),
        purpose=TimerPurpose.STATE,
        request=(replacement.new[0], replacement.id),
        attempt=attempt,
        aggregate=holding.key,
        what=what,
        method=CARRY_OUT,
    )
    holding.ruling.effects.append(SetTimer(timer=timer))


def cancel_retry(holding: Holding, replacement: Replacement, step: Step) -> None:
    """End the step's delay, if it has one."""
    if step.phase in {StepPhase.RETRYING, StepPhase.UNDO_RETRYING}:
        timer_id = state_timer_id(holding.key, delay_name(replacement, step), step.attempt)
        holding.ruling.effects.append(CancelTimer(id=timer_id))


def cancel_alarm(holding: Holding, replacement: Replacement) -> None:
    """End the alarm, if it has not gone off."""
    if replacement.benefit_due_ms and not replacement.is_alarmed:
        what = f"{id_text(replacement.id)}/{BENEFIT_DUE}"
        holding.ruling.effects.append(CancelTimer(id=state_timer_id(holding.key, what)))
