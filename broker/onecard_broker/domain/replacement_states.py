"""The replacement of a card as a saga: the lives of its steps and of the whole, as transition tables (domain.md, 2.4).

The theory. A replacement begins when a card is enabled that names its predecessor; the predecessor is SUPERSEDED in the
registry in that same decision, so that two cards are never in use. What then has to follow in the provinces' systems
are steps, each asked for by a message of the hub's own with its own reply, in this order:

NEW_ENABLED (what began it) → OLD_SUPERSEDED at the old card's issuer → ELECTRONIC_CARD_REBOUND at the new card's issuer
→ CREDENTIAL_FOLLOWED and MEDICAL_ACCOUNT_MOVED in the province where the holder lives. BENEFIT_ACCOUNT_CHANGED is
opened together with the e-card's step, not behind the medical account: the agency's time must not wait for a step that
is stuck elsewhere (docs/adr/0008). It stays OPEN until the agency confirms it; past its deadline the replacement is
alarmed. Where a card is itself replaced while it still takes over from its own predecessor, what moves waits for that.

- A step is ASKED until its reply. A refusal that may be repeated, an answer that is overdue or in doubt, and a report
  that it was given up make it RETRYING: asked again, under a new message, after a delay that grows. When the delays
  are spent, or by a final refusal, it is STUCK and waits for a person, who may have it asked for again. (replacement,
  step, direction) is the key of the work, so asking again does it once, and a late reply to any of the messages
  completes the step from wherever it stands.
- "Done already" is done. The old card's issuer may also tell the end of the old card by itself: that is done as well.
- A new card that is CANCELLED while the saga runs takes it back: every step that was asked for is undone in reverse,
  each waiting for the one after it, because a step in doubt may have been carried out. The old card stays ended, so
  OLD_SUPERSEDED is not undone and goes on by itself. A replacement that was COMPLETED is over: a cancelled card is then
  a person without a card.
- The whole is RUNNING, STUCK while one of its steps is, OPEN when only the benefit account is waited for, COMPLETED; or
  UNDOING, UNDO_STUCK, UNDONE.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class StepPhase(enum.StrEnum):
    """State of a step."""

    WAITING = "waiting"
    ASKED = "asked"
    RETRYING = "retrying"
    STUCK = "stuck"
    OPEN = "open"
    DONE = "done"
    UNDO_WAITING = "undo-waiting"
    UNDOING = "undoing"
    UNDO_RETRYING = "undo-retrying"
    UNDO_STUCK = "undo-stuck"
    UNDONE = "undone"


class StepTrigger(enum.StrEnum):
    """What moves a step."""

    ASKED = "asked"
    """A message that asks for it, or for its undoing, was sent."""
    DONE = "done"
    """A reply says so, or that it was done already; or the old card's issuer told its end."""
    OPENED = "opened"
    """The benefit agency has the task."""
    CONFIRMED = "confirmed"
    """The benefit agency has changed the account."""
    FAILED = "failed"
    """A refusal that may be repeated, no answer in time, or a doubtful one; it is asked for again."""
    SPENT = "attempts spent"
    """The same after the last delay."""
    REFUSED = "refused"
    """A final refusal."""
    CANCELLED = "new card cancelled"
    """The new card was cancelled while the saga ran."""


StepTable = Mapping[tuple[StepPhase, StepTrigger], StepPhase]

STEP: Final[StepTable] = {
    (StepPhase.WAITING, StepTrigger.ASKED): StepPhase.ASKED,
    (StepPhase.WAITING, StepTrigger.CONFIRMED): StepPhase.DONE,
    (StepPhase.WAITING, StepTrigger.CANCELLED): StepPhase.UNDONE,
    # On its way.
    (StepPhase.ASKED, StepTrigger.DONE): StepPhase.DONE,
    (StepPhase.ASKED, StepTrigger.OPENED): StepPhase.OPEN,
    (StepPhase.ASKED, StepTrigger.CONFIRMED): StepPhase.DONE,
    (StepPhase.ASKED, StepTrigger.FAILED): StepPhase.RETRYING,
    (StepPhase.ASKED, StepTrigger.SPENT): StepPhase.STUCK,
    (StepPhase.ASKED, StepTrigger.REFUSED): StepPhase.STUCK,
    (StepPhase.ASKED, StepTrigger.CANCELLED): StepPhase.UNDO_WAITING,
    (StepPhase.RETRYING, StepTrigger.ASKED): StepPhase.ASKED,
    (StepPhase.RETRYING, StepTrigger.DONE): StepPhase.DONE,
    (StepPhase.RETRYING, StepTrigger.OPENED): StepPhase.OPEN,
    (StepPhase.RETRYING, StepTrigger.CONFIRMED): StepPhase.DONE,
    (StepPhase.RETRYING, StepTrigger.CANCELLED): StepPhase.UNDO_WAITING,
    (StepPhase.STUCK, StepTrigger.DONE): StepPhase.DONE,
    (StepPhase.STUCK, StepTrigger.OPENED): StepPhase.OPEN,
    (StepPhase.STUCK, StepTrigger.CONFIRMED): StepPhase.DONE,
    (StepPhase.STUCK, StepTrigger.CANCELLED): StepPhase.UNDO_WAITING,
    # An operator has it asked for again.
    (StepPhase.STUCK, StepTrigger.ASKED): StepPhase.ASKED,
    (StepPhase.UNDO_STUCK, StepTrigger.ASKED): StepPhase.UNDOING,
    # Carried out.
    (StepPhase.OPEN, StepTrigger.CONFIRMED): StepPhase.DONE,
    (StepPhase.OPEN, StepTrigger.CANCELLED): StepPhase.UNDO_WAITING,
    (StepPhase.DONE, StepTrigger.CANCELLED): StepPhase.UNDO_WAITING,
    # Being undone.
    (StepPhase.UNDO_WAITING, StepTrigger.ASKED): StepPhase.UNDOING,
    (StepPhase.UNDO_WAITING, StepTrigger.DONE): StepPhase.UNDONE,
    (StepPhase.UNDOING, StepTrigger.DONE): StepPhase.UNDONE,
    (StepPhase.UNDOING, StepTrigger.FAILED): StepPhase.UNDO_RETRYING,
    (StepPhase.UNDOING, StepTrigger.SPENT): StepPhase.UNDO_STUCK,
    (StepPhase.UNDOING, StepTrigger.REFUSED): StepPhase.UNDO_STUCK,
    (StepPhase.UNDO_RETRYING, StepTrigger.ASKED): StepPhase.UNDOING,
    (StepPhase.UNDO_RETRYING, StepTrigger.DONE): StepPhase.UNDONE,
    (StepPhase.UNDO_STUCK, StepTrigger.DONE): StepPhase.UNDONE,
}
"""A step. NEW_ENABLED begins as DONE and is undone by the cancellation itself; only the benefit account is OPENED."""

