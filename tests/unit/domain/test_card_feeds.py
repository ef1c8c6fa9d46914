"""Followers, and numbers that are one person: what is linked moves, and what comes under the old number follows it."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest

from onecard.card.v1 import feed_pb2, values_pb2
from onecard.exchange.v1 import message_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_broker.domain.card_codec import decode_holder, encode_holder
from onecard_broker.domain.card_holding import person_of
from onecard_broker.domain.card_state import holder_key
from onecard_broker.domain.replacement_states import ReplacementPhase, StepPhase
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.identity import normalise_identity
from onecard_protocol.messages import Message
from onecard_protocol.signatures.sm3 import sm3
from tests.support.domain import Delivery, make_message
from tests.support.holders import (
    BEIJING,
    GUANGXI,
    NEW,
    OLD,
    SICHUAN,
    TAKE_OVER,
    Registry,
    SyntheticHolder,
    recipients,
    refusals,
    step_in,
    step_name,
)
from tests.support.stays import coded

FORMER, PRIMARY, THIRD = SyntheticHolder(1), SyntheticHolder(2), SyntheticHolder(3)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.tell(FORMER.social("ENABLED", 1), FORMER)
    registry.tell(FORMER.follow("cn-44"), FORMER)
    return registry


def answer(deliveries: list[Delivery], message: Message) -> message_pb2.MessageKind:
    """The kind of the only answer to a message."""
    (delivery,) = [delivery for delivery in deliveries if delivery.answers == message.key]
    return delivery.message.header.kind


# ---- followers -----------------------------------------------------------------------------------------------------


def test_who_follows_gets_what_is_published_from_then_on_and_who_ends_it_gets_no_more(registry: Registry) -> None:
    message = FORMER.social("LOST", 2)
    assert "cn-44" in recipients(registry.tell(message), message)
    registry.tell(FORMER.unfollow("cn-44"))
    message = FORMER.social("FOUND", 3)
    assert "cn-44" not in recipients(registry.tell(message), message)


def test_a_follower_is_told_how_many_cards_the_registry_knows(registry: Registry) -> None:
    (delivery,) = registry.tell(FORMER.follow("cn-33"))
    assert delivery.payload == feed_pb2.FollowPersonResponse(card_count=1)
    (delivery,) = Registry().tell(FORMER.follow("cn-33"))
    assert delivery.payload == feed_pb2.FollowPersonResponse()


def test_a_person_of_whom_nothing_is_known_yet_can_be_followed() -> None:
    registry = Registry()
    registry.tell(FORMER.follow("cn-33"))
    message = FORMER.social("PRODUCED", 1)
    assert "cn-33" in recipients(registry.tell(message), message)


def test_to_end_what_was_never_followed_is_answered_the_same() -> None:
    registry = Registry()
    message = FORMER.unfollow("cn-33")
    assert answer(registry.tell(message), message) == message_pb2.MESSAGE_KIND_REPLY


# ---- links ---------------------------------------------------------------------------------------------------------


def test_a_link_moves_cards_and_followers_to_the_primary_number(registry: Registry) -> None:
    message = FORMER.link(PRIMARY)
    delivered = registry.tell(message, FORMER, other_subject=PRIMARY.subject)
    assert [delivery.payload for delivery in delivered if delivery.answers] == [
        feed_pb2.LinkNumberResponse(card_count=1)
    ]
    assert HUB in recipients(delivered, message)
    assert [delivery.recipient for delivery in delivered if delivery.message.header.method == TAKE_OVER] == [HUB]
    former, primary = registry.holder(FORMER), registry.holder(PRIMARY)
    assert (former.linked_to, former.cards, former.followers) == (PRIMARY.subject, (), frozenset())
    assert [card.key for card in primary.cards] == [OLD]
    assert primary.followers == {"cn-44"}
    assert primary.linked_from == (FORMER.subject,)
    assert primary.number == PRIMARY.number


def test_what_comes_under_the_old_number_is_decided_under_the_primary(registry: Registry) -> None:
    registry.link(FORMER, PRIMARY)
    message = FORMER.social("LOST", 2)
    delivered = registry.tell(message, FORMER)
    assert recipients(delivered, message) == [HUB, "bank-102", "cn-44", SICHUAN]
    assert registry.social_state(OLD, PRIMARY) == "LOST"
    assert registry.holder(PRIMARY).number == PRIMARY.number

    request = FORMER.follow("cn-33")
    assert answer(registry.tell(request, FORMER), request) == message_pb2.MESSAGE_KIND_REPLY
    assert "cn-33" in registry.holder(PRIMARY).followers
    assert answer(registry.tell(request, FORMER), request) == message_pb2.MESSAGE_KIND_REPLY


def test_a_question_about_what_was_never_seen_is_answered_under_the_primary(registry: Registry) -> None:
    registry.link(FORMER, PRIMARY)
    message = FORMER.social("LOST", 2)
    with pytest.raises(ValueError, match="not enough values"):
        registry.ask(message, subject=FORMER.subject)
    (report,) = registry.forward()
    assert report.payload == message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_NEVER_SEEN)
    assert refusals(registry.tell(message, FORMER)) == ["OUTCOME_ALREADY_TOLD"]


def test_the_same_link_again_is_answered_the_same_and_moves_nothing(registry: Registry) -> None:
    registry.link(FORMER, PRIMARY)
    before = dict(registry.aggregates)
    message = FORMER.link(PRIMARY, seed="again")
    delivered = registry.tell(message, FORMER, other_subject=PRIMARY.subject)
    assert answer(delivered, message) == message_pb2.MESSAGE_KIND_REPLY
    assert registry.aggregates == before


def test_another_primary_a_loop_and_oneself_are_conflicts(registry: Registry) -> None:
    registry.link(FORMER, PRIMARY)
    assert refusals(registry.link(FORMER, THIRD)) == ["LINK_CONFLICT"]
    assert refusals(registry.link(PRIMARY, FORMER)) == ["LINK_CONFLICT"]
    assert refusals(registry.link(THIRD, THIRD)) == ["LINK_CONFLICT"]
    registry.link(PRIMARY, THIRD)
    assert refusals(registry.link(THIRD, FORMER)) == ["LINK_CONFLICT"]


@pytest.mark.parametrize("sender", [HUB, BEIJING, SICHUAN])
def test_the_hub_the_issuer_and_where_the_holder_lives_may_link(registry: Registry, sender: str) -> None:
    assert refusals(registry.link(FORMER, PRIMARY, sender=sender)) == []
    assert registry.holder(FORMER).linked_to == PRIMARY.subject


def test_a_province_that_is_not_concerned_links_no_number_that_has_cards(registry: Registry) -> None:
    before = dict(registry.aggregates)
    assert refusals(registry.link(FORMER, PRIMARY, sender="cn-44")) == ["CARD_AUTHORITY"]
    assert registry.aggregates == before
    assert refusals(registry.link(PRIMARY, THIRD, sender="cn-44")) == []


def test_a_chain_is_followed_to_its_end(registry: Registry) -> None:
    registry.link(PRIMARY, THIRD)
    registry.link(FORMER, PRIMARY)
    assert [card.key for card in registry.holder(THIRD).cards] == [OLD]
    registry.tell(FORMER.social("LOST", 2), FORMER)
    assert registry.social_state(OLD, THIRD) == "LOST"


def test_links_that_close_a_loop_at_once_leave_nothing_going_round_and_lose_no_card(registry: Registry) -> None:
    """Both are decided before either hand-over arrives; a change under each number lies between."""
    registry.tell(PRIMARY.social("PRODUCED", 1, card=NEW), PRIMARY)
    registry.submit(FORMER.link(PRIMARY), subject=FORMER.subject, other_subject=PRIMARY.subject)
    registry.submit(PRIMARY.link(FORMER, GUANGXI), subject=PRIMARY.subject, other_subject=FORMER.subject)
    registry.submit(FORMER.social("LOST", 2), subject=FORMER.subject)
    registry.forward()
    holders = [registry.holder(holder) for holder in (FORMER, PRIMARY)]
    assert {card.key for holder in holders for card in holder.cards} == {OLD, NEW}
    assert [card.social.state for holder in holders for card in holder.cards if card.key == OLD] == [
        values_pb2.SOCIAL_STATE_LOST
    ]
    assert not all(holder.linked_to for holder in holders)


def test_two_cards_in_use_under_two_numbers_become_one_by_a_replacement(registry: Registry) -> None:
    registry.tell(PRIMARY.social("ENABLED", 5, card=NEW), PRIMARY)
    registry.link(FORMER, PRIMARY)
    assert (registry.social_state(OLD, PRIMARY), registry.social_state(NEW, PRIMARY)) == ("SUPERSEDED", "ACTIVE")
    (asked,) = registry.steps_asked()
    assert (step_name(asked), asked.header.recipient) == ("OLD_SUPERSEDED", BEIJING)
    assert step_in(asked).person.number == PRIMARY.number


@pytest.mark.parametrize("sender", [HUB, SICHUAN])
def test_the_card_enabled_earlier_gives_way_wherever_it_stood(sender: str) -> None:
    registry = Registry()
    registry.tell(FORMER.social("ENABLED", 9, card=NEW), FORMER)
    registry.tell(PRIMARY.social("ENABLED", 1), PRIMARY)
    registry.link(FORMER, PRIMARY, sender=sender)
    assert (registry.social_state(OLD, PRIMARY), registry.social_state(NEW, PRIMARY)) == ("SUPERSEDED", "ACTIVE")


@pytest.fixture
def mistyped() -> Registry:
    """Guangxi's card was enabled later than the one under the number that Guangxi takes for the new one."""
    registry = Registry()
    registry.tell(PRIMARY.social("ENABLED", 1), PRIMARY)
    registry.tell(FORMER.social("ENABLED", 9, card=NEW), FORMER)
    return registry


