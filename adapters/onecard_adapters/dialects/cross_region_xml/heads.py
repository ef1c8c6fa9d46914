"""The fields with which every request of this form begins: place of care, person, insurance area."""

from typing import Final

from onecard.exchange.v1.values_pb2 import PersonIdentity
from onecard.medical.v1.values_pb2 import Institution, InsuredNumber
from onecard_adapters.dialects.cross_region_xml import times
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.identity import CITIZEN_KINDS, to_18_digits
from onecard_protocol.value_class import value_class

_CITIZEN: Final = "01"


@value_class(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of one request to the own core."""

    person: PersonIdentity
    insured_number: InsuredNumber
    institution: Institution
    visit_id: str = ""
    transid: str = ""


def write_head(head: Head, operator_code: str, tables: CodeTables) -> dict[str, object]:
    """The head's elements in the order of the samples; aac001 and transid are ours, the rest theirs."""
    return {
        "transid": head.transid,
        "aab299": head.institution.area,
        "yab600": head.institution.area,
        "akb026": head.institution.code,
        "akb021": head.institution.name,
        "ykc700": head.visit_id,
        "aab301": head.insured_number.insurance_area,
        "yab060": "",
        **write_person(head.person, head.insured_number.personal_number, tables, "input"),
        "aae011": operator_code,
        "aae036": times.today(),
    }


def write_person(person: PersonIdentity, personal_number: str, tables: CodeTables, at: str) -> dict[str, object]:
    """The elements that say who it is; aac002 is a citizen's number only."""
    kind = person.kind if person.kind.code else tables["psn_cert_type"].coded(_CITIZEN)
    is_citizen = kind.code in CITIZEN_KINDS
    number = to_18_digits(person.number) if is_citizen else person.number
    return {
        "aac001": personal_number,
        "aac002": number if is_citizen else "",
        "aac043": tables["psn_cert_type"].to_local(kind, f"{at}.aac043"),
        "aac044": number,
    }


def read_person(element: Element, tables: CodeTables) -> PersonIdentity:
    """The person named in a head. Raises LOCAL_FORM_INVALID if none is, UNMAPPED_CODE for an unknown aac043."""
    number = element.value("aac044") or element.value("aac002")
    if not number:
        raise form_invalid(f"{element.name}.aac044: missing; the exchange keeps order by the person's number")
    identity = PersonIdentity(number=number)
    kind = element.value("aac043")
    if kind:
        identity.kind.CopyFrom(tables["psn_cert_type"].to_national(kind, f"{element.name}.aac043"))
    return identity
