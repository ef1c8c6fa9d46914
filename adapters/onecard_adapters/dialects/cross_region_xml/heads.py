"""The fields with which every request of this form begins: place of care, person, insurance area."""

from dataclasses import dataclass
from typing import Final

from onecard.exchange.v1.values_pb2 import PersonIdentity
from onecard.medical.v1.values_pb2 import EncounterReference, Institution, InsuredNumber
from onecard_adapters.dialects.cross_region_xml import times
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.identity import CITIZEN_KINDS, to_18_digits

_CITIZEN: Final = "01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of one request to the own core."""

    person: PersonIdentity
    insured_number: InsuredNumber
    institution: Institution
    visit_id: str = ""
    transid: str = ""


def institution_of(encounter: EncounterReference) -> Institution:
    """The institution of an encounter; its area stands in its code (H or P, six digits, five more)."""
    area = encounter.institution_code[1:7]
    return Institution(code=encounter.institution_code, area=area if area.isdecimal() else "")


def write_head(head: Head, operator_code: str, tables: CodeTables) -> dict[str, object]:
    """The head's elements in the order of the samples; aac001 and transid are ours, the rest theirs."""
    kind = head.person.kind if head.person.kind.code else tables["psn_cert_type"].coded(_CITIZEN)
    is_citizen = kind.code in CITIZEN_KINDS
    number = to_18_digits(head.person.number) if is_citizen else head.person.number
    return {
        "transid": head.transid,
        "aab299": head.institution.area,
        "yab600": head.institution.area,
        "akb026": head.institution.code,
        "akb021": head.institution.name,
        "ykc700": head.visit_id,
        "aab301": head.insured_number.insurance_area,
        "yab060": "",
        "aac001": head.insured_number.personal_number,
        "aac002": number if is_citizen else "",
        "aac043": tables["psn_cert_type"].to_local(kind, "input.aac043"),
        "aac044": number,
        "aae011": operator_code,
        "aae036": times.today(),
    }
