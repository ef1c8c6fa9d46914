"""The insured role: national requests of other provinces to the own province's core.

Coverage, filings and encounters; settlements stand in insured_settlement.py.
"""

import logging
from dataclasses import dataclass
from typing import Final

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard.exchange.v1.values_pb2 import PersonIdentity
from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, values_pb2
from onecard_adapters.dialects.cross_region_xml import forms, gbk
from onecard_adapters.dialects.cross_region_xml.core import PostsBytes, ProvincialCore
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.execution import CallContext, Executor
from onecard_adapters.dialects.cross_region_xml.heads import Head, write_head
from onecard_adapters.dialects.cross_region_xml.insured_settlement import InsuredSettlement
from onecard_adapters.dialects.cross_region_xml.originals import Originals
from onecard_adapters.dialects.cross_region_xml.places import Places
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlInsuredSettings
from onecard_adapters.dialects.cross_region_xml.trades import TradeNumber
from onecard_adapters.mapping import amounts
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import id_text
from onecard_protocol.identity import normalise_identity

_log: Final = logging.getLogger(__name__)


class InsuredCoverage:
    """CoverageService over trade 0211."""

    def __init__(self, executor: Executor, settings: CrossRegionXmlInsuredSettings, tables: CodeTables) -> None:
        self._executor = executor
        self._settings = settings
        self._tables = tables

    async def QueryCoverage(  # noqa: N802 - the method's name in the protocol
        self, request: coverage_pb2.QueryCoverageRequest, context: CallContext
    ) -> coverage_pb2.QueryCoverageResponse:
        """Enrolments and filings of a person."""
        head = Head(
            person=request.person,
            insured_number=values_pb2.InsuredNumber(insurance_area=request.insurance_area),
            institution=request.institution,
        )
        day = request.day
        children = write_head(head, self._settings.core.operator_code, self._tables) | {
            "ake007": f"{day.year:04d}{day.month:02d}{day.day:02d}" if request.HasField("day") else ""
        }
        result = await self._executor.read(context, TradeNumber.IDENTIFY, forms.leaves(children))
        return read_coverage(result.output, request.person, self._tables)


class InsuredFiling:
    """FilingService over trades 0221 (asked of us), 0223 (told to us) and 0222."""

    def __init__(self, executor: Executor, settings: CrossRegionXmlInsuredSettings, tables: CodeTables) -> None:
        self._executor = executor
        self._settings = settings
        self._tables = tables

    async def File(  # noqa: N802
        self, request: filing_pb2.FileRequest, context: CallContext
    ) -> filing_pb2.FileResponse:
        """A filing asked of the own province."""
        if not self._settings.is_own_area(request.filing.insurance_area):
            raise OneCardError(
                ErrorReason.ERROR_REASON_PAYLOAD_INVALID,
                violations=[("filing.insurance_area", "is of another province; only its own province files")],
            )
        filing_id = await self._tell_core(TradeNumber.FILE, request, context)
        response = filing_pb2.FileResponse(filing=request.filing)
        response.filing.filing_id = filing_id
        return response

    async def ReportFiling(  # noqa: N802
        self, request: filing_pb2.ReportFilingRequest, context: CallContext
    ) -> filing_pb2.ReportFilingResponse:
        """A filing that its insured province tells the place of care of."""
        if not request.filing.filing_id:
            raise OneCardError(
                ErrorReason.ERROR_REASON_PAYLOAD_INVALID,
                violations=[("filing.filing_id", "is empty; a filing that is told has its id")],
            )
        await self._tell_core(TradeNumber.REPORT_FILING, request, context)
        return filing_pb2.ReportFilingResponse()

    async def _tell_core(
        self,
        trade: TradeNumber,
        request: filing_pb2.FileRequest | filing_pb2.ReportFilingRequest,
        context: CallContext,
    ) -> str:
        head = Head(
            person=request.person,
            insured_number=request.insured_number,
            institution=values_pb2.Institution(),
            transid=context.local_transaction_id,
        )
        children = (
            write_head(head, self._settings.core.operator_code, self._tables)
            | forms.FILING.write(request.filing, self._tables, "input")
            | forms.PERSON_DETAILS.write(request.details, self._tables, "input")
        )
        result = await self._executor.execute(context, trade, forms.leaves(children))
        filing_id = result.output.value("ykc901")
        if not filing_id:
            raise OutcomeInDoubt(f"{trade}: the answer names no filing (output.ykc901)")
        return filing_id

    async def WithdrawFiling(  # noqa: N802
        self, request: filing_pb2.WithdrawFilingRequest, context: CallContext
    ) -> filing_pb2.WithdrawFilingResponse:
        """Takes a filing back, the own province's or one that was told."""
        head = Head(
            person=request.person,
            insured_number=request.insured_number,
            institution=values_pb2.Institution(),
            transid=context.local_transaction_id,
        )
        children = write_head(head, self._settings.core.operator_code, self._tables) | {
            "ykc901": request.filing_id,
            "aae013": request.cause,
        }
        await self._executor.execute(context, TradeNumber.WITHDRAW_FILING, forms.leaves(children))
        return filing_pb2.WithdrawFilingResponse(filing_id=request.filing_id)


