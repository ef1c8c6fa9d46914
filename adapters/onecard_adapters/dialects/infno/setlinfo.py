"""The outputs of settlements: the money of the split, and the person's part that hospitals print beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard.medical.v1.settlement_pb2 import CancelSettlementResponse, SettleResponse
from onecard_adapters.dialects.infno import maps
from onecard_adapters.dialects.infno.care_person import age_at
from onecard_adapters.dialects.infno.desk import VISIT_ID, Call, CareDesk
from onecard_adapters.dialects.infno.envelope import clock_time
from onecard_adapters.dialects.infno.split import write_split
from onecard_adapters.mapping.fields import FieldMap, day_text
from onecard_adapters.runtime.memory import EncounterRecord
from onecard_protocol.identity import is_citizen_number

_CITIZEN: Final = "01"
_CIVIL_SERVANTS: Final = frozenset({"1102", "1202"})


def settled_output(
    desk: CareDesk,
    call: Call,
    encounter: EncounterRecord,
    settled: SettleResponse,
    names: FieldMap = maps.SPLIT,
) -> dict[str, Any]:
    """The output of a settlement, or of a query of one."""
    info, details = write_split(settled.split, desk.tables, names)
    info["setl_id"] = settled.settlement_id
    info["setl_time"] = _clock(settled.settled_time)
    info["medins_setl_id"] = settled.local_transaction_id or call.request.msgid
    return settlement_output(desk, call, encounter, info, details)


def cancelled_output(
    desk: CareDesk,
    call: Call,
    encounter: EncounterRecord,
    cancelled: CancelSettlementResponse,
    names: FieldMap = maps.SPLIT,
) -> dict[str, Any]:
    """The output of a red record, or of a query of one."""
    info, details = write_split(cancelled.split, desk.tables, names)
    info["setl_id"] = cancelled.red_settlement_id
    info["init_setl_id"] = cancelled.settlement_id
    info["setl_time"] = _clock(cancelled.cancelled_time)
    info["medins_setl_id"] = call.request.msgid
    return settlement_output(desk, call, encounter, info, details)


def settlement_output(
    desk: CareDesk,
    call: Call,
    encounter: EncounterRecord,
    info: Mapping[str, object],
    details: Sequence[Mapping[str, object]],
) -> dict[str, Any]:
    """setlinfo and setldetail with the person's part."""
    data = call.request.node("data")
    echo = _person_echo(encounter, desk.national.hub_time_ms())
    echo["mdtrt_id"] = data.get(VISIT_ID)
    echo["mdtrt_cert_type"] = data.get("mdtrt_cert_type")
    return {"setlinfo": {**echo, **info}, "setldetail": list(details), "expContent": None}


def _person_echo(encounter: EncounterRecord, time_ms: int) -> dict[str, Any]:
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


def _clock(time: Timestamp) -> str | None:
    return clock_time(time.ToMilliseconds()) if time.seconds else None
