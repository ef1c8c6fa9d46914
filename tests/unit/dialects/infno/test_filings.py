"""Filings: asked for from the place of care, made at home and told, chosen by what they cover and never guessed."""

from datetime import timedelta
from pathlib import Path

import pytest

from onecard.exchange.v1.values_pb2 import CalendarDay, CodedValue, PersonIdentity
from onecard.medical.v1.coverage_pb2 import QueryCoverageResponse
from onecard.medical.v1.filing_pb2 import Filing, ReportFilingRequest
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub
from onecard.medical.v1.settlement_pb2 import SettleRequest
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.filings import choose_filing
from onecard_adapters.dialects.infno.insured import build_insured
from onecard_protocol.errors import OneCardError
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.population import Population
from tests.support.fake_exchange import FakeExchange
from tests.support.infno_country import (
    ADMITTED,
    ITEMS,
    TODAY,
    Country,
    destination,
    insured_settings,
    open_memory,
)

pytest_plugins = ("tests.support.infno_country_of_two",)


async def test_a_hospital_asks_the_insured_province_to_file_and_takes_it_back(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    area = enrolment.insurance_area
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=area)
    filed = await hospital.refer(person, insurance_area=area, destination_area="440300", first_day=ADMITTED)
    assert filed.is_success, filed.text
    filing_id = filed.output["result"]["trt_dcla_detl_sn"]
    told = await hospital.identify(person, insurance_area=area)
    (row,) = told.output["filinginfo"]
    assert (row["trt_dcla_detl_sn"], row["filing_type"], row["rloc_admdvs"]) == (filing_id, "21", "440300")
    assert (await hospital.withdraw_referral(person, insurance_area=area, filing_id=filing_id)).is_success
    assert (await hospital.identify(person, insurance_area=area)).output["filinginfo"] == []
    again = await hospital.withdraw_referral(person, insurance_area=area, filing_id=filing_id)
    assert again.code == -2
    assert "备案记录不存在" in again.text


async def test_a_filing_made_at_home_is_told_to_the_destination_and_kept_by_its_core(
    two_provinces: Country, tmp_path: Path
) -> None:
    """The referral of the raw sample: a hospital sends a patient of its own province to another one."""
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    async with destination(exchange, tmp_path) as destination_core:
        person = next(iter(two_provinces.care_core.population))
        area = person.active_enrolments[0].insurance_area
        await hospital.sign_in()
        filed = await hospital.refer(person, insurance_area=area, destination_area="110100", first_day=ADMITTED)
        assert filed.is_success, filed.text
        assert exchange.methods_called() == ["ReportFiling"]
        filing_id = filed.output["result"]["trt_dcla_detl_sn"]
        kept = destination_core.benefits.filings[filing_id]
        assert (kept.personal_number, kept.destination_area) == (person.personal_number, "110100")
        assert kept == two_provinces.care_core.benefits.filings[filing_id]