class InsuredEncounter:
    """EncounterService over trades 0212, 0214, 0301 and 0302."""

    def __init__(
        self, executor: Executor, settings: CrossRegionXmlInsuredSettings, tables: CodeTables, places: Places
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._tables = tables
        self._places = places

    async def Register(  # noqa: N802
        self, request: encounter_pb2.RegisterRequest, context: CallContext
    ) -> encounter_pb2.RegisterResponse:
        """Registers a visit or an admission; its message id is the encounter's national id."""
        head = Head(
            person=request.person,
            insured_number=request.insured_number,
            institution=request.institution,
            visit_id=request.visit_id,
            transid=context.local_transaction_id,
        )
        children = write_head(head, self._settings.core.operator_code, self._tables)
        children |= forms.REGISTRATION.write(request, self._tables, "input")
        await self._executor.execute(
            context,
            TradeNumber.REGISTER,
            [*forms.leaves(children), write_diagnoses(request.diagnoses, self._tables)],
        )
        encounter = values_pb2.EncounterReference(
            encounter_id=id_text(context.message_id),
            institution_code=request.institution.code,
            visit_id=request.visit_id,
        )
        await self._places.remember(encounter, request)
        return encounter_pb2.RegisterResponse(encounter=encounter)

    async def Discharge(  # noqa: N802
        self, request: encounter_pb2.DischargeRequest, context: CallContext
    ) -> encounter_pb2.DischargeResponse:
        """Notes a discharge."""
        children = self._head(request, context) | forms.DISCHARGE.write(request, self._tables, "input")
        await self._executor.execute(
            context,
            TradeNumber.DISCHARGE,
            [*forms.leaves(children), write_diagnoses(request.diagnoses, self._tables)],
        )
        return encounter_pb2.DischargeResponse(encounter=request.encounter)

    async def UploadFeeLines(  # noqa: N802
        self, request: encounter_pb2.UploadFeeLinesRequest, context: CallContext
    ) -> encounter_pb2.UploadFeeLinesResponse:
        """Stores fee lines as the place of care split them."""
        if not 1 <= len(request.lines) <= limits.FEE_LINE_COUNT_MAX:
            raise OneCardError(
                ErrorReason.ERROR_REASON_PAYLOAD_INVALID,
                violations=[("lines", f"holds {len(request.lines)}, 1 to {limits.FEE_LINE_COUNT_MAX} are allowed")],
            )
        lines = forms.rows(
            "detail",
            (forms.leaves(forms.FEE_LINE.write(line, self._tables, "input.detail")) for line in request.lines),
        )
        result = await self._executor.execute(
            context, TradeNumber.UPLOAD_LINES, [*forms.leaves(self._head(request, context)), lines]
        )
        line_count, totals = in_doubt_if_unreadable(result, self._tables)
        return encounter_pb2.UploadFeeLinesResponse(line_count=line_count, totals=totals)

    async def WithdrawFeeLines(  # noqa: N802
        self, request: encounter_pb2.WithdrawFeeLinesRequest, context: CallContext
    ) -> encounter_pb2.WithdrawFeeLinesResponse:
        """Takes lines back; none named takes all."""
        children = self._head(request, context) | {"otransid": "" if request.line_ids else "0", "ykc610": ""}
        lines = forms.rows("detail", (forms.leaves({"ykc610": line_id}) for line_id in request.line_ids))
        result = await self._executor.execute(context, TradeNumber.WITHDRAW_LINES, [*forms.leaves(children), lines])
        line_count, totals = in_doubt_if_unreadable(result, self._tables)
        return encounter_pb2.WithdrawFeeLinesResponse(line_count=line_count, totals=totals)

    def _head(
        self,
        request: encounter_pb2.DischargeRequest
        | encounter_pb2.UploadFeeLinesRequest
        | encounter_pb2.WithdrawFeeLinesRequest,
        context: CallContext,
    ) -> dict[str, object]:
        head = Head(
            person=request.person,
            insured_number=request.insured_number,
            institution=self._places.of(request.encounter),
            visit_id=request.encounter.visit_id,
            transid=context.local_transaction_id,
        )
        return write_head(head, self._settings.core.operator_code, self._tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class InsuredServicers:
    """The servicers to register with the exchange."""

    coverage: InsuredCoverage
    filing: InsuredFiling
    encounter: InsuredEncounter
    settlement: InsuredSettlement


def build_insured(settings: CrossRegionXmlInsuredSettings, memory: EdgeMemory, client: PostsBytes) -> InsuredServicers:
    """The insured role over one core. Raises CONFIGURATION_INVALID if the code tables cannot be read."""
    tables = settings.tables()
    executor = Executor(ProvincialCore(client, settings.core), settings)
    places = Places(memory)
    return InsuredServicers(
        coverage=InsuredCoverage(executor, settings, tables),
        filing=InsuredFiling(executor, settings, tables),
        encounter=InsuredEncounter(executor, settings, tables, places),
        settlement=InsuredSettlement(executor, settings, tables, Originals(memory), places),
    )


def write_diagnoses(diagnoses: encounter_pb2.Diagnoses, tables: CodeTables) -> Element:
    """Diagnoses as rows."""
    return forms.rows(
        "detail", (forms.leaves(forms.DIAGNOSIS.write(item, tables, "input.detail")) for item in diagnoses.diagnoses)
    )


def in_doubt_if_unreadable(result: Result, tables: CodeTables) -> tuple[int, values_pb2.FeeTotals]:
    """Line count and totals of an answer whose trade was carried out. Raises OutcomeInDoubt if they cannot be read."""
    totals = values_pb2.FeeTotals()
    try:
        forms.read_into(forms.FEE_TOTALS, result.output, totals, tables)
        line_count = int(amounts.decimal_from(result.output.value("ykc690"), "output.ykc690"))
    except OneCardError as error:
        raise OutcomeInDoubt(f"the lines were taken, the answer cannot be read: {error.detail}") from error
    return line_count, totals


def read_coverage(output: Element, asked: PersonIdentity, tables: CodeTables) -> coverage_pb2.QueryCoverageResponse:
    """The answer of trade 0211. An answer about another person than the one asked for is refused."""
    response = coverage_pb2.QueryCoverageResponse(person=asked)
    number, kind = output.value("aac044"), output.value("aac043")
    if number:
        answered = tables["psn_cert_type"].to_national(kind, "output.aac043") if kind else asked.kind
        if normalise_identity(answered.code, number) != normalise_identity(asked.kind.code, asked.number):
            raise form_invalid("output.aac044: the answer is about another person")
    forms.read_into(forms.PERSON_DETAILS, output, response.details, tables)
    if gbk.is_damaged(response.details.name):
        # It cannot be repaired and is not compared with anything; whoever reads it should know.
        _log.warning("a name in an answer of the core holds a substitute character; it is passed on as it is")
    response.insured_number.insurance_area = output.value("aab301")
    response.insured_number.personal_number = output.value("aac001") or output.value("aac002")
    # The samples tell one enrolment in the answer itself; a list, which is ours, tells them all.
    for row in forms.rows_of(output, "detail") or [output]:
        forms.read_into(forms.ENROLMENT, row, response.enrolments.add(), tables)
    for row in forms.rows_of(output, "filings"):
        forms.read_into(forms.FILING, row, response.filings.add(), tables)
    return response