def test_a_mistyped_number_ends_no_strangers_card(mistyped: Registry) -> None:
    stranger, own = mistyped.holder(PRIMARY), mistyped.holder(FORMER)

    assert refusals(mistyped.link(FORMER, PRIMARY, sender=GUANGXI)) == []

    assert mistyped.holder(PRIMARY) == stranger
    kept = mistyped.holder(FORMER).sent_back
    assert kept is not None
    assert (kept.primary, kept.linked_by) == (PRIMARY.subject, GUANGXI)
    assert mistyped.holder(FORMER) == dataclasses.replace(own, sent_back=kept)
    assert mistyped.steps_asked() == []
    assert refusals(mistyped.tell(FORMER.social("LOST", 10, card=NEW), FORMER)) == []
    assert mistyped.social_state(NEW, FORMER) == "LOST"
    assert mistyped.holder(PRIMARY) == stranger


@pytest.mark.parametrize("is_linked", [True, False])
def test_a_link_that_was_sent_back_waits_for_a_person_until_it_is_made_or_taken_back(
    mistyped: Registry, is_linked: bool
) -> None:
    mistyped.link(FORMER, PRIMARY, sender=GUANGXI)
    if is_linked:
        mistyped.link(FORMER, PRIMARY, sender=HUB)
        assert NEW in [card.key for card in mistyped.holder(PRIMARY).cards]
        assert mistyped.holder(PRIMARY).sent_back is None
    else:
        message = FORMER.unlink()
        assert answer(mistyped.tell(message, FORMER), message) == message_pb2.MESSAGE_KIND_REPLY
        assert [card.key for card in mistyped.holder(FORMER).cards] == [NEW]
    assert mistyped.holder(FORMER).sent_back is None


