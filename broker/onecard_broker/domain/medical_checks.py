"""What a medical payload must hold before it is admitted: form, presence, identities (domain.md, 1.7).

A rule for each message type, found by walking the payload: a type means the same wherever it stands. Pure, and without
state: what depends on the encounter is judged in ``medical`` and ``settlements``.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, values_pb2
from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_broker.domain.fee_lines import check_fee_line
from onecard_broker.domain.settlement_amounts import check_fees, check_split
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.identifiers import id_from_text
from onecard_protocol.identity import normalise_identity

TEXT_CHARACTERS_MAX: Final = 64
_AREA: Final = re.compile(r"\d{6}", re.ASCII)
_INSTITUTION: Final = re.compile(r"[0-9A-Za-z]{1,32}")
_ENCOUNTER_ID: Final = re.compile(r"[0-9a-f]{32}")
_ABSENT: Final = "is absent"


_Rule = Callable[[Any, str, "Faults"], None]


class Faults:
    """What is wrong with a payload, by the reason that it is refused for."""

    def __init__(self) -> None:
        self.identity: list[Violation] = []
        self.form: list[Violation] = []
        self.amounts: list[Violation] = []

    @property
    def are_any(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.identity or self.form or self.amounts)

    def raise_gravest(self) -> None:
        """Raise what is wrong: an unknown person before a wrong form, a wrong form before a wrong sum."""
        for reason, violations in (
            (errors_pb2.ERROR_REASON_IDENTITY_INVALID, self.identity),
            (errors_pb2.ERROR_REASON_PAYLOAD_INVALID, self.form),
            (errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT, self.amounts),
        ):
            if violations:
                raise OneCardError(reason, violations=violations[: limits.FEE_LINE_COUNT_MAX])


def check_payload(payload: ProtoMessage) -> None:
    """Raises OneCardError: IDENTITY_INVALID, PAYLOAD_INVALID or AMOUNTS_INCONSISTENT; violations hold no values."""
    faults = Faults()
    _check(payload, faults)
    if faults.are_any:
        # Only a payload with faults is worth the names of its fields.
        named = Faults()
        _check_by_name(payload, "", named)
        named.raise_gravest()


def _check(message: Any, faults: Faults) -> None:
    """Apply the rule of a message's type, and those of the messages in it, without telling where a fault lies."""
    rule, fields = _plan(message.__class__)
    if rule is not None:
        rule(message, "", faults)
    for name, is_repeated in fields:
        if is_repeated:
            for item in getattr(message, name):
                _check(item, faults)
        elif message.HasField(name):
            _check(getattr(message, name), faults)


def _check_by_name(message: Any, path: str, faults: Faults) -> None:
    """The same, with the place of each fault; `path` ends with a dot or is empty."""
    rule, fields = _plan(message.__class__)
    if rule is not None:
        rule(message, path, faults)
    for name, is_repeated in fields:
        if is_repeated:
            for index, item in enumerate(getattr(message, name)):
                _check_by_name(item, f"{path}{name}[{index}].", faults)
        elif message.HasField(name):
            _check_by_name(getattr(message, name), f"{path}{name}.", faults)


@cache
def _plan(message_class: type[ProtoMessage]) -> tuple[_Rule | None, tuple[tuple[str, bool], ...]]:
    """The rule of a type, and its fields in which a rule applies, each with whether it is repeated."""
    descriptor = message_class.DESCRIPTOR
    fields = tuple((field.name, field.is_repeated) for field in descriptor.fields if _has_rule(field))
    return _RULES.get(descriptor.full_name), fields


def _has_rule(field: FieldDescriptor) -> bool:
    """Whether a rule applies to a field's type or anywhere in it; no type of the protocol holds itself."""
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        return False
    return field.message_type.full_name in _RULES or any(map(_has_rule, field.message_type.fields))


# ---- rules by type; `path` ends with a dot where it is not empty ---------------------------------------------------


def _person(message: Any, path: str, faults: Faults) -> None:
    try:
        normalise_identity(message.kind.code, message.number)
    except OneCardError as error:
        faults.identity.append((f"{path}number", error.detail))


def _coded_value(message: Any, path: str, faults: Faults) -> None:
    if message.system and message.version and message.code:
        return
    faults.form += [(f"{path}{name}", _ABSENT) for name in ("system", "version", "code") if not getattr(message, name)]


