"""The province answers the hub's comparison, reports own cards again, and repairs what it follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_protocol.card_digests import data_digest
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import timestamp
from tests.support.card_copies import Province, make_copy, province
from tests.support.card_desk import make_card, standing

ISSUED = comparison_pb2.COMPARISON_SCOPE_ISSUED
PERSON = exchange_values_pb2.PersonIdentity(number="110000196201019924")
HOLDER = values_pb2.HolderDetails(name="周小测")
DATA = values_pb2.CardData(generation=3, bank="bank-102", bank_card_number="6217000000000000004")


@pytest.fixture
async def beijing(tmp_path: Path) -> AsyncIterator[Province]:
    async with province(tmp_path / "store.sqlite") as made:
        yield made


def registered(card: comparison_pb2.CopiedCard) -> comparison_pb2.RegistryCard:
    card.data_digest = data_digest(DATA)
    return comparison_pb2.RegistryCard(
        person=PERSON,
        copied=card,
        data=DATA,
        holder=HOLDER,
        social_changed_time=timestamp(1_700_000_000_000),
        financial_changed_time=timestamp(1_700_000_060_000),
    )


@pytest.mark.parametrize(
    "request_",
    [
        comparison_pb2.ReadDigestsRequest(depth=2, prefixes=[""]),
        comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=0, prefixes=[""]),
        comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=6, prefixes=[""]),
        comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=2),
        comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=2, prefixes=["ab"]),
        comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=2, prefixes=["x"]),
        comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=2, prefixes=["a"] * 65),
        comparison_pb2.ReadCardsRequest(prefixes=["a"]),
        comparison_pb2.ReadCardsRequest(scope=ISSUED),
        comparison_pb2.ReadCardsRequest(scope=ISSUED, prefixes=["abcdef"]),
        comparison_pb2.ReadCardsRequest(scope=ISSUED, prefixes=["a"], after_key="12"),
        comparison_pb2.ReadCardsRequest(scope=ISSUED, prefixes=["a"], after_key="xy"),
        comparison_pb2.ReportAgainRequest(),
        comparison_pb2.ReportAgainRequest(cards=[comparison_pb2.AskedReport()] * 101),
        comparison_pb2.RepairCopyRequest(),
        comparison_pb2.RepairCopyRequest(gone=[make_copy(1).card]),
        comparison_pb2.RepairCopyRequest(
            cards=[comparison_pb2.RegistryCard(person=PERSON, copied=make_copy(1, "cn-45"), data=DATA)]
        ),
    ],
)
async def test_a_request_outside_its_bounds_is_refused(beijing: Province, request_: object) -> None:
    name = type(request_).__name__.removesuffix("Request")
    with pytest.raises(OneCardError) as refused:
        await getattr(beijing.stub, name)(request_)
    assert refused.value.reason == errors_pb2.ERROR_REASON_PAYLOAD_INVALID


async def test_a_followed_card_becomes_what_the_registry_says_and_the_office_is_told(beijing: Province) -> None:
    await beijing.put([make_copy(1, "cn-45")])
    wanted = make_copy(1, "cn-45", social_state=values_pb2.SOCIAL_STATE_LOST, social_version=2)
    new = make_copy(2, "cn-45")
    request = comparison_pb2.RepairCopyRequest(cards=[registered(wanted), registered(new)])
    assert (await beijing.stub.RepairCopy(request)).changed_count == 2
    assert await beijing.card(wanted.card) == wanted
    assert await beijing.card(new.card) == new
    told = [
        (change.card.number, type(change).__name__.removeprefix("Report").removesuffix("ChangeRequest"), change.version)
        for change in beijing.office.told
    ]
    assert told == [("A00000001", "Social", 2), ("A00000002", "Social", 3), ("A00000002", "Financial", 2)]
    assert isinstance(beijing.office.told[0], change_pb2.ReportSocialChangeRequest)
    assert (beijing.office.told[0].person, beijing.office.told[0].holder) == (PERSON, HOLDER)
    assert [change.occurred_time.seconds for change in beijing.office.told] == [
        *(1_700_000_000, 1_700_000_000, 1_700_000_060)
    ]
    assert beijing.office.told[0].change == change_pb2.SOCIAL_CHANGE_LOST
    assert (await beijing.stub.RepairCopy(request)).changed_count == 0
    assert len(beijing.office.told) == 3


async def test_of_an_own_card_only_the_account_is_taken_over(beijing: Province) -> None:
    await beijing.put([make_copy(1)])
    said = make_copy(
        1,
        social_state=values_pb2.SOCIAL_STATE_LOST,
        social_version=9,
        financial_state=values_pb2.FINANCIAL_STATE_CLOSED,
        financial_version=5,
    )
    unknown = make_copy(2)
    request = comparison_pb2.RepairCopyRequest(cards=[registered(said), registered(unknown)])
    assert (await beijing.stub.RepairCopy(request)).changed_count == 1
    assert await beijing.card(said.card) == make_copy(
        1, financial_state=values_pb2.FINANCIAL_STATE_CLOSED, financial_version=5
    )
    assert await beijing.card(unknown.card) is None
    assert [type(change).__name__ for change in beijing.office.told] == ["ReportFinancialChangeRequest"]


async def test_a_card_that_is_not_the_provinces_to_hold_is_forgotten(beijing: Province) -> None:
    await beijing.put([make_copy(1, "cn-45"), make_copy(2, "cn-45")])
    request = comparison_pb2.RepairCopyRequest(gone=[make_copy(1, "cn-45").card, make_copy(3, "cn-45").card])
    assert (await beijing.stub.RepairCopy(request)).changed_count == 1
    assert await beijing.card(make_copy(1, "cn-45").card) is None
    assert await beijing.card(make_copy(2, "cn-45").card) is not None


async def test_an_own_card_is_reported_again_under_the_version_that_stands(beijing: Province) -> None:
    card = make_card()
    await beijing.world.desk.observe([card])
    asked = comparison_pb2.AskedReport(card=card.card, registry_version=0)
    unknown = comparison_pb2.AskedReport(card=make_copy(5).card)
    answer = await beijing.stub.ReportAgain(comparison_pb2.ReportAgainRequest(cards=[asked, unknown]))
    assert answer.reported_count == 1
    assert list(answer.unknown) == [unknown.card]
    assert [step[1] for step in beijing.world.social()] == [1, 1]


async def test_an_issuer_that_went_back_goes_on_from_the_registrys_version(beijing: Province) -> None:
    card = make_card(state=values_pb2.SOCIAL_STATE_LOST)
    await beijing.world.desk.observe([card])
    beijing.office.cards[card.card.number] = card
    beijing.world.registry.standings[card.card.number] = values_pb2.CardStanding(
        card=card.card, social_state=values_pb2.SOCIAL_STATE_ACTIVE, social_version=8
    )
    asked = comparison_pb2.AskedReport(card=card.card, registry_version=8)
    answer = await beijing.stub.ReportAgain(comparison_pb2.ReportAgainRequest(cards=[asked]))
    assert answer.reported_count == 1
    assert [(step[1], step[3]) for step in beijing.world.social()] == [(1, "LOST"), (9, "LOST")]
    found = await beijing.card(card.card)
    assert found is not None
    assert found.social_version == 9


async def test_an_issuer_that_went_back_and_shows_what_is_registered_takes_the_version_over(beijing: Province) -> None:
    card = make_card()
    await beijing.world.desk.observe([card])
    beijing.office.cards[card.card.number] = card
    beijing.world.registry.standings[card.card.number] = standing(card, version=8)
    asked = comparison_pb2.AskedReport(card=card.card, registry_version=8)
    await beijing.stub.ReportAgain(comparison_pb2.ReportAgainRequest(cards=[asked]))
    assert len(beijing.world.social()) == 1
    found = await beijing.card(card.card)
    assert found is not None
    assert (found.social_version, found.data_digest) == (8, data_digest(card.data))
