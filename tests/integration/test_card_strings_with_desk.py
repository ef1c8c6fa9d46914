"""Guangxi's office over the real desk and its store: versions in order, repeats without effect, after a restart too."""

import logging
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, status_pb2
from onecard_stubs.guangxi import records
from tests.support.card_desk import desk_world
from tests.support.card_offices import KeepingDesk, guangxi, told_of_a_foreigner
from tests.support.eventually import eventually


async def test_a_card_lives_its_life_in_versions_and_a_batch_after_a_restart_adds_none(tmp_path: Path) -> None:
    file = tmp_path / "cn-45.sqlite"
    async with desk_world(file, participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        person = stub.population.people[0]
        who = {"identity_number": person.identity_number}
        for count, act in enumerate((stub.report_lost, stub.report_found, stub.report_lost), start=1):
            await act(who)
            await eventually(lambda count=count: len(world.told()) >= count)  # type: ignore[misc]
        number = person.card_number
        assert world.social() == [
            (number, 1, "TEMPORARILY_LOST", "TEMPORARILY_LOST"),
            (number, 2, "FOUND", "ACTIVE"),
            (number, 3, "TEMPORARILY_LOST", "TEMPORARILY_LOST"),
        ]
        office = stub.office
    async with desk_world(file, participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        # The same office, an adapter that was started again.
        stub.office.books = office.books
        await stub.hourly_batch({"repeats": 3, "seed": 1})
        await eventually(lambda: not stub.notices)
        assert not world.told()


async def test_a_reissue_is_told_as_produced_and_enabled_with_what_it_replaces(tmp_path: Path) -> None:
    async with desk_world(tmp_path / "cn-45.sqlite", participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        person = stub.population.people[0]
        await stub.fail_enabling({"times": 1})
        done = await stub.reissue({"identity_number": person.identity_number, "through_adapter": True})
        new = done["card_number"]
        await eventually(lambda: any(row[0] == new and row[3] == "ACTIVE" for row in world.social()))
        events = [event for event in world.told() if isinstance(event, change_pb2.ReportSocialChangeRequest)]
    assert [row[1:] for row in world.social() if row[0] == new] == [
        (1, "PRODUCED", "PRODUCED"),
        (2, "DATA_CHANGED", "PRODUCED"),
        (3, "ENABLED", "ACTIVE"),
    ]
    assert events[-1].replaces.number == person.card_number


async def test_a_card_that_was_handed_out_is_told_as_issued_before_it_is_enabled(tmp_path: Path) -> None:
    async with desk_world(tmp_path / "cn-45.sqlite", participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        card = stub.office.card_of(stub.population.people[0])
        for count, status in enumerate((records.TO_COLLECT, records.COLLECTED, records.ACTIVE), start=1):
            stub.office.change(card, status)
            await eventually(lambda count=count: len(world.told()) == count)  # type: ignore[misc]
    assert world.social() == [
        (card.number, 1, "PRODUCED", "PRODUCED"),
        (card.number, 2, "ISSUED", "PRODUCED"),
        (card.number, 3, "ENABLED", "ACTIVE"),
    ]
    statuses = [event.local_status for event in world.told()]  # type: ignore[attr-defined]
    assert [(status.system, status.code) for status in statuses] == [
        ("cn-45.aaz502", code) for code in ("02", "03", "04")
    ]


async def test_a_foreigners_card_is_told_under_the_certificate_with_all_that_the_chip_holds(tmp_path: Path) -> None:
    async with desk_world(tmp_path / "cn-45.sqlite", participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        card = stub.office.card_of(stub.population.people[0])
        card.certificate_kind, card.certificate_number = "8", "e1234567"
        stub.office.change(card, records.LOST)
        await eventually(lambda: len(world.told()) == 1)
    (event,) = world.told()
    change = told_of_a_foreigner(event, card.person.identity_number, card.certificate_serial)
    assert not change.data.HasField("expiry_day")


async def test_a_card_that_was_told_does_not_vanish_with_its_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with desk_world(tmp_path / "cn-45.sqlite", participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        card = stub.office.card_of(stub.population.people[0])
        stub.office.change(card, records.RETURN_FAILED)
        await eventually(lambda: not stub.notices)
        stub.office.change(card, records.ACTIVE)
        await eventually(lambda: len(world.told()) == 1)
        assert not caplog.records
        stub.office.change(card, records.RETURN_FAILED)
        await eventually(lambda: "one was told, which has not ended" in caplog.text)
        assert len(stub.notices) == 1, "the office does not tell it again"
        stub.office.change(card, records.CANCELLED)
        await eventually(lambda: not stub.notices)
        assert world.social()[1:] == [(card.number, 2, "CANCELLED", "CANCELLED")]
        stub.office.change(card, records.RETURN_FAILED)
        await eventually(lambda: not stub.notices)


async def test_a_loss_of_a_card_that_cannot_be_read_whole_is_told_with_what_was_told_last(tmp_path: Path) -> None:
    async with desk_world(tmp_path / "cn-45.sqlite", participant="cn-45") as world, guangxi(world.desk) as (stub, _):
        card = stub.office.card_of(stub.population.people[0])
        stub.office.change(card, records.ACTIVE)
        await eventually(lambda: len(world.told()) == 1)
        card.certificate_kind = "ZZ"
        stub.office.change(card, records.LOST)
        await eventually(lambda: len(world.told()) == 2)
        assert world.social()[1] == (card.number, 2, "LOST", "LOST")
        before, lost = world.told()
        assert (lost.person, lost.data, lost.holder) == (before.person, before.data, before.holder)  # type: ignore[attr-defined]
        await eventually(lambda: len(stub.notices) == 1)


async def test_a_foreigner_at_a_counter_is_asked_about_by_the_certificate_that_the_card_was_told_under() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        card = stub.office.card_of(stub.population.people[0])
        desk.verdicts[card.number] = status_pb2.CARD_VERDICT_VALID
        answer = await stub.verify(
            {
                "identity_number": card.person.identity_number,
                "card_number": card.number,
                "certificate_kind": "8",
                "certificate_number": "E1234567",
            }
        )
    assert answer["is_usable"]
    (question,) = desk.questions
    assert (question.person.kind.code, question.person.number) == ("08", "E1234567")
