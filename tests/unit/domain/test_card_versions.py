"""Versions of a card: late, repeated and reordered reports do no harm, a gap is noticed, asked for, and closed."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from onecard.card.v1 import change_pb2, values_pb2
from onecard_broker.domain.card_state import Machine, reference_of
from onecard_broker.domain.card_states import FINANCIAL_NAMES, SOCIAL_NAMES
from onecard_protocol import limits
from onecard_protocol.messages import Message
from tests.support.domain import START_MS, make_message, parse
from tests.support.holders import BANK, BEIJING, OLD, REQUEST_VERSIONS, Registry, SyntheticHolder, recipients, refusals

HOLDER = SyntheticHolder()


def told(*messages: Message) -> Registry:
    registry = Registry()
    for message in messages:
        registry.tell(message)
    return registry


def questions(registry: Registry, authority: str) -> list[change_pb2.RequestVersionsRequest]:
    """What the hub asked an authority for."""
    return [
        change_pb2.RequestVersionsRequest.FromString(delivery.message.payload)
        for delivery in registry.inbox(authority)
        if delivery.message.header.method == REQUEST_VERSIONS
    ]


def asked_for(registry: Registry) -> list[tuple[int, int]]:
    """The ranges that the hub asked the issuer for."""
    return [(request.first_version, request.last_version) for request in questions(registry, BEIJING)]


def test_a_repeat_under_a_new_message_is_silent_and_counted() -> None:
    registry = told(HOLDER.social("ENABLED", 2))
    delivered = registry.tell(_resent(HOLDER.social("ENABLED", 2)))
    assert delivered == []
    assert registry.card().social.late_count == 1


def test_the_newest_version_again_closes_every_gap() -> None:
    registry = told(HOLDER.social("PRODUCED", 1), HOLDER.social("ENABLED", 4), HOLDER.social("LOST", 7))
    assert registry.card().social.missing == ((2, 3), (5, 6))
    assert asked_for(registry) == [(2, 3), (5, 6)]
    assert registry.tell(_resent(HOLDER.social("LOST", 7))) == []
    assert (registry.card().social.missing, registry.card().social.late_count) == ((), 1)
    assert registry.social_state() == "LOST"


def _resent(message: Message) -> Message:
    return make_message(
        message.header.method,
        message.header.kind,
        parse(message),
        sender=message.header.sender,
        recipient=message.header.recipient,
        created_ms=START_MS,
        seed=f"again {message.header.id.hex()}",
    )


def test_other_content_under_the_same_version_is_a_conflict() -> None:
    registry = told(HOLDER.social("ENABLED", 2))
    other = HOLDER.social("ENABLED", 2, electronic_card_id="E2")
    assert refusals(registry.tell(other)) == ["CARD_VERSION_CONFLICT"]
    assert registry.card().electronic_card_id == ""


def test_a_lower_version_about_no_later_time_is_late_without_effect() -> None:
    registry = told(HOLDER.social("ENABLED", 5))
    assert registry.tell(HOLDER.social("PRODUCED", 4)) == []
    assert (registry.social_state(), registry.card().social.late_count) == ("ACTIVE", 1)


def test_a_lower_version_about_a_later_time_is_a_count_that_went_backwards() -> None:
    registry = told(HOLDER.social("ENABLED", 5))
    assert refusals(registry.tell(HOLDER.social("LOST", 2, at_ms=START_MS + 60_000))) == ["CARD_VERSION_BACKWARDS"]
    assert registry.social_state() == "ACTIVE"


def test_a_gap_is_noticed_asked_for_once_and_closed_by_what_comes_late() -> None:
    registry = told(HOLDER.social("PRODUCED", 1), HOLDER.social("LOST", 5))
    assert registry.social_state() == "LOST"
    assert registry.card().social.missing == ((2, 4),)
    registry.tell(HOLDER.social("FOUND", 6))
    assert asked_for(registry) == [(2, 4)]

    for version, change, left in (
        (3, "TEMPORARILY_LOST", ((2, 2), (4, 4))),
        (2, "ENABLED", ((4, 4),)),
        (4, "FOUND", ()),
    ):
        assert registry.tell(HOLDER.social(change, version)) == []
        assert registry.card().social.missing == left
    assert registry.card().social.late_count == 3
    assert registry.social_state() == "ACTIVE"


def test_a_gap_of_an_account_is_asked_for_at_the_cards_bank() -> None:
    registry = told(HOLDER.social("ENABLED", 1), HOLDER.financial("OPENED", 1), HOLDER.financial("FROZEN", 4))
    assert questions(registry, BANK) == [
        change_pb2.RequestVersionsRequest(
            card=reference_of(OLD),
            machine=change_pb2.CARD_MACHINE_FINANCIAL,
            first_version=2,
            last_version=3,
            person=HOLDER.person,
        )
    ]
    assert asked_for(registry) == []
    for change, version in (("LOST", 3), ("ACTIVATED", 2)):
        assert registry.tell(HOLDER.financial(change, version)) == []
    account = registry.card().financial
    assert (account.state, account.missing, account.late_count) == (values_pb2.FINANCIAL_STATE_FROZEN, (), 2)


def test_what_was_missing_is_late_whatever_time_it_tells() -> None:
    registry = told(HOLDER.social("PRODUCED", 1), HOLDER.social("LOST", 3))
    assert registry.tell(HOLDER.social("ENABLED", 2, at_ms=START_MS + 60_000)) == []


def test_a_jump_that_no_path_explains_is_refused_and_asks_for_nothing() -> None:
    registry = told(HOLDER.social("CANCELLED", 1))
    assert refusals(registry.tell(HOLDER.social("FOUND", 9))) == ["ILLEGAL_TRANSITION"]
    assert asked_for(registry) == []
    assert registry.card().social.version == 1


def test_a_state_reached_again_over_a_gap_is_news() -> None:
    registry = told(HOLDER.social("ENABLED", 1))
    message = HOLDER.social("FOUND", 3)
    assert recipients(registry.tell(message), message) != []


def test_the_ranges_that_are_remembered_are_bounded() -> None:
    registry = told(HOLDER.social("ENABLED", 1))
    for version in range(3, 3 + 4 * limits.CARD_MISSING_RANGE_COUNT_MAX, 4):
        registry.tell(HOLDER.social("TEMPORARILY_LOST", version))
        registry.tell(HOLDER.social("FOUND", version + 2))
    assert len(registry.card().social.missing) == limits.CARD_MISSING_RANGE_COUNT_MAX
    assert len(asked_for(registry)) == 2 * limits.CARD_MISSING_RANGE_COUNT_MAX


def test_each_machine_counts_its_own_versions() -> None:
    registry = told(HOLDER.social("ENABLED", 7), HOLDER.financial("OPENED", 1), HOLDER.social("LOST", 8))
    assert (registry.card().social.version, registry.card().financial.version) == (8, 1)


# ---- any order -----------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn, names: dict[tuple[str, str], str], first: str) -> list[tuple[str, str]]:
    """A legal history from the beginning: (change, state) for versions 1, 2, 3 …"""
    steps = [next((change, target) for (state, change), target in names.items() if state == first)]
    for _ in range(draw(st.integers(0, 8))):
        state = steps[-1][1]
        further = [(change, target) for (source, change), target in names.items() if source == state]
        further.append(("DATA_CHANGED", state))
        steps.append(draw(st.sampled_from(further)))
    return steps


def _settled(machine: Machine) -> Machine:
    return dataclasses.replace(machine, late_count=0)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_legal_history_in_any_order_and_with_any_repeats_ends_in_the_same_state(data: st.DataObject) -> None:
    social = data.draw(histories(dict(SOCIAL_NAMES), "ABSENT"))
    financial = data.draw(histories(dict(FINANCIAL_NAMES), "ABSENT"))
    social_messages = [
        HOLDER.social(change, version, state=state, electronic_card_id=f"E{version}")
        for version, (change, state) in enumerate(social, start=1)
    ]
    financial_messages = [
        HOLDER.financial(change, version, state=state, local=f"B{version}")
        for version, (change, state) in enumerate(financial, start=1)
    ]
    # An account is told of once its card is known: that is the only order asked for.
    first = data.draw(st.sampled_from(social_messages))
    others = data.draw(st.permutations([*social_messages, *financial_messages]))
    repeats = data.draw(st.lists(st.sampled_from(others), max_size=4))
    in_order = told(*social_messages, *financial_messages)
    shuffled = Registry(decides_twice=False)
    for message in (first, *others, *map(_resent, repeats)):
        assert refusals(shuffled.tell(message)) == []
    expected, card = in_order.card(OLD), shuffled.card(OLD)
    assert _settled(card.social) == _settled(expected.social)
    assert _settled(card.financial) == _settled(expected.financial)
    assert dataclasses.replace(card, social=Machine(), financial=Machine()) == dataclasses.replace(
        expected, social=Machine(), financial=Machine()
    )
    assert card.social.missing == ()
    assert values_pb2.SocialState.Name(card.social.state) == f"SOCIAL_STATE_{social[-1][1]}"
