"""Person trades of the care role: who is insured where (0211), and filings (0221, 0222, 0223).

A hospital asks the insured province; the own core, which names no institution, tells another province of a filing that
it made for an own person, or that it took one back.
"""

import logging
from typing import Final, TypeVar

from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard.medical.v1.coverage_pb2 import Enrolment, QueryCoverageRequest, QueryCoverageResponse
from onecard.medical.v1.coverage_pb2_grpc import CoverageServiceStub
from onecard.medical.v1.filing_pb2 import FileRequest, FileResponse, ReportFilingRequest, WithdrawFilingRequest
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub
from onecard.medical.v1.values_pb2 import InsuredNumber
from onecard_adapters.dialects.cross_region_xml import forms, gbk
from onecard_adapters.dialects.cross_region_xml.care_desk import CALL_S, Asked, CareDesk
from onecard_adapters.dialects.cross_region_xml.heads import write_person
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid, leaf, parent
from onecard_adapters.dialects.in_part import asked_first
from onecard_adapters.mapping.fields import day_from
from onecard_adapters.runtime.memory import PersonRecord

_ACTIVE: Final = "1"

FilingMessage = TypeVar("FilingMessage", FileRequest, ReportFilingRequest)

_log = logging.getLogger(__name__)


class PersonTrades:
    """0211, 0221, 0222, 0223, and the coverage question that registrations ask."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk

    async def identify(self, asked: Asked) -> Element:
        """0211: a read, asked anew each time; the identity is remembered for the trades that follow."""
        desk = self._desk
        request = QueryCoverageRequest(
            person=desk.identity(asked), insurance_area=asked.insurance_area, institution=asked.place
        )
        if asked.input.value("ake007"):
            request.day.CopyFrom(day_from(asked.input.value("ake007"), "input.ake007"))
        channel = desk.national.to(desk.recipient(asked.insurance_area, "aab301"))
        coverage: QueryCoverageResponse = await CoverageServiceStub(channel).QueryCoverage(request, timeout=CALL_S)
        output = self._output(asked, coverage)
        await self._remember(asked, coverage)
        return output

    async def _remember(self, asked: Asked, coverage: QueryCoverageResponse) -> None:
        """Under the area that was asked and those of the enrolments, by each number that later heads may carry."""
        areas = {asked.insurance_area, coverage.insured_number.insurance_area}
        areas |= {enrolment.insurance_area for enrolment in coverage.enrolments}
        head = write_person(coverage.person, coverage.insured_number.personal_number, self._desk.tables, "output")
        numbers = {str(head[name]) for name in ("aac001", "aac002", "aac044")}
        for area in sorted(areas - {""}):
            record = PersonRecord(
                identity=coverage.person,
                name=coverage.details.name,
                insurance_area=area,
                personal_number=coverage.insured_number.personal_number,
            )
            for number in sorted(numbers - {""}):
                await self._desk.memory.remember_person(area, number, record)

    def _output(self, asked: Asked, coverage: QueryCoverageResponse) -> Element:
        """The form of the sample, and all enrolments and filings as lists.

        The enrolment that the form shows by itself is the one that the request names by aae140, or the only active
        one; where several would fit, those elements stay empty and the list decides: never the first row.
        """
        tables = self._desk.tables
        if gbk.is_damaged(coverage.details.name):
            # It cannot be repaired and is not compared with anything; whoever reads it should know.
            _log.warning("a name in an answer holds a substitute character; it is passed on as it is")
        fitting = [item for item in coverage.enrolments if self._fits(asked, item)]
        shown = forms.ENROLMENT.write(fitting[0], tables, "output") if len(fitting) == 1 else {}
        return parent(
            "output",
            [
                *forms.leaves(
                    shown
                    | write_person(coverage.person, coverage.insured_number.personal_number, tables, "output")
                    | forms.PERSON_DETAILS.write(coverage.details, tables, "output")
                    | {"aab301": coverage.insured_number.insurance_area}
                ),
                forms.rows(
                    "detail",
                    (
                        forms.leaves(forms.ENROLMENT.write(item, tables, "output.detail"))
                        for item in coverage.enrolments
                    ),
                ),
                forms.rows(
                    "filings",
                    (forms.leaves(forms.FILING.write(item, tables, "output.filings")) for item in coverage.filings),
                ),
            ],
        )

    def _fits(self, asked: Asked, enrolment: Enrolment) -> bool:
        wanted = asked.input.value("aae140")
        if wanted:
            kind = self._desk.tables["insutype"].to_national(wanted, "input.aae140")
            if enrolment.insurance_kind != kind:
                return False
        # The samples' own form tells no status: who answers in it tells of one standing enrolment.
        return enrolment.status.code in {_ACTIVE, ""}

    async def coverage_of(self, asked: Asked, person: PersonRecord, day: CalendarDay) -> QueryCoverageResponse:
        """What the insured province says of a person on a day; no trade of the hospital, so under an id of its own."""
        request = QueryCoverageRequest(
            person=person.identity, insurance_area=person.insurance_area, institution=asked.place, day=day
        )
        channel = self._desk.national.to(self._desk.recipient(person.insurance_area, "aab301"))
        with asked_first(asked.trade):
            coverage: QueryCoverageResponse = await CoverageServiceStub(channel).QueryCoverage(request, timeout=CALL_S)
        return coverage

    async def file(self, asked: Asked) -> Element:
        """0221: a hospital asks the insured province to file."""
        recipient = self._desk.recipient(asked.insurance_area, "aab301")
        if asked.input.value("ykc901"):
            raise form_invalid("input.ykc901: a filing that is asked for has no number yet")
        desk = self._desk
        transaction = await desk.transaction(asked)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        request = self._filing(asked, FileRequest(), transaction.local_transaction_id)
        channel = desk.national.to(recipient, message_id=transaction.message_id)
        async with desk.noting_refusal(transaction):
            filed: FileResponse = await FilingServiceStub(channel).File(request, timeout=CALL_S)
        return await desk.answered(transaction, parent("output", [leaf("ykc901", filed.filing.filing_id)]))

    async def report_filing(self, asked: Asked) -> Element:
        """0223: the own core tells the place of care of a filing that stands; answered once it is in the outbox."""
        desk = self._desk
        recipient = desk.recipient(asked.input.value("aab299"), "aab299")
        filing_id = asked.input.value("ykc901")
        if not filing_id:
            raise form_invalid("input.ykc901: missing; a filing that is told has its number")
        transaction = await desk.transaction(asked)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        told = self._filing(asked, ReportFilingRequest(), transaction.local_transaction_id)
        channel = desk.national.to(recipient, message_id=transaction.message_id)
        async with desk.noting_refusal(transaction):
            await FilingServiceStub(channel).ReportFiling(told, timeout=CALL_S)
        return await desk.answered(transaction, parent("output", [leaf("ykc901", filing_id)]))

    def _filing(self, asked: Asked, request: FilingMessage, local_transaction_id: str) -> FilingMessage:
        desk = self._desk
        request.person.CopyFrom(desk.identity(asked))
        request.insured_number.CopyFrom(_number_named(asked))
        forms.read_into(forms.FILING, asked.input, request.filing, desk.tables)
        forms.read_into(forms.PERSON_DETAILS, asked.input, request.details, desk.tables)
        request.local_transaction_id = local_transaction_id
        return request

    async def withdraw_filing(self, asked: Asked) -> Element:
        """0222: a hospital asks the insured province, or the own core tells the place of care."""
        desk = self._desk
        is_own = desk.settings.is_own_area(asked.insurance_area)
        recipient = (
            desk.recipient(asked.input.value("aab299"), "aab299")
            if is_own
            else desk.recipient(asked.insurance_area, "aab301")
        )
        filing_id = asked.input.value("ykc901")
        if not filing_id:
            raise form_invalid("input.ykc901: missing")
        transaction = await desk.transaction(asked)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        request = WithdrawFilingRequest(
            person=desk.identity(asked),
            insured_number=_number_named(asked),
            filing_id=filing_id,
            cause=asked.input.value("aae013"),
            local_transaction_id=transaction.local_transaction_id,
        )
        channel = desk.national.to(recipient, message_id=transaction.message_id)
        async with desk.noting_refusal(transaction):
            await FilingServiceStub(channel).WithdrawFiling(request, timeout=CALL_S)
        return await desk.answered(transaction, parent("output", [leaf("ykc901", filing_id)]))


def _number_named(asked: Asked) -> InsuredNumber:
    """The personal number in the head; a filing travels under it."""
    number = asked.input.value("aac001")
    if not number:
        raise form_invalid("input.aac001: missing")
    return InsuredNumber(insurance_area=asked.insurance_area, personal_number=number)
