"""What a local system shows of a card, as the event that tells of it: its content, and the change between two states.

Content is all that the event says but version, change and time: a system that writes a row anew without changing it
has nothing to tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import Change, LocalAccount, LocalCard
from onecard_protocol.identity import CITIZEN_KINDS

REPORT_SOCIAL: Final = "/onecard.card.v1.CardChangeService/ReportSocialChange"
REPORT_FINANCIAL: Final = "/onecard.card.v1.CardChangeService/ReportFinancialChange"
REPORTS: Final[Mapping[str, change_pb2.CardMachine]] = {
    REPORT_SOCIAL: change_pb2.CARD_MACHINE_SOCIAL,
    REPORT_FINANCIAL: change_pb2.CARD_MACHINE_FINANCIAL,
}
"""The methods by which changes are told, and of which machine."""

ENDED: Final = frozenset({values_pb2.SOCIAL_STATE_CANCELLED, values_pb2.SOCIAL_STATE_SUPERSEDED})
"""A social application that is over."""

_SOCIAL: Final[Mapping[values_pb2.SocialState, change_pb2.SocialChange]] = {
    values_pb2.SOCIAL_STATE_PRODUCED: change_pb2.SOCIAL_CHANGE_PRODUCED,
    values_pb2.SOCIAL_STATE_ACTIVE: change_pb2.SOCIAL_CHANGE_ENABLED,
    values_pb2.SOCIAL_STATE_TEMPORARILY_LOST: change_pb2.SOCIAL_CHANGE_TEMPORARILY_LOST,
    values_pb2.SOCIAL_STATE_LOST: change_pb2.SOCIAL_CHANGE_LOST,
    values_pb2.SOCIAL_STATE_LOCKED: change_pb2.SOCIAL_CHANGE_LOCKED,
    values_pb2.SOCIAL_STATE_CANCELLED: change_pb2.SOCIAL_CHANGE_CANCELLED,
    values_pb2.SOCIAL_STATE_SUPERSEDED: change_pb2.SOCIAL_CHANGE_SUPERSEDED,
}
_BACK_IN_USE: Final[Mapping[int, change_pb2.SocialChange]] = {
    values_pb2.SOCIAL_STATE_TEMPORARILY_LOST: change_pb2.SOCIAL_CHANGE_FOUND,
    values_pb2.SOCIAL_STATE_LOST: change_pb2.SOCIAL_CHANGE_FOUND,
    values_pb2.SOCIAL_STATE_LOCKED: change_pb2.SOCIAL_CHANGE_UNLOCKED,
}
_FINANCIAL: Final[Mapping[values_pb2.FinancialState, change_pb2.FinancialChange]] = {
    values_pb2.FINANCIAL_STATE_NOT_ACTIVATED: change_pb2.FINANCIAL_CHANGE_OPENED,
    values_pb2.FINANCIAL_STATE_ACTIVE: change_pb2.FINANCIAL_CHANGE_ACTIVATED,
    values_pb2.FINANCIAL_STATE_FROZEN: change_pb2.FINANCIAL_CHANGE_FROZEN,
    values_pb2.FINANCIAL_STATE_LOST: change_pb2.FINANCIAL_CHANGE_LOST,
    values_pb2.FINANCIAL_STATE_CLOSED: change_pb2.FINANCIAL_CHANGE_CLOSED,
}
_ACCOUNT_BACK_IN_USE: Final[Mapping[int, change_pb2.FinancialChange]] = {
    values_pb2.FINANCIAL_STATE_FROZEN: change_pb2.FINANCIAL_CHANGE_UNFROZEN,
    values_pb2.FINANCIAL_STATE_LOST: change_pb2.FINANCIAL_CHANGE_FOUND,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """What is reached from a state in use only."""

    in_use: int
    out_of_use: frozenset[int]
    direct: frozenset[tuple[int, int]]
    """Pairs of them between which a change leads nevertheless."""


_SOCIAL_MACHINE: Final = _Machine(
    in_use=values_pb2.SOCIAL_STATE_ACTIVE,
    out_of_use=frozenset(_BACK_IN_USE),
    direct=frozenset({(values_pb2.SOCIAL_STATE_TEMPORARILY_LOST, values_pb2.SOCIAL_STATE_LOST)}),
)
_FINANCIAL_MACHINE: Final = _Machine(
    in_use=values_pb2.FINANCIAL_STATE_ACTIVE, out_of_use=frozenset(_ACCOUNT_BACK_IN_USE), direct=frozenset()
)


def social_change(old: int, new: values_pb2.SocialState) -> change_pb2.SocialChange:
    """What happened between two states of the social application; old is 0 where nothing is known of the card."""
    if old == new:
        return change_pb2.SOCIAL_CHANGE_DATA_CHANGED
    if new == values_pb2.SOCIAL_STATE_ACTIVE:
        return _BACK_IN_USE.get(old, change_pb2.SOCIAL_CHANGE_ENABLED)
    return _SOCIAL[new]


def financial_change(old: int, new: values_pb2.FinancialState) -> change_pb2.FinancialChange:
    """What happened between two states of the account; old is 0 where nothing is known of it."""
    if old == new:
        return change_pb2.FINANCIAL_CHANGE_DATA_CHANGED
    if new == values_pb2.FINANCIAL_STATE_ACTIVE:
        return _ACCOUNT_BACK_IN_USE.get(old, change_pb2.FINANCIAL_CHANGE_ACTIVATED)
    return _FINANCIAL[new]


def steps_between(local: LocalCard | LocalAccount, old: int) -> int:
    """How many changes lie between a state and the one that a local system shows, which may have passed another unseen.

    Between readings a card can be enabled and then lost. Its version rises by both, so that the exchange knows of the
    one that nobody told; two is the most, because every state that is not over is one change away from being in use.
    """
    new, machine = local.state, _SOCIAL_MACHINE if isinstance(local, LocalCard) else _FINANCIAL_MACHINE
    is_direct = old in {0, new, machine.in_use} or new not in machine.out_of_use or (old, new) in machine.direct
    return 1 if is_direct else 2


def machine_of(local: LocalCard | LocalAccount) -> change_pb2.CardMachine:
    """Which machine of its card it shows."""
    return change_pb2.CARD_MACHINE_SOCIAL if isinstance(local, LocalCard) else change_pb2.CARD_MACHINE_FINANCIAL


def method_of(machine: int) -> str:
    """The method by which changes of a machine are told."""
    return REPORT_SOCIAL if machine == change_pb2.CARD_MACHINE_SOCIAL else REPORT_FINANCIAL


def event_class(machine: int) -> type[Change]:
    """The event by which changes of a machine are told."""
    if machine == change_pb2.CARD_MACHINE_SOCIAL:
        return change_pb2.ReportSocialChangeRequest
    return change_pb2.ReportFinancialChangeRequest


def content_of(local: LocalCard | LocalAccount) -> Change:
    """The event without version, change and time."""
    if isinstance(local, LocalAccount):
        return change_pb2.ReportFinancialChangeRequest(
            person=local.person,
            card=local.card,
            state=local.state,
            local_status=local.local_status,
            bank_card_number=local.bank_card_number,
        )
    return change_pb2.ReportSocialChangeRequest(
        person=local.person,
        card=local.card,
        state=local.state,
        local_status=local.local_status,
        data=local.data,
        holder=local.holder,
        replaces=local.replaces,
    )


def locked_for_former(
    local: LocalCard | LocalAccount, before: Change | None, *, version: int
) -> change_pb2.ReportSocialChangeRequest | None:
    """What ends the use of a card under the person whom it was told of before, where it is shown as another's now.

    None where there is nothing to end. Locked, because nothing else stops a card and can be taken back (docs/card.md).
    """
    if not isinstance(before, change_pb2.ReportSocialChangeRequest) or before.state != values_pb2.SOCIAL_STATE_ACTIVE:
        return None
    if is_of(before, local):
        return None
    locked = change_pb2.ReportSocialChangeRequest()
    locked.CopyFrom(before)
    locked.ClearField("local_status")
    locked.version = version
    locked.change = change_pb2.SOCIAL_CHANGE_LOCKED
    locked.state = values_pb2.SOCIAL_STATE_LOCKED
    locked.occurred_time.FromMilliseconds(local.occurred_ms)
    return locked


def is_of(report: Change, local: LocalCard | LocalAccount) -> bool:
    """Whether a report is of the person whose card a local system shows."""
    return _known_as(report.person) == _known_as(local.person)


def _known_as(person: exchange_values_pb2.PersonIdentity) -> tuple[str, str]:
    """By what the exchange tells persons apart; dialects give numbers in their normal form."""
    kind = person.kind.code
    return "" if kind in CITIZEN_KINDS else kind, person.number


def _unless_repeated(local: LocalCard, old_state: int, before: Change | None) -> change_pb2.SocialChange:
    """What a system says of how a state was reached; said again with other data, it is the data that changed."""
    said = local.change == social_change(0, local.state) or (
        before is not None and before.local_status == local.local_status
    )
    return change_pb2.SOCIAL_CHANGE_UNSPECIFIED if said and old_state == local.state else local.change


def event_of(
    local: LocalCard | LocalAccount, content: Change, *, version: int, old_state: int, before: Change | None = None
) -> Change:
    """The event of a version; what the local system does not tell of the change follows from the states.

    `before` is the event of the version before, where it is known.
    """
    event = type(content)()
    event.CopyFrom(content)  # type: ignore[arg-type]
    event.version = version
    event.occurred_time.FromMilliseconds(local.occurred_ms)
    if isinstance(local, LocalCard):
        assert isinstance(event, change_pb2.ReportSocialChangeRequest)
        event.change = _unless_repeated(local, old_state, before) or social_change(old_state, local.state)
    else:
        assert isinstance(event, change_pb2.ReportFinancialChangeRequest)
        event.change = local.change or financial_change(old_state, local.state)
    return event
