"""The comparison as signed messages through the hub's own door: found, repaired, and gone at the next look."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import Result

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards import book
from onecard_adapters.cards.book import BookEntry
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.servicers import register_cards
from onecard_adapters.sdk.exchange import Exchange
from onecard_broker.directory.model import Directory
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain.card_state import Cardholder
from onecard_broker.operations.card_drift import ScopeDrift, find_drift
from onecard_broker.operations.hub_calls import HubCalls
from onecard_broker.records.card_cases import list_cases
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from tests.support.card_copies import NotingOffice
from tests.support.card_drift import fill_registry, make_holder
from tests.support.card_reports import CARDS, recognition_code, social_report
from tests.support.directories import MEDICAL, NETWORK, numbered, put_participant
from tests.support.gateway import METHODS, Hub, eventually, running_hub
from tests.support.hub_calls import hub_calls
from tests.support.hub_provinces import exchange_of
from tests.support.operators import Operator

pytest_plugins = ("tests.support.engines",)

PROVINCE = "cn-51"
REPORTED_S = 3.0
"""Longer than a report takes from the province to the registry, on a busy machine."""
ISSUED = comparison_pb2.COMPARISON_SCOPE_ISSUED


@dataclasses.dataclass(slots=True, kw_only=True)
class Country:
    """The hub with one province, and the hub's calls."""

    hub: Hub
    database: LiveConnection
    directory: Directory
    calls: HubCalls
    exchange: Exchange
    desk: ExchangeCardDesk
    office: NotingOffice

    async def find(self, *, is_repairing: bool) -> list[ScopeDrift]:
        """As the command does."""
        stub = CardComparisonServiceStub(self.calls.to(PROVINCE))
        settle_s = REPORTED_S if is_repairing else 0
        return await find_drift(
            PROVINCE, stub, self.database, self.directory, is_repairing=is_repairing, settle_s=settle_s
        )


@pytest.fixture
async def country(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Country]:
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running_hub(postgres_dsn, tmp_path / "hub"))
        database = LiveConnection(postgres_dsn, application_name="test drift")
        stack.push_async_callback(database.close)
        store = DirectoryStore(database)
        first = (await store.load()).version + 1
        await store.append(
            numbered(put_participant(PROVINCE, (MEDICAL, CARDS)), first=first),
            hub.signers["cn-00"],
            network=NETWORK,
            now_ms=now_ms(),
        )
        await eventually(lambda: hub.gateways[0]._directory.directory.version >= first)
        exchange, office = exchange_of(hub, tmp_path, PROVINCE), NotingOffice()
        desk = ExchangeCardDesk(exchange)
        register_cards(exchange, desk, office, is_bank=False)
        await stack.enter_async_context(exchange)
        await exchange.wait_ready()
        await eventually(lambda: hub.gateways[0]._recipients.is_reading(PROVINCE))
        directory = await store.load()
        calls = await stack.enter_async_context(hub_calls(hub, directory))
        yield Country(
            hub=hub,
            database=database,
            directory=directory,
            calls=calls,
            exchange=exchange,
            desk=desk,
            office=office,
        )


