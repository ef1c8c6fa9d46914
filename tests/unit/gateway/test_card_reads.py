"""Answers about cards: fresh by the ticks of every partition concerned, through links, without a state where stale."""

from __future__ import annotations

from collections import Counter
from typing import cast

import pytest

from onecard.card.v1 import status_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.domain.card_state import Cardholder
from onecard_broker.gateway.card_cache import CardCache
from onecard_broker.gateway.card_reads import CardReads
from onecard_broker.gateway.decisions import Decisions
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identity import normalise_identity
from onecard_protocol.methods import MethodRegistry
from tests.support.card_reports import BATCH_GET_STATUS, VERIFY_CARD, card
from tests.support.cardholders import FakeCardholders, a_card
from tests.support.messages import citizen_number, person

NOW_MS = 1_780_000_000_000
METHODS = MethodRegistry.load()
SUBJECTS = Subjects(bytes(32), 97)  # So many that the persons of a test lie in partitions of their own.


def subject_of(serial: int) -> str:
    return SUBJECTS.pseudonym(normalise_identity("", citizen_number(serial)))


class Ticked:
    """What the decisions are known up to."""

    def __init__(self) -> None:
        self.known_ms = dict.fromkeys(range(97), NOW_MS - 100)

    def last_heard(self, serial: int, age_ms: int) -> None:
        self.known_ms[SUBJECTS.partition_of_pseudonym(subject_of(serial))] = NOW_MS - age_ms


class Registry:
    def __init__(self) -> None:
        self.rows = FakeCardholders()
        self.ticked = Ticked()
        self.cache = CardCache(self.rows, SUBJECTS, Counter())
        self.reads = CardReads(self.cache, cast(Decisions, self.ticked), SUBJECTS, clock_ms=lambda: NOW_MS)
        self.access: dict[str, object] = {}

    def put(self, serial: int, *, linked_to: int | None = None, cards: int = 1) -> None:
        self.rows.put(
            Cardholder(
                subject=subject_of(serial),
                linked_to="" if linked_to is None else subject_of(linked_to),
                cards=(a_card(serial),) * cards,
            )
        )

    async def statuses(self, *serials: int) -> list[status_pb2.CardAnswer]:
        questions = [status_pb2.CardQuestion(person=person(serial)) for serial in serials]
        request = status_pb2.BatchGetCardStatusRequest(questions=questions, purpose="counter")
        answer = await self.reads.read(METHODS[BATCH_GET_STATUS], request)
        self.access = answer.access
        return list(status_pb2.BatchGetCardStatusResponse.FromString(answer.content).answers)

    async def verify(self, serial: int, of_card: int) -> str:
        request = status_pb2.VerifyCardRequest(
            person=person(serial), card_number=card(of_card).number, purpose="counter"
        )
        answer = await self.reads.read(METHODS[VERIFY_CARD], request)
        response = status_pb2.VerifyCardResponse.FromString(answer.content)
        return status_pb2.CardVerdict.Name(response.verdict).removeprefix("CARD_VERDICT_")


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def test_a_batch_tells_each_person_apart_whose_partition_is_silent(registry: Registry) -> None:
    for serial in (1, 2, 3):
        registry.put(serial)
    registry.ticked.last_heard(2, limits.CARD_STALE_MS)
    registry.ticked.last_heard(3, limits.CARD_STALE_MS - 1)

    fresh, stale, just_fresh = await registry.statuses(1, 2, 3)

    assert (fresh.freshness, stale.freshness, just_fresh.freshness) == (1, 2, 1)
    assert (len(fresh.cards), len(stale.cards), len(just_fresh.cards)) == (1, 0, 1)
    assert stale.as_of_time.ToMilliseconds() == NOW_MS - limits.CARD_STALE_MS
    assert subject_of(2) not in registry.rows.statements[0]
    assert (registry.access["fresh"], registry.access["stale"]) == (2, 1)


async def test_what_is_remembered_of_a_silent_partition_is_not_told(registry: Registry) -> None:
    registry.put(1)
    assert await registry.verify(1, 1) == "VALID"

    registry.ticked.last_heard(1, limits.CARD_STALE_MS)
    assert await registry.verify(1, 1) == "STALE"
    registry.ticked.known_ms.clear()
    assert await registry.verify(1, 1) == "STALE"
    assert not (await registry.statuses(1))[0].HasField("as_of_time")


