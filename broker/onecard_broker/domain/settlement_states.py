"""The life of a settlement and of a cancellation, as transition tables (design.md, section 4, rule 12).

The theory. A settlement and a cancellation are two transactions with one insured province, and in doubt they behave
the same, so both follow one shape, the table ``SHAPE``; a settlement adds what a cancellation and the clearing do to
it. Documents, console and tests use the tables under the names of the field, ``SETTLEMENT`` and ``CANCELLATION``.

- A transaction is OPEN from the moment its request is sent on. The province's signed answer ends it: STANDING, or
  FAILED when the province did not execute it, which is final.
- An answer that is overdue makes it UNKNOWN, never failed. The hub asks the province (at once, after 1, 5 and 30
  minutes); then it is MANUAL: the hub asks no more, but a late answer, or a query by the province of care, still ends
  it. An answer found by query counts as the province's own: EXECUTED, UNDONE, or NOT_FOUND, with which its adapter
  guarantees that the original never will be executed.
- A reversal is a conversation. It begins from OPEN, UNKNOWN and STANDING and is REVERSING until the province's signed
  answer (or its answer to a query): REVERSED, or NEVER_EXECUTED, which is a tombstone. Refused, the transaction returns
  to the state before, written BEFORE in the table. While REVERSING, what is learnt of the original moves the state
  before by the same table; only its own late success does not: it is kept as evidence, posts nothing, is answered
  LATE_SUCCESS_REFUSED, and leaves the state before UNKNOWN, because the province must undo it. After queries without
  result the reversal is a person's to decide (REVERSAL_MANUAL); a later answer, or another reversal, still counts.
- A reversal of an original that the hub never saw begins from ABSENT and goes to the province like any other. The
  tombstone that it leaves is why a late original is refused.
- A reversal of what is undone already, or was never done (REVERSED, NEVER_EXECUTED, FAILED), changes nothing; the hub
  answers it from the state, always the same.
- A settlement is CANCELLING while its cancellation is in any doubt, VOIDED while it stands, and STANDING again when the
  cancellation failed or was itself undone. Only a STANDING settlement can be cancelled, and neither a cancelled nor a
  cleared one reversed.

What ends a request that is not answered by its own reply. The hub tells the requester with a message of its own that
names the request: a rejection REVERSED or NEVER_EXECUTED; or, where a query found it executed, a reply of the request's
method that carries what the province's signed answer to the query said. The hub signs it, because the province's answer
names the query and not the request, so that a receiver could neither match it nor give it to the caller of the
original; the province's answer itself stays in the journal as the evidence, and the transaction names it. A reversal
that a query or another reversal ended is answered likewise.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class Phase(enum.StrEnum):
    """State of a transaction, named alike for settlements and cancellations."""

    ABSENT = "absent"
    OPEN = "open"
    UNKNOWN = "unknown"
    MANUAL = "manual"
    STANDING = "standing"
    FAILED = "failed"
    REVERSING = "reversing"
    REVERSAL_MANUAL = "reversal-manual"
    REVERSED = "reversed"
    NEVER_EXECUTED = "never-executed"
    CANCELLING = "cancelling"
    VOIDED = "voided"
    IN_CLEARING = "in-clearing"
    CLEARED = "cleared"
    BEFORE = "before"
    """Only as a target in the table: the state that the reversal began from, as it has moved since."""


class Trigger(enum.StrEnum):
    """What moves a transaction."""

    REQUESTED = "requested"
    """Its request was sent on."""
    EXECUTED = "executed"
    """Its own reply, or a query answered EXECUTED."""
    NOT_EXECUTED = "not executed"
    """A definite rejection by the province, such as NOT_EXECUTED."""
    OVERDUE = "overdue"
    """The UNKNOWN timer, a delivery report, or an answer that says that the outcome is in doubt."""
    QUERIES_SPENT = "queries spent"
    """The last query was not answered, or not clearly."""
    REVERSAL_REQUESTED = "reversal requested"
    """A reversal was sent on."""
    UNDONE = "undone"
    """A reversal answered REVERSED, or a query answered UNDONE."""
    NEVER_DONE = "never done"
    """A reversal answered NEVER_EXECUTED, or a query answered NOT_FOUND."""
    REVERSAL_REFUSED = "reversal refused"
    """The province refused the last open reversal."""
    CANCELLATION_REQUESTED = "cancellation requested"
    """A cancellation was sent on, or one that stood is in doubt again."""
    CANCELLATION_STANDS = "cancellation stands"
    """The cancellation was executed."""
    CANCELLATION_GONE = "cancellation gone"
    """The cancellation failed, was reversed or never executed."""
    CLEARING_BEGUN = "clearing begun"
    """The settlement stands in a sheet of the period being cleared."""
    CLEARED = "cleared"
    """The period was cleared."""


Table = Mapping[tuple[Phase, Trigger], Phase]

SHAPE: Final[Table] = {
    # An original that the hub has not seen.
    (Phase.ABSENT, Trigger.REQUESTED): Phase.OPEN,
    (Phase.ABSENT, Trigger.REVERSAL_REQUESTED): Phase.REVERSING,
    (Phase.ABSENT, Trigger.NEVER_DONE): Phase.NEVER_EXECUTED,
    # On its way.
    (Phase.OPEN, Trigger.EXECUTED): Phase.STANDING,
    (Phase.OPEN, Trigger.NOT_EXECUTED): Phase.FAILED,
    (Phase.OPEN, Trigger.OVERDUE): Phase.UNKNOWN,
    (Phase.OPEN, Trigger.REVERSAL_REQUESTED): Phase.REVERSING,
    (Phase.OPEN, Trigger.UNDONE): Phase.REVERSED,
    (Phase.OPEN, Trigger.NEVER_DONE): Phase.NEVER_EXECUTED,
    # In doubt.
    (Phase.UNKNOWN, Trigger.EXECUTED): Phase.STANDING,
    (Phase.UNKNOWN, Trigger.NOT_EXECUTED): Phase.FAILED,
    (Phase.UNKNOWN, Trigger.QUERIES_SPENT): Phase.MANUAL,
    (Phase.UNKNOWN, Trigger.REVERSAL_REQUESTED): Phase.REVERSING,
    (Phase.UNKNOWN, Trigger.UNDONE): Phase.REVERSED,
    (Phase.UNKNOWN, Trigger.NEVER_DONE): Phase.NEVER_EXECUTED,
    (Phase.MANUAL, Trigger.EXECUTED): Phase.STANDING,
    (Phase.MANUAL, Trigger.NOT_EXECUTED): Phase.FAILED,
    (Phase.MANUAL, Trigger.UNDONE): Phase.REVERSED,
    (Phase.MANUAL, Trigger.NEVER_DONE): Phase.NEVER_EXECUTED,
    # Done.
    (Phase.STANDING, Trigger.REVERSAL_REQUESTED): Phase.REVERSING,
    # Being undone.
    (Phase.REVERSING, Trigger.REVERSAL_REQUESTED): Phase.REVERSING,
    (Phase.REVERSING, Trigger.UNDONE): Phase.REVERSED,
    (Phase.REVERSING, Trigger.NEVER_DONE): Phase.NEVER_EXECUTED,
    (Phase.REVERSING, Trigger.REVERSAL_REFUSED): Phase.BEFORE,
    (Phase.REVERSING, Trigger.QUERIES_SPENT): Phase.REVERSAL_MANUAL,
    (Phase.REVERSAL_MANUAL, Trigger.REVERSAL_REQUESTED): Phase.REVERSING,
    (Phase.REVERSAL_MANUAL, Trigger.UNDONE): Phase.REVERSED,
    (Phase.REVERSAL_MANUAL, Trigger.NEVER_DONE): Phase.NEVER_EXECUTED,
    (Phase.REVERSAL_MANUAL, Trigger.REVERSAL_REFUSED): Phase.BEFORE,
    # Undone, or never done: a further reversal is answered from the state.
    (Phase.REVERSED, Trigger.REVERSAL_REQUESTED): Phase.REVERSED,
    (Phase.NEVER_EXECUTED, Trigger.REVERSAL_REQUESTED): Phase.NEVER_EXECUTED,
    (Phase.FAILED, Trigger.REVERSAL_REQUESTED): Phase.FAILED,
}
"""What settlements and cancellations share."""

_OF_SETTLEMENTS_ONLY: Final[Table] = {
    (Phase.STANDING, Trigger.CANCELLATION_REQUESTED): Phase.CANCELLING,
    (Phase.CANCELLING, Trigger.CANCELLATION_STANDS): Phase.VOIDED,
    (Phase.CANCELLING, Trigger.CANCELLATION_GONE): Phase.STANDING,
    (Phase.VOIDED, Trigger.CANCELLATION_REQUESTED): Phase.CANCELLING,
    (Phase.STANDING, Trigger.CLEARING_BEGUN): Phase.IN_CLEARING,
    (Phase.IN_CLEARING, Trigger.CLEARED): Phase.CLEARED,
}


class Kind(enum.StrEnum):
    """What a transaction is."""

    SETTLEMENT = "settlement"
    CANCELLATION = "cancellation"


TABLES: Final[Mapping[Kind, Table]] = {
    Kind.SETTLEMENT: {**SHAPE, **_OF_SETTLEMENTS_ONLY},
    Kind.CANCELLATION: SHAPE,
}
"""The table of each kind of transaction."""

_SETTLEMENT_NAMES: Final[Mapping[Phase, str]] = {
    **{phase: phase.name for phase in Phase},
    Phase.OPEN: "SETTLING",
    Phase.STANDING: "SETTLED",
}
_CANCELLATION_NAMES: Final[Mapping[Phase, str]] = {
    Phase.ABSENT: "ABSENT",
    Phase.OPEN: "CANCELLING",
    Phase.UNKNOWN: "CANCEL_UNKNOWN",
    Phase.MANUAL: "CANCEL_MANUAL",
    Phase.STANDING: "VOIDED",
    Phase.FAILED: "CANCEL_FAILED",
    Phase.REVERSING: "CANCEL_REVERSING",
    Phase.REVERSAL_MANUAL: "CANCEL_REVERSAL_MANUAL",
    Phase.REVERSED: "CANCEL_REVERSED",
    Phase.NEVER_EXECUTED: "CANCEL_NEVER_EXECUTED",
    Phase.BEFORE: "BEFORE",
}
NAMES: Final[Mapping[Kind, Mapping[Phase, str]]] = {
    Kind.SETTLEMENT: _SETTLEMENT_NAMES,
    Kind.CANCELLATION: _CANCELLATION_NAMES,
}
"""The states' names in the field (domain.md, 1.6)."""


