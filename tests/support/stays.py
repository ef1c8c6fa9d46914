"""A synthetic person's stay in Guangdong, insured in Sichuan: every medical message of it, with amounts that add up."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2, message_pb2, values_pb2
from onecard.medical.v1 import encounter_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_protocol.identifiers import id_text
from onecard_protocol.identity import check_digit
from onecard_protocol.messages import Message, timestamp
from onecard_protocol.signatures.sm3 import sm3
from tests.support.domain import CARE, INSURED, START_MS, make_request

_ENCOUNTERS: Final = "/onecard.medical.v1.EncounterService/"
_SETTLEMENTS: Final = "/onecard.medical.v1.SettlementService/"
REGISTER: Final = _ENCOUNTERS + "Register"
DISCHARGE: Final = _ENCOUNTERS + "Discharge"
UPLOAD: Final = _ENCOUNTERS + "UploadFeeLines"
PRE_SETTLE: Final = _SETTLEMENTS + "PreSettle"
SETTLE: Final = _SETTLEMENTS + "Settle"
CANCEL: Final = _SETTLEMENTS + "CancelSettlement"
REVERSE: Final = _SETTLEMENTS + "Reverse"
QUERY: Final = _SETTLEMENTS + "QuerySettlement"

INSTITUTION: Final = "H44030099903"
EXECUTED: Final = settlement_pb2.SETTLEMENT_FINDING_EXECUTED


def coded(system: str, code: str) -> values_pb2.CodedValue:
    """A code of version 1."""
    return values_pb2.CodedValue(system=system, version="1", code=code)


def day(number: int, month: int = 1) -> values_pb2.CalendarDay:
    """A day of 2026."""
    return values_pb2.CalendarDay(year=2026, month=month, day=number)


def make_line(line_id: str = "L1", **changes: Any) -> encounter_pb2.FeeLine:
    """A fee line whose sums hold."""
    fields: dict[str, Any] = {
        "line_id": line_id,
        "item_code": "XA01",
        "item_name": "示例药品",
        "charge_class": coded("nhsa.med_chrgitm_type", "09"),
        "quantity_e4": 30_000,
        "unit_price_e6": 1_505_000,
        "amount_fen": 452,
        "self_pay_ratio_e4": 500,
        "preceding_self_pay_fen": 23,
        "in_scope_fen": 429,
        "day": day(3),
    }
    return encounter_pb2.FeeLine(**(fields | changes))


def make_split(sign: int = 1) -> medical_values_pb2.SettlementSplit:
    """A split whose every identity holds, with account and hospital share among its items; -1 negates it."""
    item = medical_values_pb2.FundItem
    return medical_values_pb2.SettlementSplit(
        total_fen=2_000_046 * sign,
        full_self_pay_fen=210_097 * sign,
        over_limit_self_pay_fen=130_089 * sign,
        preceding_self_pay_fen=60_044 * sign,
        in_scope_fen=1_599_816 * sign,
        deductible_fen=80_000 * sign,
        pooling_fund_fen=1_200_000 * sign,
        pooling_ratio_e4=8_500,
        large_amount_fund_fen=397_539 * sign,
        fund_total_fen=1_597_539 * sign,
        hospital_part_fen=50_501 * sign,
        personal_part_fen=352_006 * sign,
        personal_account_fen=17_004 * sign,
        cash_fen=335_002 * sign,
        account_balance_fen=12_510,
        items=[
            item(fund_type=coded("nhsa.fund_pay_type", "310101"), is_fund=True, paid_fen=1_200_000 * sign),
            item(fund_type=coded("nhsa.fund_pay_type", "330101"), is_fund=True, paid_fen=397_539 * sign),
            item(fund_type=coded("nhsa.fund_pay_type", "999996"), paid_fen=50_501 * sign),
            item(fund_type=coded("nhsa.fund_pay_type", "310201"), paid_fen=17_004 * sign),
        ],
    )


def rejection(reason: int = errors_pb2.ERROR_REASON_NOT_EXECUTED) -> message_pb2.Rejection:
    """A refusal by the insured province."""
    return message_pb2.Rejection(reason=reason)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, slots=True)
class SyntheticStay:
    """The messages of one person's stay; equal serials give equal messages."""

    serial: int = 1
    start_ms: int = START_MS

    @property
    def identity_number(self) -> str:
        """A number that was never given to a person: area of a province, and a valid check digit."""
        first_17 = (
            f"510000{1920 + self.serial // 10_000 % 90:04}01{1 + self.serial // 1_000 % 10:02}{self.serial % 1_000:03}"
        )
        return first_17 + check_digit(first_17)

    @property
    def subject(self) -> str:
        """A pseudonym."""
        return sm3(self.identity_number.encode()).hex()

    @property
    def visit_id(self) -> str:
        """The institution's number of the stay."""
        return f"S{self.serial:09}"

    @property
    def person(self) -> values_pb2.PersonIdentity:
        """The person's identity."""
        return values_pb2.PersonIdentity(kind=coded("nhsa.psn_cert_type", "01"), number=self.identity_number)

    @property
    def insured_number(self) -> medical_values_pb2.InsuredNumber:
        """The person's number in Sichuan."""
        return medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number=f"5199{self.serial:09}")

    @property
    def institution(self) -> medical_values_pb2.Institution:
        """Where."""
        return medical_values_pb2.Institution(code=INSTITUTION, name="示例医院", area="440300")

    @property
    def encounter(self) -> medical_values_pb2.EncounterReference:
        """The reference to the stay."""
        return medical_values_pb2.EncounterReference(
            encounter_id=id_text(self.encounter_id), institution_code=INSTITUTION, visit_id=self.visit_id
        )

    @property
    def encounter_id(self) -> bytes:
        """The id of the registration."""
        return self.register().header.id

    # ---- requests --------------------------------------------------------------------------------------------------

    def register(self, seed: str = "register") -> Message:
        """Registers the stay."""
        payload = encounter_pb2.RegisterRequest(
            person=self.person,
            insured_number=self.insured_number,
            institution=self.institution,
            visit_id=self.visit_id,
            care_kind=coded("nhsa.med_type", "21"),
            insurance_kind=coded("nhsa.insutype", "310"),
            first_day=day(2),
            filing_id=f"F{self.serial}",
        )
        return self.request(REGISTER, payload, seed, 0)

    def upload(self, *lines: encounter_pb2.FeeLine) -> encounter_pb2.UploadFeeLinesRequest:
        """Some of its fee lines."""
        return encounter_pb2.UploadFeeLinesRequest(
            person=self.person, insured_number=self.insured_number, encounter=self.encounter, lines=lines
        )

    def discharge(self) -> Message:
        """Tells of the discharge."""
        payload = encounter_pb2.DischargeRequest(
            person=self.person, insured_number=self.insured_number, encounter=self.encounter, last_day=day(9)
        )
        return self.request(DISCHARGE, payload, "discharge", 1_000)

    def terms(self, period: settlement_pb2.InterimPeriod | None = None) -> settlement_pb2.SettlementTerms:
        """What is settled."""
        split = make_split()
        return settlement_pb2.SettlementTerms(
            insured_number=self.insured_number,
            encounter=self.encounter,
            institution=self.institution,
            care_kind=coded("nhsa.med_type", "21"),
            insurance_kind=coded("nhsa.insutype", "310"),
            filing_id=f"F{self.serial}",
            first_day=day(2),
            last_day=day(9),
            interim_period=period,
            fees=medical_values_pb2.FeeTotals(
                total_fen=split.total_fen,
                full_self_pay_fen=split.full_self_pay_fen,
                over_limit_self_pay_fen=split.over_limit_self_pay_fen,
                preceding_self_pay_fen=split.preceding_self_pay_fen,
                in_scope_fen=split.in_scope_fen,
            ),
            line_count=3,
            local_transaction_id=f"{INSTITUTION}20260109120000{self.serial % 10_000:04}",
            filing_first_day=day(1),
            filing_last_day=day(31),
        )

    def pre_settle(self) -> Message:
        """Asks for the split."""
        payload = settlement_pb2.PreSettleRequest(person=self.person, terms=self.terms())
        return self.request(PRE_SETTLE, payload, "pre-settle", 1_500)

    def settle(self, seed: str = "settle", *, at_ms: int = 2_000, period: tuple[int, int] | None = None) -> Message:
        """Settles; with a period of two days of January an interim part."""
        days = (
            None if period is None else settlement_pb2.InterimPeriod(first_day=day(period[0]), last_day=day(period[1]))
        )
        payload = settlement_pb2.SettleRequest(person=self.person, terms=self.terms(days))
        return self.request(SETTLE, payload, seed, at_ms)

    def cancel(
        self, original: Message, seed: str = "cancel", *, at_ms: int = 3_000, settlement_id: str = ""
    ) -> Message:
        """Cancels a settlement."""
        payload = settlement_pb2.CancelSettlementRequest(
            person=self.person,
            insured_number=self.insured_number,
            encounter=self.encounter,
            original_id=id_text(original.header.id),
            settlement_id=settlement_id or self.settlement_id(original),
        )
        return self.request(CANCEL, payload, seed, at_ms)

    def reverse(self, original: Message, seed: str = "reverse", *, at_ms: int = 4_000) -> Message:
        """Reverses a settlement or cancellation."""
        payload = settlement_pb2.ReverseRequest(
            person=self.person,
            insured_number=self.insured_number,
            encounter=self.encounter,
            original_id=id_text(original.header.id),
            original_method=original.header.method,
        )
        return self.request(REVERSE, payload, seed, at_ms)

    def query(self, original: Message, seed: str = "query", *, at_ms: int = 4_000) -> Message:
        """Asks about a settlement or cancellation."""
        payload = settlement_pb2.QuerySettlementRequest(
            person=self.person,
            insured_number=self.insured_number,
            encounter=self.encounter,
            original_id=id_text(original.header.id),
            original_method=original.header.method,
        )
        return self.request(QUERY, payload, seed, at_ms)

    def request(self, method: str, payload: object, seed: str, at_ms: int) -> Message:
        """Any request of the stay, created `at_ms` after its beginning."""
        return make_request(
            method,
            payload,  # type: ignore[arg-type]
            created_ms=self.start_ms + at_ms,
            seed=f"{self.serial}|{seed}",
            sender=CARE,
            recipient=INSURED,
        )

    # ---- what the insured province says ----------------------------------------------------------------------------

    def registered(self) -> encounter_pb2.RegisterResponse:
        """The registration's answer."""
        return encounter_pb2.RegisterResponse(encounter=self.encounter)

    def settlement_id(self, original: Message) -> str:
        """The id that the insured province gives to a settlement."""
        return f"A{original.header.id.hex()[-12:]}"

    def settled(self, original: Message) -> settlement_pb2.SettleResponse:
        """A settlement's success."""
        return settlement_pb2.SettleResponse(
            settlement_id=self.settlement_id(original),
            settled_time=timestamp(self.start_ms + 2_500),
            split=make_split(),
        )

    def cancelled(self, original: Message, cancellation: Message) -> settlement_pb2.CancelSettlementResponse:
        """A cancellation's success: a red record that leaves out what some places leave out."""
        split = make_split(-1)
        split.ClearField("personal_part_fen")
        split.ClearField("hospital_part_fen")
        return settlement_pb2.CancelSettlementResponse(
            red_settlement_id=f"R{cancellation.header.id.hex()[-12:]}",
            settlement_id=self.settlement_id(original),
            cancelled_time=timestamp(self.start_ms + 3_500),
            split=split,
        )

    def reversed(
        self, original: Message, result: int = settlement_pb2.REVERSAL_RESULT_REVERSED
    ) -> settlement_pb2.ReverseResponse:
        """A reversal's answer."""
        return settlement_pb2.ReverseResponse(
            result=result,  # type: ignore[arg-type]
            original_id=id_text(original.header.id),
            reversed_time=timestamp(self.start_ms + 4_500),
        )

    def found(
        self, original: Message, finding: int, *, settlement: Message | None = None
    ) -> settlement_pb2.QuerySettlementResponse:
        """A query's answer; `settlement` is what a cancellation cancels."""
        response = settlement_pb2.QuerySettlementResponse(finding=finding)  # type: ignore[arg-type]
        if finding == EXECUTED and settlement is None:
            response.settlement.CopyFrom(self.settled(original))
        elif finding == EXECUTED and settlement is not None:
            response.cancellation.CopyFrom(self.cancelled(settlement, original))
        return response
