"""Guangxi's office over the real desk and its store: versions in order, repeats without effect, after a restart too."""

from pathlib import Path

from onecard.card.v1 import change_pb2
from tests.support.card_desk import desk_world
from tests.support.card_offices import guangxi
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
