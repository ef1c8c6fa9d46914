"""Cards in columns, in the infno envelope and in both operations of the cross-region one: notices, counters, steps."""

import logging
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, replacement_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_protocol.errors import OneCardError
from onecard_stubs.behaviour import Switches
from tests.support.card_desk import desk_world
from tests.support.card_offices import KeepingDesk, step_request, told_of_a_foreigner
from tests.support.columns_offices import FIRST_STATUSES, ISSUERS, QUERY_TRADES, STEP_TRADES, columns_office
from tests.support.eventually import eventually


@pytest.fixture(params=ISSUERS)
def place(request: pytest.FixtureRequest) -> str:
    """Whose core it is."""
    named: str = request.param
    return named


async def test_a_loss_by_hotline_is_told_with_all_that_the_core_knows(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    async with columns_office(place, desk, tmp_path) as (cards, _, _):
        card = next(iter(cards.cards.values()))
        await cards.report_lost({"card_number": card.number})
        await eventually(lambda: desk.states(card.number) == ["TEMPORARILY_LOST"])
        await cards.report_lost({"card_number": card.number, "is_formal": True})
        await eventually(lambda: desk.states(card.number) == ["TEMPORARILY_LOST", "LOST"])
    told = desk.told[0]
    assert isinstance(told, LocalCard)
    assert told.card == values_pb2.CardReference(issuer=ISSUERS[place], number=card.number, sequence=1)
    assert told.person.number == card.person.identity_number
    assert told.holder.name == card.person.name
    assert told.data.bank == "bank-102"
    assert told.data.expiry_day.year == 2032
    assert told.data.generation == 3


async def test_a_card_that_was_handed_out_is_told_as_issued_before_it_is_enabled(place: str, tmp_path: Path) -> None:
    async with (
        desk_world(tmp_path / "desk.sqlite", participant=ISSUERS[place]) as world,
        columns_office(place, world.desk, tmp_path) as (cards, _, _),
    ):
        card = next(iter(cards.cards.values()))
        for count, status in enumerate(FIRST_STATUSES[place], start=1):
            await cards.set_status({"card_number": card.number, "status": status})
            await eventually(lambda count=count: len(world.told()) == count)  # type: ignore[misc]
    assert world.social() == [
        (card.number, 1, "PRODUCED", "PRODUCED"),
        (card.number, 2, "ISSUED", "PRODUCED"),
        (card.number, 3, "ENABLED", "ACTIVE"),
    ]
    statuses = [event.local_status for event in world.told()]  # type: ignore[attr-defined]
    assert {status.system for status in statuses} == {f"{ISSUERS[place]}.aaz502"}
    assert tuple(status.code for status in statuses) == FIRST_STATUSES[place]


async def test_a_loss_of_a_card_that_cannot_be_read_whole_is_told_with_what_was_told_last(
    place: str, tmp_path: Path
) -> None:
    async with (
        desk_world(tmp_path / "desk.sqlite", participant=ISSUERS[place]) as world,
        columns_office(place, world.desk, tmp_path) as (cards, _, _),
    ):
        card = next(iter(cards.cards.values()))
        await cards.set_status({"card_number": card.number, "status": FIRST_STATUSES[place][0]})
        await eventually(lambda: len(world.told()) == 1)
        card.certificate_kind = "ZZ"
        await cards.set_status({"card_number": card.number, "status": "1"})
        await cards.report_lost({"card_number": card.number, "is_formal": True})
        await eventually(lambda: len(world.told()) == 2)
        before, lost = world.told()
        assert world.social()[1][2:] == ("LOST", "LOST")
        assert (lost.person, lost.data, lost.holder) == (before.person, before.data, before.holder)  # type: ignore[attr-defined]
        await eventually(lambda: len(cards.notices) == 2)


@pytest.mark.parametrize("place", ["guangdong"])  # The other cores have no status under which there is no card.
async def test_a_card_that_was_told_does_not_vanish_with_its_status(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        desk_world(tmp_path / "desk.sqlite", participant=ISSUERS[place]) as world,
        columns_office(place, world.desk, tmp_path) as (cards, _, _),
    ):
        card = next(iter(cards.cards.values()))
        for status in ("0", "1"):
            await cards.set_status({"card_number": card.number, "status": status})
            await eventually(lambda: not cards.notices)
        assert not caplog.records
        await cards.set_status({"card_number": card.number, "status": "0"})
        await eventually(lambda: "one was told, which has not ended" in caplog.text)
        assert (len(world.told()), len(cards.notices)) == (1, 1)


async def test_a_foreigners_card_is_told_under_the_certificate_with_all_that_the_chip_holds(
    place: str, tmp_path: Path
) -> None:
    async with (
        desk_world(tmp_path / "desk.sqlite", participant=ISSUERS[place]) as world,
        columns_office(place, world.desk, tmp_path) as (cards, _, _),
    ):
        card = next(iter(cards.cards.values()))
        card.certificate_kind, card.certificate_number = "8", "e1234567"
        await cards.report_lost({"card_number": card.number})
        await eventually(lambda: len(world.told()) == 1)
    (event,) = world.told()
    told_of_a_foreigner(event, card.person.identity_number, card.certificate_serial)


async def test_a_batch_of_repeats_in_any_order_tells_nothing_that_is_not_so_now(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    async with columns_office(place, desk, tmp_path) as (cards, _, _):
        card = next(iter(cards.cards.values()))
        await cards.report_lost({"card_number": card.number})
        await eventually(lambda: len(desk.told) == 1)
        await cards.report_found({"card_number": card.number})
        await eventually(lambda: len(desk.told) == 2)
        assert (await cards.hourly_batch({"repeats": 4, "seed": 1}))["notices"] == 8
        await eventually(lambda: not cards.notices)
        assert desk.states(card.number) == ["TEMPORARILY_LOST", "ACTIVE"]


async def test_a_counter_reads_yes_or_no_and_why(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    desk.verdicts = {
        "A99000080": status_pb2.CARD_VERDICT_TEMPORARILY_LOST,
        "A99000081": status_pb2.CARD_VERDICT_VALID,
    }
    async with columns_office(place, desk, tmp_path) as (cards, _, _):
        who = {"identity_number": "110000196201019924", "recognition_code": "110000D1560000059900000000000080"}
        refused = await cards.verify({**who, "card_number": "A99000080"})
        accepted = await cards.verify({**who, "card_number": "A99000081"})
        desk.failure = OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)
        unanswered = await cards.verify({**who, "card_number": "A99000081"})
    assert (refused["is_usable"], accepted["is_usable"], unanswered["is_usable"]) == (False, True, False)
    assert "临时挂失" in refused["reason"]
    assert unanswered["reason"].startswith("[HUB_NOT_READY]")
    assert desk.questions[0].recognition_code == who["recognition_code"]


async def test_a_step_is_done_once_undone_once_and_answered_as_done_already(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    async with columns_office(place, desk, tmp_path) as (cards, behaviours, office):
        card = next(iter(cards.cards.values()))
        new = ("cn-45", "A99500001")
        request = step_request(
            "OLD_SUPERSEDED", number=card.person.identity_number, old=(ISSUERS[place], card.number), new=new
        )
        behaviours.set(STEP_TRADES[place], Switches(lose_answer=True), calls=1)
        with pytest.raises(OneCardError) as doubt:
            await office.carry_out(request)
        assert doubt.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
        again = await office.carry_out(request)
        assert again.was_already
        assert again.local_id
        await eventually(lambda: desk.states(card.number) == ["SUPERSEDED"])
        request.direction = replacement_pb2.STEP_DIRECTION_BACK
        assert not (await office.carry_out(request)).was_already
        await eventually(lambda: desk.states(card.number) == ["SUPERSEDED", "ACTIVE"])


@pytest.mark.parametrize("step", ["OLD_SUPERSEDED", "CREDENTIAL_FOLLOWED"])
async def test_what_was_never_done_is_undone_at_once_and_never_carried_out_later(
    place: str, step: str, tmp_path: Path
) -> None:
    async with columns_office(place, KeepingDesk(), tmp_path) as (cards, _, office):
        card = next(iter(cards.cards.values()))
        before, number = card.status, card.person.identity_number
        request = step_request(step, number=number, old=(ISSUERS[place], card.number), new=("cn-11", "A99000090"))
        request.direction = replacement_pb2.STEP_DIRECTION_BACK
        first, again = await office.carry_out(request), await office.carry_out(request)
        assert first.local_id == again.local_id != ""
        request.direction = replacement_pb2.STEP_DIRECTION_FORWARD
        with pytest.raises(OneCardError) as late:
            await office.carry_out(request)
        assert late.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM
        assert card.status == before
        assert not (await cards.show_cards({"identity_number": number}))["credential_on"]


async def test_what_hangs_on_a_card_follows_to_the_new_one_and_back(place: str, tmp_path: Path) -> None:
    async with columns_office(place, KeepingDesk(), tmp_path) as (cards, _, office):
        card = next(iter(cards.cards.values()))
        number = card.person.identity_number
        for step in ("ELECTRONIC_CARD_REBOUND", "CREDENTIAL_FOLLOWED", "MEDICAL_ACCOUNT_MOVED"):
            request = step_request(step, number=number, old=(ISSUERS[place], card.number), new=("cn-11", "A99000090"))
            await office.carry_out(request)
        shown = await cards.show_cards({"identity_number": number})
        hanging = ("electronic_card_on", "credential_on", "medical_account_on")
        assert [shown[name] for name in hanging] == ["A99000090"] * 3
        request.direction = replacement_pb2.STEP_DIRECTION_BACK
        await office.carry_out(request)
        assert (await cards.show_cards({"identity_number": number}))["medical_account_on"] == card.number


async def test_the_benefit_account_is_a_task_that_the_agency_confirms(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    async with columns_office(place, desk, tmp_path) as (cards, _, office):
        card = next(iter(cards.cards.values()))
        number = card.person.identity_number
        request = step_request(
            "BENEFIT_ACCOUNT_CHANGED", number=number, old=(ISSUERS[place], card.number), new=("cn-11", "A99000090")
        )
        await office.carry_out(request)
        await cards.confirm_benefit_account({"identity_number": number})
        with pytest.raises(ValueError, match="no task is open"):
            await cards.confirm_benefit_account({"identity_number": number})
    (confirmed,) = desk.confirmed
    assert (confirmed.replacement_id, confirmed.bank) == (request.replacement_id, "bank-102")


async def test_a_core_that_joins_tells_of_every_card(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    async with columns_office(place, desk, tmp_path) as (cards, _, _):
        count = (await cards.tell_all({}))["notices"]
        await eventually(lambda: len(desk.told) == count == len(cards.cards))


async def test_a_core_that_refuses_a_step_is_no_doubt(place: str, tmp_path: Path) -> None:
    async with columns_office(place, KeepingDesk(), tmp_path) as (_, _, office):
        with pytest.raises(OneCardError) as refused:
            await office.carry_out(
                step_request("OLD_SUPERSEDED", number="1", old=(ISSUERS[place], "A00000000"), new=("cn-11", "A1"))
            )
    assert refused.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM


async def test_a_card_that_one_replacement_ended_is_not_restored_by_undoing_another(place: str, tmp_path: Path) -> None:
    async with columns_office(place, KeepingDesk(), tmp_path) as (cards, _, office):
        card = next(iter(cards.cards.values()))
        request = step_request(
            "OLD_SUPERSEDED",
            number=card.person.identity_number,
            old=(ISSUERS[place], card.number),
            new=("cn-45", "A99500001"),
        )
        steps = []
        for replacement, direction in (("1", "FORWARD"), ("2", "FORWARD"), ("2", "BACK"), ("1", "BACK")):
            request.replacement_id = replacement * 32
            request.direction = getattr(replacement_pb2, f"STEP_DIRECTION_{direction}")
            await office.carry_out(request)
            steps.append(card.status == "1")
        assert steps == [False, False, False, True]


async def test_another_persons_card_is_not_ended(place: str, tmp_path: Path) -> None:
    desk = KeepingDesk()
    async with columns_office(place, desk, tmp_path) as (cards, _, office):
        card, other = list(cards.cards.values())[:2]
        card.certificate_kind, card.certificate_number = "8", "E1234567"
        named = {"old": (ISSUERS[place], card.number), "new": ("cn-45", "A99500001")}
        with pytest.raises(OneCardError) as refused:
            await office.carry_out(step_request("OLD_SUPERSEDED", number=other.person.identity_number, **named))  # type: ignore[arg-type]
        assert refused.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM
        assert (card.status, len(cards.notices)) == ("1", 0)
        await office.carry_out(step_request("OLD_SUPERSEDED", number="e1234567", **named))  # type: ignore[arg-type]
        assert card.status != "1"


async def test_a_card_is_found_as_it_stands_and_one_that_was_never_made_is_none(place: str, tmp_path: Path) -> None:
    async with columns_office(place, KeepingDesk(), tmp_path) as (cards, behaviours, office):
        card = next(iter(cards.cards.values()))
        reference = values_pb2.CardReference(issuer=ISSUERS[place], number=card.number, sequence=1)
        found = await office.find(reference)
        assert isinstance(found, LocalCard)
        assert found.state == values_pb2.SOCIAL_STATE_ACTIVE
        assert await office.find(values_pb2.CardReference(issuer=ISSUERS[place], number="A00000000")) is None
        assert await office.find(values_pb2.CardReference(issuer="cn-11", number=card.number)) is None
        if ISSUERS[place] == "cn-51":
            card.status = "6"  # 特殊制卡数据作废: the card has ended, and the hub must hear of it.
            ended = await office.find(reference)
            assert isinstance(ended, LocalCard)
            assert ended.state == values_pb2.SOCIAL_STATE_CANCELLED
        card.status = "Q"
        with pytest.raises(OneCardError) as refused:
            await office.find(reference)
        assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE
        behaviours.set(QUERY_TRADES[place], Switches(down=True))
        with pytest.raises(OneCardError) as refused:
            await office.find(reference)
        assert refused.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN


async def test_a_copy_of_anothers_card_is_kept_by_its_newest_version(place: str, tmp_path: Path) -> None:
    async with columns_office(place, KeepingDesk(), tmp_path) as (cards, _, office):
        change = change_pb2.ReportSocialChangeRequest(
            person=exchange_values_pb2.PersonIdentity(number="110000196201019924"),
            card=values_pb2.CardReference(issuer="cn-11", number="A99000080", sequence=1),
            version=3,
            state=values_pb2.SOCIAL_STATE_LOST,
            holder=values_pb2.HolderDetails(name="周小测"),
        )
        await office.tell(change)
        change.version, change.state = 2, values_pb2.SOCIAL_STATE_ACTIVE
        await office.tell(change)
        (copy,) = cards.copies.values()
        assert (copy["aaz502"], copy["ykz514"], copy["aac003"]) == ("2", "3", "周小测")
        # What the core cannot hold is left out, and the loss is told.
        change.data.bank, change.holder.name = "bank-999", "刘𬱖"
        change.version, change.state = 4, values_pb2.SOCIAL_STATE_LOST
        await office.tell(change)
        (copy,) = cards.copies.values()
        assert (copy["aaz502"], copy["ykz514"], "aae008" in copy) == ("2", "4", False)
        assert copy.get("aac003") == ("刘𬱖" if place == "guangdong" else None)
        change.state = values_pb2.SOCIAL_STATE_UNSPECIFIED
        with pytest.raises(OneCardError) as refused:
            await office.tell(change)
        assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE
