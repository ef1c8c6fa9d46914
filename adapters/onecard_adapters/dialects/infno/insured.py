"""Insured role: serves the national medical methods by asking the province's own core, by infno over HTTP.

Coverage, filings and encounters are here; settlements, which must be told from each other after a crash, are in
insured_settlement.
"""

from collections.abc import Sequence
from typing import Any

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, values_pb2
from onecard.medical.v1.coverage_pb2_grpc import CoverageServiceServicer
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceServicer
from onecard.medical.v1.filing_pb2_grpc import FilingServiceServicer
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.in_part import executed
from onecard_adapters.dialects.infno import fees, maps, trades
from onecard_adapters.dialects.infno.care_after import ALL_LINES
from onecard_adapters.dialects.infno.desk import VISIT_ID, required_text
from onecard_adapters.dialects.infno.insured_desk import (
    EXECUTED,
    STATE,
    CarePlace,
    InsuredDesk,
    care_of,
    local_number,
)
from onecard_adapters.dialects.infno.insured_settlement import SettlementServicer
from onecard_adapters.dialects.infno.settings import InfnoInsuredSettings
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.memory import EdgeMemory, EncounterRecord, PersonRecord
from onecard_protocol.errors import OneCardError


def build_insured(settings: InfnoInsuredSettings, memory: EdgeMemory, client: LocalHttpClient) -> "Insured":
    """The servicers of the insured role; `client` reaches the province's core."""
    return Insured(InsuredDesk(settings, memory, client))


class Insured:
    """The four medical services."""

    def __init__(self, desk: InsuredDesk) -> None:
        self.coverage = CoverageServicer(desk)
        self.filing = FilingServicer(desk)
        self.encounter = EncounterServicer(desk)
        self.settlement = SettlementServicer(desk)


class CoverageServicer(CoverageServiceServicer):
    """CoverageService by 1101."""

    def __init__(self, desk: InsuredDesk) -> None:
        self._desk = desk

    async def QueryCoverage(  # noqa: N802 - the service's name
        self, request: coverage_pb2.QueryCoverageRequest, context: ExchangeContext
    ) -> coverage_pb2.QueryCoverageResponse:
        """All enrolments, and the filings that stand."""
        desk = self._desk
        place = CarePlace(
            insurance_area=request.insurance_area,
            institution_code=request.institution.code,
            institution_name=request.institution.name,
            area=request.institution.area,
        )
        data = maps.COVERAGE_REQUEST.write(request, desk.tables, "data")
        answer = await desk.ask_core(context, "1101", {"data": data}, place)
        response = coverage_pb2.QueryCoverageResponse()
        maps.BASE.read(answer.node("baseinfo"), response, desk.tables, "baseinfo")
        # Without an area asked for, the number is the whole province's; which enrolment counts is the asker's choice.
        response.insured_number.insurance_area = request.insurance_area or desk.settings.area
        for index, row in enumerate(answer.rows("insuinfo")):
            maps.ENROLMENT.read(row, response.enrolments.add(), desk.tables, f"insuinfo[{index}]")
        for index, row in enumerate(answer.rows("filinginfo")):
            maps.STANDING_FILING.read(row, response.filings.add(), desk.tables, f"filinginfo[{index}]")
        return response


