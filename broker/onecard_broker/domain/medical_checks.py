"""What a medical payload must hold before it is admitted: form, presence, identities (domain.md, 1.7).

A rule for each message type (see ``payload_checks``). What depends on the encounter is judged in ``medical`` and
``settlements``.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage

from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_broker.domain.fee_lines import check_fee_line
from onecard_broker.domain.payload_checks import (
    ABSENT,
    Checker,
    Faults,
    check_area,
    check_count,
    check_message_id,
    check_text,
    needs,
    required,
)
from onecard_broker.domain.settlement_amounts import check_fees, check_split
from onecard_protocol import limits
from onecard_protocol.identifiers import id_from_text

_INSTITUTION: Final = re.compile(r"[0-9A-Za-z]{1,32}")
_ENCOUNTER_ID: Final = re.compile(r"[0-9a-f]{32}")


# ---- rules by type; `path` ends with a dot where it is not empty ---------------------------------------------------


def _institution(message: Any, path: str, faults: Faults) -> None:
    if not _INSTITUTION.fullmatch(message.code):
        faults.form.append((f"{path}code", "is no institution's code"))
    check_area(message.area, path, "area", faults)


def _insured_number(message: Any, path: str, faults: Faults) -> None:
    check_area(message.insurance_area, path, "insurance_area", faults)
    check_text(message.personal_number, path, "personal_number", faults)


def _encounter(message: Any, path: str, faults: Faults) -> None:
    if not _ENCOUNTER_ID.fullmatch(message.encounter_id) or id_from_text(message.encounter_id) is None:
        faults.form.append((f"{path}encounter_id", "is no encounter's id: 32 lower-case hex digits of a message id"))
    if not _INSTITUTION.fullmatch(message.institution_code):
        faults.form.append((f"{path}institution_code", "is no institution's code"))
    check_text(message.visit_id, path, "visit_id", faults)


def _filing(message: Any, path: str, faults: Faults) -> None:
    for name in ("insurance_area", "destination_area"):
        check_area(getattr(message, name), path, name, faults)
    required(message, path, faults, "filing_type", "first_day")
    _order(message, path, faults)


def _enrolment(message: Any, path: str, faults: Faults) -> None:
    # Its kind may be absent: the older generation's answer tells none, and nobody may guess it.
    check_area(message.insurance_area, path, "insurance_area", faults)


def _coverage(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person")
    if message.insurance_area:
        check_area(message.insurance_area, path, "insurance_area", faults)


def _fee_line(message: Any, path: str, faults: Faults) -> None:
    check_text(message.line_id, path, "line_id", faults)
    form, amounts = check_fee_line(message, path)
    faults.form += form
    faults.amounts += amounts


def _fee_totals(message: Any, path: str, faults: Faults) -> None:
    faults.amounts += check_fees(message, path.removesuffix("."))


def _terms(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "insured_number", "encounter", "institution", "care_kind", "insurance_kind", "fees")
    _order(message, path, faults)
    _order(message, path, faults, "filing_")
    if message.line_count < 0:
        faults.form.append((f"{path}line_count", "is negative"))


def _interim(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "first_day", "last_day")
    _order(message, path, faults)


def _register(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "insured_number", "institution", "care_kind", "insurance_kind")
    check_text(message.visit_id, path, "visit_id", faults)


def _upload(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "insured_number", "encounter")
    check_count(message.lines, path, "lines", faults, limits.FEE_LINE_COUNT_MAX)
    line_ids = [line.line_id for line in message.lines]
    if len(set(line_ids)) != len(line_ids):
        faults.form.append((f"{path}lines", "use a line_id twice"))


def _settle(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "terms")
    if message.pre_settlement_id:
        check_message_id(message.pre_settlement_id, path, "pre_settlement_id", faults)


def _cancel(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "insured_number", "encounter")
    check_message_id(message.original_id, path, "original_id", faults)
    check_text(message.settlement_id, path, "settlement_id", faults)


def _reverse(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "insured_number", "encounter")
    check_message_id(message.original_id, path, "original_id", faults)
    check_text(message.original_method, path, "original_method", faults, limits.METHOD_CHARACTERS_MAX)


def _query(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "insured_number", "encounter")
    if message.original_id:
        check_message_id(message.original_id, path, "original_id", faults)
    elif not message.settlement_id:
        faults.form.append((f"{path}original_id", "is absent, and so is settlement_id"))


def _settled(message: Any, path: str, faults: Faults) -> None:
    check_text(message.settlement_id, path, "settlement_id", faults)
    required(message, path, faults, "settled_time")
    _split(message, path, faults, is_red=False)


def _pre_settled(message: Any, path: str, faults: Faults) -> None:
    _split(message, path, faults, is_red=False)


def _cancelled(message: Any, path: str, faults: Faults) -> None:
    check_text(message.red_settlement_id, path, "red_settlement_id", faults)
    _split(message, path, faults, is_red=True)


def _split(message: Any, path: str, faults: Faults, *, is_red: bool) -> None:
    required(message, path, faults, "split")
    faults.amounts += check_split(message.split, f"{path}split", is_red=is_red)


def _reversed(message: Any, path: str, faults: Faults) -> None:
    if not message.result:
        faults.form.append((f"{path}result", ABSENT))
    check_message_id(message.original_id, path, "original_id", faults)


def _queried(message: Any, path: str, faults: Faults) -> None:
    if not message.finding:
        faults.form.append((f"{path}finding", ABSENT))
    if message.finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED and not (
        message.HasField("settlement") or message.HasField("cancellation")
    ):
        faults.form.append((f"{path}settlement", "is absent, and so is cancellation"))


# ---- shared --------------------------------------------------------------------------------------------------------


def _order(message: Any, path: str, faults: Faults, of: str = "") -> None:
    names = f"{of}first_day", f"{of}last_day"
    if all(message.HasField(name) for name in names):
        first, last = ((day.year, day.month, day.day) for day in (getattr(message, name) for name in names))
        if first > last:
            faults.form.append((f"{path}{names[1]}", f"lies before {names[0]}"))


_CHECKER: Final = Checker(
    {
        medical_values_pb2.Institution: _institution,
        medical_values_pb2.InsuredNumber: _insured_number,
        medical_values_pb2.EncounterReference: _encounter,
        medical_values_pb2.FeeTotals: _fee_totals,
        filing_pb2.Filing: _filing,
        filing_pb2.FileRequest: needs("person", "insured_number", "filing"),
        filing_pb2.FileResponse: needs("filing"),
        filing_pb2.ReportFilingRequest: needs("person", "insured_number", "filing"),
        filing_pb2.WithdrawFilingRequest: needs("person", "insured_number"),
        coverage_pb2.QueryCoverageRequest: _coverage,
        coverage_pb2.QueryCoverageResponse: needs("person", "insured_number"),
        coverage_pb2.Enrolment: _enrolment,
        encounter_pb2.RegisterRequest: _register,
        encounter_pb2.RegisterResponse: needs("encounter"),
        encounter_pb2.DischargeRequest: needs("person", "insured_number", "encounter", "last_day"),
        encounter_pb2.FeeLine: _fee_line,
        encounter_pb2.UploadFeeLinesRequest: _upload,
        encounter_pb2.WithdrawFeeLinesRequest: needs("person", "insured_number", "encounter"),
        settlement_pb2.SettlementTerms: _terms,
        settlement_pb2.InterimPeriod: _interim,
        settlement_pb2.PreSettleRequest: needs("person", "terms"),
        settlement_pb2.PreSettleResponse: _pre_settled,
        settlement_pb2.SettleRequest: _settle,
        settlement_pb2.SettleResponse: _settled,
        settlement_pb2.CancelSettlementRequest: _cancel,
        settlement_pb2.CancelSettlementResponse: _cancelled,
        settlement_pb2.ReverseRequest: _reverse,
        settlement_pb2.ReverseResponse: _reversed,
        settlement_pb2.QuerySettlementRequest: _query,
        settlement_pb2.QuerySettlementResponse: _queried,
    }
)


def check_payload(payload: ProtoMessage) -> None:
    """Raises OneCardError: IDENTITY_INVALID, PAYLOAD_INVALID or AMOUNTS_INCONSISTENT; violations hold no values."""
    _CHECKER.check_payload(payload)
