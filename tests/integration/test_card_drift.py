"""Drift between the registry on PostgreSQL and a province's store: found exactly, repaired by rule, listed else."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard_adapters.cards.comparison import CardComparisonServicer
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory, Feed, MethodPatterns, Participant
from onecard_broker.domain.card_state import Cardholder
from onecard_broker.operations import card_comparison
from onecard_broker.operations.card_comparison import Comparing, DifferenceKind, Remedy, remedies_for
from onecard_broker.operations.card_drift import RegistrySide, find_drift
from onecard_broker.records.card_cases import list_cases
from onecard_broker.records.card_ranges import CardRanges, select_cards
from onecard_broker.records.live_connection import LiveConnection
from tests.support.card_copies import Province, province
from tests.support.card_drift import (
    HUBEI,
    KnowingOffice,
    copied,
    fill_registry,
    make_holder,
    numbers_of,
    plant,
    with_other,
)

pytest_plugins = ("tests.support.engines",)

ISSUED = comparison_pb2.COMPARISON_SCOPE_ISSUED
FOLLOWED = comparison_pb2.COMPARISON_SCOPE_FOLLOWED
LOST = values_pb2.SOCIAL_STATE_LOST
PLANTED = frozenset(DifferenceKind) - {DifferenceKind.TWICE_HERE}
"""What can be wrong in a copy."""


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[LiveConnection]:
    database = LiveConnection(postgres_dsn, application_name="test drift")
    yield database
    await database.close()


@pytest.fixture
async def hubei(tmp_path: Path) -> AsyncIterator[Province]:
    async with province(tmp_path / "store.sqlite", HUBEI) as made:
        yield made


def comparing(hubei: Province, database: LiveConnection, scope: comparison_pb2.ComparisonScope) -> Comparing:
    ranges = CardRanges(database, select_cards(HUBEI, scope))
    return Comparing(hubei.stub, RegistrySide(ranges), scope, settle_s=0, pause_s=0.01)


@pytest.mark.timeout(300)
async def test_two_hundred_differences_among_fifty_thousand_cards_are_found_and_no_others(
    hubei: Province, database: LiveConnection
) -> None:
    holders = [make_holder(serial, has_account=serial % 100 > 0) for serial in range(50_000)]
    strangers = [make_holder(serial) for serial in range(60_000, 60_040)]
    await fill_registry(await database.get(), [*holders, *(make_holder(n, "cn-11", "110000") for n in range(100))])
    planted = await plant(hubei, holders, strangers, each=40)

    compared = comparing(hubei, database, ISSUED)
    comparison = await compared.compare()

    found = {one.card.number: (one.kind, *remedies_for(ISSUED, one)) for one in comparison.differences}
    assert found == planted
    assert len(comparison.differences) == 200
    assert Counter(kind for kind, _ in planted.values()) == dict.fromkeys(PLANTED, 40)
    assert (comparison.here_count, comparison.there_count) == (50_000, 50_000)
    assert compared.traffic.byte_count < 1_000_000


def corrected(holders: list[Cardholder], state: values_pb2.SocialState) -> tuple[list[Cardholder], Cardholder]:
    """The holders, of whom one reported a loss after the number was corrected; and the former, where the card is so."""
    now = holders[7]
    newest = dataclasses.replace(now.cards[0], social=dataclasses.replace(now.cards[0].social, state=LOST, version=5))
    before = dataclasses.replace(now.cards[0], social=dataclasses.replace(now.cards[0].social, state=state, version=4))
    former = dataclasses.replace(make_holder(900), cards=(before,))
    return [*holders[:7], dataclasses.replace(now, cards=(newest,)), *holders[8:]], former


async def test_a_card_in_use_under_a_former_number_of_its_holder_is_a_case(
    hubei: Province, database: LiveConnection
) -> None:
    """The issuer's adapter lost its store when the number was corrected, and locked nothing under the former one."""
    holders, former = corrected([make_holder(serial) for serial in range(200)], values_pb2.SOCIAL_STATE_ACTIVE)
    await fill_registry(await database.get(), [*holders, former])
    await hubei.put([copied(holder) for holder in holders])

    for _ in range(2):
        issued, followed = await find_drift(
            HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=True, settle_s=0.01
        )
        assert (issued.found, issued.repaired, issued.listed) == ({"twice-here": 1}, {}, {"twice-here": 1})
        assert not followed.found
    (case,) = await list_cases(await database.get())
    assert (case.number, case.kind, case.here[:6], case.there[:6]) == ("A00000007", "twice-here", "LOST 5", "LOST 5")
    assert case.here.endswith(f", subjects {' '.join(sorted(one.subject for one in (holders[7], former)))}")


