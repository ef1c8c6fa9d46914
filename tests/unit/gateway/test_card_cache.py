"""What a gateway remembers of cardholders: one reading for all that is missing, and nothing overtaken by a decision."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter

import psycopg
import pytest

from onecard.card.v1 import status_pb2, values_pb2
from onecard_broker.domain.card_state import Cardholder
from onecard_broker.gateway.card_cache import CardCache
from onecard_broker.gateway.card_standings import card_standing, standing_of
from onecard_protocol import limits
from tests.support.cardholders import FakeCardholders, a_card
from tests.support.eventually import eventually

PERSON, OTHER, THIRD = "1" * 64, "2" * 64, "3" * 64


class Places:
    def partition_of_pseudonym(self, pseudonym: str) -> int:
        return int(pseudonym[0])


@pytest.fixture
def rows() -> FakeCardholders:
    rows = FakeCardholders()
    for index, subject in enumerate((PERSON, OTHER), 1):
        rows.put(Cardholder(subject=subject, cards=(a_card(index),)))
    return rows


def new_cache(rows: FakeCardholders, count_max: int = 100) -> CardCache:
    return CardCache(rows, Places(), Counter(), count_max=count_max)


def state_of(cache: CardCache, subject: str) -> str:
    standing = cache.find(subject)
    assert standing is not None
    cards = status_pb2.CardAnswer.FromString(standing.all_cards).cards
    return values_pb2.SocialState.Name(cards[0].social_state).removeprefix("SOCIAL_STATE_") if cards else "no card"


async def test_what_was_read_is_found_without_reading_again(rows: FakeCardholders) -> None:
    cache = new_cache(rows)

    await cache.read([PERSON])

    assert state_of(cache, PERSON) == state_of(cache, PERSON) == "ACTIVE"
    assert rows.statements == [[PERSON]]


async def test_that_the_registry_knows_nobody_is_remembered_too(rows: FakeCardholders) -> None:
    cache = new_cache(rows)

    await cache.read([THIRD])

    assert state_of(cache, THIRD) == "no card"


async def test_all_that_is_missing_at_a_moment_is_read_at_once_and_each_person_once(rows: FakeCardholders) -> None:
    cache = new_cache(rows)
    rows.is_open.clear()
    first = asyncio.create_task(cache.read([PERSON]))
    await asyncio.sleep(0)
    others = [asyncio.create_task(cache.read(subjects)) for subjects in ([OTHER, PERSON], [THIRD], [OTHER])]
    await asyncio.sleep(0)
    rows.is_open.set()
    await asyncio.gather(first, *others)

    assert rows.statements == [[PERSON], [OTHER, THIRD]]


async def test_a_decision_drops_the_person_and_nobody_else(rows: FakeCardholders) -> None:
    cache = new_cache(rows)
    await cache.read([PERSON, OTHER])

    cache.drop(PERSON)

    assert cache.find(PERSON) is None
    assert cache.find(OTHER) is not None


@pytest.mark.parametrize("what", ["drop", "clear"])
async def test_a_decision_that_overtakes_the_reading_of_its_person_makes_it_read_again(
    rows: FakeCardholders, what: str
) -> None:
    cache = new_cache(rows)
    rows.is_open.clear()
    reading = asyncio.create_task(cache.read([PERSON, OTHER]))
    await eventually(
        lambda: rows.statements == [[PERSON, OTHER]]
    )  # The rows as they stood before the loss are on their way.

    rows.put(Cardholder(subject=PERSON, cards=(a_card(1, state=values_pb2.SOCIAL_STATE_LOST),)))
    cache.drop(PERSON) if what == "drop" else cache.clear()
    rows.is_open.set()
    await reading

    assert state_of(cache, PERSON) == "LOST"
    assert rows.statements[1] == ([PERSON] if what == "drop" else [PERSON, OTHER])


async def test_a_decision_about_another_person_makes_nothing_be_read_again(rows: FakeCardholders) -> None:
    cache = new_cache(rows)
    rows.is_open.clear()
    reading = asyncio.create_task(cache.read([PERSON]))
    await eventually(lambda: rows.statements == [[PERSON]])

    cache.drop(OTHER)
    rows.is_open.set()
    await reading

    assert len(rows.statements) == 1


async def test_the_least_recently_asked_for_is_let_go(rows: FakeCardholders) -> None:
    cache = new_cache(rows, count_max=2)
    await cache.read([PERSON, OTHER])
    assert cache.find(PERSON)

    await cache.read([THIRD])

    assert cache.find(OTHER) is None
    assert cache.find(PERSON) is not None
    assert len(cache) == 2


async def test_what_no_decision_told_of_shows_after_ten_minutes(rows: FakeCardholders) -> None:
    now_s = 1_000.0
    cache = CardCache(rows, Places(), Counter(), monotonic=lambda: now_s)
    await cache.read([THIRD])
    rows.put(Cardholder(subject=THIRD, cards=(a_card(3),)))  # By a load.

    now_s += limits.CARD_REMEMBERED_MS_MAX / 1_000
    assert cache.find(THIRD) is not None
    now_s += 0.001
    assert cache.find(THIRD) is None
    await cache.read([THIRD])
    assert state_of(cache, THIRD) == "ACTIVE"


async def test_rows_that_cannot_be_read_are_told_and_read_the_next_time(rows: FakeCardholders) -> None:
    cache = new_cache(rows)
    rows.is_away = True
    with pytest.raises(psycopg.OperationalError):
        await cache.read([PERSON])
    rows.is_away = False

    await cache.read([PERSON])

    assert state_of(cache, PERSON) == "ACTIVE"


async def test_rows_that_cannot_be_told_make_nobody_else_untold(
    rows: FakeCardholders, caplog: pytest.LogCaptureFixture
) -> None:
    cache = new_cache(rows)
    rows.put(Cardholder(subject=PERSON, number="110101199001011237", cards=(a_card(1, changed_ms=10**18),)))

    await cache.read([PERSON, OTHER])

    untold = cache.find(PERSON)
    assert untold is not None
    assert (untold.is_certain, untold.all_cards, untold.facts) == (False, b"", ())
    assert state_of(cache, OTHER) == "ACTIVE"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert PERSON in caplog.text
    assert "110101199001011237" not in caplog.text


async def test_that_a_report_waits_undecided_is_remembered_for_two_seconds(rows: FakeCardholders) -> None:
    now_s = 5.0
    cache = CardCache(rows, Places(), Counter(), monotonic=lambda: now_s)
    rows.hold(PERSON)
    await cache.read([PERSON])
    rows.put(Cardholder(subject=PERSON, cards=(a_card(1),)))  # An operator let it go, which is no decision about it.

    now_s += limits.CARD_STALE_MS / 1_000
    waiting = cache.find(PERSON)
    assert waiting is not None
    assert not waiting.is_certain
    now_s += 0.001
    assert cache.find(PERSON) is None
    await cache.read([PERSON])
    assert state_of(cache, PERSON) == "ACTIVE"


async def test_who_gives_up_takes_nothing_from_the_others(rows: FakeCardholders) -> None:
    cache = new_cache(rows)
    rows.is_open.clear()
    impatient = asyncio.create_task(cache.read([PERSON]))
    patient = asyncio.create_task(cache.read([PERSON]))
    await eventually(lambda: rows.statements == [[PERSON]])

    impatient.cancel()
    rows.is_open.set()
    await patient

    assert state_of(cache, PERSON) == "ACTIVE"


async def test_more_than_one_statement_holds_is_read_in_several(rows: FakeCardholders) -> None:
    cache = new_cache(rows, count_max=10_000)
    subjects = [f"{number:064x}" for number in range(limits.CARD_ROW_READ_COUNT_MAX + 1)]

    await cache.read(subjects)

    assert [len(statement) for statement in rows.statements] == [limits.CARD_ROW_READ_COUNT_MAX, 1]


def test_the_card_in_use_comes_first_and_then_the_newest_change() -> None:
    cards = (
        a_card(1, state=values_pb2.SOCIAL_STATE_CANCELLED, changed_ms=3_000),
        a_card(2, state=values_pb2.SOCIAL_STATE_LOST, changed_ms=9_000),
        a_card(3, changed_ms=1_000),
    )

    standing = standing_of(Cardholder(subject=PERSON, cards=cards), 0.0)

    answer = status_pb2.CardAnswer.FromString(standing.all_cards)
    assert [card.card.number for card in answer.cards] == ["A00000003", "A00000002", "A00000001"]
    one = status_pb2.CardAnswer.FromString(standing.of_card(("cn-11", "A00000002", 1)))
    assert list(one.cards) == [answer.cards[1]]
    assert standing.of_card(("cn-44", "A00000002", 1)) == b""


def test_a_standing_tells_both_states_and_nothing_of_the_person() -> None:
    standing = card_standing(dataclasses.replace(a_card(1, expiry_day=20360104), bank_card_number="6222000000000000"))

    assert (standing.social_version, standing.financial_version) == (3, 2)
    assert standing.changed_time.ToMilliseconds() == 1_780_000_000_000
    assert (standing.expiry_day.year, standing.expiry_day.month, standing.expiry_day.day) == (2036, 1, 4)
    assert b"6222" not in standing.SerializeToString()
    assert not card_standing(a_card(1)).HasField("expiry_day")