async def test_a_filing_made_at_home_is_taken_back_at_home_and_at_the_destination(
    two_provinces: Country, tmp_path: Path
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    async with destination(exchange, tmp_path) as destination_core:
        person, other = list(two_provinces.care_core.population)[:2]
        area = person.active_enrolments[0].insurance_area
        await hospital.sign_in()
        filed = await hospital.refer(person, insurance_area=area, destination_area="110100", first_day=ADMITTED)
        filing_id = filed.output["result"]["trt_dcla_detl_sn"]
        foreign = await hospital.withdraw_referral(other, insurance_area=area, filing_id=filing_id)
        assert foreign.text.startswith("[FILING_UNKNOWN]"), foreign.text
        assert filing_id in destination_core.benefits.filings
        data = {"trt_dcla_detl_sn": filing_id, "psn_no": person.personal_number, "memo": "录入错误"}
        body = hospital.message("2502", {"data": data}, insurance_area=area)
        exchange.lose_answers("/onecard.medical.v1.FilingService/WithdrawFiling")
        assert (await hospital.send(body)).code == -1
        again = await hospital.send(body)
        assert again.is_success, again.text
        assert exchange.methods_called() == ["ReportFiling", "WithdrawFiling"]
        assert filing_id not in two_provinces.care_core.benefits.filings
        assert filing_id not in destination_core.benefits.filings
        twice = await hospital.withdraw_referral(person, insurance_area=area, filing_id=filing_id)
        assert (twice.code, "备案记录不存在" in twice.text) == (-2, True)


async def test_a_filing_that_is_taken_back_at_home_is_never_told_as_refused(
    two_provinces: Country, tmp_path: Path
) -> None:
    hospital = two_provinces.hospital
    async with destination(two_provinces.exchange, tmp_path) as destination_core:
        person = next(iter(two_provinces.care_core.population))
        area = person.active_enrolments[0].insurance_area
        await hospital.sign_in()
        filed = await hospital.refer(person, insurance_area=area, destination_area="110100", first_day=ADMITTED)
        destination_core.benefits.filings.clear()
        filing_id = filed.output["result"]["trt_dcla_detl_sn"]
        answer = await hospital.withdraw_referral(person, insurance_area=area, filing_id=filing_id)
        assert (answer.code, "2502在本省系统已执行，在就医地尚未完成：请将同一报文原样重发" in answer.text) == (
            -1,
            True,
        )


async def test_who_is_not_filed_is_admitted_and_settled_only_after_filing(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=enrolment.insurance_area)
    answer, stay = await hospital.admit(
        person, insurance_area=enrolment.insurance_area, insurance_kind="310", number="ZY1", day=ADMITTED
    )
    assert answer.is_success, "an unfiled patient is admitted"
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    unfiled = await hospital.pre_settle(stay)
    assert unfiled.code == -2
    assert "没有有效的异地就医备案" in unfiled.text
    filing_id = two_provinces.file(person, enrolment)
    assert (await hospital.pre_settle(stay)).is_success, "filed before discharge settlement counts (art. 16)"
    assert (await hospital.settle(stay)).is_success
    request = two_provinces.exchange.calls[-1].request
    assert isinstance(request, SettleRequest)
    assert request.terms.filing_id == filing_id
    assert request.terms.filing_type.code == "12"


async def test_an_emergency_counts_as_filed(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=enrolment.insurance_area)
    answer, stay = await hospital.admit(
        person, insurance_area=enrolment.insurance_area, insurance_kind="310", number="ZY1", day=ADMITTED, med_type="24"
    )
    assert answer.is_success, answer.text
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    assert (await hospital.pre_settle(stay)).is_success


async def test_of_several_filings_the_one_meant_must_be_named(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    two_provinces.file(person, enrolment)
    second = two_provinces.file(person, enrolment, destination_area="440300")
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=enrolment.insurance_area)
    info = {
        "psn_no": person.personal_number,
        "insutype": "310",
        "begntime": ADMITTED.isoformat(),
        "med_type": "21",
        "ipt_no": "ZY1",
    }
    area = enrolment.insurance_area
    unnamed = await hospital.trade("2401", {"mdtrtinfo": info, "diseinfo": []}, insurance_area=area)
    assert "有2条备案适用于本次就诊" in unnamed.text
    unknown = {**info, "trt_dcla_detl_sn": "B0"}
    answer = await hospital.trade("2401", {"mdtrtinfo": unknown, "diseinfo": []}, insurance_area=area)
    assert answer.text.startswith("[FILING_UNKNOWN]")
    named = {**info, "trt_dcla_detl_sn": second}
    assert (await hospital.trade("2401", {"mdtrtinfo": named, "diseinfo": []}, insurance_area=area)).is_success


def _day(offset_days: int) -> CalendarDay:
    day = TODAY + timedelta(days=offset_days)
    return CalendarDay(year=day.year, month=day.month, day=day.day)


@pytest.mark.parametrize(
    ("filing", "covers"),
    [
        (Filing(destination_area="440000", first_day=_day(-1)), True),
        (Filing(destination_area="440300", first_day=_day(-1)), True),
        (Filing(destination_area="440305", first_day=_day(-1)), True),
        (Filing(destination_area="440304", first_day=_day(-1)), False),
        (Filing(destination_area="440100", first_day=_day(-1)), False),
        (Filing(destination_area="450000", first_day=_day(-1)), False),
        (Filing(destination_area="440000", first_day=_day(0), last_day=_day(0)), True),
        (Filing(destination_area="440000", first_day=_day(1)), False),
        (Filing(destination_area="440000", first_day=_day(-9), last_day=_day(-1)), False),
        (Filing(destination_area="440000", first_day=_day(-1), institution_code="H44030099903"), True),
        (Filing(destination_area="440000", first_day=_day(-1), institution_code="H44030099904"), False),
    ],
)
def test_a_filing_covers_its_area_its_days_and_its_institution(filing: Filing, covers: bool) -> None:
    coverage = QueryCoverageResponse(filings=[filing])
    chosen = choose_filing(
        coverage, area="440305", institution_code="H44030099903", day=_day(0), named=filing.filing_id
    )
    assert (chosen is not None) is covers


def test_a_named_filing_that_does_not_cover_the_care_is_refused() -> None:
    coverage = QueryCoverageResponse(filings=[Filing(filing_id="B1", destination_area="110000", first_day=_day(-1))])
    with pytest.raises(OneCardError, match="FILING_UNKNOWN"):
        choose_filing(coverage, area="440300", institution_code="H44030099903", day=_day(0), named="B1")


@pytest.mark.parametrize("filing_type", ["11", "12", "13", "21", "22", "23"])
async def test_every_type_of_filing_can_be_told_to_the_place_of_care(tmp_path: Path, filing_type: str) -> None:
    """Long-term ones too, which no hospital files: the core of the place of care keeps the type that it was told."""
    core = GuangdongCore(Population(province_area="440000", count=3), province_area="440000")
    await core.start()
    client = LocalHttpClient(url=core.url)
    exchange = FakeExchange("cn-51")
    try:
        async with open_memory(tmp_path / "told.db") as memory:
            exchange.serve("cn-44", build_insured(insured_settings(core.url, area="440000"), memory, client).filing)
            told = ReportFilingRequest(
                person=PersonIdentity(number="510000199001019918"),
                filing=Filing(
                    filing_id="B5101",
                    filing_type=CodedValue(system="onecard.filing_type", version="1", code=filing_type),
                    insurance_area="510100",
                    destination_area="440300",
                    first_day=CalendarDay(year=2026, month=1, day=1),
                    insurance_kind=CodedValue(system="nhsa.insutype", version="1", code="310"),
                ),
            )
            told.insured_number.insurance_area = "510100"
            told.insured_number.personal_number = "51009900000001"
            await FilingServiceStub(exchange.to("cn-44")).ReportFiling(told, timeout=5)
            assert core.benefits.filings["B5101"].filing_type == filing_type
    finally:
        await client.close()
        await core.stop()