async def test_a_card_that_was_locked_under_a_former_number_differs_by_nothing(
    hubei: Province, database: LiveConnection
) -> None:
    holders, former = corrected([make_holder(serial) for serial in range(200)], values_pb2.SOCIAL_STATE_LOCKED)
    await fill_registry(await database.get(), [*holders, former])
    await hubei.put([copied(holder) for holder in holders])

    compared = comparing(hubei, database, ISSUED)
    comparison = await compared.compare()
    assert not comparison.differences
    assert (comparison.here_count, comparison.there_count) == (200, 200)
    assert compared.traffic.byte_count < 1_000, "the digests differ, and ranges were read"


async def test_one_difference_costs_a_few_kilobytes(hubei: Province, database: LiveConnection) -> None:
    holders = [make_holder(serial) for serial in range(5_000)]
    await fill_registry(await database.get(), holders)
    await hubei.put([copied(holder) for holder in holders])
    compared = comparing(hubei, database, ISSUED)
    assert not (await compared.compare()).differences
    assert compared.traffic.byte_count < 1_000

    await hubei.put([with_other(copied(holders[17]), social_state=LOST)])
    compared = comparing(hubei, database, ISSUED)
    assert [one.card.number for one in (await compared.compare()).differences] == ["A00000017"]
    assert compared.traffic.byte_count < 10_000


async def test_own_cards_are_reported_again_or_listed_and_their_accounts_taken_over(
    hubei: Province, database: LiveConnection
) -> None:
    holders = [make_holder(serial, has_account=serial % 100 > 0) for serial in range(400)]
    strangers = [make_holder(serial) for serial in range(1_000, 1_006)]
    await fill_registry(await database.get(), holders)
    planted = await plant(hubei, holders, strangers, each=6)
    office = KnowingOffice([*holders, *strangers[1:]])
    use(hubei, office)
    for holder in holders:
        card = holder.cards[0]
        hubei.world.registry.standings[card.number] = values_pb2.CardStanding(
            card=copied(holder).card, social_state=values_pb2.SOCIAL_STATE_LOST, social_version=card.social.version
        )

    drift = await find_drift(HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=False, settle_s=0)
    assert drift[0].found == dict.fromkeys(PLANTED, 6)
    assert not drift[0].repaired
    assert not hubei.world.told()
    assert not await list_cases(await database.get())

    drift = await find_drift(HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=True, settle_s=0)
    # The hub takes no report here, so nothing of what is told again is repaired yet.
    of_bank = numbers_of(planted, Remedy.REPAIR_COPY)
    assert drift[0].repaired == {"other-version": 2, "other-state": 3}
    assert drift[0].listed == dict.fromkeys(PLANTED, 6) | {"other-version": 4, "other-state": 3}
    told = {event.card.number: event.version for event in hubei.world.told()}  # type: ignore[attr-defined]
    unknown = strangers[0].cards[0].number
    assert told.keys() == numbers_of(planted, Remedy.REPORT_AGAIN) - {unknown}
    assert {type(change) for change in office.told} == {change_pb2.ReportFinancialChangeRequest}
    assert {change.card.number for change in office.told} == of_bank
    for holder in holders:
        if holder.cards[0].number in of_bank:
            assert await hubei.card(copied(holder).card) == copied(holder)

    cases = await list_cases(await database.get(), HUBEI)
    assert {case.number: case.kind for case in cases} == {
        number: kind for number, (kind, _) in planted.items() if number not in of_bank
    }
    assert {case.there for case in cases if case.kind == "missing-there"} == {""}
    assert "A0" not in repr(cases)

    # What a person has put right is no case any more.
    await hubei.put([copied(holder) for holder in holders])
    await find_drift(HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=True, settle_s=0)
    assert {case.kind for case in await list_cases(await database.get())} <= {"missing-here", "other-version"}


def use(hubei: Province, office: KnowingOffice) -> None:
    """Let the province's servicers ask another office."""
    hubei.exchange._servicers[HUBEI] = [
        CardComparisonServicer(
            store=hubei.store, copies=hubei.copies, trees=hubei.trees, desk=hubei.world.desk, office=office
        )
    ]


