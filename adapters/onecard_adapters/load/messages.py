"""The messages of the load: synthetic persons of no real area, amounts that add up."""

from __future__ import annotations

from typing import Final

from onecard.exchange.v1 import values_pb2
from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import PROVINCE_CODES, id_text
from onecard_protocol.identity import check_digit
from onecard_protocol.messages import timestamp

_AREAS: Final = ("51", *sorted(set(PROVINCE_CODES) - {"51", "66"}))
INSTITUTION: Final = "H44010099901"
TOTAL_FEN: Final = 2_000_046


def identity_number(serial: int) -> str:
    """A citizen's number with a valid check digit, of a province-level area and a serial 99x, given to nobody.

    Another one for each of nine million serials.
    """
    day, rest = divmod(serial, 10)
    year, day = divmod(day, 336)
    area, year = divmod(year, 90)
    first_17 = f"{_AREAS[area % len(_AREAS)]}0000{1920 + year:04}{day // 28 + 1:02}{day % 28 + 1:02}99{rest}"
    return first_17 + check_digit(first_17)


def _code(system: str, code: str) -> values_pb2.CodedValue:
    return values_pb2.CodedValue(system=system, version="1", code=code)


def _day(day: int) -> values_pb2.CalendarDay:
    return values_pb2.CalendarDay(year=2026, month=11, day=day)


def _person(serial: int) -> values_pb2.PersonIdentity:
    return values_pb2.PersonIdentity(kind=_code("nhsa.psn_cert_type", "01"), number=identity_number(serial))


def _insured(serial: int) -> medical_values_pb2.InsuredNumber:
    return medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number=f"51000099{serial:012}")


def filing_report(serial: int) -> filing_pb2.ReportFilingRequest:
    """An event of about 690 bytes."""
    return filing_pb2.ReportFilingRequest(
        person=_person(serial),
        insured_number=_insured(serial),
        details=medical_values_pb2.PersonDetails(name="示例", telephone="10000000000", address="示例路" * 30),
        filing=filing_pb2.Filing(
            filing_id=f"F{serial:024}",
            filing_type=_code("nhsa.out_onln_way", "1"),
            insurance_area="510100",
            destination_area="440100",
            first_day=_day(1),
            insurance_kind=_code("nhsa.insutype", "310"),
            institution_code=INSTITUTION,
            channel=_code("nhsa.dcla_souc", "02"),
        ),
        local_transaction_id=f"{INSTITUTION}{serial:018}",
    )


def coverage_query(serial: int) -> coverage_pb2.QueryCoverageRequest:
    """A typed call without effect."""
    return coverage_pb2.QueryCoverageRequest(
        person=_person(serial),
        credential=medical_values_pb2.Credential(kind=_code("nhsa.mdtrt_cert_type", "02")),
        insurance_area="510100",
        institution=medical_values_pb2.Institution(code=INSTITUTION, name="示例医院", area="440100"),
    )


def coverage_answer(request: coverage_pb2.QueryCoverageRequest) -> coverage_pb2.QueryCoverageResponse:
    """One active enrolment."""
    return coverage_pb2.QueryCoverageResponse(
        person=request.person,
        insured_number=_insured(1),
        enrolments=[
            coverage_pb2.Enrolment(
                insurance_kind=_code("nhsa.insutype", "310"),
                status=_code("nhsa.psn_insu_stas", "1"),
                person_class=_code("nhsa.psn_type", "1101"),
                insurance_area="510100",
                account_balance_fen=500_000,
                first_day=_day(1),
            )
        ],
    )


def registration(serial: int) -> encounter_pb2.RegisterRequest:
    """A stay, one for each serial."""
    return encounter_pb2.RegisterRequest(
        person=_person(serial),
        insured_number=_insured(serial),
        institution=medical_values_pb2.Institution(code=INSTITUTION, name="示例医院", area="440100"),
        visit_id=f"S4401002611{serial:09}",
        institution_number=f"ZY{serial:010}",
        care_kind=_code("nhsa.med_type", "21"),
        insurance_kind=_code("nhsa.insutype", "310"),
        first_day=_day(1),
        filing_id=f"F{serial:024}",
        local_transaction_id=f"{INSTITUTION}R{serial:017}",
    )


def _terms(serial: int, encounter_id: str, step: str) -> settlement_pb2.SettlementTerms:
    return settlement_pb2.SettlementTerms(
        insured_number=_insured(serial),
        encounter=medical_values_pb2.EncounterReference(
            encounter_id=encounter_id, institution_code=INSTITUTION, visit_id=f"S4401002611{serial:09}"
        ),
        institution=medical_values_pb2.Institution(code=INSTITUTION, name="示例医院", area="440100"),
        care_kind=_code("nhsa.med_type", "21"),
        insurance_kind=_code("nhsa.insutype", "310"),
        filing_id=f"F{serial:024}",
        filing_type=_code("nhsa.out_onln_way", "1"),
        first_day=_day(1),
        last_day=_day(9),
        fees=medical_values_pb2.FeeTotals(
            total_fen=TOTAL_FEN,
            full_self_pay_fen=210_097,
            over_limit_self_pay_fen=130_089,
            preceding_self_pay_fen=60_044,
            in_scope_fen=1_599_816,
        ),
        line_count=40,
        uses_personal_account=True,
        settlement_way=_code("nhsa.psn_setlway", "01"),
        local_transaction_id=f"{INSTITUTION}{step}{serial:017}",
    )


def pre_settlement(serial: int, encounter_id: str) -> settlement_pb2.PreSettleRequest:
    """Asks for the split of a stay."""
    return settlement_pb2.PreSettleRequest(person=_person(serial), terms=_terms(serial, encounter_id, "P"))


def settlement(serial: int, encounter_id: str) -> settlement_pb2.SettleRequest:
    """Settles a stay."""
    return settlement_pb2.SettleRequest(person=_person(serial), terms=_terms(serial, encounter_id, "S"))


def split() -> medical_values_pb2.SettlementSplit:
    """A split whose identities hold (domain.md, 1.7)."""
    item = medical_values_pb2.FundItem
    return medical_values_pb2.SettlementSplit(
        total_fen=TOTAL_FEN,
        full_self_pay_fen=210_097,
        over_limit_self_pay_fen=130_089,
        preceding_self_pay_fen=60_044,
        in_scope_fen=1_599_816,
        deductible_fen=80_000,
        pooling_fund_fen=1_200_000,
        pooling_ratio_e4=8_500,
        large_amount_fund_fen=397_539,
        fund_total_fen=1_597_539,
        hospital_part_fen=0,
        personal_part_fen=402_507,
        personal_account_fen=100_000,
        cash_fen=302_507,
        account_balance_fen=400_000,
        items=[
            item(fund_type=_code("nhsa.fund_pay_type", "310100"), is_fund=True, paid_fen=1_200_000),
            item(fund_type=_code("nhsa.fund_pay_type", "330100"), is_fund=True, paid_fen=397_539),
        ],
    )


def settled(request: settlement_pb2.SettleRequest, message_id: bytes) -> settlement_pb2.SettleResponse:
    """The insured province's answer."""
    return settlement_pb2.SettleResponse(
        settlement_id=f"A{id_text(message_id)[:29]}",
        settled_time=timestamp(now_ms()),
        split=split(),
        local_transaction_id=request.terms.local_transaction_id,
    )
