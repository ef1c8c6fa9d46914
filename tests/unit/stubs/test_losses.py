"""A loss at the hotline of the simulated card offices: from which statuses it is taken, and when its end is not."""

from pathlib import Path
from typing import Any

import pytest

from onecard_stubs.behaviour import Behaviours
from onecard_stubs.beijing.columns_key import ColumnsKey
from onecard_stubs.beijing.office import CardOffice
from onecard_stubs.card_columns import ColumnsCards, Statuses
from onecard_stubs.guangdong.cards import STATUSES as GUANGDONG
from onecard_stubs.population import Population
from onecard_stubs.sichuan.cards import STATUSES as SICHUAN


@pytest.fixture(params=[GUANGDONG, SICHUAN], ids=["guangdong", "sichuan"])
def cards(request: pytest.FixtureRequest) -> ColumnsCards:
    """The cards of a core."""
    statuses: Statuses = request.param
    return ColumnsCards(Population(count=1), statuses, Behaviours(), None)


async def test_a_loss_is_taken_of_a_card_in_use_and_ended_once(cards: ColumnsCards) -> None:
    known = cards._statuses
    card = next(iter(cards.cards.values()))
    who: dict[str, Any] = {"card_number": card.number}
    for report, status in (
        (cards.report_lost, known.temporarily_lost),
        (cards.report_found, known.active),
        (cards.report_lost, known.temporarily_lost),
    ):
        await report(who)
        assert card.status == status
    await cards.report_lost({**who, "is_formal": True})
    with pytest.raises(ValueError, match="no status"):
        await cards.report_lost(who)
    assert (await cards.report_lost({**who, "is_formal": True}))["was_already"]
    await cards.report_found(who)
    # What was not handed out, or has ended, is neither lost nor found.
    for status in (known.produced, "9"):
        await cards.set_status({**who, "status": status})
        for report in (cards.report_lost, cards.report_found):
            with pytest.raises(ValueError, match="no status"):
                await report({**who, "is_formal": True})
        assert card.status == status


async def test_a_lost_card_is_not_found_once_another_was_made_for_it(cards: ColumnsCards) -> None:
    old = next(iter(cards.cards.values()))
    made = await cards.reissue({"identity_number": old.person.identity_number})
    with pytest.raises(ValueError, match="successor"):
        await cards.report_found({"card_number": old.number})
    assert [card.status for card in cards.cards.values() if card.person is old.person] == [
        cards._statuses.lost,
        cards._statuses.active,
    ]
    await cards.report_lost({"card_number": made["card_number"]})
    await cards.report_found({"card_number": made["card_number"]})


def test_a_card_of_beijings_is_not_found_once_another_was_made_for_it(tmp_path: Path) -> None:
    population = Population("110000", count=1)
    office = CardOffice(f"sqlite:///{tmp_path / 'cards.sqlite'}", ColumnsKey(bytes(16)), population, holders=1)
    office.open()
    who = {"identity_number": population.people[0].identity_number}
    office.report_lost(who, is_formal=True)
    office.produce(who["identity_number"], kind="2")
    with pytest.raises(ValueError, match="another card"):
        office.report_found(who)
    office.enable(who)
    assert [card["aaz502"] for card in office.show(who)] == [2, 1]
    office.report_lost(who, is_formal=True)
    office.report_found(who)
    assert [card["aaz502"] for card in office.show(who)] == [2, 1]
    office.close()
