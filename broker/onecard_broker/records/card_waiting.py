"""What waits for a person: replacements, and links that were sent back.

Both are listed from the registry, and told in the log when it comes to that.

Owns what "waits" means in rows: a step, or its undoing, is stuck; or the benefit account was not confirmed in time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from onecard.card.v1 import replacement_pb2
from onecard_broker.domain.card_state import Cardholder, Replacement, SentBack, Step
from onecard_broker.domain.replacement_states import StepPhase
from onecard_broker.records.card_columns import participant_name, read_sent_back
from onecard_broker.records.pool import Connection
from onecard_protocol.errors import reason_name
from onecard_protocol.identifiers import id_text
from onecard_protocol.value_class import value_class

log = logging.getLogger(__name__)

_STUCK: Final = frozenset({StepPhase.STUCK, StepPhase.UNDO_STUCK})
_BENEFIT: Final = replacement_pb2.REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED

# Each condition is that of a partial index (0320.replacements-waiting).
_WAITING: Final = (
    "SELECT uuid_send(h.holder) || h.subject_rest, r.id, r.phase, s.step, s.phase, s.recipient, s.reason,"
    " s.changed_ms, {since}, {is_overdue}"
    " FROM card_replacements r"
    " JOIN card_replacement_steps s"
    " ON s.partition = r.partition AND s.holder = r.holder AND s.replacement = r.id"
    " JOIN cardholders h ON h.partition = r.partition AND h.holder = r.holder WHERE "
)
_LIST_STUCK: Final = (
    _WAITING.format(since="s.changed_ms", is_overdue="false")
    + "s.phase IN ('stuck', 'undo-stuck') ORDER BY s.changed_ms, r.id, s.step"
)
_LIST_OVERDUE: Final = (
    _WAITING.format(since="r.benefit_due_ms", is_overdue="true")
    + f"r.is_alarmed AND r.phase IN ('running', 'stuck', 'open') AND s.step = {int(_BENEFIT)} AND s.phase <> 'done'"
    " ORDER BY r.benefit_due_ms, r.id"
)


@value_class(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One step of a replacement that a person must look at."""

    subject: str
    """Pseudonym of the holder."""
    id: bytes
    """The replacement's."""
    phase: str
    """The replacement's."""
    step: replacement_pb2.ReplacementStep
    step_phase: str
    recipient: str
    reason: int
    """ErrorReason of the last refusal; 0 where nobody refused."""
    changed_ms: int
    """When the step came to where it stands."""
    since_ms: int
    """Since when it waits for a person: since it is stuck, or since the benefit account was due."""
    is_overdue: bool
    """Whether it is listed for the benefit account's deadline; else the step is stuck."""


def step_name(step: replacement_pb2.ReplacementStep) -> str:
    """A step as people read it."""
    return replacement_pb2.ReplacementStep.Name(step).removeprefix("REPLACEMENT_STEP_")


async def list_waiting(connection: Connection, *, is_stuck: bool = True, is_overdue: bool = True) -> list[Waiting]:
    """Steps that are stuck, then benefit accounts that are overdue, each the longest waiting first."""
    found: list[Waiting] = []
    for statement in [_LIST_STUCK] * is_stuck + [_LIST_OVERDUE] * is_overdue:
        cursor = await connection.execute(statement, binary=True)
        for subject, replacement_id, phase, step, step_phase, recipient, reason, *rest in await cursor.fetchall():
            changed_ms, since_ms, overdue = rest
            found.append(
                Waiting(
                    subject=subject.hex(),
                    id=replacement_id,
                    phase=phase,
                    step=step,
                    step_phase=step_phase,
                    recipient=participant_name(recipient),
                    reason=reason,
                    changed_ms=changed_ms,
                    since_ms=since_ms,
                    is_overdue=overdue,
                )
            )
    return found


def warn_of_new(before: Iterable[Replacement], after: Iterable[Replacement]) -> None:
    """Log what begins to wait for a person by a change of a holder's replacements. No number, no pseudonym."""
    stood: Mapping[bytes, Replacement] = {replacement.id: replacement for replacement in before}
    for replacement in after:
        old = stood.get(replacement.id)
        if old is replacement:
            continue
        phases = {step.step: step.phase for step in old.steps} if old else {}
        for step in replacement.steps:
            if step.phase in _STUCK and phases.get(step.step) != step.phase:
                _warn_of_stuck(replacement, step)
        if replacement.is_alarmed and not (old and old.is_alarmed):
            log.warning(
                "replacement %s: %s was not confirmed in time; `onecard card sagas` lists it",
                id_text(replacement.id),
                step_name(_BENEFIT),
            )


def _warn_of_stuck(replacement: Replacement, step: Step) -> None:
    log.warning(
        "replacement %s: %s at %s is %s by %s and waits for a person; `onecard card sagas` lists it",
        id_text(replacement.id),
        step_name(step.step),
        step.recipient,
        step.phase,
        reason_name(step.reason) if step.reason else "no answer",
    )


def warn_of_link_sent_back(before: SentBack | None, after: Cardholder | None) -> None:
    """Tell of a number whose link was sent back."""
    if after is not None and after.sent_back is not None and after.sent_back != before:
        log.warning(
            "the link of number %s to %s by %s was sent back: it closed a loop, or would have ended a card that is not"
            " theirs to end; `onecard card cases` lists it",
            after.subject,
            after.sent_back.primary,
            after.sent_back.linked_by,
        )


async def list_sent_back(connection: Connection, participant: str = "") -> list[tuple[str, SentBack]]:
    """Links that were sent back, of one participant or of all, with the pseudonym of the number, oldest first."""
    cursor = await connection.execute(
        "SELECT uuid_send(holder) || subject_rest, sent_back_from, sent_back_linked_by, sent_back_ms FROM cardholders"
        " WHERE sent_back_ms IS NOT NULL ORDER BY sent_back_ms, holder",
        binary=True,
    )
    found = [(subject.hex(), read_sent_back(row)) for subject, *row in await cursor.fetchall()]
    return [(subject, one) for subject, one in found if one and participant in {"", one.linked_by}]
