"""Sichuan's core by itself: not idempotent, honest about its transactions, and its sums close."""

import contextlib
from collections.abc import AsyncIterator
from datetime import date

import aiohttp
import pytest

from onecard_stubs.behaviour import Switches
from onecard_stubs.population import Population
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.amounts import from_text
from onecard_stubs.sichuan.core import SichuanCore
from onecard_stubs.sichuan.hospital import Answer, HospitalStay, SichuanHospital
from onecard_stubs.sichuan.records import OPEN_END, Filing
from onecard_stubs.sichuan.state import CoreState
from tests.support.sichuan_care import BILL, BILL_FEN


@contextlib.asynccontextmanager
async def running(operation: str = soap.TEXT_OPERATION) -> AsyncIterator[tuple[SichuanCore, SichuanHospital]]:
    core = SichuanCore(Population("510000", seed=1, count=40))
    await core.start()
    try:
        yield core, SichuanHospital(core.url, operation=operation, code="H44010099901", area="440100")
    finally:
        await core.stop()


async def own_stay(core: SichuanCore, hospital: SichuanHospital) -> HospitalStay:
    """An own person's stay elsewhere, its lines split by the place of care, ready to be settled."""
    person = next(
        person
        for person in core.state.population
        if [enrolment.person_class for enrolment in person.active_enrolments] == ["1201"]
    )
    stay = HospitalStay(hospital=hospital, person=person, visit_id="S4401002403020990001")
    await core.file_outwards(
        {
            "identity_number": person.identity_number,
            "destination_area": "440000",
            "filing_type": "02",
            "insurance_kind": "310",
            "first_day": "20240101",
        }
    )
    visit = {"ykc700": stay.visit_id, **stay.head()}
    registered = await hospital.send("0212", {**visit, "aka130": "21", "aae140": "310", "aae030": "20240302"})
    assert registered.is_success, registered.message
    rows = [
        {"ykc610": "99001", "akc227": "4000.00", "ykc624": "4000.00"},
        {"ykc610": "99002", "akc227": "1000.10", "akc253": "200.00", "akc254": "300.10", "ykc624": "500.00"},
    ]
    uploaded = await hospital.send("0301", {**visit, "detail": rows})
    assert uploaded.is_success, uploaded.message
    return stay


@pytest.mark.parametrize("operation", [soap.TEXT_OPERATION, soap.BINARY_OPERATION])
async def test_a_stay_is_settled_and_the_answer_adds_up(operation: str) -> None:
    async with running(operation) as (core, hospital):
        stay = await own_stay(core, hospital)
        answer = await stay.settle(BILL_FEN)
        assert answer.is_success, answer.message
        fen = {name: from_text(answer.value(name)) for name in ("akc264", "akb068", "akb066", "akb067")}
        assert fen["akc264"] == fen["akb068"] + fen["akb066"] + fen["akb067"]


async def test_the_same_transid_twice_is_a_mistake_and_so_is_a_second_settlement() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        transid = hospital.new_transid()
        assert (await stay.settle(BILL_FEN, transid)).is_success
        assert (await stay.settle(BILL_FEN, transid)).code == -11
        assert (await stay.settle(BILL_FEN)).code == -32
        assert core.state.counts()["settlements_standing"] == 1


async def test_the_control_api_names_the_settlements_that_stand() -> None:
    async with running() as (core, hospital), aiohttp.ClientSession() as session:
        stay = await own_stay(core, hospital)
        transid = hospital.new_transid()
        settled = await stay.settle(BILL_FEN, transid)
        url = f"http://127.0.0.1:{core.port}/control/command/settlements_standing"
        async with session.post(url, json={}) as response:
            assert await response.json() == {settled.value("ykc618"): stay.visit_id}
        assert (await stay.reverse(transid)).is_success
        async with session.post(url, json={}) as response:
            assert await response.json() == {}


