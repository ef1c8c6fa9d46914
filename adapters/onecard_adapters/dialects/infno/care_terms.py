"""The terms of a settlement: what the hospital's bill says, what was registered, and what the lines give.

The bill must be the sum of the lines that the core split; the filing is looked for again while there is none.
"""

from collections.abc import Mapping
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.settlement_pb2 import SettlementTerms
from onecard_adapters.dialects.filings import choose_filing, tell_validity, validity
from onecard_adapters.dialects.infno import maps
from onecard_adapters.dialects.infno.care_person import PersonTrades
from onecard_adapters.dialects.infno.desk import (
    Call,
    CareDesk,
    insured_number,
    invalid,
    optional_text,
    reference,
    remember_care,
)
from onecard_adapters.dialects.infno.fees import totals_of
from onecard_adapters.mapping.fields import day_from
from onecard_adapters.runtime.memory import EncounterRecord
from onecard_protocol.errors import OneCardError

_NOT_INTERIM: Final = {"", "0"}
_FEE_PARTS: Final = ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt")
_FEE_FIELDS: Final = tuple(
    (rule.local, rule.national.removeprefix("fees.")) for rule in maps.TERMS.rules if rule.local in _FEE_PARTS
)


class TermsOfBills:
    """Builds the terms of 2206, 2207, 2303 and 2304."""

    def __init__(self, desk: CareDesk, persons: PersonTrades) -> None:
        self._desk = desk
        self._persons = persons

    async def build(
        self, call: Call, data: Mapping[str, Any], visit_id: str, encounter: EncounterRecord
    ) -> SettlementTerms:
        """The terms, completed by what was registered; FEE_MISMATCH if the bill is not the sum of the lines."""
        desk = self._desk
        care = encounter.care
        if optional_text(data, "mid_setl_flag", "input.data") not in _NOT_INTERIM:
            raise invalid("input.data.mid_setl_flag", "no interim settlement here; settle after the discharge")
        terms = SettlementTerms(local_transaction_id=call.request.msgid, institution=call.place)
        maps.TERMS.read(data, terms, desk.tables, "input.data")
        terms.insured_number.CopyFrom(insured_number(encounter.person))
        terms.encounter.CopyFrom(reference(call, encounter, visit_id))
        if not terms.HasField("care_kind"):
            terms.care_kind.CopyFrom(desk.tables["med_type"].coded(care["med_type"]))
        if not terms.HasField("insurance_kind"):
            terms.insurance_kind.CopyFrom(desk.tables["insutype"].coded(care["insutype"]))
        terms.first_day.CopyFrom(day_from(care["first_day"], "first_day"))
        if care.get("last_day"):
            terms.last_day.CopyFrom(day_from(care["last_day"], "last_day"))
        self._check_fees(data, terms, encounter)
        await self._complete_filing(call, terms, visit_id, encounter)
        return terms

    def _check_fees(self, data: Mapping[str, Any], terms: SettlementTerms, encounter: EncounterRecord) -> None:
        held = self._desk.ledger.held(encounter.encounter_id)
        lines = totals_of(held.values())
        stated = terms.fees
        wrong = []
        if stated.total_fen != lines.total_fen:
            wrong.append(("medfee_sumamt", f"{stated.total_fen} fen stated, lines give {lines.total_fen} fen"))
        for local, name in _FEE_FIELDS:
            of_bill, of_lines = getattr(stated, name), getattr(lines, name)
            if of_bill != of_lines and optional_text(data, local, "input.data"):
                wrong.append((local, f"{of_bill} fen stated, lines give {of_lines} fen"))
        if wrong:
            raise OneCardError(
                errors_pb2.ERROR_REASON_FEE_MISMATCH, f"{len(held)} lines are uploaded", violations=wrong
            )
        # Parts that the request leaves out are the lines' own.
        terms.fees.CopyFrom(lines)
        terms.line_count = len(held)

    async def _complete_filing(
        self, call: Call, terms: SettlementTerms, visit_id: str, encounter: EncounterRecord
    ) -> None:
        """Filed after an unfiled admission but before settlement counts (规程 art. 16), so it is looked for again."""
        care = dict(encounter.care)
        if not care.get("filing_id") and not care.get("is_emergency"):
            coverage = await self._persons.coverage_of(call, encounter.person, terms.first_day)
            filing = choose_filing(
                coverage,
                area=call.institution.area,
                institution_code=call.institution.code,
                day=terms.first_day,
                named="",
            )
            if filing is not None:
                care.update(filing_id=filing.filing_id, filing_type=filing.filing_type.code, **validity(filing))
                await remember_care(self._desk, call, visit_id, care)
        terms.filing_id = care.get("filing_id", "")
        tell_validity(care, terms)
        if care.get("filing_type"):
            terms.filing_type.CopyFrom(self._desk.tables["filing_type"].coded(care["filing_type"]))