@pytest.fixture
def operator(country: Country, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(country.hub, postgres_dsn, tmp_path, monkeypatch)


async def told_once(country: Country, event: change_pb2.ReportSocialChangeRequest) -> None:
    """Let the book and the copy say that a version was told which the hub never saw."""
    sealer = country.exchange.sealer
    entry = BookEntry(version=event.version, state=event.state, digest=bytes(16))

    def write(connection: object) -> None:
        key = book.book_key(sealer, event.card, change_pb2.CARD_MACHINE_SOCIAL)
        book.put(connection, sealer, key, entry, event.SerializeToString(), is_told=True)  # type: ignore[arg-type]
        country.desk.copies.take(connection, event)  # type: ignore[arg-type]

    await country.exchange.store.run(write)


@pytest.mark.timeout(180)
async def test_differences_are_repaired_by_signed_messages_and_then_there_are_none(country: Country) -> None:
    resident = make_holder(7, "cn-11", "510100")
    await fill_registry(await country.database.get(), [resident, *strangers(20)])
    unheard = social_report(991, version=1, issuer=PROVINCE)
    unheard.data.recognition_code = recognition_code(991, "510100")
    await told_once(country, unheard)

    issued, followed = await country.find(is_repairing=True)

    assert issued.found == issued.repaired == {"missing-here": 1}
    assert followed.found == followed.repaired == {"missing-there": 1}
    assert [change.card.number for change in country.office.told] == ["A00000007", "A00000007"]
    assert not any(one.found for one in await country.find(is_repairing=False))
    assert not await list_cases(await country.database.get())


@pytest.mark.timeout(180)
async def test_a_report_that_the_hub_refuses_repairs_nothing_and_is_listed(country: Country) -> None:
    first, second = enabled(991, "A00000991"), enabled(991, "A00000992")
    await told_once(country, first)
    assert (await country.find(is_repairing=True))[0].repaired == {"missing-here": 1}
    await told_once(country, second)

    issued, _ = await country.find(is_repairing=True)

    assert (issued.found, issued.repaired, issued.listed) == ({"missing-here": 1}, {}, {"missing-here": 1})
    assert [case.number for case in await list_cases(await country.database.get())] == [second.card.number]


async def test_a_card_that_breaks_a_rule_is_left_to_a_person_and_holds_up_no_other(country: Country) -> None:
    residents = [make_holder(serial, "cn-11", "510100") for serial in range(30)]
    card = dataclasses.replace(residents[13].cards[0], bank_card_number="1")
    residents[13] = dataclasses.replace(residents[13], cards=(card,))
    await fill_registry(await country.database.get(), residents)
    _, followed = await country.find(is_repairing=True)
    assert followed.found == {"missing-there": 30}
    assert followed.repaired == {"missing-there": 29}
    assert [case.number for case in await list_cases(await country.database.get())] == ["A00000013"]


@pytest.mark.timeout(180)
async def test_the_command_finds_and_repairs_and_says_by_its_exit_code_what_is_left(
    country: Country, operator: Operator
) -> None:
    resident, own = make_holder(7, "cn-11", "510100"), make_holder(8, PROVINCE, "510100")
    await fill_registry(await country.database.get(), [resident, *strangers(5)])
    unheard = social_report(991, issuer=PROVINCE)
    unheard.data.recognition_code = recognition_code(991, "510100")
    await told_once(country, unheard)

    looked = await operator.run("drift", PROVINCE, "--no-repair", "--json")
    assert looked.exit_code == ExitCode.FOUND_WRONG
    assert not country.office.told
    assert counted(looked) == [({"missing-here": 1}, {}, {}), ({"missing-there": 1}, {}, {})]

    repaired = await operator.run("drift", PROVINCE)
    assert repaired.exit_code == ExitCode.DONE
    assert {change.card.number for change in country.office.told} == {resident.cards[0].number}
    for scope, kind in (("issued", "missing-here"), ("followed", "missing-there")):
        assert re.search(rf"{scope}\W+{kind}\W+1\W+1\W+0\W", repaired.stdout), repaired.stdout

    again = await operator.run("drift", PROVINCE, "--json")
    assert (again.exit_code, counted(again)) == (ExitCode.DONE, [({}, {}, {})] * 2)

    await fill_registry(await country.database.get(), [own])
    left = await operator.run("drift", PROVINCE, "--json")
    assert left.exit_code == ExitCode.FOUND_WRONG
    assert counted(left) == [({"missing-there": 1}, {}, {"missing-there": 1}), ({}, {}, {})]
    assert [case.number for case in await list_cases(await country.database.get(), PROVINCE)] == [own.cards[0].number]

    told = [unheard.person.number, unheard.card.number, unheard.data.recognition_code, unheard.holder.name]
    for holder in (resident, own):
        card = holder.cards[0]
        told += [holder.number, holder.subject, holder.name]
        told += [card.number, card.recognition_code, card.bank_card_number]
    printed = "".join(result.output for result in (looked, repaired, again, left))
    assert all(told)
    assert not [one for one in told if one in printed]


def counted(result: Result) -> list[tuple[dict[str, int], ...]]:
    """What was found, repaired and listed, by scope, of a command's JSON."""
    told = json.loads(result.stdout)
    assert told["participant"] == PROVINCE
    return [(scope["found"], scope["repaired"], scope["listed"]) for scope in told["scopes"]]


def enabled(serial: int, number: str) -> change_pb2.ReportSocialChangeRequest:
    """A card of a person is in use, its issuer says."""
    report = social_report(
        serial,
        change=change_pb2.SOCIAL_CHANGE_ENABLED,
        state=values_pb2.SOCIAL_STATE_ACTIVE,
        issuer=PROVINCE,
    )
    report.card.number = number
    report.data.recognition_code = recognition_code(int(number[1:]), "510100")
    return report


def strangers(count: int) -> list[Cardholder]:
    return [make_holder(serial, "cn-11", "110000") for serial in range(100, 100 + count)]


async def test_what_the_province_refuses_is_refused_with_its_reason(country: Country) -> None:
    stub = CardComparisonServiceStub(country.calls.to(PROVINCE))
    with pytest.raises(OneCardError) as refused:
        await stub.ReadDigests(comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=9, prefixes=[""]))
    assert refused.value.reason == errors_pb2.ERROR_REASON_PAYLOAD_INVALID
    assert refused.value.violations == (("depth", "is not 1 to 5"),)


async def test_what_the_gateway_refuses_is_refused_with_its_reason(country: Country) -> None:
    stub = CardComparisonServiceStub(country.calls.to("cn-44"))
    with pytest.raises(OneCardError) as refused:
        await stub.ReadDigests(comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=1, prefixes=[""]))
    assert refused.value.reason == errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED


async def test_an_answer_by_a_key_that_the_directory_does_not_know_is_not_taken(country: Country) -> None:
    known = {key_id: key for key_id, key in country.directory.keys.items() if key.participant != PROVINCE}
    calls = HubCalls(
        country.calls._channel,
        network=NETWORK,
        directory=dataclasses.replace(country.directory, keys=known),
        methods=METHODS,
        signer=country.hub.signers["cn-00"],
        verifier=BlockVerifier(native_engine()),
    )
    stub = CardComparisonServiceStub(calls.to(PROVINCE))
    with pytest.raises(OneCardError) as refused:
        await stub.ReadDigests(comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=1, prefixes=[""]))
    assert refused.value.reason == errors_pb2.ERROR_REASON_KEY_UNKNOWN