def _day(message: Any, path: str, faults: Faults) -> None:
    try:
        datetime.date(message.year, message.month, message.day)
    except ValueError:
        faults.form.append((path.removesuffix("."), "is no day"))


def _institution(message: Any, path: str, faults: Faults) -> None:
    if not _INSTITUTION.fullmatch(message.code):
        faults.form.append((f"{path}code", "is no institution's code"))
    _area(message.area, path, "area", faults)


def _insured_number(message: Any, path: str, faults: Faults) -> None:
    _area(message.insurance_area, path, "insurance_area", faults)
    _text(message.personal_number, path, "personal_number", faults)


def _encounter(message: Any, path: str, faults: Faults) -> None:
    if not _ENCOUNTER_ID.fullmatch(message.encounter_id) or id_from_text(message.encounter_id) is None:
        faults.form.append((f"{path}encounter_id", "is no encounter's id: 32 lower-case hex digits of a message id"))
    if not _INSTITUTION.fullmatch(message.institution_code):
        faults.form.append((f"{path}institution_code", "is no institution's code"))
    _text(message.visit_id, path, "visit_id", faults)


def _filing(message: Any, path: str, faults: Faults) -> None:
    for name in ("insurance_area", "destination_area"):
        _area(getattr(message, name), path, name, faults)
    _required(message, path, faults, "filing_type", "first_day")
    _order(message, path, faults)


def _enrolment(message: Any, path: str, faults: Faults) -> None:
    _area(message.insurance_area, path, "insurance_area", faults)
    _required(message, path, faults, "insurance_kind")