class FilingServicer(FilingServiceServicer):
    """FilingService by 2501 and 2502: filings asked of us, and filings of other provinces that we are told of."""

    def __init__(self, desk: InsuredDesk) -> None:
        self._desk = desk

    async def File(  # noqa: N802 - the service's name
        self, request: filing_pb2.FileRequest, context: ExchangeContext
    ) -> filing_pb2.FileResponse:
        """The filing with the id that the core gave it."""
        desk = self._desk
        place = CarePlace(insurance_area=request.insured_number.insurance_area)
        transaction = await desk.begin_other(context, trades.FILE, "", context.message_id.hex())
        content = {"refmedin": maps.FILING.write(request, desk.tables, "refmedin")}
        answer = await desk.effect(context, transaction, "2501", content, place)
        response = filing_pb2.FileResponse(filing=request.filing)
        with executed("2501"):
            response.filing.filing_id = required_text(answer.node("result"), "trt_dcla_detl_sn", "result")
        await desk.note(transaction, {STATE: EXECUTED})
        return response

    async def ReportFiling(  # noqa: N802 - the service's name
        self, request: filing_pb2.ReportFilingRequest, context: ExchangeContext
    ) -> filing_pb2.ReportFilingResponse:
        """Gives the core a filing that another province made, with its id."""
        desk = self._desk
        place = CarePlace(insurance_area=request.insured_number.insurance_area)
        transaction = await desk.begin_other(context, trades.REPORT_FILING, "", context.message_id.hex())
        told = filing_pb2.FileRequest(
            person=request.person,
            insured_number=request.insured_number,
            details=request.details,
            filing=request.filing,
        )
        form = {
            **maps.FILING.write(told, desk.tables, "refmedin"),
            **maps.FILED.write(told, desk.tables, "refmedin"),
        }
        await desk.effect(context, transaction, "2501", {"refmedin": form}, place)
        await desk.note(transaction, {STATE: EXECUTED})
        return filing_pb2.ReportFilingResponse()

    async def WithdrawFiling(  # noqa: N802 - the service's name
        self, request: filing_pb2.WithdrawFilingRequest, context: ExchangeContext
    ) -> filing_pb2.WithdrawFilingResponse:
        """Takes a filing back."""
        desk = self._desk
        place = CarePlace(insurance_area=request.insured_number.insurance_area)
        transaction = await desk.begin_other(context, trades.WITHDRAW_FILING, "", context.message_id.hex())
        content = {"data": maps.WITHDRAW_FILING.write(request, desk.tables, "data")}
        await desk.effect(context, transaction, "2502", content, place)
        await desk.note(transaction, {STATE: EXECUTED})
        return filing_pb2.WithdrawFilingResponse(filing_id=request.filing_id)


