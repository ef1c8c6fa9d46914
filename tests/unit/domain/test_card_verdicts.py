"""The verdict on a card at a counter, for every state, and for everything that may have been read of it."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from onecard.card.v1 import status_pb2, values_pb2
from onecard_broker.domain.card_verdicts import business_day, facts_of, verdict_on
from tests.support.card_reports import recognition_code
from tests.support.cardholders import a_card

TODAY = 20260531
CODE, OTHER_CODE = recognition_code(1), recognition_code(2)
VERDICTS = {
    "UNSPECIFIED": "UNKNOWN_CARD",
    "PRODUCED": "NOT_ENABLED",
    "ACTIVE": "VALID",
    "TEMPORARILY_LOST": "TEMPORARILY_LOST",
    "LOST": "LOST",
    "LOCKED": "LOCKED",
    "CANCELLED": "CANCELLED",
    "SUPERSEDED": "SUPERSEDED",
}
STATES = {name.removeprefix("SOCIAL_STATE_"): number for name, number in values_pb2.SocialState.items()}


def verdict(*cards: object, number: str = "A00000001", code: str = "", electronic: str = "", today: int = TODAY) -> str:
    judged = verdict_on(
        [facts_of(card) for card in cards],  # type: ignore[arg-type]
        number=number,
        recognition_code=code,
        electronic_card_id=electronic,
        today=today,
    )
    return status_pb2.CardVerdict.Name(judged).removeprefix("CARD_VERDICT_")


def test_every_state_has_its_verdict() -> None:
    assert VERDICTS.keys() == STATES.keys()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("code", ["", CODE, CODE.lower(), OTHER_CODE])
@pytest.mark.parametrize("expiry_day", [0, TODAY, TODAY - 1])
def test_each_state_with_each_code_and_each_expiry(state: str, code: str, expiry_day: int) -> None:
    card = a_card(1, state=STATES[state], expiry_day=expiry_day)  # type: ignore[arg-type]
    expected = VERDICTS[state]
    if expected == "VALID" and expiry_day == TODAY - 1:
        expected = "EXPIRED"
    if code == OTHER_CODE:
        expected = "MISMATCH"

    assert verdict(card, code=code) == expected


def test_a_card_is_valid_on_its_last_day_in_shanghai_and_expired_the_moment_after() -> None:
    last_ms = 1_780_243_199_999  # 2026-05-31 23:59:59.999 in Shanghai
    card = a_card(1, expiry_day=TODAY)

    assert verdict(card, today=business_day(last_ms)) == "VALID"
    assert verdict(card, today=business_day(last_ms + 1)) == "EXPIRED"


def test_a_person_without_such_a_card_has_an_unknown_one() -> None:
    assert verdict() == "UNKNOWN_CARD"
    assert verdict(a_card(2)) == "UNKNOWN_CARD"
    assert verdict(a_card(1), number=" a00000001 ") == "VALID"


def test_an_electronic_card_stands_for_its_card() -> None:
    card = a_card(1)

    assert verdict(card, number="", electronic="E0000000001") == "VALID"
    assert verdict(card, number="", electronic="E0000000002") == "UNKNOWN_CARD"


def test_a_number_and_an_electronic_card_that_are_shown_together_must_be_of_one_card() -> None:
    cards = (a_card(1), a_card(2))

    assert verdict(*cards, electronic="E0000000001") == "VALID"
    assert verdict(*cards, electronic="E0000000002") == "UNKNOWN_CARD"


def test_a_card_of_which_nothing_was_read_is_unknown() -> None:
    assert verdict(a_card(1), number="", code=CODE) == "UNKNOWN_CARD"


def test_of_one_number_the_recognition_code_tells_which_card_it_is() -> None:
    old = a_card(1, state=values_pb2.SOCIAL_STATE_SUPERSEDED)
    new = dataclasses.replace(a_card(1, sequence=2), recognition_code=OTHER_CODE)

    for cards in itertools.permutations([old, new]):
        assert verdict(*cards, code=CODE) == "SUPERSEDED"
        assert verdict(*cards, code=OTHER_CODE) == "VALID"
        assert verdict(*cards) == "VALID"


def test_of_one_number_without_a_code_the_card_in_use_counts_before_the_newest() -> None:
    produced = a_card(1, sequence=2, state=values_pb2.SOCIAL_STATE_PRODUCED)
    lost = a_card(1, state=values_pb2.SOCIAL_STATE_LOST)

    assert verdict(a_card(1), produced) == "VALID"
    assert verdict(lost, produced) == "NOT_ENABLED"


@pytest.mark.parametrize("state", STATES)
def test_a_card_whose_code_the_registry_lacks_is_judged_by_its_number_and_state(state: str) -> None:
    without = dataclasses.replace(a_card(1, state=STATES[state]), recognition_code="")  # type: ignore[arg-type]

    assert verdict(without, code=CODE) == VERDICTS[state]


def test_the_card_that_has_the_code_counts_before_one_whose_code_the_registry_lacks() -> None:
    lost = a_card(1, state=values_pb2.SOCIAL_STATE_LOST)
    without = dataclasses.replace(a_card(1, sequence=2), recognition_code="")

    for cards in itertools.permutations([lost, without]):
        assert verdict(*cards, code=CODE) == "LOST"
        assert verdict(*cards, code=OTHER_CODE) == "VALID"