def test_what_followed_a_mistyped_link_is_refused_and_can_be_told_again(mistyped: Registry) -> None:
    stranger = mistyped.holder(PRIMARY)
    mistyped.submit(FORMER.link(PRIMARY, GUANGXI), subject=FORMER.subject, other_subject=PRIMARY.subject)
    lost = FORMER.social("LOST", 10, card=NEW)

    assert refusals(mistyped.tell(lost, FORMER)) == ["LINK_CONFLICT"]

    assert mistyped.holder(PRIMARY) == stranger
    assert mistyped.social_state(NEW, FORMER) == "ACTIVE"
    mistyped.tell(FORMER.social("LOST", 10, card=NEW, at_ms=lost.created_ms + 1), FORMER)
    assert mistyped.social_state(NEW, FORMER) == "LOST"


def test_a_mistyped_number_at_the_end_of_a_chain_ends_no_strangers_card(mistyped: Registry) -> None:
    mistyped.link(THIRD, PRIMARY)

    mistyped.link(FORMER, THIRD, sender=GUANGXI)

    assert [card.key for card in mistyped.holder(PRIMARY).cards] == [OLD]
    assert mistyped.social_state(OLD, PRIMARY) == mistyped.social_state(NEW, FORMER) == "ACTIVE"
    assert mistyped.holder(THIRD).linked_to == PRIMARY.subject


