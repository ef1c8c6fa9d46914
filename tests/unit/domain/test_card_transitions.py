"""Every legal and illegal transition of a card's two machines, by name, against an expectation of its own."""

from __future__ import annotations

from itertools import product

import pytest

from onecard.card.v1 import change_pb2, values_pb2
from onecard_broker.domain.card_states import (
    ABSENT,
    FINANCIAL,
    FINANCIAL_NAMES,
    SOCIAL,
    SOCIAL_NAMES,
    leads_to,
    targets_of,
)
from tests.support.holders import NEW, OLD, Registry, SyntheticHolder, refusals

SOCIAL_MACHINE = change_pb2.CARD_MACHINE_SOCIAL
FINANCIAL_MACHINE = change_pb2.CARD_MACHINE_FINANCIAL
HOLDER = SyntheticHolder()

# domain.md, 2.2, said the other way round: from where each change may come, and where it leads.
SOCIAL_CHANGES = {
    "PRODUCED": ({ABSENT}, "PRODUCED"),
    "ISSUED": ({"PRODUCED"}, "PRODUCED"),
    "ENABLED": ({"PRODUCED"}, "ACTIVE"),
    "TEMPORARILY_LOST": ({"ACTIVE"}, "TEMPORARILY_LOST"),
    "LOST": ({"ACTIVE", "TEMPORARILY_LOST"}, "LOST"),
    "FOUND": ({"TEMPORARILY_LOST", "LOST"}, "ACTIVE"),
    "LOCKED": ({"ACTIVE"}, "LOCKED"),
    "UNLOCKED": ({"LOCKED"}, "ACTIVE"),
    "CANCELLED": ({"PRODUCED", "ACTIVE", "TEMPORARILY_LOST", "LOST", "LOCKED", "SUPERSEDED"}, "CANCELLED"),
    "SUPERSEDED": ({"PRODUCED", "ACTIVE", "TEMPORARILY_LOST", "LOST", "LOCKED"}, "SUPERSEDED"),
}
FINANCIAL_CHANGES = {
    "OPENED": ({ABSENT}, "NOT_ACTIVATED"),
    "ACTIVATED": ({"NOT_ACTIVATED"}, "ACTIVE"),
    "FROZEN": ({"ACTIVE"}, "FROZEN"),
    "UNFROZEN": ({"FROZEN"}, "ACTIVE"),
    "LOST": ({"ACTIVE"}, "LOST"),
    "FOUND": ({"LOST"}, "ACTIVE"),
    "CLOSED": ({"NOT_ACTIVATED", "ACTIVE", "FROZEN", "LOST"}, "CLOSED"),
}
SOCIAL_STATES = [name.removeprefix("SOCIAL_STATE_") for name in values_pb2.SocialState.keys()[1:]]
FINANCIAL_STATES = [name.removeprefix("FINANCIAL_STATE_") for name in values_pb2.FinancialState.keys()[1:]]


def social(state: str) -> int:
    return values_pb2.SocialState.Value(f"SOCIAL_STATE_{state}")


def social_change(change: str) -> int:
    return change_pb2.SocialChange.Value(f"SOCIAL_CHANGE_{change}")


def financial(state: str) -> int:
    return values_pb2.FinancialState.Value(f"FINANCIAL_STATE_{state}")


def financial_change(change: str) -> int:
    return change_pb2.FinancialChange.Value(f"FINANCIAL_CHANGE_{change}")


# ---- the tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "change"), [*product([ABSENT, *SOCIAL_STATES], SOCIAL_CHANGES)])
def test_the_social_application_moves_as_the_field_says(state: str, change: str) -> None:
    sources, target = SOCIAL_CHANGES[change]
    assert SOCIAL_NAMES.get((state, change)) == (target if state in sources else None)


@pytest.mark.parametrize(("state", "change"), [*product([ABSENT, *FINANCIAL_STATES], FINANCIAL_CHANGES)])
def test_the_account_moves_as_the_field_says(state: str, change: str) -> None:
    sources, target = FINANCIAL_CHANGES[change]
    assert FINANCIAL_NAMES.get((state, change)) == (target if state in sources else None)


def test_every_change_and_every_state_of_the_protocol_has_its_place() -> None:
    assert {change for _, change in SOCIAL} | {change_pb2.SOCIAL_CHANGE_DATA_CHANGED} == set(
        change_pb2.SocialChange.values()
    ) - {0}
    assert {change for _, change in FINANCIAL} | {change_pb2.FINANCIAL_CHANGE_DATA_CHANGED} == set(
        change_pb2.FinancialChange.values()
    ) - {0}
    assert set(SOCIAL.values()) == set(values_pb2.SocialState.values()) - {0}
    assert set(FINANCIAL.values()) == set(values_pb2.FinancialState.values()) - {0}


def test_every_change_leads_to_one_state_only() -> None:
    for machine, changes in (
        (SOCIAL_MACHINE, change_pb2.SocialChange),
        (FINANCIAL_MACHINE, change_pb2.FinancialChange),
    ):
        for name, number in changes.items():
            if number and not name.endswith("DATA_CHANGED"):
                assert len(targets_of(machine, number)) == 1
            else:
                assert not targets_of(machine, number)