UNDO_PHASES: Final = frozenset(
    {StepPhase.UNDO_WAITING, StepPhase.UNDOING, StepPhase.UNDO_RETRYING, StepPhase.UNDO_STUCK, StepPhase.UNDONE}
)
"""What is asked for in these is the step's undoing."""


class ReplacementPhase(enum.StrEnum):
    """State of a replacement."""

    RUNNING = "running"
    STUCK = "stuck"
    OPEN = "open"
    COMPLETED = "completed"
    UNDOING = "undoing"
    UNDO_STUCK = "undo-stuck"
    UNDONE = "undone"


class ReplacementTrigger(enum.StrEnum):
    """What moves a replacement; all but the cancellation follow from its steps."""

    STEP_STUCK = "step stuck"
    """A step waits for a person."""
    STEP_FREED = "step freed"
    """The last such step was completed after all."""
    HANDED_OVER = "handed over"
    """Everything is done but the confirmation of the benefit account."""
    COMPLETED = "completed"
    """Everything is done."""
    CANCELLED = "new card cancelled"
    """The new card was cancelled."""
    UNDONE = "undone"
    """Every step that is undone at all is."""


ReplacementTable = Mapping[tuple[ReplacementPhase, ReplacementTrigger], ReplacementPhase]

REPLACEMENT: Final[ReplacementTable] = {
    (ReplacementPhase.RUNNING, ReplacementTrigger.STEP_STUCK): ReplacementPhase.STUCK,
    (ReplacementPhase.RUNNING, ReplacementTrigger.HANDED_OVER): ReplacementPhase.OPEN,
    (ReplacementPhase.RUNNING, ReplacementTrigger.COMPLETED): ReplacementPhase.COMPLETED,
    (ReplacementPhase.RUNNING, ReplacementTrigger.CANCELLED): ReplacementPhase.UNDOING,
    (ReplacementPhase.STUCK, ReplacementTrigger.STEP_FREED): ReplacementPhase.RUNNING,
    (ReplacementPhase.STUCK, ReplacementTrigger.HANDED_OVER): ReplacementPhase.OPEN,
    (ReplacementPhase.STUCK, ReplacementTrigger.COMPLETED): ReplacementPhase.COMPLETED,
    (ReplacementPhase.STUCK, ReplacementTrigger.CANCELLED): ReplacementPhase.UNDOING,
    (ReplacementPhase.OPEN, ReplacementTrigger.COMPLETED): ReplacementPhase.COMPLETED,
    (ReplacementPhase.OPEN, ReplacementTrigger.CANCELLED): ReplacementPhase.UNDOING,
    (ReplacementPhase.UNDOING, ReplacementTrigger.STEP_STUCK): ReplacementPhase.UNDO_STUCK,
    (ReplacementPhase.UNDOING, ReplacementTrigger.UNDONE): ReplacementPhase.UNDONE,
    (ReplacementPhase.UNDO_STUCK, ReplacementTrigger.STEP_FREED): ReplacementPhase.UNDOING,
    (ReplacementPhase.UNDO_STUCK, ReplacementTrigger.UNDONE): ReplacementPhase.UNDONE,
}
"""A replacement; it is RUNNING from its birth."""

ENDED: Final = frozenset({ReplacementPhase.COMPLETED, ReplacementPhase.UNDONE})
"""Over; nothing is asked for any more but the end of the old card."""
BEING_UNDONE: Final = frozenset({ReplacementPhase.UNDOING, ReplacementPhase.UNDO_STUCK, ReplacementPhase.UNDONE})
"""The new card was cancelled."""
HANDING_OVER: Final = frozenset(
    {ReplacementPhase.RUNNING, ReplacementPhase.STUCK, ReplacementPhase.UNDOING, ReplacementPhase.UNDO_STUCK}
)
"""Something still moves to or from the new card, so that nothing may move on from it."""

STEP_NAMES: Final[Mapping[tuple[str, str], str]] = {
    (phase.name, trigger.value): target.name for (phase, trigger), target in STEP.items()
}
"""(state, trigger) to state of a step, for diagrams."""
REPLACEMENT_NAMES: Final[Mapping[tuple[str, str], str]] = {
    (phase.name, trigger.value): target.name for (phase, trigger), target in REPLACEMENT.items()
}
"""(state, trigger) to state of a replacement, for diagrams."""