def _named(kind: Kind) -> Mapping[tuple[str, str], str]:
    names = NAMES[kind]
    return {(names[phase], trigger.value): names[target] for (phase, trigger), target in TABLES[kind].items()}


SETTLEMENT: Final = _named(Kind.SETTLEMENT)
"""(state, trigger) to state of a settlement, for diagrams."""
CANCELLATION: Final = _named(Kind.CANCELLATION)
"""(state, trigger) to state of a cancellation, for diagrams."""

UNDONE_PHASES: Final = frozenset({Phase.REVERSED, Phase.NEVER_EXECUTED})
"""Ended by a reversal, or by a query that found nothing or an undone transaction."""
NOTHING_DONE: Final = frozenset({Phase.ABSENT, Phase.FAILED, Phase.REVERSED, Phase.NEVER_EXECUTED})
"""Nothing stands at the insured province, and nothing will."""
BEING_REVERSED: Final = frozenset({Phase.REVERSING, Phase.REVERSAL_MANUAL})
"""A reversal has no outcome yet."""
IN_DOUBT: Final = frozenset({Phase.OPEN, Phase.UNKNOWN, Phase.MANUAL})
"""The outcome of the original is awaited, and no reversal is under way."""


def next_phase(kind: Kind, phase: Phase, trigger: Trigger) -> Phase | None:
    """The state that a trigger leads to (BEFORE is a mark, see there); None where the table has no such transition."""
    return TABLES[kind].get((phase, trigger))