def test_a_hand_over_that_does_not_tell_whose_word_the_link_is_is_decided_as_before(mistyped: Registry) -> None:
    payload = feed_pb2.TakeOverRequest(
        person=PRIMARY.person, former=FORMER.subject, holder=encode_holder(mistyped.holder(FORMER))
    )
    hand_over = make_message(
        TAKE_OVER,
        message_pb2.MESSAGE_KIND_EVENT,
        payload,
        sender=HUB,
        recipient=HUB,
        created_ms=mistyped.now_ms,
        seed="hand over",
    )
    mistyped.tell(hand_over, PRIMARY)
    assert (mistyped.social_state(OLD, PRIMARY), mistyped.social_state(NEW, PRIMARY)) == ("SUPERSEDED", "ACTIVE")


def test_a_card_that_was_told_of_under_both_numbers_keeps_the_higher_version_of_each_machine(
    registry: Registry,
) -> None:
    registry.tell(FORMER.financial("ACTIVATED", 4), FORMER)
    registry.tell(PRIMARY.social("LOST", 3), PRIMARY)
    registry.tell(PRIMARY.financial("OPENED", 1), PRIMARY)
    registry.link(FORMER, PRIMARY)
    card = registry.card(OLD, PRIMARY)
    assert (card.social.version, card.financial.version) == (3, 4)


def test_a_replacement_under_way_goes_on_under_the_primary_number() -> None:
    registry = Registry()
    registry.tell(FORMER.social("ENABLED", 1), FORMER)
    registry.tell(FORMER.social("ENABLED", 1, card=NEW, replaces=OLD), FORMER)
    (first,) = registry.steps_asked()
    registry.link(FORMER, PRIMARY)
    again = registry.steps_asked()[-1]
    assert (step_name(again), step_in(again).person.number) == ("OLD_SUPERSEDED", PRIMARY.number)
    assert again.header.id != first.header.id

    assert refusals(registry.reply(first)) == []
    registry.reply(again)
    for asked in registry.steps_asked():
        registry.reply(asked, seed="all")
    for asked in registry.steps_asked():
        registry.reply(asked, seed="all")
    for asked in registry.steps_asked():
        registry.reply(asked, seed="all")
    replacement = registry.replacement(PRIMARY)
    assert replacement.phase == ReplacementPhase.OPEN
    assert registry.holder(FORMER).replacements == ()

    confirmation = FORMER.confirm(id_text(replacement.id), sender=GUANGXI)
    assert refusals(registry.tell(confirmation, FORMER)) == []
    assert registry.replacement(PRIMARY).phase == ReplacementPhase.COMPLETED


