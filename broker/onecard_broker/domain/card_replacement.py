"""The replacement saga: asks for its steps one after the other, takes replies, failures, lateness and the way back.

The tables and their theory are in ``replacement_states``; that a replacement begins is decided in ``card_changes``.
Everything is keyed by (replacement, step, direction), so that deciding again gives the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from onecard.card.v1 import replacement_pb2
from onecard.card.v1.replacement_pb2 import (
    REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED,
    REPLACEMENT_STEP_CREDENTIAL_FOLLOWED,
    REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND,
    REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED,
    REPLACEMENT_STEP_NEW_ENABLED,
    REPLACEMENT_STEP_OLD_SUPERSEDED,
)
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.card_holding import Holding
from onecard_broker.domain.card_state import Card, CardKey, Replacement, Step
from onecard_broker.domain.model import KnownMessage, Timer
from onecard_broker.domain.replacement_states import (
    BEING_UNDONE,
    ENDED,
    HANDING_OVER,
    REPLACEMENT,
    STEP,
    ReplacementPhase,
    ReplacementTrigger,
    StepPhase,
    StepTrigger,
)
from onecard_broker.domain.replacement_steps import (
    BENEFIT_DUE,
    ask,
    asked_by,
    cancel_alarm,
    cancel_retry,
    delay_name,
    done,
    failed,
    move,
    set_alarm,
    set_retry,
    step_of,
)
from onecard_protocol import limits
from onecard_protocol.errors import policy
from onecard_protocol.identifiers import participant_of_area

_WAITS_FOR: Final[Mapping[int, int]] = {
    REPLACEMENT_STEP_OLD_SUPERSEDED: REPLACEMENT_STEP_NEW_ENABLED,
    REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND: REPLACEMENT_STEP_OLD_SUPERSEDED,
    REPLACEMENT_STEP_CREDENTIAL_FOLLOWED: REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND,
    REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED: REPLACEMENT_STEP_CREDENTIAL_FOLLOWED,
    REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED: REPLACEMENT_STEP_OLD_SUPERSEDED,
}
"""The step that each one is asked for behind."""


# ---- beginning and ending ------------------------------------------------------------------------------------------


def begin(holding: Holding, old: CardKey, new: Card) -> None:
    """A replacement begins with the record in hand; once for a pair of cards, whatever is told again."""
    if any((known.old, known.new) == (old, new.key) for known in holding.holder.replacements):
        return
    residence = participant_of_area(new.residence_area) or new.issuer
    recipients = {
        REPLACEMENT_STEP_NEW_ENABLED: new.issuer,
        REPLACEMENT_STEP_OLD_SUPERSEDED: old[0],
        REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND: new.issuer,
        REPLACEMENT_STEP_CREDENTIAL_FOLLOWED: residence,
        REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED: residence,
        REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED: new.issuer,
    }
    now_ms = holding.ruling.now_ms
    steps = tuple(
        Step(
            step=step,
            phase=StepPhase.DONE if step == REPLACEMENT_STEP_NEW_ENABLED else StepPhase.WAITING,
            recipient=recipient,
            changed_ms=now_ms,
        )
        for step, recipient in recipients.items()
    )
    holding.put_replacement(
        Replacement(
            id=holding.ruling.message.header.id,
            phase=ReplacementPhase.RUNNING,
            old=old,
            new=new.key,
            steps=steps,
            began_ms=now_ms,
        )
    )
    go_on(holding)


def card_ended(holding: Holding, card: Card, *, is_cancelled: bool) -> None:
    """An issuer told the end of a card: of an old one, as the saga asks, or of a new one, which undoes the saga."""
    for replacement in holding.holder.replacements:
        if replacement.old == card.key:
            step = step_of(replacement, REPLACEMENT_STEP_OLD_SUPERSEDED)
            if step.phase not in {StepPhase.WAITING, StepPhase.DONE}:
                move(holding, replacement, step, StepTrigger.DONE)
        elif replacement.new == card.key and is_cancelled and replacement.phase not in BEING_UNDONE | ENDED:
            _undo(holding, replacement)
    go_on(holding)


def _undo(holding: Holding, replacement: Replacement) -> None:
    for step in replacement.steps:
        if step.step != REPLACEMENT_STEP_OLD_SUPERSEDED:
            cancel_retry(holding, replacement, step)
    steps = tuple(
        step
        if step.step == REPLACEMENT_STEP_OLD_SUPERSEDED
        else dataclasses.replace(
            step,
            phase=STEP[StepPhase(step.phase), StepTrigger.CANCELLED],
            attempt=0,
            asked_ids=(),
            reason=0,
            changed_ms=holding.ruling.now_ms,
        )
        for step in replacement.steps
    )
    cancel_alarm(holding, replacement)
    phase = REPLACEMENT[ReplacementPhase(replacement.phase), ReplacementTrigger.CANCELLED]
    holding.put_replacement(dataclasses.replace(replacement, phase=phase, steps=steps))


def resume(holding: Holding, replacement: Replacement) -> None:
    """Go on with a replacement that came over from a linked number: what was on its way is asked for again, here.

    Replies to what the other number's partition asked for end there; the work's key makes asking again harmless.
    """
    holding.put_replacement(replacement)
    for step in replacement.steps:
        current = holding.replacement(replacement.id)
        assert current is not None
        if step.phase in {StepPhase.ASKED, StepPhase.UNDOING}:
            ask(holding, current, dataclasses.replace(step, attempt=step.attempt - 1), StepPhase(step.phase))
        elif step.phase in {StepPhase.RETRYING, StepPhase.UNDO_RETRYING}:
            set_retry(holding, current, step, holding.ruling.now_ms)
    if replacement.benefit_due_ms and not replacement.is_alarmed and replacement.phase not in BEING_UNDONE | ENDED:
        set_alarm(holding, replacement)
    go_on(holding)


# ---- what comes back -----------------------------------------------------------------------------------------------


def take_answer(holding: Holding, request: KnownMessage) -> None:
    """A province answered a request for a step; one that belongs to no step any more changes nothing."""
    found = asked_by(holding, request.id)
    if found is None:
        return
    replacement, step = found
    payload = holding.ruling.inbound.payload
    if isinstance(payload, replacement_pb2.CarryOutStepResponse):
        done(holding, replacement, dataclasses.replace(step, local_id=payload.local_id))
    elif isinstance(payload, message_pb2.Rejection):
        if payload.reason == errors_pb2.ERROR_REASON_CARD_ALREADY:
            done(holding, replacement, step)
        elif step.asked_ids[-1] == request.id:
            refused = dataclasses.replace(step, reason=payload.reason)
            if policy(payload.reason).retryable:
                failed(holding, replacement, refused)
            else:
                move(holding, replacement, refused, StepTrigger.REFUSED)
    go_on(holding)


def doubt(holding: Holding, request: KnownMessage) -> None:
    """No answer in time, a doubtful one, or a report that the request was given up: ask again later."""
    found = asked_by(holding, request.id)
    if found is not None and found[1].asked_ids[-1] == request.id:
        replacement, step = found
        failed(holding, replacement, dataclasses.replace(step, reason=errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN))
        go_on(holding)


def wake(holding: Holding, timer: Timer) -> None:
    """A delay is over, or the benefit account's deadline has passed."""
    named, _, rest = timer.what.partition("/")
    replacement = holding.replacement(bytes.fromhex(named))
    if replacement is None:
        return
    if rest == BENEFIT_DUE:
        if replacement.phase not in BEING_UNDONE | ENDED:
            holding.put_replacement(dataclasses.replace(replacement, is_alarmed=True))
        return
    for step in replacement.steps:
        if delay_name(replacement, step) == timer.what and step.attempt == timer.attempt:
            if step.phase == StepPhase.RETRYING:
                ask(holding, replacement, step, StepPhase.ASKED)
            elif step.phase == StepPhase.UNDO_RETRYING:
                ask(holding, replacement, step, StepPhase.UNDOING)