def test_what_is_cancelled_or_closed_never_moves_again() -> None:
    assert not [key for key in SOCIAL if key[0] == values_pb2.SOCIAL_STATE_CANCELLED]
    assert not [key for key in FINANCIAL if key[0] == values_pb2.FINANCIAL_STATE_CLOSED]


# ---- what the hub does by them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "change"), [*product(SOCIAL_STATES, SOCIAL_CHANGES)])
def test_a_reported_social_change_is_applied_refused_or_already_so(state: str, change: str) -> None:
    sources, target = SOCIAL_CHANGES[change]
    registry = Registry()
    registry.tell(HOLDER.social("DATA_CHANGED", 1, state=state))
    expected = [] if state in sources else ["CARD_ALREADY" if state == target else "ILLEGAL_TRANSITION"]
    assert refusals(registry.tell(HOLDER.social(change, 2))) == expected
    assert registry.social_state() == (target if state in sources else state)
    assert registry.card().social.version == (1 if expected == ["ILLEGAL_TRANSITION"] else 2)


@pytest.mark.parametrize(("state", "change"), [*product(FINANCIAL_STATES, FINANCIAL_CHANGES)])
def test_a_reported_financial_change_is_applied_refused_or_already_so(state: str, change: str) -> None:
    sources, target = FINANCIAL_CHANGES[change]
    registry = Registry()
    registry.tell(HOLDER.social("ENABLED", 1))
    registry.tell(HOLDER.financial("DATA_CHANGED", 1, state=state))
    expected = [] if state in sources else ["CARD_ALREADY" if state == target else "ILLEGAL_TRANSITION"]
    assert refusals(registry.tell(HOLDER.financial(change, 2))) == expected
    assert registry.card().financial.state == financial(target if state in sources else state)


@pytest.mark.parametrize("replacement_state", ["PRODUCED", "CANCELLED"])
def test_found_from_lost_is_no_transition_once_a_replacement_was_produced(replacement_state: str) -> None:
    registry = Registry()
    registry.tell(HOLDER.social("LOST", 1))
    registry.tell(HOLDER.social("DATA_CHANGED", 1, card=NEW, state=replacement_state, replaces=OLD))
    assert refusals(registry.tell(HOLDER.social("FOUND", 2))) == ["ILLEGAL_TRANSITION"]


# ---- jumps over missing versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "change", "target", "least_missing"),
    [
        ("PRODUCED", "ENABLED", "ACTIVE", 0),
        ("PRODUCED", "LOST", "LOST", 1),
        ("PRODUCED", "FOUND", "ACTIVE", 2),
        ("PRODUCED", "CANCELLED", "CANCELLED", 0),
        ("TEMPORARILY_LOST", "LOCKED", "LOCKED", 1),
        ("LOST", "UNLOCKED", "ACTIVE", 2),
        ("LOCKED", "SUPERSEDED", "SUPERSEDED", 0),
        ("ACTIVE", "FOUND", "ACTIVE", 1),
        ("PRODUCED", "DATA_CHANGED", "ACTIVE", 1),
        ("PRODUCED", "DATA_CHANGED", "LOST", 2),
        ("ACTIVE", "DATA_CHANGED", "ACTIVE", 0),
    ],
)
def test_a_jump_is_legal_from_as_many_missing_versions_on_as_a_path_needs(
    state: str, change: str, target: str, least_missing: int
) -> None:
    for missing in range(6):
        is_legal = leads_to(SOCIAL_MACHINE, social(state), social_change(change), social(target), missing=missing)
        assert is_legal == (missing >= least_missing)


@pytest.mark.parametrize(
    ("state", "change", "target"),
    [
        ("CANCELLED", "ENABLED", "ACTIVE"),
        ("SUPERSEDED", "FOUND", "ACTIVE"),
        ("ACTIVE", "PRODUCED", "PRODUCED"),
        ("ACTIVE", "ENABLED", "ACTIVE"),
        ("ACTIVE", "LOST", "LOCKED"),
        ("CANCELLED", "SUPERSEDED", "SUPERSEDED"),
    ],
)
def test_no_number_of_missing_versions_leads_back(state: str, change: str, target: str) -> None:
    for missing in (0, 1, 5, 10**12):
        assert not leads_to(SOCIAL_MACHINE, social(state), social_change(change), social(target), missing=missing)


def test_a_jump_does_not_go_round_by_finding_a_replaced_card() -> None:
    jump = (SOCIAL_MACHINE, social("LOST"), social_change("LOCKED"), social("LOCKED"))
    assert leads_to(*jump, missing=1)
    assert not leads_to(*jump, missing=9, is_replaced=True)


def test_an_accounts_jump() -> None:
    opened, active = financial("NOT_ACTIVATED"), financial("ACTIVE")
    assert not leads_to(FINANCIAL_MACHINE, opened, financial_change("FROZEN"), financial("FROZEN"))
    assert leads_to(FINANCIAL_MACHINE, opened, financial_change("FROZEN"), financial("FROZEN"), missing=1)
    assert leads_to(FINANCIAL_MACHINE, active, financial_change("UNFROZEN"), active, missing=1)
