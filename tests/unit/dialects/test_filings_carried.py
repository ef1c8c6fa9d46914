"""The filing travels with the settlement: its number, its type and its validity as they stood at admission."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard.medical.v1.settlement_pb2 import SettlementTerms, SettleRequest
from tests.support.fake_exchange import FakeExchange
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, country
from tests.support.sichuan_care import BILL_FEN, sichuan_care


def settled_terms(exchange: FakeExchange) -> SettlementTerms:
    (request,) = [call.request for call in exchange.calls if isinstance(call.request, SettleRequest)]
    return request.terms


def day_of(day: datetime.date) -> CalendarDay:
    return CalendarDay(year=day.year, month=day.month, day=day.day)


async def test_a_change_of_the_filing_after_admission_changes_nothing_of_the_stay(tmp_path: Path) -> None:
    async with country(tmp_path) as provinces:
        stay = await provinces.admitted()
        filings = provinces.insured_core.benefits.filings
        ((filing_id, filing),) = filings.items()
        filings[filing_id] = dataclasses.replace(filing, filing_type="21", last_day=TODAY)
        await provinces.hospital.upload_fees(stay, ITEMS, day=ADMITTED)
        assert (await provinces.hospital.settle(stay)).is_success

        terms = settled_terms(provinces.exchange)
        assert (terms.filing_id, terms.filing_type.code) == (filing_id, "12")
        assert terms.filing_first_day == day_of(filing.first_day)
        assert not terms.HasField("filing_last_day"), "it was open at admission"


async def test_the_cross_region_form_carries_it_too(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        (filing,) = side.insured_core.state.filings.values()
        settled = await stay.settle(BILL_FEN)
        assert settled.is_success, settled.message

        terms = settled_terms(side.exchange)
        assert (terms.filing_id, terms.filing_type.code, filing.filing_type) == (filing.filing_id, "12", "02")
        assert terms.filing_first_day == day_of(filing.first_day)
        assert not terms.HasField("filing_last_day")
