"""The stub of Beijing's card office and the dialect that reads it, on a real SQLite and a real PostgreSQL."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.dialects.card_tables.office import CardTablesOffice, build_office
from onecard_adapters.runtime.context import Refused
from onecard_protocol.errors import OneCardError
from onecard_stubs.behaviour import Switches
from onecard_stubs.beijing.core import BeijingCardOffice
from tests.support.card_desk import DeskWorld, desk_world
from tests.support.card_tables import card_settings
from tests.support.eventually import eventually

pytest_plugins = ("tests.support.engines", "tests.support.card_tables_databases")

ENCRYPTED = ["aac002", "aac003", "aac007", "aae010"]
HOLDERS = 12
FIRST = HOLDERS + 4  # The rare-named have cards too.


class Beijing:
    """The stub, the dialect over it, and what the dialect told."""

    def __init__(self, stub: BeijingCardOffice, world: DeskWorld, office: CardTablesOffice) -> None:
        self.stub = stub
        self.world = world
        self.office = office
        self.people = stub.population.people

    async def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """A command of the control API."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.stub.url}/control/command/{name}", json=arguments) as response,
        ):
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    def told(self) -> list[tuple[str, int, str, str]]:
        """The social events after the first reading."""
        return self.world.social()[FIRST:]


@pytest.fixture
async def beijing(tmp_path: Path, url: str) -> AsyncIterator[Beijing]:
    key_file = tmp_path / "office.key"
    stub = BeijingCardOffice(url, key_file, holders=HOLDERS, reserve=20)
    async with contextlib.AsyncExitStack() as stack:
        await stub.start()
        stack.push_async_callback(stub.stop)
        world = await stack.enter_async_context(desk_world(tmp_path / "store.sqlite"))
        database = {"encrypted": ENCRYPTED, "key_file": key_file}
        settings = card_settings(tmp_path, url, database=database)
        office = build_office(settings, "cn-11", world.desk, world.store)
        await office.start()
        stack.push_async_callback(office.stop)
        await eventually(lambda: len(world.social()) == FIRST)
        yield Beijing(stub, world, office)


async def test_all_holders_are_told_with_valid_numbers_and_their_names(beijing: Beijing) -> None:
    names = {event.holder.name for event in beijing.world.told()}  # type: ignore[attr-defined]
    assert {person.name for person in (*beijing.people[:HOLDERS], *beijing.stub.population.rare_named)} == names
    assert not beijing.office.reader.dead_rows


async def test_a_loss_at_the_hotline_is_told_after_its_commit(beijing: Beijing) -> None:
    person = beijing.people[3]
    lost = await beijing.command("report_lost", identity_number=person.identity_number, is_formal=True)
    await eventually(lambda: len(beijing.told()) == 1)
    assert 0 <= time.time_ns() // 1_000_000 - lost["committed_ms"] < 30_000
    await beijing.command("report_found", identity_number=person.identity_number)
    await eventually(lambda: len(beijing.told()) == 2)
    number = person.card_number
    assert beijing.told() == [(number, 2, "LOST", "LOST"), (number, 3, "FOUND", "ACTIVE")]


async def test_a_temporary_loss_ends_by_itself(beijing: Beijing) -> None:
    person = beijing.people[4]
    await beijing.command("report_lost", identity_number=person.identity_number)
    # The tables hold no history: a loss that were over before the next reading would not have been for the dialect.
    await eventually(lambda: len(beijing.told()) == 1)
    await beijing.command("report_lost", identity_number=person.identity_number, release_after_s=0)
    await eventually(lambda: len(beijing.told()) == 2)
    assert [step[2] for step in beijing.told()] == ["TEMPORARILY_LOST", "FOUND"]


async def test_hourly_batches_and_statuses_that_disagree_tell_nothing(beijing: Beijing) -> None:
    first, second = (person.identity_number for person in beijing.people[5:7])
    await beijing.command("report_lost", identity_number=first, is_formal=True)
    await eventually(lambda: len(beijing.told()) == 1)
    batch = await beijing.command("hourly_batch", repeats=3, seed=7)
    assert batch["rows"] == 3
    await beijing.command("disagree", identity_number=first, aac019=1, ckkstatus="1")
    await beijing.command("report_lost", identity_number=second, is_formal=True)
    await eventually(lambda: len(beijing.told()) == 2)
    assert [step[:2] for step in beijing.told()] == [(person.card_number, 2) for person in beijing.people[5:7]]