def test_a_step_that_waits_for_its_delay_is_asked_for_under_the_primary_number() -> None:
    registry = Registry()
    registry.tell(FORMER.social("ENABLED", 1, card=NEW, replaces=OLD), FORMER)
    registry.now_ms += limits.UNKNOWN_TIMER_MS
    registry.advance(registry.now_ms)
    registry.link(FORMER, PRIMARY, sender=GUANGXI)
    before = len(registry.steps_asked())
    registry.advance(registry.now_ms + limits.REPLACEMENT_RETRY_DELAYS_MS[0])
    assert len(registry.steps_asked()) == before + 1
    assert registry.replacement(PRIMARY).steps[1].phase == StepPhase.ASKED


def test_an_operator_takes_a_link_back_and_cards_stay_where_they_are(registry: Registry) -> None:
    registry.link(FORMER, PRIMARY)
    for seed in ("one", "two"):
        message = FORMER.unlink(seed)
        assert answer(registry.tell(message, FORMER), message) == message_pb2.MESSAGE_KIND_REPLY
    assert registry.holder(FORMER).linked_to == ""
    assert registry.holder(PRIMARY).linked_from == ()
    assert [card.key for card in registry.holder(PRIMARY).cards] == [OLD]
    registry.tell(FORMER.social("PRODUCED", 1, card=NEW), FORMER)
    assert [card.key for card in registry.holder(FORMER).cards] == [NEW]
    assert refusals(registry.link(PRIMARY, FORMER)) == []


class Resident(SyntheticHolder):
    """A foreign permanent resident under one of two numbers: the old one by serial 7, the new one by 8."""

    NUMBERS: Final = {7: ("07", "UTO110080010118"), 8: ("01", "91199919800101001X")}

    @property
    def number(self) -> str:
        return self.NUMBERS[self.serial][1]

    @property
    def subject(self) -> str:
        """From the number's normal form, as at a gateway."""
        return sm3(normalise_identity(*self.NUMBERS[self.serial]).encode()).hex()

    @property
    def person(self) -> exchange_values_pb2.PersonIdentity:
        kind, number = self.NUMBERS[self.serial]
        return exchange_values_pb2.PersonIdentity(kind=coded("nhsa.psn_cert_type", kind), number=number)


def test_a_foreign_permanent_residents_old_and_new_number_are_one_person() -> None:
    old, new, registry = Resident(7), Resident(8), Registry()
    registry.tell(old.social("ENABLED", 1), old)
    assert person_of(registry.holder(old)) == old.person
    registry.tell(new.social("PRODUCED", 1, card=NEW), new)
    assert person_of(registry.holder(new)).number == new.number

    assert refusals(registry.link(old, new)) == []

    assert (registry.holder(old).linked_to, registry.holder(old).cards) == (new.subject, ())
    assert {card.key for card in registry.holder(new).cards} == {OLD, NEW}
    registry.tell(old.social("LOST", 2), old)
    assert registry.social_state(OLD, new) == "LOST"
    registry.tell(new.social("ENABLED", 2, card=NEW, replaces=OLD), new)
    assert (registry.social_state(OLD, new), registry.social_state(NEW, new)) == ("SUPERSEDED", "ACTIVE")
    assert {step_in(asked).person.number for asked in registry.steps_asked()} == {new.number}


# ---- the form in which a holder moves ------------------------------------------------------------------------------


def test_a_holder_comes_out_of_its_bytes_as_it_went_in() -> None:
    registry = Registry()
    registry.tell(FORMER.social("ENABLED", 1), FORMER)
    registry.tell(FORMER.social("FOUND", 4), FORMER)
    registry.tell(FORMER.social("ENABLED", 1, card=NEW, replaces=OLD), FORMER)
    registry.tell(FORMER.financial("ACTIVATED", 3), FORMER)
    registry.tell(FORMER.follow("cn-44"), FORMER)
    holder = dataclasses.replace(registry.aggregates[holder_key(FORMER.subject)], linked_from=("a", "b"))
    assert holder.replacements
    assert any(card.social.missing for card in holder.cards)
    assert decode_holder(encode_holder(holder)) == holder


def test_a_holder_of_a_later_release_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="version 2"):
        decode_holder(b'{"version":2}')
