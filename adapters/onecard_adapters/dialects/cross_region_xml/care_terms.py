"""The terms of a settlement in the care role: what the document says, completed by what was registered.

The bill must be the sum of the lines that the own core split, and the filing that covers the stay goes with it, for its
type is an input of the benefit.
"""

from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.settlement_pb2 import SettlementTerms
from onecard.medical.v1.values_pb2 import FeeTotals
from onecard_adapters.dialects.cross_region_xml import forms
from onecard_adapters.dialects.cross_region_xml.care_desk import Asked, CareDesk, insured_number, reference
from onecard_adapters.dialects.cross_region_xml.care_encounter import remember_care
from onecard_adapters.dialects.cross_region_xml.care_person import PersonTrades
from onecard_adapters.dialects.cross_region_xml.safe_xml import form_invalid
from onecard_adapters.dialects.cross_region_xml.trades import TradeNumber
from onecard_adapters.dialects.filings import choose_filing, tell_validity, validity
from onecard_adapters.mapping import amounts
from onecard_adapters.mapping.fields import day_from
from onecard_adapters.runtime.memory import EncounterRecord
from onecard_protocol.errors import OneCardError

_FEE_PARTS: Final = {
    "akc264": "total_fen",
    "akc253": "full_self_pay_fen",
    "yka319": "over_limit_self_pay_fen",
    "akc254": "preceding_self_pay_fen",
    "ykc624": "in_scope_fen",
}


class Terms:
    """Makes the terms of trial and settlement."""

    def __init__(self, desk: CareDesk, persons: PersonTrades) -> None:
        self._desk = desk
        self._persons = persons

    async def of(self, asked: Asked, encounter: EncounterRecord, transid: str) -> SettlementTerms:
        """The terms, completed by what was registered; FEE_MISMATCH if the bill is not the sum of the lines."""
        desk, care = self._desk, encounter.care
        terms = SettlementTerms(
            insured_number=insured_number(encounter.person),
            encounter=reference(asked, encounter),
            institution=asked.place,
            uses_personal_account=True,
            local_transaction_id=transid,
        )
        forms.read_into(forms.TERMS, asked.input, terms, desk.tables)
        if terms.HasField("interim_period"):
            # The own core tells the fees of a stay, not of some of its days.
            raise form_invalid("input.ykc914: no interim settlement here; settle after the discharge")
        if not terms.HasField("care_kind"):
            terms.care_kind.CopyFrom(desk.tables["med_type"].coded(care["aka130"]))
        if not terms.HasField("insurance_kind"):
            terms.insurance_kind.CopyFrom(desk.tables["insutype"].coded(care["aae140"]))
        if not terms.HasField("first_day"):
            terms.first_day.CopyFrom(day_from(care["aae030"], "aae030"))
        if not terms.HasField("last_day") and care.get("akc194"):
            terms.last_day.CopyFrom(day_from(care["akc194"], "akc194"))
        await self._check_fees(asked, encounter, terms)
        await self._complete_filing(asked, encounter, terms)
        return terms

    async def _check_fees(self, asked: Asked, encounter: EncounterRecord, terms: SettlementTerms) -> None:
        """The bill is what the own core holds; parts that the document leaves out are the core's."""
        desk = self._desk
        fields = forms.leaves(desk.head(asked, encounter.person, ""))
        output = (await desk.ask_core(TradeNumber.QUERY_TOTALS, fields, "")).output
        held = FeeTotals()
        forms.read_into(forms.FEE_TOTALS, output, held, desk.tables)
        wrong = [
            (element, f"{getattr(terms.fees, name)} fen stated, the lines give {getattr(held, name)} fen")
            for element, name in _FEE_PARTS.items()
            if asked.input.value(element) and getattr(terms.fees, name) != getattr(held, name)
        ]
        if wrong:
            raise OneCardError(errors_pb2.ERROR_REASON_FEE_MISMATCH, violations=wrong)
        terms.fees.CopyFrom(held)
        terms.line_count = int(amounts.decimal_from(output.value("ykc690"), "output.ykc690"))

    async def _complete_filing(self, asked: Asked, encounter: EncounterRecord, terms: SettlementTerms) -> None:
        """Filed after an unfiled admission but before settlement counts (规程 art. 16), so it is looked for again."""
        care = dict(encounter.care)
        if not care["ykc901"] and not care["ykc904"]:
            coverage = await self._persons.coverage_of(asked, encounter.person, terms.first_day)
            filing = choose_filing(
                coverage,
                area=asked.place.area,
                institution_code=asked.place.code,
                day=terms.first_day,
                named="",
            )
            if filing is not None:
                found = {"ykc901": filing.filing_id, "ykc902": filing.filing_type.code, **validity(filing)}
                await remember_care(self._desk, asked, found)
                care |= found
        terms.filing_id = care["ykc901"]
        tell_validity(care, terms)
        if care["ykc902"]:
            terms.filing_type.CopyFrom(self._desk.tables["filing_type"].coded(care["ykc902"]))
