"""Person trades of the care role: who is insured where (1101), and filings (2501, 2502)."""

import asyncio
from typing import Any

from onecard.exchange.v1.values_pb2 import CalendarDay, PersonIdentity
from onecard.medical.v1.coverage_pb2 import QueryCoverageRequest, QueryCoverageResponse
from onecard.medical.v1.coverage_pb2_grpc import CoverageServiceStub
from onecard.medical.v1.filing_pb2 import FileRequest, FileResponse, WithdrawFilingRequest
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub
from onecard_adapters.dialects.in_part import asked_first
from onecard_adapters.dialects.infno import maps
from onecard_adapters.dialects.infno.care_home_filings import HomeFilings
from onecard_adapters.dialects.infno.desk import CALL_S, Call, CareDesk, insured_number, invalid
from onecard_adapters.runtime.memory import PersonRecord
from onecard_protocol.china_time import shanghai_time
from onecard_protocol.identity import normalise_identity

_IDENTITY_CARD = "02"


class PersonTrades:
    """1101, 2501, 2502, and the coverage question that registrations ask."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk
        self._home = HomeFilings(desk)

    async def identify(self, call: Call) -> dict[str, Any]:
        """1101: all enrolments, never one of them; the identity is remembered under (insurance area, psn_no)."""
        desk = self._desk
        data = call.request.node("data")
        asked = QueryCoverageRequest(institution=call.place, insurance_area=call.request.insurance_area)
        maps.COVERAGE_REQUEST.read(data, asked, desk.tables, "input.data")
        if not asked.person.number and asked.credential.kind.code == _IDENTITY_CARD:
            # One client sends the identity card's number as the credential's only.
            asked.person.number = asked.credential.number
        if not asked.person.number:
            raise invalid("input.data.certno", "missing; the exchange keeps order by the person's identity number")
        normalise_identity(asked.person.kind.code, asked.person.number)
        transaction = await desk.transaction(call)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        channel = desk.national.to(desk.recipient(call), message_id=transaction.message_id)
        coverage: QueryCoverageResponse = await CoverageServiceStub(channel).QueryCoverage(asked, timeout=CALL_S)
        await self._remember(coverage, asked.person)
        return await desk.answered(transaction, self._coverage_output(coverage))

    async def _remember(self, coverage: QueryCoverageResponse, asked: PersonIdentity) -> None:
        """Under every insurance area where the person is enrolled: later trades name any of them in their head."""
        areas = {enrolment.insurance_area for enrolment in coverage.enrolments}
        areas.add(coverage.insured_number.insurance_area)
        number = coverage.insured_number.personal_number
        # At once, so that they share one commit.
        await asyncio.gather(
            *(
                self._desk.memory.remember_person(
                    area,
                    number,
                    PersonRecord(
                        identity=coverage.person if coverage.person.number else asked,
                        name=coverage.details.name,
                        insurance_area=area,
                        personal_number=number,
                    ),
                )
                for area in sorted(area for area in areas if area)
            )
        )

    def _coverage_output(self, coverage: QueryCoverageResponse) -> dict[str, Any]:
        tables = self._desk.tables
        base = maps.BASE.write(coverage, tables, "baseinfo")
        if coverage.details.HasField("birth_day"):
            base["age"] = age_at(coverage.details.birth_day, self._desk.national.hub_time_ms())
        return {
            "baseinfo": {**base, "exp_content": None},
            "insuinfo": [
                maps.ENROLMENT.write(enrolment, tables, f"insuinfo[{index}]")
                for index, enrolment in enumerate(coverage.enrolments)
            ],
            "idetinfo": [],
            "filinginfo": [
                maps.STANDING_FILING.write(filing, tables, f"filinginfo[{index}]")
                for index, filing in enumerate(coverage.filings)
            ],
        }

    async def coverage_of(self, call: Call, person: PersonRecord, day: CalendarDay) -> QueryCoverageResponse:
        """What the insured province says of a person on a day; no trade of the hospital, so under an id of its own."""
        desk = self._desk
        asked = QueryCoverageRequest(
            person=person.identity,
            insurance_area=person.insurance_area,
            institution=call.place,
            day=day,
        )
        asked.details.name = person.name
        channel = desk.national.to(desk.recipient(call))
        with asked_first(call.request.infno):
            coverage: QueryCoverageResponse = await CoverageServiceStub(channel).QueryCoverage(asked, timeout=CALL_S)
        return coverage

    async def file(self, call: Call) -> dict[str, Any]:
        """2501: a filing for care in another province.

        For a person of another province that province is asked to file. For a person of this province the own core
        files, and the destination's province is told (备案上报).
        """
        desk = self._desk
        asked = FileRequest(local_transaction_id=call.request.msgid)
        maps.FILING.read(call.request.node("refmedin", "data"), asked, desk.tables, "input.refmedin")
        asked.insured_number.insurance_area = call.request.insurance_area
        if not asked.filing.insurance_area:
            asked.filing.insurance_area = call.request.insurance_area
        if desk.is_own(call.request.insurance_area):
            return await self._home.file(call, asked)
        if not asked.person.number:
            person = desk.person(call, asked.insured_number.personal_number)
            asked.person.CopyFrom(person.identity)
            asked.details.name = person.name
        normalise_identity(asked.person.kind.code, asked.person.number)
        recipient = desk.recipient(call)
        transaction = await desk.transaction(call)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        channel = desk.national.to(recipient, message_id=transaction.message_id)
        filed: FileResponse = await FilingServiceStub(channel).File(asked, timeout=CALL_S)
        return await desk.answered(transaction, {"result": {"trt_dcla_detl_sn": filed.filing.filing_id}})

    async def withdraw_filing(self, call: Call) -> dict[str, Any]:
        """2502: takes a filing back.

        For a person of another province that province is asked. For a person of this province the own core takes it
        back, and the province that was told of it is told again.
        """
        desk = self._desk
        asked = WithdrawFilingRequest(local_transaction_id=call.request.msgid)
        maps.WITHDRAW_FILING.read(call.request.node("data"), asked, desk.tables, "input.data")
        if desk.is_own(call.request.insurance_area):
            return await self._home.withdraw(call, asked)
        person = desk.person(call, asked.insured_number.personal_number)
        asked.person.CopyFrom(person.identity)
        asked.insured_number.CopyFrom(insured_number(person))
        transaction = await desk.transaction(call)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        channel = desk.national.to(desk.recipient(call), message_id=transaction.message_id)
        await FilingServiceStub(channel).WithdrawFiling(asked, timeout=CALL_S)
        return await desk.answered(transaction, {})


def age_at(birth_day: CalendarDay, time_ms: int) -> int:
    """Whole years at a time."""
    today = shanghai_time(time_ms)
    had_birthday = (today.month, today.day) >= (birth_day.month, birth_day.day)
    return today.year - birth_day.year - (0 if had_birthday else 1)