def confirm(holding: Holding, replacement: Replacement) -> None:
    """The agency tells that the benefit account was changed; told again it changes nothing."""
    step = step_of(replacement, REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED)
    if step.phase != StepPhase.DONE:
        move(holding, replacement, step, StepTrigger.CONFIRMED)
        go_on(holding)


def ask_again(holding: Holding, replacement: Replacement) -> int:
    """An operator has what is stuck asked for again, as if for the first time; how many steps that are."""
    stuck = [step for step in replacement.steps if step.phase in {StepPhase.STUCK, StepPhase.UNDO_STUCK}]
    for step in stuck:
        phase = STEP[StepPhase(step.phase), StepTrigger.ASKED]
        ask(holding, _named(holding, replacement.id), dataclasses.replace(step, attempt=0, reason=0), phase)
    go_on(holding)
    return len(stuck)


# ---- going on ------------------------------------------------------------------------------------------------------


def go_on(holding: Holding) -> None:
    """Ask for whatever can be asked for now, and draw the replacements' states from their steps'.

    Until nothing moves any more, since the end of one may be what another waits for.
    """
    before: tuple[Replacement, ...] = ()
    while before != holding.holder.replacements:
        before = holding.holder.replacements
        for known in before:
            if known.phase in BEING_UNDONE:
                _go_back(holding, known.id)
            elif known.phase not in ENDED:
                _go_forward(holding, known.id)
            _settle(holding, known.id)


