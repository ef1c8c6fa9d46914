"""The lives of a card's social application and of its bank account, as one transition table each (domain.md, 2.2).

The theory. A card is two machines. The social application belongs to the issuer, the account to the card's bank; each
tells its own changes and nobody else's, and either may outlive the other: an old card's account stays open until the
holder ends it, and a card goes on as a credential after its account was closed.

- A card is ABSENT until it is first told of. That it was produced, or its account opened, is what the tables begin
  with; but the registry also accepts whatever state the authority tells first, because it was there before the
  exchange.
- PRODUCED is made and perhaps handed out (ISSUED changes no state). Only ENABLED makes it ACTIVE.
- A loss for the time being ends by FOUND or becomes a LOST. From LOST a card is found only while no replacement of it
  was produced (`LOST_FOUND`): afterwards there are two, and the older must not come back.
- CANCELLED is the end for good, from any state, SUPERSEDED included. SUPERSEDED is the end by the successor's being
  enabled: of the ACTIVE card, and of whatever else had not ended, since a lost or locked card is replaced as well.
- Nothing but the issuer's next word leaves a state: the hub ends no loss by itself. The one change that it makes is to
  supersede, because it alone sees the successor and the predecessor at once; the issuer's own report follows.
- An account that is frozen or lost goes back to ACTIVE first, and is closed from any state.

A report may follow versions that the hub never saw. It is legal if some legal path leads to what it tells whose last
transition is its own change and whose earlier ones are at most as many as there are versions missing. A change of data
leads nowhere and can be told in any state.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from onecard.card.v1 import change_pb2, values_pb2

Table = Mapping[tuple[int, int], int]
"""(state, change) to state, in the numbers of the protocol's enums."""

ABSENT: Final = "ABSENT"
"""The name of a state that nothing was told of: the enum's zero."""

SOCIAL_NAMES: Final[Mapping[tuple[str, str], str]] = {
    (ABSENT, "PRODUCED"): "PRODUCED",
    # Made.
    ("PRODUCED", "ISSUED"): "PRODUCED",
    ("PRODUCED", "ENABLED"): "ACTIVE",
    ("PRODUCED", "CANCELLED"): "CANCELLED",
    ("PRODUCED", "SUPERSEDED"): "SUPERSEDED",
    # In use.
    ("ACTIVE", "TEMPORARILY_LOST"): "TEMPORARILY_LOST",
    ("ACTIVE", "LOST"): "LOST",
    ("ACTIVE", "LOCKED"): "LOCKED",
    ("ACTIVE", "CANCELLED"): "CANCELLED",
    ("ACTIVE", "SUPERSEDED"): "SUPERSEDED",
    # Lost or locked.
    ("TEMPORARILY_LOST", "FOUND"): "ACTIVE",
    ("TEMPORARILY_LOST", "LOST"): "LOST",
    ("TEMPORARILY_LOST", "CANCELLED"): "CANCELLED",
    ("TEMPORARILY_LOST", "SUPERSEDED"): "SUPERSEDED",
    ("LOST", "FOUND"): "ACTIVE",
    ("LOST", "CANCELLED"): "CANCELLED",
    ("LOST", "SUPERSEDED"): "SUPERSEDED",
    ("LOCKED", "UNLOCKED"): "ACTIVE",
    ("LOCKED", "CANCELLED"): "CANCELLED",
    ("LOCKED", "SUPERSEDED"): "SUPERSEDED",
    # Replaced.
    ("SUPERSEDED", "CANCELLED"): "CANCELLED",
}
"""The social application: (SocialState, SocialChange) to SocialState, by the enums' names."""

FINANCIAL_NAMES: Final[Mapping[tuple[str, str], str]] = {
    (ABSENT, "OPENED"): "NOT_ACTIVATED",
    # Opened.
    ("NOT_ACTIVATED", "ACTIVATED"): "ACTIVE",
    ("NOT_ACTIVATED", "CLOSED"): "CLOSED",
    # In use.
    ("ACTIVE", "FROZEN"): "FROZEN",
    ("ACTIVE", "LOST"): "LOST",
    ("ACTIVE", "CLOSED"): "CLOSED",
    # Frozen or lost.
    ("FROZEN", "UNFROZEN"): "ACTIVE",
    ("FROZEN", "CLOSED"): "CLOSED",
    ("LOST", "FOUND"): "ACTIVE",
    ("LOST", "CLOSED"): "CLOSED",
}
"""The bank account: (FinancialState, FinancialChange) to FinancialState, by the enums' names."""


def _social(name: str) -> int:
    return values_pb2.SocialState.Value(f"SOCIAL_STATE_{'UNSPECIFIED' if name == ABSENT else name}")


def _financial(name: str) -> int:
    return values_pb2.FinancialState.Value(f"FINANCIAL_STATE_{'UNSPECIFIED' if name == ABSENT else name}")


SOCIAL: Final[Table] = {
    (_social(state), change_pb2.SocialChange.Value(f"SOCIAL_CHANGE_{change}")): _social(target)
    for (state, change), target in SOCIAL_NAMES.items()
}
FINANCIAL: Final[Table] = {
    (_financial(state), change_pb2.FinancialChange.Value(f"FINANCIAL_CHANGE_{change}")): _financial(target)
    for (state, change), target in FINANCIAL_NAMES.items()
}

LOST_FOUND: Final = (values_pb2.SOCIAL_STATE_LOST, change_pb2.SOCIAL_CHANGE_FOUND)
"""The transition that a produced replacement forbids."""
ENDED: Final = frozenset({values_pb2.SOCIAL_STATE_CANCELLED, values_pb2.SOCIAL_STATE_SUPERSEDED})
"""A social application that is over."""

TABLES: Final[Mapping[change_pb2.CardMachine, Table]] = {
    change_pb2.CARD_MACHINE_SOCIAL: SOCIAL,
    change_pb2.CARD_MACHINE_FINANCIAL: FINANCIAL,
}
_ONCE_REPLACED: Final[Table] = {key: target for key, target in SOCIAL.items() if key != LOST_FOUND}
_DATA_CHANGED: Final[Mapping[change_pb2.CardMachine, int]] = {
    change_pb2.CARD_MACHINE_SOCIAL: change_pb2.SOCIAL_CHANGE_DATA_CHANGED,
    change_pb2.CARD_MACHINE_FINANCIAL: change_pb2.FINANCIAL_CHANGE_DATA_CHANGED,
}


def leads_to(
    machine: change_pb2.CardMachine,
    state: int,
    change: int,
    target: int,
    *,
    missing: int = 0,
    is_replaced: bool = False,
) -> bool:
    """Whether a change told leads from a state to the one told, with that many versions missing in between.

    `is_replaced` says that a replacement of the card was produced.
    """
    table = _ONCE_REPLACED if is_replaced and machine == change_pb2.CARD_MACHINE_SOCIAL else TABLES[machine]
    before = _within(table, state, missing)
    if change == _DATA_CHANGED[machine]:
        return target in before
    return any(table.get((source, change)) == target for source in before)


@functools.lru_cache(maxsize=128)  # Of what a participant makes up, no more.
def targets_of(machine: change_pb2.CardMachine, change: int) -> frozenset[int]:
    """The states that a change can lead to; empty for a change of data, which leads nowhere."""
    return frozenset(to for (_, by), to in TABLES[machine].items() if by == change)


def _within(table: Table, state: int, count: int) -> set[int]:
    """The states that at most `count` transitions lead to."""
    reached = {state}
    for _ in range(min(count, len(table))):
        further = reached | {to for (source, _), to in table.items() if source in reached}
        if further == reached:
            break
        reached = further
    return reached
