"""The fields of the trades: which element carries which national field, both ways.

Element names are those of the samples where a sample has the field, standard names of the same family (AAC, AKC, AKE …)
where one is public, and ours (ykc69x, ykc9xx, yzc0xx) for the rest. Elements of the samples whose meaning no source
tells (ykc627 to ykc639, yka430 to yka434 …) are read past.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.message import Message

from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, settlement_pb2, values_pb2
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid, parent
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import (
    COUNT,
    DAY_COMPACT,
    FLAG,
    PRICE_LIMIT_TEXT,
    PRICE_TEXT,
    RATIO_TEXT,
    TEXT,
    YUAN_TEXT,
    FieldMap,
    Rule,
    code,
)


def _rule(local: str, national: str, codec: object = TEXT, *, required: bool = False) -> Rule:
    return Rule(local=local, national=national, codec=codec, is_required=required, absent_as="")  # type: ignore[arg-type]


_CREDENTIAL: Final = (
    _rule("ykc911", "credential.kind", code("mdtrt_cert_type")),
    _rule("ykc912", "credential.number"),
    _rule("ykc913", "credential.card_recognition_code"),
)
"""What the patient showed: when registered, and again with the bill."""


PERSON_DETAILS: Final = FieldMap(
    values_pb2.PersonDetails,
    [
        _rule("aac003", "name"),
        _rule("aac004", "sex", code("gend")),
        _rule("aac005", "ethnicity", code("naty")),
        _rule("aac006", "birth_day", DAY_COMPACT),
        _rule("aae005", "telephone"),
        _rule("aae006", "address"),
    ],
)
"""What is told of a person besides the numbers."""

ENROLMENT: Final = FieldMap(
    coverage_pb2.Enrolment,
    [
        _rule("aae140", "insurance_kind", code("insutype")),
        _rule("aac031", "status", code("psn_insu_stas")),
        _rule("ykc021", "person_class", code("psn_type")),
        _rule("aab301", "insurance_area", required=True),
        _rule("akc252", "account_balance_fen", YUAN_TEXT),
        _rule("aac030", "first_day", DAY_COMPACT),
        _rule("aae031", "last_day", DAY_COMPACT),
        _rule("aab004", "employer.name"),
        _rule("akc026", "is_civil_servant", FLAG),
    ],
)
"""One enrolment of a person."""

FILING: Final = FieldMap(
    filing_pb2.Filing,
    [
        _rule("ykc901", "filing_id"),
        _rule("ykc902", "filing_type", code("filing_type")),
        _rule("aab301", "insurance_area", required=True),
        _rule("aab299", "destination_area", required=True),
        _rule("aae030", "first_day", DAY_COMPACT),
        _rule("aae031", "last_day", DAY_COMPACT),
        _rule("aae140", "insurance_kind", code("insutype")),
        _rule("akb026", "institution_code"),
        _rule("akc196", "diagnosis.code"),
        _rule("akc185", "diagnosis.name"),
        _rule("ykc903", "channel", code("dcla_souc")),
    ],
)
"""A filing: as it is asked for, as it is told, and as it stands on the day asked for."""

DIAGNOSIS: Final = FieldMap(
    encounter_pb2.Diagnosis,
    [
        _rule("yzy201", "order", COUNT),
        _rule("yzy202", "kind", code("diag_type")),
        _rule("akc185", "name"),
        _rule("akc196", "code", required=True),
    ],
)
"""One diagnosis."""

REGISTRATION: Final = FieldMap(
    encounter_pb2.RegisterRequest,
    [
        _rule("yzz021", "institution_number"),
        _rule("aka130", "care_kind", code("med_type"), required=True),
        _rule("aae140", "insurance_kind", code("insutype"), required=True),
        _rule("aae030", "first_day", DAY_COMPACT, required=True),
        _rule("ykc901", "filing_id"),
        _rule("ykc904", "is_emergency", FLAG),
        _rule("ykc905", "department_name"),
        *_CREDENTIAL,
    ],
)
"""What is registered."""

DISCHARGE: Final = FieldMap(
    encounter_pb2.DischargeRequest,
    [
        _rule("akc194", "last_day", DAY_COMPACT, required=True),
        _rule("akc195", "discharge_way", code("dscg_way")),
    ],
)
"""The end of a stay."""

FEE_LINE: Final = FieldMap(
    encounter_pb2.FeeLine,
    [
        _rule("ykc610", "line_id", required=True),
        _rule("ykc611", "returned_line_id"),
        _rule("ake001", "item_code"),
        _rule("ake005", "institution_item_code"),
        _rule("ake006", "item_name"),
        _rule("aka063", "charge_class", code("med_chrgitm_type")),
        _rule("aka065", "charge_level", code("chrgitm_lv")),
        _rule("akc226", "quantity_e4", RATIO_TEXT, required=True),
        _rule("akc225", "unit_price_e6", PRICE_TEXT, required=True),
        _rule("akc227", "amount_fen", YUAN_TEXT, required=True),
        _rule("aka069", "self_pay_ratio_e4", RATIO_TEXT),
        _rule("aka068", "price_limit_e6", PRICE_LIMIT_TEXT),
        _rule("akc253", "full_self_pay_fen", YUAN_TEXT),
        _rule("yka319", "over_limit_self_pay_fen", YUAN_TEXT),
        _rule("akc254", "preceding_self_pay_fen", YUAN_TEXT),
        _rule("ykc624", "in_scope_fen", YUAN_TEXT),
        _rule("ake007", "day", DAY_COMPACT),
    ],
)
"""A fee line as the catalogue of the place of care splits it."""

FEE_TOTALS: Final = FieldMap(
    values_pb2.FeeTotals,
    [
        _rule("akc264", "total_fen", YUAN_TEXT, required=True),
        _rule("akc253", "full_self_pay_fen", YUAN_TEXT),
        _rule("yka319", "over_limit_self_pay_fen", YUAN_TEXT),
        _rule("akc254", "preceding_self_pay_fen", YUAN_TEXT),
        _rule("ykc624", "in_scope_fen", YUAN_TEXT),
    ],
)
"""The totals of a visit's lines."""