class EncounterServicer(EncounterServiceServicer):
    """EncounterService by 2201/2401, 2204/2301, 2205/2302 and 2402."""

    def __init__(self, desk: InsuredDesk) -> None:
        self._desk = desk

    async def Register(  # noqa: N802 - the service's name
        self, request: encounter_pb2.RegisterRequest, context: ExchangeContext
    ) -> encounter_pb2.RegisterResponse:
        """Registers with the core, whose visit number is remembered beside the institution's own."""
        desk = self._desk
        institution, visit_id, encounter_id = request.institution, request.visit_id, context.message_id.hex()
        response = encounter_pb2.RegisterResponse(
            encounter=values_pb2.EncounterReference(
                encounter_id=encounter_id, institution_code=institution.code, visit_id=visit_id
            )
        )
        async with desk.locks.hold(f"{institution.code}/{visit_id}"):
            known = desk.memory.find_encounter(institution.code, visit_id)
            if known is not None:
                if known.encounter_id != encounter_id:
                    raise OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_DUPLICATE)
                return response
            care_kind = desk.tables["med_type"].entry(request.care_kind, "care_kind")
            is_stay = care_kind.attributes.get("place") == "inpatient"
            place = CarePlace(
                insurance_area=request.insured_number.insurance_area,
                institution_code=institution.code,
                institution_name=institution.name,
                area=institution.area,
            )
            transaction = await desk.begin_other(context, trades.REGISTER, institution.code, encounter_id)
            answer = await desk.effect(
                context,
                transaction,
                (trades.INPATIENT if is_stay else trades.OUTPATIENT).register,
                self._registration(request, is_stay=is_stay),
                place,
            )
            with executed("registration"):
                local_visit_id = required_text(answer.node("result", "data"), VISIT_ID, "output")
            record = EncounterRecord(
                encounter_id=encounter_id,
                person=PersonRecord(
                    identity=request.person,
                    name="",
                    insurance_area=request.insured_number.insurance_area,
                    personal_number=request.insured_number.personal_number,
                ),
                insured_participant=context.sender,
                care=care_of(place, local_visit_id, is_stay=is_stay),
            )
            await desk.memory.remember_encounter(institution.code, visit_id, record)
            await desk.note(transaction, {STATE: EXECUTED})
        return response

    def _registration(self, request: encounter_pb2.RegisterRequest, *, is_stay: bool) -> dict[str, Any]:
        tables = self._desk.tables
        if not is_stay:
            return {"data": maps.VISIT.write(request, tables, "data")}
        return {
            "mdtrtinfo": maps.STAY.write(request, tables, "mdtrtinfo"),
            "diseinfo": self._diagnoses(request.diagnoses.diagnoses),
        }

    def _diagnoses(self, diagnoses: Sequence[encounter_pb2.Diagnosis]) -> list[dict[str, object]]:
        return [
            maps.DIAGNOSIS.write(diagnosis, self._desk.tables, f"diseinfo[{index}]")
            for index, diagnosis in enumerate(diagnoses)
        ]

    async def UploadFeeLines(  # noqa: N802 - the service's name
        self, request: encounter_pb2.UploadFeeLinesRequest, context: ExchangeContext
    ) -> encounter_pb2.UploadFeeLinesResponse:
        """Gives the lines to the core as the place of care classified them."""
        desk, reference = self._desk, request.encounter
        async with desk.locks.hold(reference.encounter_id):
            visit = desk.visit(reference)
            transaction = await desk.begin_other(
                context, trades.UPLOAD_FEE_LINES, reference.institution_code, reference.encounter_id
            )
            rows = [
                {
                    **maps.CLASSIFIED_LINE.write(line, desk.tables, f"feedetail[{index}]"),
                    VISIT_ID: visit.local_visit_id,
                    "psn_no": request.insured_number.personal_number,
                    "chrg_bchno": local_number(transaction),
                }
                for index, line in enumerate(request.lines)
            ]
            await desk.effect(context, transaction, visit.trades.upload, {"feedetail": rows}, visit.place)
            await desk.note(transaction, {STATE: EXECUTED, **fees.upload_attributes(request.lines, {})})
            held = desk.ledger.held(reference.encounter_id)
        return encounter_pb2.UploadFeeLinesResponse(line_count=len(held), totals=fees.totals_of(held.values()))

    async def WithdrawFeeLines(  # noqa: N802 - the service's name
        self, request: encounter_pb2.WithdrawFeeLinesRequest, context: ExchangeContext
    ) -> encounter_pb2.WithdrawFeeLinesResponse:
        """Takes lines back, all that are not settled if none is named."""
        desk, reference = self._desk, request.encounter
        async with desk.locks.hold(reference.encounter_id):
            visit = desk.visit(reference)
            transaction = await desk.begin_other(
                context, trades.WITHDRAW_FEE_LINES, reference.institution_code, reference.encounter_id
            )
            rows = [
                {
                    "feedetl_sn": line_id,
                    VISIT_ID: visit.local_visit_id,
                    "psn_no": request.insured_number.personal_number,
                }
                for line_id in request.line_ids or [ALL_LINES]
            ]
            await desk.effect(context, transaction, visit.trades.withdraw, {"data": rows}, visit.place)
            await desk.note(transaction, {STATE: EXECUTED, **fees.withdrawal_attributes(request.line_ids or None)})
            held = desk.ledger.held(reference.encounter_id)
        return encounter_pb2.WithdrawFeeLinesResponse(line_count=len(held), totals=fees.totals_of(held.values()))

    async def Discharge(  # noqa: N802 - the service's name
        self, request: encounter_pb2.DischargeRequest, context: ExchangeContext
    ) -> encounter_pb2.DischargeResponse:
        """Tells the core of a discharge."""
        desk, reference = self._desk, request.encounter
        async with desk.locks.hold(reference.encounter_id):
            visit = desk.visit(reference)
            transaction = await desk.begin_other(
                context, trades.DISCHARGE, reference.institution_code, reference.encounter_id
            )
            information = maps.DISCHARGE.write(request, desk.tables, "dscginfo")
            content = {
                "dscginfo": {**information, VISIT_ID: visit.local_visit_id},
                "diseinfo": self._diagnoses(request.diagnoses.diagnoses),
            }
            await desk.effect(context, transaction, "2402", content, visit.place)
            await desk.note(transaction, {STATE: EXECUTED})
        return encounter_pb2.DischargeResponse(encounter=reference)
