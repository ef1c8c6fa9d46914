"""A bank's accounts from its notices to the desk: batches, repeats, what disagrees with the card office, bad input."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import LocalAccount
from onecard_adapters.connectors.http import LocalHttpServers
from onecard_adapters.dialects.bank_accounts import wire
from onecard_adapters.dialects.bank_accounts.office import build_bank
from onecard_adapters.dialects.bank_accounts.settings import BankAccountsSettings
from onecard_adapters.dialects.served_office import ServedOffice
from onecard_protocol.errors import OneCardError
from onecard_stubs.bank.core import QUERY, BankCore
from onecard_stubs.behaviour import Switches
from onecard_stubs.population import Population
from tests.support.card_offices import CODES, KeepingDesk, running
from tests.support.eventually import eventually

_PEOPLE = Population(province_area="450000").people


def _settings(url: str) -> BankAccountsSettings:
    return BankAccountsSettings.model_validate(
        {
            "dialect": "bank-accounts",
            "participant": "bank-102",
            "listen": {"port": 0, "path": "/bank"},
            "core": {"url": url},
            "code_tables": CODES / "bank-accounts.yaml",
        }
    )


@contextlib.asynccontextmanager
async def _bank(desk: KeepingDesk) -> AsyncIterator[tuple[BankCore, ServedOffice]]:
    core = BankCore()
    await core.start()
    servers = LocalHttpServers()
    office = build_bank(_settings(core.url), desk, servers)
    try:
        async with running(office, servers) as address:
            core.adapter_url = address
            yield core, office
    finally:
        await core.stop()


async def _until_told(desk: KeepingDesk, count: int) -> None:
    await eventually(lambda: len(desk.told) == count)


def _cards(count: int) -> dict[str, Any]:
    return {
        "cards": [
            {"issue_prov": "45", "card_number": person.card_number, "identity_number": person.identity_number}
            for person in _PEOPLE[:count]
        ]
    }


async def test_an_employers_batch_is_told_account_by_account() -> None:
    desk = KeepingDesk()
    async with _bank(desk) as (core, _):
        assert (await core.open(_cards(120)))["opened"] == 120
        await eventually(lambda: len(desk.told) == 120)
    told = desk.told[0]
    assert isinstance(told, LocalAccount)
    assert told.card == values_pb2.CardReference(issuer="cn-45", number=_PEOPLE[0].card_number, sequence=1)
    assert told.person.number == _PEOPLE[0].identity_number
    assert told.state == values_pb2.FINANCIAL_STATE_NOT_ACTIVATED
    assert (told.local_status.system, told.local_status.code) == ("bank-102.acctStatus", "0")


async def test_an_account_lives_its_life_whatever_the_card_offices_say_of_its_card() -> None:
    desk = KeepingDesk()
    number = _PEOPLE[0].card_number
    async with _bank(desk) as (core, _):
        await core.open(_cards(1))
        await _until_told(desk, 1)
        for count, status in enumerate(["1", "2", "1", "3", "1", "9"], start=2):
            await core.set_status({"card_number": number, "status": status})
            await _until_told(desk, count)
    assert desk.states(number) == ["NOT_ACTIVATED", "ACTIVE", "FROZEN", "ACTIVE", "LOST", "ACTIVE", "CLOSED"]


async def test_repeats_in_any_order_tell_nothing_that_is_not_so_now() -> None:
    desk = KeepingDesk()
    async with _bank(desk) as (core, _):
        await core.open(_cards(3))
        await _until_told(desk, 3)
        await core.set_status({"card_number": _PEOPLE[1].card_number, "status": "1"})
        await eventually(lambda: desk.states(_PEOPLE[1].card_number)[-1:] == ["ACTIVE"])
        before = len(desk.told)
        assert (await core.hourly_batch({"repeats": 3, "seed": 5}))["accounts"] == 12
        await eventually(lambda: not core.notices)
        assert len(desk.told) == before
        # A change that nobody told of is found by the batch.
        await core.set_status({"card_number": _PEOPLE[2].card_number, "status": "2", "is_told": False})
        await core.hourly_batch({})
        await eventually(lambda: desk.states(_PEOPLE[2].card_number)[-1:] == ["FROZEN"])


async def test_an_account_is_found_as_it_stands_and_one_of_another_bank_is_none() -> None:
    async with _bank(KeepingDesk()) as (core, office):
        await core.open(_cards(1))
        card = values_pb2.CardReference(issuer="cn-45", number=_PEOPLE[0].card_number, sequence=1)
        found = await office.find(card)
        assert isinstance(found, LocalAccount)
        assert found.bank_card_number == next(iter(core.accounts.values())).bank_card_number
        card.issuer = "cn-44"
        assert await office.find(card) is None


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        (Switches(down=True), errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN),
        (Switches(wrong_code=True), errors_pb2.ERROR_REASON_UNMAPPED_CODE),
    ],
)
async def test_a_core_that_does_not_answer_well_is_no_account(switches: Switches, reason: int) -> None:
    async with _bank(KeepingDesk()) as (core, office):
        await core.open(_cards(1))
        core.behaviours.set(QUERY, switches)
        with pytest.raises(OneCardError) as refused:
            await office.find(values_pb2.CardReference(issuer="cn-45", number=_PEOPLE[0].card_number, sequence=1))
    assert refused.value.reason == reason


async def test_an_account_that_cannot_be_taken_keeps_no_others_from_being_told() -> None:
    desk = KeepingDesk()
    async with _bank(desk) as (core, office), aiohttp.ClientSession() as session:
        await core.open(_cards(5))
        await _until_told(desk, 5)
        accounts = list(core.accounts.values())
        accounts[2].bank_card_number = "6228480000000000001"
        for account in accounts:
            account.status = "3"
        notice = {"tranCode": "SB1001", "body": {"accounts": [account.fields() for account in accounts]}}
        async with session.post(office.address, json=notice) as response:
            answer = json.loads(await response.read())
    assert "accounts[2].cardNo" in answer["retMsg"]
    assert answer["retCode"] != "000000"
    assert [desk.states(account.key[1])[-1] for account in accounts] == [
        "LOST",
        "LOST",
        "NOT_ACTIVATED",
        "LOST",
        "LOST",
    ]


async def test_an_account_of_another_card_than_was_asked_for_is_none_of_it() -> None:
    async with _bank(KeepingDesk()) as (core, office):
        await core.open(_cards(2))
        asked, other = core.accounts.values()
        card = values_pb2.CardReference(issuer="cn-45", number=asked.key[1], sequence=1)
        core.accounts[asked.key] = other
        with pytest.raises(OneCardError, match="not asked for") as refused:
            await office.find(card)
    assert refused.value.reason == errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID


async def test_a_bank_carries_out_no_step_and_keeps_no_copies() -> None:
    async with _bank(KeepingDesk()) as (_, office):
        await office.tell(change_pb2.ReportSocialChangeRequest())
        with pytest.raises(OneCardError) as refused:
            await office.carry_out(replacement_pb2.CarryOutStepRequest())
    assert refused.value.reason == errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"tranCode": "SB9999", "body": {}}, "UNSUPPORTED_TRADE"),
        ({"tranCode": "SB1001"}, "LOCAL_FORM_INVALID"),
        ({"tranCode": "SB1001", "body": {"accounts": "x"}}, "LOCAL_FORM_INVALID"),
        ({"tranCode": "SB1001", "body": {"accounts": [{}] * 501}}, "LOCAL_FORM_INVALID"),
        ({"tranCode": "SB1001", "body": {"accounts": [{"issueProv": "99", "ssCardNo": "A1"}]}}, "issueProv"),
        ({"tranCode": "SB1001", "body": {"accounts": [{"issueProv": "45", "ssCardNo": ""}]}}, "ssCardNo"),
    ],
)
async def test_a_malformed_notice_is_refused_by_what_is_wrong(message: object, said: str) -> None:
    desk = KeepingDesk()
    async with (
        _bank(desk) as (core, _),
        aiohttp.ClientSession() as session,
        session.post(core.adapter_url, data=json.dumps(message)) as response,
    ):
        answer = json.loads(await response.read())
    assert answer["retCode"] != "000000"
    assert said in answer["retMsg"]
    assert not desk.told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cardNo": "6228480000000000001"}, "Luhn"),
        ({"idNo": "450000********9931"}, "masked"),
        ({"acctStatus": "Q"}, "financial_state"),
        ({"updTime": "yesterday"}, "not a time"),
        ({"updTime": "00010101000000"}, "not a time"),
        ({"ssCardSeq": "0"}, "ssCardSeq"),
        ({"idType": "x"}, "aac058"),
    ],
)
def test_an_account_with_a_wrong_value_is_refused_and_its_number_not_shown(changes: dict[str, str], said: str) -> None:
    tables = _settings("http://127.0.0.1:1/bank").tables()
    row = {
        "issueProv": "45",
        "ssCardNo": "A99000001",
        "ssCardSeq": "1",
        "idType": "110001",
        "idNo": "450000196901019931",
        "cardNo": "6228480000000000000",
        "acctStatus": "1",
        "updTime": "20240315101112",
    }
    assert wire.read_account(row, tables, "bank-102", "a").state == values_pb2.FINANCIAL_STATE_ACTIVE
    with pytest.raises(OneCardError, match=said) as refused:
        wire.read_account({**row, **changes}, tables, "bank-102", "a")
    assert changes.get("cardNo", row["cardNo"]) not in str(refused.value)


def test_the_banks_free_words_are_in_no_error() -> None:
    body = wire.write_answer("E00002", "客户张三 450000196901019931 无此账户", {})
    with pytest.raises(OneCardError) as refused:
        wire.read_answer(body)
    assert refused.value.detail == "the bank answered E00002"


def test_an_account_shows_nobody() -> None:
    tables = _settings("http://127.0.0.1:1/bank").tables()
    row = {
        "issueProv": "45",
        "ssCardNo": "A99000001",
        "idType": "110001",
        "idNo": "450000196901019931",
        "cardNo": "6228480000000000000",
        "acctStatus": "1",
        "updTime": "20240315101112",
    }
    shown = repr(wire.read_account(row, tables, "bank-102", "a"))
    assert "450000196901019931" not in shown
    assert "6228480000000000000" not in shown
