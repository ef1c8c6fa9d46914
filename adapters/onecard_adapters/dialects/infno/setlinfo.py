"""The person's part of a setlinfo: what hospitals print on the sheet beside the money."""

from typing import Any, Final

from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard_adapters.dialects.infno.care_person import age_at
from onecard_adapters.mapping.fields import day_text
from onecard_adapters.runtime.memory import EncounterRecord
from onecard_protocol.identity import is_citizen_number

_CITIZEN: Final = "01"
_CIVIL_SERVANTS: Final = frozenset({"1102", "1202"})


def person_echo(encounter: EncounterRecord, time_ms: int) -> dict[str, Any]:
    """Name, certificate, birth and enrolment, from what 1101 and the registration told."""
    person, care = encounter.person, encounter.care
    number = person.identity.number
    born = _birth_day(number)
    return {
        "psn_no": person.personal_number,
        "psn_name": person.name,
        "psn_cert_type": person.identity.kind.code or _CITIZEN,
        "certno": number,
        "gend": None if born is None else "1" if int(number[16]) % 2 else "2",
        "brdy": None if born is None else day_text(born),
        "age": None if born is None else age_at(born, time_ms),
        "psn_type": care.get("psn_type") or None,
        "cvlserv_flag": "1" if care.get("psn_type") in _CIVIL_SERVANTS else "0",
        "insutype": care.get("insutype"),
        "med_type": care.get("med_type"),
    }


def _birth_day(number: str) -> CalendarDay | None:
    if not is_citizen_number(number):
        return None
    return CalendarDay(year=int(number[6:10]), month=int(number[10:12]), day=int(number[12:14]))
