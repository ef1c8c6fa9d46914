"""The desk gives each change the next version, once, together with its event."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard.card.v1 import change_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards import book
from onecard_adapters.cards.port import LocalCard, NotTakenError
from onecard_adapters.runtime import outbox
from onecard_protocol.errors import OneCardError
from tests.support.card_copies import NotingOffice
from tests.support.card_desk import (
    SEALER,
    DeskWorld,
    Registry,
    account_standing,
    desk_world,
    make_account,
    make_card,
    standing,
    states,
)

SOCIAL = change_pb2.CARD_MACHINE_SOCIAL


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[DeskWorld]:
    async with desk_world(tmp_path / "store.sqlite") as made:
        yield made


async def test_each_change_gets_the_next_version_and_says_what_happened(world: DeskWorld) -> None:
    steps = states("PRODUCED", "ACTIVE", "TEMPORARILY_LOST", "ACTIVE", "LOCKED", "ACTIVE", "LOST", "CANCELLED")
    for state in steps:
        assert await world.desk.observe([make_card(state=state)]) == 1
    changes = "PRODUCED ENABLED TEMPORARILY_LOST FOUND LOCKED UNLOCKED LOST CANCELLED".split()
    assert [(version, change) for _, version, change, _ in world.social()] == list(enumerate(changes, start=1))


async def test_a_repeat_tells_nothing_whatever_time_it_bears(world: DeskWorld) -> None:
    assert await world.desk.observe([make_card(), make_card(occurred_ms=1_720_000_000_000)]) == 1
    assert await world.desk.observe([make_card(occurred_ms=1_730_000_000_000)]) == 0
    assert len(world.submitted) == await world.count("outbox") == 1


async def test_other_data_in_the_same_state_is_a_change_of_data(world: DeskWorld) -> None:
    await world.desk.observe([make_card()])
    await world.desk.observe([make_card(data=values_pb2.CardData(generation=3, residence_area="110101"))])
    assert [step[2] for step in world.social()] == ["ENABLED", "DATA_CHANGED"]


async def test_a_change_that_nobody_saw_takes_a_version_of_its_own(world: DeskWorld) -> None:
    for state in states("PRODUCED", "LOST", "TEMPORARILY_LOST", "LOST", "LOCKED"):
        await world.desk.observe([make_card(state=state)])
    changes = ["PRODUCED", "LOST", "TEMPORARILY_LOST", "LOST", "LOCKED"]
    assert [step[1:3] for step in world.social()] == list(zip((1, 3, 5, 6, 8), changes, strict=True))


async def test_a_stated_change_is_told_as_it_is_stated(world: DeskWorld) -> None:
    issued = make_card(state=values_pb2.SOCIAL_STATE_PRODUCED, change=change_pb2.SOCIAL_CHANGE_ISSUED)
    await world.desk.observe([issued])
    assert [step[2] for step in world.social()] == ["ISSUED"]


async def test_how_a_state_was_reached_is_stated_again_with_other_data(world: DeskWorld) -> None:
    values: dict[str, Any] = {"state": values_pb2.SOCIAL_STATE_PRODUCED, "change": change_pb2.SOCIAL_CHANGE_PRODUCED}
    await world.desk.observe([make_card(**values)])
    await world.desk.observe([make_card(data=values_pb2.CardData(generation=3, residence_area="110101"), **values)])
    assert [step[2] for step in world.social()] == ["PRODUCED", "DATA_CHANGED"]


async def test_a_card_is_issued_once_whatever_becomes_of_its_data(world: DeskWorld) -> None:
    made: dict[str, Any] = {"state": values_pb2.SOCIAL_STATE_PRODUCED}
    collected = exchange_values_pb2.CodedValue(system="beijing.aaz502", version="1", code="03")
    issued = {**made, "change": change_pb2.SOCIAL_CHANGE_ISSUED, "local_status": collected}
    await world.desk.observe([make_card(**made)])
    await world.desk.observe([make_card(**issued)])
    await world.desk.observe([make_card(data=values_pb2.CardData(generation=3, residence_area="110101"), **issued)])
    assert [step[2] for step in world.social()] == ["PRODUCED", "ISSUED", "DATA_CHANGED"]


async def test_the_two_machines_of_a_card_count_apart(world: DeskWorld) -> None:
    await world.desk.observe([make_card(), make_account()])
    await world.desk.observe([make_account(state=values_pb2.FINANCIAL_STATE_FROZEN)])
    await world.desk.observe([make_account()])
    financial = [event for event in world.told() if isinstance(event, change_pb2.ReportFinancialChangeRequest)]
    assert [(event.version, event.change) for event in financial] == [
        (1, change_pb2.FINANCIAL_CHANGE_ACTIVATED),
        (2, change_pb2.FINANCIAL_CHANGE_FROZEN),
        (3, change_pb2.FINANCIAL_CHANGE_UNFROZEN),
    ]
    assert [step[1] for step in world.social()] == [1]


async def test_the_local_systems_own_version_is_told_and_an_older_view_is_not(world: DeskWorld) -> None:
    lost, active = states("LOST", "ACTIVE")
    await world.desk.observe([make_card(version=4, state=active), make_card(version=7, state=lost)])
    assert await world.desk.observe([make_card(version=4, state=active)]) == 0
    assert [step[1] for step in world.social()] == [4, 7]


async def test_other_content_under_the_local_systems_own_version_is_a_conflict(world: DeskWorld) -> None:
    lost, active = states("LOST", "ACTIVE")
    await world.desk.observe([make_card(version=4, state=active)])
    with pytest.raises(OneCardError) as conflict:
        await world.desk.observe([make_card(version=4, state=lost)])
    assert conflict.value.reason == errors_pb2.ERROR_REASON_CARD_VERSION_CONFLICT


async def test_a_version_without_its_event_cannot_be(world: DeskWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "insert", full)
        with pytest.raises(sqlite3.OperationalError):
            await world.desk.observe([make_card()])
    assert await world.count("card_book") == 0
    await world.desk.observe([make_card()])
    assert (await world.count("card_book"), await world.count("outbox")) == (1, 1)


async def test_what_was_told_reaches_the_pump_though_its_caller_was_cancelled(world: DeskWorld) -> None:
    await world.desk.observe([make_card()])
    observing = asyncio.create_task(world.desk.observe([make_card(state=values_pb2.SOCIAL_STATE_LOST)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    observing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await observing
    await world.store.run(lambda _: None)
    assert await world.count("outbox") == len(world.submitted) == 2


async def test_views_of_one_card_are_told_in_their_order_while_the_registry_is_asked(world: DeskWorld) -> None:
    world.registry.gate.clear()
    views = [make_card(state=state) for state in states("ACTIVE", "TEMPORARILY_LOST", "LOST")]
    observing = [asyncio.create_task(world.desk.observe([view])) for view in views]
    await asyncio.sleep(0.01)
    world.registry.gate.set()
    await asyncio.gather(*observing)
    assert [step[3] for step in world.social()] == ["ACTIVE", "TEMPORARILY_LOST", "LOST"]


async def test_the_store_shows_no_number_and_no_name(world: DeskWorld, tmp_path: Path) -> None:
    await world.desk.observe([make_card(), make_account()])
    written = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir()))
    for secret in ("110000196201019924", "A99000080", "6217000000000000004", "周小测"):
        assert secret.encode() not in written
    assert b"card_book" in written


FORMER = make_card().person.number
CORRECTED = exchange_values_pb2.PersonIdentity(number="11010519491231002X")


class TestACorrectedNumber:
    """Under the number that the card was told of before it is never usable again."""

    def told(self, world: DeskWorld) -> list[tuple[str, int, str, str]]:
        """(former or corrected, version, change, state) of each event."""
        return [
            ("former" if event.person.number == FORMER else "corrected", *step[1:])  # type: ignore[attr-defined]
            for event, step in zip(world.told(), world.social(), strict=True)
        ]

    async def test_the_card_is_locked_under_the_former_number_and_goes_on_under_the_new(self, world: DeskWorld) -> None:
        await world.desk.observe([make_card()])
        assert await world.desk.observe([make_card(person=CORRECTED)]) == 1
        assert await world.desk.observe([make_card(person=CORRECTED)]) == 0
        await world.desk.observe([make_card(person=CORRECTED, state=values_pb2.SOCIAL_STATE_LOST)])
        assert self.told(world)[1:] == [
            ("former", 2, "LOCKED", "LOCKED"),
            ("corrected", 3, "UNLOCKED", "ACTIVE"),
            ("corrected", 4, "LOST", "LOST"),
        ]
        _, locked, unlocked, _ = world.told()
        assert not locked.HasField("local_status")
        assert locked.data == unlocked.data  # type: ignore[attr-defined]

    async def test_a_loss_that_is_seen_with_the_correction_is_told_of_both(self, world: DeskWorld) -> None:
        await world.desk.observe([make_card()])
        await world.desk.observe([make_card(person=CORRECTED, state=values_pb2.SOCIAL_STATE_LOST)])
        # The version between is that of the unlocking that nobody saw.
        assert self.told(world)[1:] == [("former", 2, "LOCKED", "LOCKED"), ("corrected", 4, "LOST", "LOST")]

    async def test_a_correction_that_is_taken_back_unlocks_the_card(self, world: DeskWorld) -> None:
        await world.desk.observe([make_card(), make_card(person=CORRECTED), make_card()])
        assert self.told(world)[3:] == [("corrected", 4, "LOCKED", "LOCKED"), ("former", 5, "UNLOCKED", "ACTIVE")]

    @pytest.mark.parametrize("state", states("PRODUCED", "TEMPORARILY_LOST", "LOST", "LOCKED", "CANCELLED"))
    async def test_a_card_that_is_not_in_use_stays_so_under_the_former_number(
        self, world: DeskWorld, state: values_pb2.SocialState
    ) -> None:
        await world.desk.observe([make_card(state=state), make_card(person=CORRECTED, state=state)])
        assert [step[:3] for step in self.told(world)[1:]] == [("corrected", 2, "DATA_CHANGED")]

    async def test_a_version_that_was_taken_over_from_the_registry_is_locked_too(self, world: DeskWorld) -> None:
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        assert await world.desk.observe([make_card()]) == 0
        await world.desk.observe([make_card(person=CORRECTED)])
        assert self.told(world) == [("former", 8, "LOCKED", "LOCKED"), ("corrected", 9, "UNLOCKED", "ACTIVE")]

    async def test_the_local_systems_own_version_is_not_taken_by_the_lock(self, world: DeskWorld) -> None:
        await world.desk.observe([make_card(version=1), make_card(version=2, person=CORRECTED)])
        assert [step[:3] for step in self.told(world)[1:]] == [("former", 2, "LOCKED"), ("corrected", 2, "UNLOCKED")]

    @pytest.mark.parametrize(("shown", "is_good"), [(CORRECTED, False), (make_card().person, True)])
    async def test_a_refused_lock_under_the_former_number_waits_for_a_person(
        self, world: DeskWorld, shown: exchange_values_pb2.PersonIdentity, is_good: bool
    ) -> None:
        await world.desk.observe([make_card(), make_card(person=CORRECTED)])
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        refused = OneCardError(errors_pb2.ERROR_REASON_CARD_VERSION_BACKWARDS)
        lock = world.submitted[1].id
        await world.store.run(lambda connection: outbox.refuse_event(connection, lock, refused))
        (stored,) = await world.store.run(lambda connection: outbox.list_refused_events(connection, SEALER))
        office = NotingOffice()
        office.cards["A99000080"] = make_card(person=shown)
        assert await world.desk.make_good(stored, office) is is_good

    async def test_another_kind_of_a_citizens_certificate_is_no_other_person(self, world: DeskWorld) -> None:
        kind = exchange_values_pb2.CodedValue(system="nhsa.psn_cert_type", version="1", code="01")
        same = exchange_values_pb2.PersonIdentity(kind=kind, number=FORMER)
        await world.desk.observe([make_card(), make_card(person=same)])
        assert [step[2] for step in world.social()] == ["ENABLED", "DATA_CHANGED"]


class TestAfterTheStoreWasLost:
    """The versions go on from the registry's."""

    async def test_a_card_that_is_as_registered_tells_nothing(self, world: DeskWorld) -> None:
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        assert await world.desk.observe([make_card()]) == 0
        assert await world.desk.observe([make_card(state=values_pb2.SOCIAL_STATE_LOST)]) == 1
        assert world.social() == [("A99000080", 8, "LOST", "LOST")]
        assert [request.purpose for request in world.registry.asked] == ["version-recovery"]

    async def test_a_card_that_differs_gets_the_next_version(self, world: DeskWorld) -> None:
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        assert await world.desk.observe([make_card(state=values_pb2.SOCIAL_STATE_TEMPORARILY_LOST)]) == 1
        assert world.social() == [("A99000080", 8, "TEMPORARILY_LOST", "TEMPORARILY_LOST")]

    async def test_a_card_whose_face_or_chip_differs_gets_the_next_version(self, world: DeskWorld) -> None:
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        moved = values_pb2.CardData(generation=3, card_class="1", residence_area="510100")
        assert await world.desk.observe([make_card(data=moved)]) == 1
        assert world.social() == [("A99000080", 8, "DATA_CHANGED", "ACTIVE")]

    async def test_an_account_goes_on_from_its_own_version_and_not_from_the_cards(self, world: DeskWorld) -> None:
        known = standing(make_card(), version=7)
        known.MergeFrom(account_standing(make_account(), version=4))
        world.registry.standings["A99000080"] = known
        assert await world.desk.observe([make_account()]) == 0
        assert await world.desk.observe([make_account(state=values_pb2.FINANCIAL_STATE_FROZEN)]) == 1
        assert world.financial() == [("A99000080", 5, "FROZEN", "FROZEN")]

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"state": values_pb2.FINANCIAL_STATE_CLOSED}, (5, "CLOSED", "CLOSED")),
            (
                {"local_status": exchange_values_pb2.CodedValue(system="bank.account", version="1", code="9")},
                (5, "DATA_CHANGED", "ACTIVE"),
            ),
        ],
    )
    async def test_an_account_that_differs_gets_the_next_version(
        self, world: DeskWorld, changed: dict[str, Any], told: tuple[int, str, str]
    ) -> None:
        world.registry.standings["A99000080"] = account_standing(make_account(), version=4)
        assert await world.desk.observe([make_account(**changed)]) == 1
        assert [step[1:] for step in world.financial()] == [told]

    async def test_a_same_number_card_of_another_sequence_is_another_card(self, world: DeskWorld) -> None:
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        again = values_pb2.CardReference(issuer="cn-11", number="A99000080", sequence=2)
        await world.desk.observe([make_card(card=again)])
        assert [step[1] for step in world.social()] == [1]

    async def test_the_registry_is_asked_in_batches(self, world: DeskWorld) -> None:
        await world.desk.observe([make_card(f"A99{index:06d}") for index in range(1_001)])
        assert [len(request.questions) for request in world.registry.asked] == [500, 500, 1]

    @pytest.mark.parametrize("is_stale", [True, False])
    async def test_known_cards_are_told_though_the_registry_cannot_be_asked(
        self, world: DeskWorld, is_stale: bool
    ) -> None:
        await world.desk.observe([make_card()])
        if is_stale:
            world.registry.freshness = status_pb2.FRESHNESS_STALE
        else:
            world.registry.failure = OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)
        seen = [make_card("A99000099"), make_card(state=values_pb2.SOCIAL_STATE_LOST)]
        with pytest.raises(OneCardError) as refused:
            await world.desk.observe(seen)
        assert refused.value.reason == errors_pb2.ERROR_REASON_HUB_NOT_READY
        world.registry.freshness, world.registry.failure = status_pb2.FRESHNESS_FRESH, None
        assert await world.desk.observe(seen) == 1
        assert [step[:2] for step in world.social()] == [("A99000080", 1), ("A99000080", 2), ("A99000099", 1)]

    async def test_what_the_registry_can_tell_of_is_told_and_the_rest_is_named(
        self, world: DeskWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = [make_card(f"A99{index:06d}") for index in range(3)]
        answers = [status_pb2.FRESHNESS_FRESH, status_pb2.FRESHNESS_STALE, status_pb2.FRESHNESS_FRESH]

        async def statuses(*_: object, **__: object) -> list[status_pb2.CardAnswer]:
            return [status_pb2.CardAnswer(freshness=freshness) for freshness in answers]

        monkeypatch.setattr(world.desk, "statuses", statuses)
        with pytest.raises(NotTakenError) as refused:
            await world.desk.observe(seen)
        assert refused.value.left == [seen[1]]
        assert [step[0] for step in world.social()] == ["A99000000", "A99000002"]


class _Office:
    """Shows one card."""

    def __init__(self, shown: LocalCard | None) -> None:
        self.shown = shown

    async def carry_out(self, request: object) -> object:
        raise NotImplementedError

    async def tell(self, change: object) -> None:
        raise NotImplementedError

    async def find(self, card: values_pb2.CardReference) -> LocalCard | None:
        return self.shown


class TestAskedForVersions:
    """The newest is told again; what was not told before is told twice, since only a repeat closes the hub's gap."""

    async def test_the_same_version_and_content_goes_out_in_a_new_message(self, world: DeskWorld) -> None:
        await world.desk.observe([make_card(), make_card(state=values_pb2.SOCIAL_STATE_LOST)])
        await world.desk.report_again(_request(), _Office(None))  # type: ignore[arg-type]
        last, again = world.submitted[-2:]
        assert (again.method, again.payload) == (last.method, last.payload)
        assert again.id != last.id

    async def test_a_card_that_only_the_local_system_knows_is_told(self, world: DeskWorld) -> None:
        await world.desk.report_again(_request(), _Office(make_card()))  # type: ignore[arg-type]
        assert [step[1] for step in world.social()] == [1, 1]

    async def test_a_version_taken_over_from_the_registry_is_told_as_the_next(self, world: DeskWorld) -> None:
        world.registry.standings["A99000080"] = standing(make_card(), version=7)
        await world.desk.observe([make_card()])
        await world.desk.report_again(_request(), _Office(make_card()))  # type: ignore[arg-type]
        assert [step[1:3] for step in world.social()] == [(8, "DATA_CHANGED")] * 2

    async def test_what_is_told_again_without_a_gap_is_told_once(self, world: DeskWorld) -> None:
        request = change_pb2.RequestVersionsRequest(card=make_card().card, machine=SOCIAL)
        await world.desk.report_again(request, _Office(make_card()))  # type: ignore[arg-type]
        assert [step[1] for step in world.social()] == [1]

    async def test_a_card_that_nobody_knows_is_left(self, world: DeskWorld) -> None:
        await world.desk.report_again(_request(), _Office(None))  # type: ignore[arg-type]
        assert world.submitted == []


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    registry = Registry()
    async with desk_world(tmp_path / "store.sqlite", registry) as first:
        await first.desk.observe([make_card()])
    async with desk_world(tmp_path / "store.sqlite", registry) as second:
        assert await second.desk.observe([make_card()]) == 0
        assert await second.desk.observe([make_card(state=values_pb2.SOCIAL_STATE_LOST)]) == 1
        assert [step[1] for step in second.social()] == [2]
        key = book.book_key(SEALER, make_card().card, SOCIAL)
        entry = await second.store.run(lambda connection: book.find(connection, key))
        assert entry is not None
        assert (entry.version, entry.state) == (2, values_pb2.SOCIAL_STATE_LOST)
    assert len(registry.asked) == 1


def _request() -> change_pb2.RequestVersionsRequest:
    return change_pb2.RequestVersionsRequest(
        card=make_card().card,
        machine=SOCIAL,
        first_version=1,
        last_version=1,
        person=exchange_values_pb2.PersonIdentity(number="110000196201019924"),
    )
