"""What a change of a card does: whose word counts, who is told, and at most one card in use."""

from __future__ import annotations

import dataclasses

import pytest

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard_broker.domain.model import Feeds
from onecard_protocol.identifiers import HUB
from tests.support.domain import make_answer
from tests.support.holders import (
    BANK,
    BEIJING,
    GUANGXI,
    NEW,
    OLD,
    OTHER_BANK,
    SICHUAN,
    Registry,
    SyntheticHolder,
    recipients,
    refusals,
)

HOLDER = SyntheticHolder()


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.tell(HOLDER.social("PRODUCED", 1))
    registry.tell(HOLDER.social("ENABLED", 2))
    return registry


# ---- whose word counts ---------------------------------------------------------------------------------------------


def test_a_first_report_makes_the_card_known_with_all_that_it_says() -> None:
    registry = Registry()
    assert refusals(registry.tell(HOLDER.social("PRODUCED", 1))) == []

    card = registry.card()
    assert (card.bank, card.residence_area, card.issue_day, card.generation) == (BANK, "510100", 20260102, 3)
    assert registry.holder().number == HOLDER.number
    assert registry.holder().name == "示例"


@pytest.mark.parametrize(
    "state", ["PRODUCED", "ACTIVE", "TEMPORARILY_LOST", "LOST", "LOCKED", "CANCELLED", "SUPERSEDED"]
)
def test_a_first_report_is_taken_in_any_state_and_nothing_is_missing_before_it(state: str) -> None:
    registry = Registry()
    assert refusals(registry.tell(HOLDER.social("DATA_CHANGED", 57, state=state))) == []
    assert registry.social_state() == state
    assert registry.card().social.missing == ()


def test_a_social_change_by_another_than_the_issuer_is_refused(registry: Registry) -> None:
    assert refusals(registry.tell(HOLDER.social("LOST", 3, sender=GUANGXI))) == ["CARD_AUTHORITY"]
    assert registry.social_state() == "ACTIVE"


@pytest.mark.parametrize("sender", [OTHER_BANK, BEIJING])
def test_a_financial_change_by_another_than_the_cards_bank_is_refused(registry: Registry, sender: str) -> None:
    assert refusals(registry.tell(HOLDER.financial("OPENED", 1, sender=sender))) == ["CARD_AUTHORITY"]


def test_a_card_without_a_bank_takes_no_banks_word() -> None:
    registry = Registry()
    registry.tell(HOLDER.social("PRODUCED", 1, bank="", bank_card_number=""))
    assert refusals(registry.tell(HOLDER.financial("OPENED", 1))) == ["CARD_AUTHORITY"]


def test_an_account_of_an_unknown_card_is_refused() -> None:
    assert refusals(Registry().tell(HOLDER.financial("OPENED", 1))) == ["CARD_UNKNOWN"]


def test_another_bank_by_the_issuers_word_begins_another_account(registry: Registry) -> None:
    registry.tell(HOLDER.financial("ACTIVATED", 4))
    registry.tell(HOLDER.social("DATA_CHANGED", 3, state="ACTIVE", bank=OTHER_BANK))
    assert registry.card().financial.version == 0
    assert refusals(registry.tell(HOLDER.financial("ACTIVATED", 1, sender=OTHER_BANK))) == []


# ---- who is told ---------------------------------------------------------------------------------------------------


def test_a_change_is_passed_on_as_it_is_to_everybody_concerned_once_and_never_to_its_sender(registry: Registry) -> None:
    registry.feeds = {
        "onecard.card.v1": Feeds(
            everything=frozenset({"cn-33", BEIJING}), residents={SICHUAN: frozenset({"cn-50", SICHUAN})}
        )
    }
    registry.tell(HOLDER.follow("cn-44"))
    registry.tell(HOLDER.follow(BEIJING))
    message = HOLDER.social("LOST", 3)
    told = recipients(registry.tell(message), message)
    assert told == [HUB, BANK, "cn-33", "cn-44", "cn-50", SICHUAN]


def test_an_accounts_change_is_told_to_the_issuer(registry: Registry) -> None:
    message = HOLDER.financial("OPENED", 1)
    assert recipients(registry.tell(message), message) == [HUB, BEIJING, SICHUAN]


def test_who_moves_is_told_of_where_he_lived_and_where_he_lives(registry: Registry) -> None:
    message = HOLDER.social("DATA_CHANGED", 3, state="ACTIVE", residence_area="330100")
    assert recipients(registry.tell(message), message) == [HUB, BANK, "cn-33", SICHUAN]


def test_what_is_refused_or_late_is_told_to_nobody(registry: Registry) -> None:
    for message in (
        HOLDER.social("LOCKED", 3, sender=GUANGXI),
        HOLDER.social("PRODUCED", 1, at_ms=1),
    ):
        assert recipients(registry.tell(message), message) == []