async def test_an_employers_batch_tells_the_cards_that_were_made(beijing: Beijing) -> None:
    opened = await beijing.command("open_batch", count=12, failures=2)
    assert (opened["opened"], opened["failed"]) == (10, 2)
    await eventually(lambda: len(beijing.told()) == 10)
    await beijing.command("enable", identity_number=opened["identity_numbers"][-1])
    await eventually(lambda: len(beijing.told()) == 11)
    assert {step[2] for step in beijing.told()[:10]} == {"PRODUCED"}
    assert beijing.told()[-1][1:] == (2, "ENABLED", "ACTIVE")


@pytest.mark.parametrize("kind", ["2", "3", "4"])
async def test_a_replacement_names_the_card_that_it_replaces(beijing: Beijing, kind: str) -> None:
    person = beijing.people[8]
    made = await beijing.command("replace", identity_number=person.identity_number, kind=kind)
    await eventually(lambda: len(beijing.told()) >= 1 and beijing.told()[-1][3] == "ACTIVE")
    event: Any = beijing.world.told()[-1]
    is_same = kind == "4"
    assert (made["card_number"] == person.card_number) == is_same
    assert (event.card.number, event.card.sequence) == (made["card_number"], 2 if is_same else 1)
    assert event.replaces == values_pb2.CardReference(issuer="cn-11", number=person.card_number, sequence=1)
    assert event.data.production_kind.code == kind
    assert event.data.is_contactless
    assert event.data.generation == 3


def _step(beijing: Beijing, step: replacement_pb2.ReplacementStep) -> replacement_pb2.CarryOutStepRequest:
    person = beijing.people[9]
    return replacement_pb2.CarryOutStepRequest(
        person=exchange_values_pb2.PersonIdentity(number=person.identity_number),
        replacement_id="0123456789abcdef" * 2,
        step=step,
        direction=replacement_pb2.STEP_DIRECTION_FORWARD,
        old_card=values_pb2.CardReference(issuer="cn-11", number=person.card_number, sequence=1),
        new_card=values_pb2.CardReference(issuer="cn-11", number="A99500999", sequence=1),
    )


async def test_the_office_works_off_the_steps_of_a_replacement(beijing: Beijing) -> None:
    steps = [
        getattr(replacement_pb2, f"REPLACEMENT_STEP_{name}")
        for name in ("OLD_SUPERSEDED", "ELECTRONIC_CARD_REBOUND", "CREDENTIAL_FOLLOWED", "MEDICAL_ACCOUNT_MOVED")
    ]
    for step in steps:
        done = await beijing.office.carry_out(_step(beijing, step))
        assert done.local_id
        assert (await beijing.office.carry_out(_step(beijing, step))).was_already
    await eventually(lambda: len(beijing.told()) == 1)
    assert beijing.told()[0][2] == "SUPERSEDED"


async def test_a_step_that_the_office_holds_up_or_refuses_is_not_done(
    beijing: Beijing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beijing.office, "_step_wait_s", 0.2)
    beijing.stub.behaviours.set("step-个人账户划转", Switches(down=True))
    with pytest.raises(OneCardError) as held:
        await beijing.office.carry_out(_step(beijing, replacement_pb2.REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED))
    assert held.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
    beijing.stub.behaviours.set("step-医保凭证换绑", Switches(wrong_code=True))
    monkeypatch.undo()
    with pytest.raises(Refused):
        await beijing.office.carry_out(_step(beijing, replacement_pb2.REPLACEMENT_STEP_CREDENTIAL_FOLLOWED))


async def test_the_agency_confirms_the_benefit_account(beijing: Beijing) -> None:
    await beijing.office.carry_out(_step(beijing, replacement_pb2.REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED))
    number = beijing.people[9].identity_number
    await beijing.command("confirm_benefit_account", identity_number=number, bank="103")
    await eventually(lambda: len(beijing.world.registry.confirmed) == 1)
    (told,) = beijing.world.registry.confirmed
    assert (told.person.number, told.replacement_id, told.bank) == (number, "0123456789abcdef" * 2, "bank-103")