def _coverage(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person")
    if message.insurance_area:
        _area(message.insurance_area, path, "insurance_area", faults)


def _fee_line(message: Any, path: str, faults: Faults) -> None:
    _text(message.line_id, path, "line_id", faults)
    form, amounts = check_fee_line(message, path)
    faults.form += form
    faults.amounts += amounts


def _fee_totals(message: Any, path: str, faults: Faults) -> None:
    faults.amounts += check_fees(message, path.removesuffix("."))


def _terms(message: Any, path: str, faults: Faults) -> None:
    _required(
        message, path, faults, "insured_number", "encounter", "institution", "care_kind", "insurance_kind", "fees"
    )
    _order(message, path, faults)
    if message.line_count < 0:
        faults.form.append((f"{path}line_count", "is negative"))


def _interim(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "first_day", "last_day")
    _order(message, path, faults)


def _register(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person", "insured_number", "institution", "care_kind", "insurance_kind")
    _text(message.visit_id, path, "visit_id", faults)


def _upload(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person", "insured_number", "encounter")
    if not 1 <= len(message.lines) <= limits.FEE_LINE_COUNT_MAX:
        faults.form.append((f"{path}lines", f"are not 1 to {limits.FEE_LINE_COUNT_MAX}"))
    line_ids = [line.line_id for line in message.lines]
    if len(set(line_ids)) != len(line_ids):
        faults.form.append((f"{path}lines", "use a line_id twice"))


def _settle(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person", "terms")
    if message.pre_settlement_id:
        _message_id(message.pre_settlement_id, path, "pre_settlement_id", faults)


def _cancel(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person", "insured_number", "encounter")
    _message_id(message.original_id, path, "original_id", faults)
    _text(message.settlement_id, path, "settlement_id", faults)


def _reverse(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person", "insured_number", "encounter")
    _message_id(message.original_id, path, "original_id", faults)
    _text(message.original_method, path, "original_method", faults, limits.METHOD_CHARACTERS_MAX)


def _query(message: Any, path: str, faults: Faults) -> None:
    _required(message, path, faults, "person", "insured_number", "encounter")
    if message.original_id:
        _message_id(message.original_id, path, "original_id", faults)
    elif not message.settlement_id:
        faults.form.append((f"{path}original_id", "is absent, and so is settlement_id"))


def _settled(message: Any, path: str, faults: Faults) -> None:
    _text(message.settlement_id, path, "settlement_id", faults)
    _required(message, path, faults, "settled_time")
    _split(message, path, faults, is_red=False)


def _pre_settled(message: Any, path: str, faults: Faults) -> None:
    _split(message, path, faults, is_red=False)


def _cancelled(message: Any, path: str, faults: Faults) -> None:
    _text(message.red_settlement_id, path, "red_settlement_id", faults)
    _split(message, path, faults, is_red=True)


def _split(message: Any, path: str, faults: Faults, *, is_red: bool) -> None:
    _required(message, path, faults, "split")
    faults.amounts += check_split(message.split, f"{path}split", is_red=is_red)


def _reversed(message: Any, path: str, faults: Faults) -> None:
    if not message.result:
        faults.form.append((f"{path}result", _ABSENT))
    _message_id(message.original_id, path, "original_id", faults)


def _queried(message: Any, path: str, faults: Faults) -> None:
    if not message.finding:
        faults.form.append((f"{path}finding", _ABSENT))
    if message.finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED and not (
        message.HasField("settlement") or message.HasField("cancellation")
    ):
        faults.form.append((f"{path}settlement", "is absent, and so is cancellation"))


def _needs(*names: str) -> _Rule:
    """A rule that asks only for fields."""
    return lambda message, path, faults: _required(message, path, faults, *names)


# ---- shared --------------------------------------------------------------------------------------------------------


def _required(message: Any, path: str, faults: Faults, *names: str) -> None:
    """A person that is absent is an unknown person, any other field a wrong form."""
    for name in names:
        if not message.HasField(name):
            (faults.identity if name == "person" else faults.form).append((path + name, _ABSENT))


def _order(message: Any, path: str, faults: Faults) -> None:
    if message.HasField("first_day") and message.HasField("last_day"):
        first, last = ((day.year, day.month, day.day) for day in (message.first_day, message.last_day))
        if first > last:
            faults.form.append((f"{path}last_day", "lies before first_day"))


def _area(area: str, path: str, name: str, faults: Faults) -> None:
    if not _AREA.fullmatch(area):
        faults.form.append((path + name, "is no area of six digits"))


def _text(text: str, path: str, name: str, faults: Faults, characters_max: int = TEXT_CHARACTERS_MAX) -> None:
    if not text:
        faults.form.append((path + name, _ABSENT))
    elif len(text) > characters_max or not text.isprintable():
        faults.form.append((path + name, f"is longer than {characters_max} characters or not printable"))


def _message_id(text: str, path: str, name: str, faults: Faults) -> None:
    if id_from_text(text) is None:
        faults.form.append((path + name, "is no message id of 32 hex digits"))


_RULES: Final[dict[str, _Rule]] = {
    message_class.DESCRIPTOR.full_name: rule
    for message_class, rule in (
        (values_pb2.PersonIdentity, _person),
        (values_pb2.CodedValue, _coded_value),
        (values_pb2.CalendarDay, _day),
        (medical_values_pb2.Institution, _institution),
        (medical_values_pb2.InsuredNumber, _insured_number),
        (medical_values_pb2.EncounterReference, _encounter),
        (medical_values_pb2.FeeTotals, _fee_totals),
        (filing_pb2.Filing, _filing),
        (filing_pb2.FileRequest, _needs("person", "insured_number", "filing")),
        (filing_pb2.FileResponse, _needs("filing")),
        (filing_pb2.ReportFilingRequest, _needs("person", "insured_number", "filing")),
        (filing_pb2.WithdrawFilingRequest, _needs("person", "insured_number")),
        (coverage_pb2.QueryCoverageRequest, _coverage),
        (coverage_pb2.QueryCoverageResponse, _needs("person", "insured_number")),
        (coverage_pb2.Enrolment, _enrolment),
        (encounter_pb2.RegisterRequest, _register),
        (encounter_pb2.RegisterResponse, _needs("encounter")),
        (encounter_pb2.DischargeRequest, _needs("person", "insured_number", "encounter", "last_day")),
        (encounter_pb2.FeeLine, _fee_line),
        (encounter_pb2.UploadFeeLinesRequest, _upload),
        (encounter_pb2.WithdrawFeeLinesRequest, _needs("person", "insured_number", "encounter")),
        (settlement_pb2.SettlementTerms, _terms),
        (settlement_pb2.InterimPeriod, _interim),
        (settlement_pb2.PreSettleRequest, _needs("person", "terms")),
        (settlement_pb2.PreSettleResponse, _pre_settled),
        (settlement_pb2.SettleRequest, _settle),
        (settlement_pb2.SettleResponse, _settled),
        (settlement_pb2.CancelSettlementRequest, _cancel),
        (settlement_pb2.CancelSettlementResponse, _cancelled),
        (settlement_pb2.ReverseRequest, _reverse),
        (settlement_pb2.ReverseResponse, _reversed),
        (settlement_pb2.QuerySettlementRequest, _query),
        (settlement_pb2.QuerySettlementResponse, _queried),
    )
}