async def test_nothing_is_told_of_a_person_of_whom_a_report_waits_undecided(registry: Registry) -> None:
    for serial in (1, 2):
        registry.put(serial)
    registry.put(3, linked_to=2, cards=0)
    registry.rows.hold(subject_of(2))

    fresh, waiting, linked = await registry.statuses(1, 2, 3)

    assert [len(answer.cards) for answer in (fresh, waiting, linked)] == [1, 0, 0]
    assert [answer.freshness for answer in (fresh, waiting, linked)] == [1, 2, 2]
    assert await registry.verify(2, 2) == "STALE"
    assert await registry.verify(3, 2) == "STALE"


async def test_a_link_is_as_fresh_as_the_older_of_both_partitions(registry: Registry) -> None:
    registry.put(1, linked_to=2, cards=0)
    registry.put(2)
    registry.ticked.last_heard(1, 500)
    registry.ticked.last_heard(2, 900)

    (answer,) = await registry.statuses(1)

    assert [one.card.number for one in answer.cards] == [card(2).number]
    assert answer.as_of_time.ToMilliseconds() == NOW_MS - 900
    registry.ticked.last_heard(2, limits.CARD_STALE_MS)
    assert await registry.verify(1, 2) == "STALE"


async def test_links_are_followed_one_by_one_and_end_in_nothing_where_they_go_round(registry: Registry) -> None:
    registry.put(1, linked_to=2, cards=0)
    registry.put(2, linked_to=3, cards=0)
    registry.put(3)
    assert await registry.verify(1, 3) == "VALID"

    registry.put(3, linked_to=1, cards=0)
    registry.cache.drop(subject_of(3))
    assert await registry.verify(1, 3) == "STALE"


async def test_a_link_that_is_taken_back_is_forgotten_with_its_row(registry: Registry) -> None:
    registry.put(1, linked_to=2, cards=0)
    registry.put(2)
    assert await registry.verify(1, 2) == "VALID"

    registry.put(1, cards=0)
    registry.cache.drop(subject_of(1))

    assert await registry.verify(1, 2) == "UNKNOWN_CARD"


async def test_a_wrong_number_in_a_batch_is_named_by_its_place_and_not_told(registry: Registry) -> None:
    wrong = citizen_number(1)[:-1] + ("1" if citizen_number(1)[-1] != "1" else "2")
    questions = [
        status_pb2.CardQuestion(person=person(1)),
        status_pb2.CardQuestion(person=exchange_values_pb2.PersonIdentity(number=wrong)),
    ]
    request = status_pb2.BatchGetCardStatusRequest(questions=questions, purpose="counter")

    with pytest.raises(OneCardError) as refused:
        await registry.reads.read(METHODS[BATCH_GET_STATUS], request)

    assert reason_name(refused.value.reason) == "IDENTITY_INVALID"
    assert refused.value.violations[0][0] == "questions[1].person"
    assert wrong not in repr(refused.value)


@pytest.mark.parametrize("terminal", ["桂林", "x" * 33, "510000197001010011", "T-A12345678", "a00000001"])
async def test_a_terminal_that_may_hold_a_personal_or_card_number_is_refused(registry: Registry, terminal: str) -> None:
    request = status_pb2.VerifyCardRequest(
        person=person(1), card_number=card(1).number, purpose="counter", terminal=terminal
    )

    with pytest.raises(OneCardError) as refused:
        await registry.reads.read(METHODS[VERIFY_CARD], request)

    assert [name for name, _ in refused.value.violations] == ["terminal"]
    assert terminal not in repr(refused.value)


async def test_hundreds_of_cards_make_one_good_answer(registry: Registry) -> None:
    registry.rows.put(
        Cardholder(
            subject=subject_of(1),
            cards=tuple(a_card(serial, state=values_pb2.SOCIAL_STATE_CANCELLED) for serial in range(300)),
        )
    )

    answers = await registry.statuses(*[1] * 3)

    assert [len(answer.cards) for answer in answers] == [300] * 3