def test_what_is_already_so_is_refused_and_told_to_all_for_its_version(registry: Registry) -> None:
    registry.tell(HOLDER.follow("cn-44"))
    message = HOLDER.social("ENABLED", 3)
    delivered = registry.tell(message)
    assert refusals(delivered) == ["CARD_ALREADY"]
    assert recipients(delivered, message) == [HUB, BANK, "cn-44", SICHUAN]


def test_a_follower_that_gives_a_change_up_gets_it_again_and_nobody_waits_behind_it(registry: Registry) -> None:
    registry.tell(HOLDER.follow("cn-44"))
    lost = HOLDER.social("LOST", 3)
    registry.tell(lost)
    report = message_pb2.DeliveryReport(reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED, attempt_count=6)
    given_up = make_answer(lost, report, created_ms=registry.now_ms, seed="given up", sender="cn-44", recipient=HUB)
    assert refusals(registry.submit(given_up)) == []
    assert registry.dead_letters[lost.key][0].cause == "given up by cn-44: PROCESSING_FAILED"
    found = HOLDER.social("FOUND", 4)
    assert "cn-44" in recipients(registry.tell(found), found)
    replayed = registry.dispose(lost, control_pb2.DISPOSITION_REPLAY)
    assert recipients(replayed, lost) == ["cn-44"]