async def test_followed_cards_become_what_the_registry_says(hubei: Province, database: LiveConnection) -> None:
    residents = [make_holder(serial, "cn-11", "420500", has_account=serial % 100 > 0) for serial in range(300)]
    followed = [make_holder(serial, "cn-31", "310000", followers=(HUBEI, "cn-11")) for serial in range(1_000, 1_050)]
    others = [make_holder(serial, "cn-11", "110000", followers=("cn-31",)) for serial in range(2_000, 2_200)]
    own = [make_holder(serial) for serial in range(3_000, 3_020)]
    await fill_registry(await database.get(), [*residents, *followed, *others, *own])
    await hubei.put([copied(holder) for holder in own])
    planted = await plant(hubei, [*residents, *followed], others, each=6)

    drift = await find_drift(HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=True, settle_s=0)
    assert [one.scope for one in drift] == ["issued", "followed"]
    assert drift[1].found == drift[1].repaired == dict.fromkeys(PLANTED, 6)
    assert (drift[1].here_count, drift[1].there_count) == (350, 350)
    assert not drift[0].found

    again = await find_drift(HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=False, settle_s=0)
    assert not any(one.found for one in again)
    shown = {change.holder.name for change in hubei.office.told if hasattr(change, "holder")}
    assert shown == {"示例"}
    told = {change.card.number for change in hubei.office.told}
    # That an account was never told of is no change.
    unopened = {holder.cards[0].number for holder in residents if not holder.cards[0].financial.version}
    assert told == planted.keys() - numbers_of(planted, DifferenceKind.MISSING_HERE) - unopened


@pytest.mark.parametrize(
    ("feed", "expected"),
    [
        (None, {"cn-11 in 42"}),
        (
            Feed(package="onecard.card.v1", residents_of=frozenset({"cn-31"})),
            {"cn-11 in 42", "cn-31 in 31", "cn-11 in 31"},
        ),
        (
            Feed(package="onecard.card.v1", has_everything=True),
            {"cn-11 in 42", "cn-31 in 31", "cn-11 in 31", "cn-11 in 11", "cn-31 in 11"},
        ),
        (Feed(package="onecard.medical.v1", has_everything=True), {"cn-11 in 42"}),
    ],
)
async def test_a_feed_brings_more_cards_to_compare(
    hubei: Province, database: LiveConnection, feed: Feed | None, expected: set[str]
) -> None:
    holders: dict[str, Cardholder] = {}
    for serial, (issuer, place) in enumerate(
        [(HUBEI, "42"), ("cn-11", "42"), ("cn-31", "31"), ("cn-11", "31"), ("cn-11", "11"), ("cn-31", "11")]
    ):
        holders[f"{issuer} in {place}"] = make_holder(serial, issuer, f"{place}0000")
    await fill_registry(await database.get(), list(holders.values()))
    entry = Participant(
        id=HUBEI,
        name_zh="",
        name_en="",
        may_send=MethodPatterns(()),
        may_receive=MethodPatterns(()),
        certificate_names=frozenset(),
        feeds=() if feed is None else (feed,),
    )
    directory: Directory = dataclasses.replace(EMPTY_DIRECTORY, participants={HUBEI: entry})
    await find_drift(HUBEI, hubei.stub, database, directory, is_repairing=True, settle_s=0)
    told = {change.card.number for change in hubei.office.told}
    assert told == {holders[name].cards[0].number for name in expected}


async def test_what_is_on_its_way_is_no_difference(hubei: Province, database: LiveConnection) -> None:
    holders = [make_holder(serial) for serial in range(100)]
    await fill_registry(await database.get(), holders)
    await hubei.put([copied(holder) for holder in holders])
    await hubei.put(
        [with_other(copied(holders[3]), social_version=4), with_other(copied(holders[4]), social_version=4)]
    )

    class LookedAtTwice(RegistrySide):
        looks = 0

        async def cards(self, prefixes: Sequence[str]) -> list[comparison_pb2.RegistryCard]:
            self.looks += 1
            if self.looks == 2:
                await hubei.put([copied(holders[3])])
            return await super().cards(prefixes)

    registry = LookedAtTwice(CardRanges(database, select_cards(HUBEI, ISSUED)))
    comparison = await Comparing(hubei.stub, registry, ISSUED, settle_s=0).compare()
    assert registry.looks == 2
    assert [one.card.number for one in comparison.differences] == ["A00000004"]


async def test_more_differences_than_one_comparison_looks_at_are_left_to_the_next(
    hubei: Province, database: LiveConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_comparison, "RANGES_MAX", 3)
    residents = [make_holder(serial, "cn-11", "420500") for serial in range(300)]
    await fill_registry(await database.get(), residents)
    rounds = 0
    while True:
        drift = (await find_drift(HUBEI, hubei.stub, database, EMPTY_DIRECTORY, is_repairing=True, settle_s=0))[1]
        if not drift.found:
            break
        rounds += 1
        assert rounds < 200
    assert not drift.is_cut_off
    assert rounds > 3
    assert drift.there_count == 300


async def test_a_registry_that_has_nothing_does_not_read_the_whole_copy(
    hubei: Province, database: LiveConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_comparison, "RANGES_MAX", 2)
    await hubei.put([copied(make_holder(serial)) for serial in range(2_000)])
    comparison = await comparing(hubei, database, ISSUED).compare()
    assert (comparison.here_count, comparison.there_count, comparison.is_cut_off) == (0, 2_000, True)
    assert 0 < len(comparison.differences) < 100