async def test_a_reversed_transid_that_never_came_is_closed_for_ever() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        transid = hospital.new_transid()
        assert (await stay.query(transid)).value("ykc701") == "0"
        assert (await stay.reverse(transid)).value("ykc701") == "0"
        assert (await stay.settle(BILL_FEN, transid)).code == -12


async def test_cancel_and_reverse_undo_the_accumulators_and_the_account() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        first = await stay.settle(BILL_FEN)
        account = core.state.account(stay.person.identity_number, "310")
        assert account.years[2024].stay_count == 1
        red = await stay.cancel()
        assert red.value("akb068") == f"-{first.value('akb068')}"
        assert account.years[2024].stay_count == 0
        assert account.balance_fen == stay.person.active_enrolments[0].account_balance_fen
        assert (await stay.cancel()).code == -37
        assert (await stay.reverse(red.transid)).value("ykc701") == "2"
        assert account.years[2024].stay_count == 1
        assert (await stay.reverse(first.transid)).value("ykc701") == "2"
        assert (await stay.reverse(first.transid)).code == -36
        assert account.years[2024].pooling_fund_fen == 0


async def test_another_persons_stay_is_not_cancelled_reversed_or_billed() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        registration = next(item for item in core.state.transactions.values() if item.trade == "0212")
        settled = await stay.settle(BILL_FEN)
        own, stay.person = stay.person, next(one for one in core.state.population if one is not stay.person)
        before = core.state.counts()
        row = {"ykc610": "99003", "akc227": "1.00", "ykc624": "1.00"}
        for refused in (
            await stay.cancel(),
            await stay.reverse(settled.transid),
            await stay.reverse(registration.transid),
            await stay.trial(BILL_FEN),
            await hospital.send("0301", {"ykc700": stay.visit_id, **stay.head(), "detail": [row]}),
            await stay.withdraw(),
            await stay.discharge(),
        ):
            assert (refused.code, refused.message) == (-34, "就诊登记不属于此人")
        assert core.state.counts() == before
        stay.person = own
        assert (await stay.cancel()).is_success


async def test_a_registration_is_reversed_while_nothing_followed_it() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        registration = next(item for item in core.state.transactions.values() if item.trade == "0212")
        assert (await stay.reverse(registration.transid)).code == -36
        assert (await stay.withdraw()).is_success
        assert (await stay.reverse(registration.transid)).value("ykc701") == "2"
        assert not core.state.visits


async def test_uploads_are_not_reversed() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        upload = next(item for item in core.state.transactions.values() if item.trade == "0301")
        assert (await stay.reverse(upload.transid)).code == -36


async def test_returns_that_outweigh_their_lines_change_nothing() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        row = {"ykc610": "99003", "ykc611": "99001", "akc227": "-5000.00", "ykc624": "-5000.00"}
        refused = await hospital.send("0301", {"ykc700": stay.visit_id, **stay.head(), "detail": [row]})
        assert refused.code == -31
        assert len(core.state.visits[stay.visit_id].lines) == 2


@pytest.mark.parametrize(
    ("trade", "fields", "code"),
    [
        ("9999", {}, -3),
        ("0212", {"aab301": "510100", "aac044": "51000019000101991X"}, -21),
        ("0304", {"ykc700": "S0"}, -34),
        ("0301", {"ykc700": "S4401002403020990001"}, -1),
        ("0222", {"ykc901": "B0"}, -41),
        ("0306", {"otransid": ""}, -36),
        ("0214", {"ykc700": "S4401002403020990001", "akc194": "tomorrow"}, -2),
    ],
)
async def test_refusals_have_a_code_and_a_text(trade: str, fields: dict[str, str], code: int) -> None:
    async with running() as (core, hospital):
        await own_stay(core, hospital)
        answer = await hospital.send(trade, fields)
        assert answer.code == code
        assert answer.message