def test_the_issuers_own_report_of_the_end_that_the_hub_brought_about_is_told_to_all(registry: Registry) -> None:
    registry.tell(HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
    assert registry.social_state(OLD) == "SUPERSEDED"
    repeated = HOLDER.social("ENABLED", 2)
    assert refusals(registry.tell(dataclasses.replace(repeated, signature=b"again"))) == []
    ended = HOLDER.social("SUPERSEDED", 3)
    delivered = registry.tell(ended)
    assert refusals(delivered) == []
    assert HUB in recipients(delivered, ended)
    assert refusals(registry.tell(HOLDER.social("SUPERSEDED", 4))) == ["CARD_ALREADY"]


# ---- states --------------------------------------------------------------------------------------------------------


def test_an_illegal_transition_answers_with_its_reason_and_changes_nothing(registry: Registry) -> None:
    before = registry.holder()
    assert refusals(registry.tell(HOLDER.social("UNLOCKED", 3, state="PRODUCED"))) == ["ILLEGAL_TRANSITION"]
    assert registry.holder() == before


def test_a_state_already_reached_answers_so_and_its_version_counts(registry: Registry) -> None:
    assert refusals(registry.tell(HOLDER.social("ENABLED", 3))) == ["CARD_ALREADY"]
    assert registry.card().social.version == 3
    assert refusals(registry.tell(HOLDER.social("LOST", 4))) == []


def test_a_change_of_data_alone_is_a_change_in_any_state(registry: Registry) -> None:
    registry.tell(HOLDER.social("CANCELLED", 3))
    message = HOLDER.social("DATA_CHANGED", 4, state="CANCELLED", electronic_card_id="E1")
    assert HUB in recipients(registry.tell(message), message)


def test_a_corrected_name_alone_is_a_change(registry: Registry) -> None:
    message = HOLDER.social("DATA_CHANGED", 3, state="ACTIVE", name="示更")
    delivered = registry.tell(message)
    assert (refusals(delivered), registry.holder().name) == ([], "示更")
    assert SICHUAN in recipients(delivered, message)
    assert refusals(registry.tell(HOLDER.social("DATA_CHANGED", 4, state="ACTIVE", name="示更"))) == ["CARD_ALREADY"]


def test_the_account_outlives_the_social_application(registry: Registry) -> None:
    registry.tell(HOLDER.financial("ACTIVATED", 1))
    registry.tell(HOLDER.social("CANCELLED", 3))
    assert refusals(registry.tell(HOLDER.financial("FROZEN", 2))) == []
    assert refusals(registry.tell(HOLDER.financial("CLOSED", 3))) == []


def test_a_lost_card_is_found_again_but_not_after_its_replacement_was_produced(registry: Registry) -> None:
    registry.tell(HOLDER.social("LOST", 3))
    registry.tell(HOLDER.social("FOUND", 4))
    registry.tell(HOLDER.social("LOST", 5))
    registry.tell(HOLDER.social("PRODUCED", 1, card=NEW, replaces=OLD))
    assert refusals(registry.tell(HOLDER.social("FOUND", 6))) == ["ILLEGAL_TRANSITION"]
    assert refusals(registry.tell(HOLDER.social("FOUND", 8))) == ["ILLEGAL_TRANSITION"]
    assert registry.social_state() == "LOST"


def test_an_old_card_that_is_not_replaced_keeps_working_beside_a_produced_one() -> None:
    registry = Registry()
    registry.tell(HOLDER.social("PRODUCED", 1, generation=2))
    registry.tell(HOLDER.social("ENABLED", 2, generation=2))
    registry.tell(HOLDER.social("PRODUCED", 1, card=NEW, replaces=OLD, generation=3))
    assert (registry.card(OLD).generation, registry.card(NEW).generation) == (2, 3)
    assert (registry.social_state(OLD), registry.social_state(NEW)) == ("ACTIVE", "PRODUCED")
    assert registry.holder().replacements == ()


def test_a_temporary_loss_lasts_until_its_issuer_ends_it(registry: Registry) -> None:
    registry.tell(HOLDER.social("TEMPORARILY_LOST", 3))
    assert not registry.timers
    assert registry.social_state() == "TEMPORARILY_LOST"
    registry.tell(HOLDER.social("FOUND", 4))
    assert registry.social_state() == "ACTIVE"


# ---- one card in use -----------------------------------------------------------------------------------------------


def test_a_second_card_in_use_is_refused_unless_it_names_the_first(registry: Registry) -> None:
    registry.tell(HOLDER.social("PRODUCED", 1, card=NEW))
    assert refusals(registry.tell(HOLDER.social("ENABLED", 2, card=NEW))) == ["ANOTHER_CARD_ACTIVE"]
    assert (registry.social_state(OLD), registry.social_state(NEW)) == ("ACTIVE", "PRODUCED")

    assert refusals(registry.tell(HOLDER.social("ENABLED", 3, card=NEW, replaces=OLD))) == []
    assert (registry.social_state(OLD), registry.social_state(NEW)) == ("SUPERSEDED", "ACTIVE")


def test_another_card_named_does_not_free_the_way(registry: Registry) -> None:
    other = (BEIJING, "A10000009", 1)
    message = HOLDER.social("ENABLED", 1, card=NEW, replaces=other)
    assert refusals(registry.tell(message)) == ["ANOTHER_CARD_ACTIVE"]


@pytest.mark.parametrize("how", [("LOCKED", "UNLOCKED"), ("LOST", "FOUND"), ("TEMPORARILY_LOST", "FOUND")])
def test_a_card_does_not_come_back_beside_another_one_in_use(registry: Registry, how: tuple[str, str]) -> None:
    registry.tell(HOLDER.social(how[0], 3))
    registry.tell(HOLDER.social("ENABLED", 1, card=NEW))
    assert refusals(registry.tell(HOLDER.social(how[1], 4))) == ["ANOTHER_CARD_ACTIVE"]


@pytest.mark.parametrize("lost", ["LOST", "TEMPORARILY_LOST", "LOCKED"])
def test_a_lost_or_locked_card_is_superseded_as_well(registry: Registry, lost: str) -> None:
    registry.tell(HOLDER.social(lost, 3))
    registry.tell(HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
    assert registry.social_state(OLD) == "SUPERSEDED"


def test_the_issuers_own_word_of_what_the_hub_superseded_is_a_change_for_all_who_follow(registry: Registry) -> None:
    registry.tell(HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
    message = HOLDER.social("SUPERSEDED", 3)
    assert recipients(registry.tell(message), message) == [HUB, BANK, SICHUAN]
    assert registry.card(OLD).social.version == 3


@pytest.mark.parametrize("replaces", [(None, None), (NEW, None), (None, OLD), (NEW, OLD)], ids=str)
def test_two_provinces_that_enable_at_once_never_leave_two_cards_in_use(replaces: tuple[object, object]) -> None:
    """Every interleaving of two cards' lives, with and without each naming the other as its predecessor."""
    lives = [("PRODUCED", 1), ("ENABLED", 2), ("LOST", 3), ("FOUND", 4)]
    for order in _orders(len(lives), len(lives)):
        registry = Registry(decides_twice=False)
        at = [0, 0]
        for which in order:
            change, version = lives[at[which]]
            at[which] += 1
            registry.tell(
                HOLDER.social(change, version, card=(OLD, NEW)[which], replaces=replaces[which])  # type: ignore[arg-type]
            )
            active = [card.key for card in registry.holder().cards if card.is_active]
            assert len(active) <= 1, f"{order}: {active}"


def _orders(first: int, second: int) -> list[tuple[int, ...]]:
    """Every order of so many of the first and of the second."""
    if not first or not second:
        return [(0,) * first + (1,) * second]
    ahead = [(0, *rest) for rest in _orders(first - 1, second)]
    return ahead + [(1, *rest) for rest in _orders(first, second - 1)]


def test_of_two_that_enable_at_once_the_first_in_the_journal_wins() -> None:
    for first, second in ((OLD, NEW), (NEW, OLD)):
        registry = Registry()
        for card in (OLD, NEW):
            registry.tell(HOLDER.social("PRODUCED", 1, card=card))
        assert refusals(registry.tell(HOLDER.social("ENABLED", 2, card=first))) == []
        assert refusals(registry.tell(HOLDER.social("ENABLED", 2, card=second))) == ["ANOTHER_CARD_ACTIVE"]
        assert (registry.social_state(first), registry.social_state(second)) == ("ACTIVE", "PRODUCED")
