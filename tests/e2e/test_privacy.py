"""After good and bad days of a country no personal number stands where numbers must not stand."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from onecard_broker.journal import CONTROL_TOPIC, JOURNAL_TOPIC, inbox_topic
from onecard_broker.log.port import LoggedRecord
from onecard_stubs.behaviour import Switches
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.population import Person, Population
from tests.support.country import records_of
from tests.support.load import SteadfastHospital, Ward, area_of, flows_go_on, patients, steady_load
from tests.support.personal_numbers import PersonalNumbers
from tests.support.reckoning import everything_agrees, read_encounters

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("countries"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

# A person of Sichuan whom its core does not know, and a number whose last digit is wrong.
STRANGER = Population(seed=2, count=1_000).people[-1]
MISTYPED = patients(1)[0].identity_number[:-1] + ("1" if patients(1)[0].identity_number[-1] != "1" else "2")
NUMBERS = PersonalNumbers((*Population(), *Population().rare_named, STRANGER), others=[MISTYPED])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """A country on which much went wrong, while it still runs."""

    country: Country
    ward: Ward


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def aftermath(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Aftermath]:
    directory: Path = tmp_path_factory.mktemp("country")
    async with Country(CountryPlan(), directory) as country, Ward(country) as ward:
        await bad_input(ward)
        async with steady_load(ward, patients(3)):
            await flows_go_on(ward, 2)
            await ward.core.behave("0304", Switches(lose_answer=True), calls=2)
            await flows_go_on(ward, 1)
            # The worker last: one that starts while the database is away says so and ends.
            for name in ("adapter-cn-51", "adapter-cn-44", "gateway-1", "postgres", "worker-1"):
                await country.kill(name)
                await country.restart(name)
            await flows_go_on(ward, 2, timeout_s=180)
        await everything_agrees(country, ward)
        yield Aftermath(country=country, ward=ward)


async def bad_input(ward: Ward) -> None:
    """What hospitals get wrong; each is refused."""
    hospital = ward.hospital
    known = await ward.receive(patients(1)[0])
    mistyped = dataclasses.replace(known, identity_number=MISTYPED)
    unencodable = Population().rare_named[0]
    for person in (mistyped, STRANGER, unencodable):
        await hospital.identify(person, insurance_area=area_of(person))
        await hospital.identify_by_card(person, insurance_area=area_of(person))
    assert await is_refused(hospital, mistyped)
    assert await is_refused(hospital, STRANGER)
    stay = await ward.admit(known)
    stay.totals = (stay.totals[0] + 1, *stay.totals[1:])
    assert not (await hospital.settle(stay)).is_success
    assert not (await hospital.cancel(stay, "A9900000000000000001")).is_success
    stay.visit_id = known.identity_number
    assert not (await hospital.pre_settle(stay)).is_success
    await ward.core.behave("0303", Switches(wrong_code=True), calls=1)
    assert not (await hospital.pre_settle(await ward.admit(known))).is_success


async def is_refused(hospital: SteadfastHospital, person: Person) -> bool:
    answer = await hospital.identify(person, insurance_area=area_of(person))
    return not answer.is_success


async def test_no_log_of_any_process_holds_a_personal_number(aftermath: Aftermath) -> None:
    files = [*aftermath.country.directory.rglob("*.log"), aftermath.country.directory / "postgres" / "log"]
    logs = {file.name: file.read_bytes() for file in files}
    assert b"PreSettle" in logs["gateway-1.log"]
    assert {name: NUMBERS.found_in(content) for name, content in logs.items()} == {name: [] for name in logs}


async def test_no_key_and_no_header_of_the_log_holds_a_personal_number(aftermath: Aftermath) -> None:
    records = await all_records(aftermath.country)
    assert any(NUMBERS.found_in(record.value) for record in records), "the payloads do hold them"
    for record in records:
        assert NUMBERS.found_in(record.key) == []
        for name, value in record.headers:
            assert (name, NUMBERS.found_in(value), NUMBERS.found_in_base64(value)) == (name, [], [])


async def test_no_refusal_that_a_cashier_reads_holds_a_personal_number(aftermath: Aftermath) -> None:
    texts = [
        answer.text
        for trade in aftermath.ward.hospital.trades.values()
        for answer in trade.answers
        if not answer.is_success
    ]
    assert len(texts) >= 6
    assert [text for text in texts if NUMBERS.found_in(text)] == []


async def test_no_store_of_an_adapter_holds_a_personal_number_in_clear(aftermath: Aftermath) -> None:
    for participant, store in aftermath.country.running().adapter_stores.items():
        for file in store.parent.glob(f"{store.name}*"):
            content = file.read_bytes()
            assert (file.name, NUMBERS.found_in(content)) == (file.name, [])
        assert participant in ("cn-44", "cn-51")
        assert b"/onecard.medical.v1.SettlementService/Settle" in store.read_bytes() + wal_of(store)


async def test_no_command_about_messages_prints_a_personal_number(aftermath: Aftermath) -> None:
    country = aftermath.country
    listed = await run_onecard(country, "message", "list", "--limit", "40", "--json")
    newest = [str(message["id"]) for message in json.loads(listed)]
    transaction = next(found for stay in await read_encounters(country) for found in stay.transactions)
    for arguments in (
        ("list",),
        ("show", transaction.id.hex()),
        ("trace", transaction.id.hex()),
        ("trace", *newest, "--json"),
        ("audit",),
    ):
        printed = await run_onecard(country, "message", *arguments)
        assert b"Settle" in printed or b"in the journal" in printed
        assert NUMBERS.found_in(printed) == []


async def test_the_search_finds_numbers_in_every_form() -> None:
    person = patients(1)[0]
    assert NUMBERS.found_in(f"no such person {person.identity_number.lower()}!") == [person.identity_number]
    assert NUMBERS.found_in(f"tel {person.telephone}") == [person.telephone]
    assert NUMBERS.found_in(b"\x12\x12" + person.bank_card_number.encode() + b"\x1a") == [person.bank_card_number]


def wal_of(store: Path) -> bytes:
    file = store.with_name(f"{store.name}-wal")
    return file.read_bytes() if file.exists() else b""


async def all_records(country: Country) -> list[LoggedRecord]:
    """Every record of the journal, the inboxes and the control topic."""
    inboxes = map(inbox_topic, country.plan.provinces)
    return await records_of(country.hub_config, JOURNAL_TOPIC, CONTROL_TOPIC, *inboxes)


async def run_onecard(country: Country, *arguments: str) -> bytes:
    """What a command of the hub prints, errors included."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "onecard_protocol.cli",
        *arguments,
        "--config",
        str(country.hub_config),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Wide enough that no table folds a number.
        env={**os.environ, "COLUMNS": "300"},
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed[-2000:].decode()
    return printed