def _go_forward(holding: Holding, replacement_id: bytes) -> None:
    for number, before in _WAITS_FOR.items():
        replacement = _named(holding, replacement_id)
        step = step_of(replacement, number)
        is_free = before != REPLACEMENT_STEP_OLD_SUPERSEDED or not _takes_over_still(holding, replacement.old)
        if step.phase == StepPhase.WAITING and step_of(replacement, before).phase == StepPhase.DONE and is_free:
            if number == REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED:
                due_ms = holding.ruling.now_ms + limits.BENEFIT_ACCOUNT_MS_MAX
                replacement = dataclasses.replace(replacement, benefit_due_ms=due_ms)
                set_alarm(holding, replacement)
            ask(holding, replacement, step, StepPhase.ASKED)


def _takes_over_still(holding: Holding, key: CardKey) -> bool:
    return any(known.new == key and known.phase in HANDING_OVER for known in holding.holder.replacements)


def _go_back(holding: Holding, replacement_id: bytes) -> None:
    """Each step waits for the undoing of the one after it; that of the beginning is the cancellation itself."""
    for number in sorted((*_WAITS_FOR, REPLACEMENT_STEP_NEW_ENABLED), reverse=True):
        replacement = _named(holding, replacement_id)
        step = step_of(replacement, number)
        if number == REPLACEMENT_STEP_OLD_SUPERSEDED or step.phase == StepPhase.UNDONE:
            continue
        if step.phase != StepPhase.UNDO_WAITING:
            return
        if number != REPLACEMENT_STEP_NEW_ENABLED:
            ask(holding, replacement, step, StepPhase.UNDOING)
            return
        move(holding, replacement, step, StepTrigger.DONE)


def _settle(holding: Holding, replacement_id: bytes) -> None:
    replacement = _named(holding, replacement_id)
    trigger = _trigger(replacement)
    phase = REPLACEMENT.get((ReplacementPhase(replacement.phase), trigger)) if trigger else None
    if phase is None:
        return
    ended_ms = holding.ruling.now_ms if phase in ENDED else 0
    holding.put_replacement(dataclasses.replace(replacement, phase=phase, ended_ms=ended_ms))
    if phase in ENDED:
        cancel_alarm(holding, replacement)


def _trigger(replacement: Replacement) -> ReplacementTrigger | None:
    """What the steps say of the whole; None where it is simply under way and nothing was stuck."""
    others = [step for step in replacement.steps if step.step != REPLACEMENT_STEP_OLD_SUPERSEDED]
    if replacement.phase in BEING_UNDONE:
        if all(step.phase == StepPhase.UNDONE for step in others):
            return ReplacementTrigger.UNDONE
        is_stuck = any(step.phase == StepPhase.UNDO_STUCK for step in others)
        return ReplacementTrigger.STEP_STUCK if is_stuck else ReplacementTrigger.STEP_FREED
    if any(step.phase == StepPhase.STUCK for step in replacement.steps):
        return ReplacementTrigger.STEP_STUCK
    open_steps = [step for step in replacement.steps if step.phase != StepPhase.DONE]
    if not open_steps:
        return ReplacementTrigger.COMPLETED
    if all(step.phase == StepPhase.OPEN for step in open_steps):
        return ReplacementTrigger.HANDED_OVER
    return ReplacementTrigger.STEP_FREED


def _named(holding: Holding, replacement_id: bytes) -> Replacement:
    replacement = holding.replacement(replacement_id)
    assert replacement is not None
    return replacement