TERMS: Final = FieldMap(
    settlement_pb2.SettlementTerms,
    [
        _rule("aka130", "care_kind", code("med_type")),
        _rule("aae140", "insurance_kind", code("insutype")),
        _rule("ykc901", "filing_id"),
        _rule("ykc902", "filing_type", code("filing_type")),
        _rule("aae030", "first_day", DAY_COMPACT),
        _rule("akc194", "last_day", DAY_COMPACT),
        _rule("ykc914", "interim_period.first_day", DAY_COMPACT),
        _rule("ykc915", "interim_period.last_day", DAY_COMPACT),
        _rule("akc264", "fees.total_fen", YUAN_TEXT, required=True),
        _rule("akc253", "fees.full_self_pay_fen", YUAN_TEXT),
        _rule("yka319", "fees.over_limit_self_pay_fen", YUAN_TEXT),
        _rule("akc254", "fees.preceding_self_pay_fen", YUAN_TEXT),
        _rule("ykc624", "fees.in_scope_fen", YUAN_TEXT),
        _rule("ykc690", "line_count", COUNT),
        _rule("ykc916", "uses_personal_account", FLAG),
        _rule("ykc917", "settlement_way", code("psn_setlway")),
        *_CREDENTIAL,
    ],
)
"""What is settled: the bill, its period, and what the patient showed."""

SPLIT: Final = FieldMap(
    values_pb2.SettlementSplit,
    [
        _rule("akc264", "total_fen", YUAN_TEXT, required=True),
        _rule("akc253", "full_self_pay_fen", YUAN_TEXT),
        _rule("yka319", "over_limit_self_pay_fen", YUAN_TEXT),
        _rule("akc254", "preceding_self_pay_fen", YUAN_TEXT),
        _rule("ykc624", "in_scope_fen", YUAN_TEXT),
        _rule("aka151", "deductible_fen", YUAN_TEXT),
        _rule("ake039", "pooling_fund_fen", YUAN_TEXT),
        _rule("yzc007", "pooling_ratio_e4", RATIO_TEXT),
        _rule("ake035", "civil_servant_fund_fen", YUAN_TEXT),
        _rule("ake026", "enterprise_fund_fen", YUAN_TEXT),
        _rule("yzc003", "serious_illness_fund_fen", YUAN_TEXT),
        _rule("ake029", "large_amount_fund_fen", YUAN_TEXT),
        _rule("yzc004", "assistance_fund_fen", YUAN_TEXT),
        _rule("yzc005", "other_fund_fen", YUAN_TEXT),
        _rule("akb068", "fund_total_fen", YUAN_TEXT, required=True),
        _rule("yzc006", "hospital_part_fen", YUAN_TEXT),
        _rule("yzc002", "personal_part_fen", YUAN_TEXT),
        _rule("akb066", "personal_account_fen", YUAN_TEXT),
        _rule("akb067", "cash_fen", YUAN_TEXT),
        _rule("yzc008", "family_account_fen", YUAN_TEXT),
        _rule("akc087", "account_balance_fen", YUAN_TEXT),
        _rule("yzc011", "clearing_agency"),
        _rule("yzc012", "clearing_way", code("clr_way")),
        _rule("yzc013", "clearing_type", code("clr_type")),
    ],
)
"""Who pays what; negative on a red record. Where a core leaves `akb067`, `yzc002`, `yzc006` out, they follow."""

FUND_ITEM: Final = FieldMap(
    values_pb2.FundItem,
    [
        _rule("aaa157", "fund_type", code("fund_pay_type"), required=True),
        _rule("ykc624", "in_scope_fen", YUAN_TEXT),
        _rule("yzc021", "limit_fen", YUAN_TEXT),
        _rule("aae019", "paid_fen", YUAN_TEXT, required=True),
        _rule("aae013", "process_information"),
    ],
)
"""One part of a split."""


def read_into(form: FieldMap, element: Element, message: Message, tables: CodeTables, at: str = "") -> None:
    """Fill a national message from an element's children; absent elements and empty ones are the same here."""
    form.read({child.name: child.text for child in element.children}, message, tables, at or element.name)


def leaves(values: Mapping[str, object]) -> list[Element]:
    """Elements of plain values, in order."""
    return [Element(name, "" if value is None else str(value)) for name, value in values.items()]


def rows(name: str, content: Iterable[Iterable[Element]]) -> Element:
    """A list in this form: an element of rows, also when there is one row or none."""
    return parent(name, [parent("row", cells) for cells in content])


def rows_of(element: Element, name: str) -> list[Element]:
    """The rows of a list; an absent list is an empty one. Raises LOCAL_FORM_INVALID for anything but rows in it."""
    holder = element.find(name)
    if holder is None:
        return []
    if any(child.name != "row" for child in holder.children):
        raise form_invalid(f"{element.name}.{name}: holds something else than rows")
    return list(holder.children)