async def test_a_foreign_persons_visit_is_numbered_and_split_here() -> None:
    async with running() as (_, hospital):
        stay = HospitalStay(hospital=hospital, person=Population("440000", count=1).people[0])
        assert (await stay.register()).is_success
        assert stay.visit_id.startswith("S44")
        uploaded = await stay.upload(BILL)
        assert uploaded.value("ykc624") == "4810.00"
        assert (await stay.withdraw(uploaded.transid)).value("ykc690") == "0"


async def test_a_rare_name_is_lost_as_gbk_systems_lose_it() -> None:
    async with running() as (core, hospital):
        person = core.state.population.rare_named[1]
        stay = HospitalStay(hospital=hospital, person=person)
        assert (await stay.identify()).value("aac003") == "刘?"


@pytest.mark.parametrize("operation", [soap.TEXT_OPERATION, soap.BINARY_OPERATION])
async def test_wrong_encodings_and_codes_are_really_wrong(operation: str) -> None:
    async with running(operation) as (core, hospital):
        stay = HospitalStay(hospital=hospital, person=core.state.population.people[0])
        core.behaviours.set("0211", Switches(wrong_encoding=True), calls=1)
        with pytest.raises(soap.SoapError):
            await stay.identify()
        core.behaviours.set("0211", Switches(wrong_code=True), calls=1)
        with pytest.raises(ValueError, match="OK"):
            await stay.identify()
        assert (await stay.identify()).is_success


async def test_the_operator_files_outwards_over_the_control_api_also_without_an_adapter() -> None:
    async with running() as (core, _):
        person = core.state.population.people[0]
        url = f"http://127.0.0.1:{core.port}/control/command/"
        body = {
            "identity_number": person.identity_number,
            "destination_area": "440100",
            "filing_type": "02",
            "insurance_kind": person.active_enrolments[0].insurance_kind,
            "first_day": "20240101",
        }
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}file_outwards", json=body) as response:
                filed = await response.json()
            async with session.post(f"{url}file_outwards", json={**body, "identity_number": "x"}) as response:
                assert response.status == 400
            async with session.post(f"{url}describe") as response:
                assert (await response.json())["filings"] == 1
        assert filed["told"] is False
        assert filed["filing_id"] in core.state.filings


def test_a_filing_that_is_told_again_takes_the_place_of_the_former() -> None:
    def filing(identity_number: str, filing_type: str) -> Filing:
        return Filing(
            filing_id="B1",
            identity_number=identity_number,
            filing_type=filing_type,
            insurance_area="510100",
            destination_area="440100",
            first_day=date(2024, 1, 1),
            last_day=OPEN_END,
            insurance_kind="310",
        )

    state = CoreState(Population("510000", seed=1, count=1))
    for told in (filing("a", "01"), filing("b", "01"), filing("a", "02")):
        state.add_filing(told)
        assert [*state.filings.values()] == state.filings_of(told.identity_number) == [told]
    assert state.filings_of("b") == state.filings_of("c") == []


def test_an_answer_is_success_from_zero_up() -> None:
    message = soap.read(soap.write_answer(soap.TEXT_OPERATION, error_code="1"))
    assert Answer(code=1, message="", transid="", output=message).is_success


async def test_who_is_admitted_by_the_personal_number_alone_is_the_same_person_at_the_settlement() -> None:
    async with running() as (core, hospital):
        stay = await own_stay(core, hospital)
        stay.visit_id = "S4401002403020990002"
        visit = {"ykc700": stay.visit_id, **stay.head(), "aac001": stay.person.personal_number, "aac044": ""}
        registered = await hospital.send("0212", {**visit, "aka130": "21", "aae140": "310", "aae030": "20240302"})
        assert registered.is_success, registered.message
        row = {"ykc610": "99001", "akc227": "4000.00", "ykc624": "4000.00"}
        assert (await hospital.send("0301", {**visit, "detail": [row]})).is_success
        assert (await stay.settle(400_000)).is_success
