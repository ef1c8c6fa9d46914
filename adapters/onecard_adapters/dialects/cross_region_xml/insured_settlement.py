"""The insured role's settlements: pre-settle, settle, cancel, reverse and query against the own core.

Every original with effect is remembered with its transid before the core is called. A reversal is keyed by the
original: the second one answers what the first one did. What was never executed gets a tombstone before anyone is told
so, and is refused if it arrives late (design.md, section 4, rule 12).
"""

from collections.abc import Callable
from typing import Final, TypeVar

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard.medical.v1 import settlement_pb2
from onecard_adapters.dialects.cross_region_xml import forms, times
from onecard_adapters.dialects.cross_region_xml.core import STATE_ABSENT, STATE_UNDONE, CoreRefusal, Finding
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.execution import LOCAL_SYSTEM, CallContext, Executor
from onecard_adapters.dialects.cross_region_xml.heads import Head, write_head
from onecard_adapters.dialects.cross_region_xml.originals import Ending, Original, Originals
from onecard_adapters.dialects.cross_region_xml.places import Places
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlInsuredSettings
from onecard_adapters.dialects.cross_region_xml.split import read_split, settled_time
from onecard_adapters.dialects.cross_region_xml.trades import TradeNumber
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import id_from_text

SETTLE: Final = "/onecard.medical.v1.SettlementService/Settle"
CANCEL: Final = "/onecard.medical.v1.SettlementService/CancelSettlement"

_Answer = TypeVar("_Answer")


class InsuredSettlement:
    """SettlementService over trades 0303, 0304, 0305, 0306 and 0708."""

    def __init__(
        self,
        executor: Executor,
        settings: CrossRegionXmlInsuredSettings,
        tables: CodeTables,
        originals: Originals,
        places: Places,
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._tables = tables
        self._originals = originals
        self._places = places

    async def PreSettle(  # noqa: N802 - the method's name in the protocol
        self, request: settlement_pb2.PreSettleRequest, context: CallContext
    ) -> settlement_pb2.PreSettleResponse:
        """The split that settling would give."""
        children = self._settlement_request(request, "")
        result = await self._executor.read(context, TradeNumber.TRIAL_SETTLEMENT, children)
        return settlement_pb2.PreSettleResponse(split=read_split(result.output, self._tables, is_red=False))

    async def Settle(  # noqa: N802
        self, request: settlement_pb2.SettleRequest, context: CallContext
    ) -> settlement_pb2.SettleResponse:
        """Settles."""
        transid = context.local_transaction_id
        children = self._settlement_request(request, transid)
        await self._begin(context, SETTLE, request.terms.encounter.encounter_id)
        result = await self._executor.execute(context, TradeNumber.SETTLE, children)
        return self._done(lambda: self._settled(result, request.terms.local_transaction_id))

    async def CancelSettlement(  # noqa: N802
        self, request: settlement_pb2.CancelSettlementRequest, context: CallContext
    ) -> settlement_pb2.CancelSettlementResponse:
        """Cancels a settlement by a red record."""
        head = Head(
            person=request.person,
            insured_number=request.insured_number,
            institution=self._places.of(request.encounter),
            visit_id=request.encounter.visit_id,
            transid=context.local_transaction_id,
        )
        children = write_head(head, self._settings.core.operator_code, self._tables) | {"ykc618": request.settlement_id}
        await self._begin(context, CANCEL, request.encounter.encounter_id)
        result = await self._executor.execute(context, TradeNumber.CANCEL, forms.leaves(children))
        return self._done(lambda: self._cancelled(result))

    async def Reverse(  # noqa: N802
        self, request: settlement_pb2.ReverseRequest, context: CallContext
    ) -> settlement_pb2.ReverseResponse:
        """Undoes an original once; whoever asks again gets the same answer."""
        original_id = _original_id(request.original_id)
        original = self._originals.find(request.original_id)
        if original is None:
            original = await self._originals.bury(
                original_id, request.original_method, request.encounter.encounter_id, _moment()
            )
        if original.ending is Ending.OPEN:
            original = await self._undo(original, context)
        return settlement_pb2.ReverseResponse(
            result=settlement_pb2.REVERSAL_RESULT_REVERSED
            if original.ending is Ending.UNDONE
            else settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED,
            original_id=request.original_id,
            reversed_time=times.timestamp_from(original.ended, "ended"),
        )

    async def QuerySettlement(  # noqa: N802
        self, request: settlement_pb2.QuerySettlementRequest, context: CallContext
    ) -> settlement_pb2.QuerySettlementResponse:
        """What became of an original. Before NOT_FOUND is told, it is made sure that it stays so."""
        try:
            return await self._find(request)
        except CoreRefusal as refusal:
            await self._executor.refuse(context, refusal)
        except OneCardError as error:
            if error.reason not in {
                ErrorReason.ERROR_REASON_LOCAL_SYSTEM_DOWN,
                ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN,
            }:
                raise
            return settlement_pb2.QuerySettlementResponse(
                finding=settlement_pb2.SETTLEMENT_FINDING_IN_DOUBT,
                doubt_reason=error.reason,  # type: ignore[arg-type]
            )

    async def _find(self, request: settlement_pb2.QuerySettlementRequest) -> settlement_pb2.QuerySettlementResponse:
        method = request.original_method or SETTLE
        local_id = request.original_local_transaction_id
        if not request.original_id:
            # Asked by the settlement's own number: nothing to bury, for nobody could execute it again.
            return self._found(await self._executor.core.find("", request.settlement_id), method, local_id)
        original_id = _original_id(request.original_id)
        original = self._originals.find(request.original_id)
        if original is None:
            original = await self._originals.bury(original_id, method, request.encounter.encounter_id, _moment())
        if original.ending is Ending.BURIED:
            return settlement_pb2.QuerySettlementResponse(finding=settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND)
        finding = await self._executor.core.find(original.transid)
        if finding.state == STATE_ABSENT:
            state = await self._executor.core.reverse("", original.transid)
            ending = Ending.UNDONE if state == STATE_UNDONE else Ending.BURIED
            await self._originals.end(original, ending, _moment())
            if ending is Ending.UNDONE:
                finding = await self._executor.core.find(original.transid)
        return self._found(finding, original.method, local_id)

    async def _undo(self, original: Original, context: CallContext) -> Original:
        core = self._executor.core
        try:
            if context.is_recovery and await self._is_undone(original):
                state = STATE_UNDONE
            else:
                state = await core.reverse(context.local_transaction_id, original.transid)
        except CoreRefusal as refusal:
            # It may be refused because it is undone already, by an attempt whose answer was lost.
            state = await self._state_after(refusal, original, context)
        ending = Ending.UNDONE if state == STATE_UNDONE else Ending.BURIED
        return await self._originals.end(original, ending, _moment())

    async def _is_undone(self, original: Original) -> bool:
        """Of a recovery, before it undoes again."""
        try:
            return (await self._executor.core.find(original.transid)).state == STATE_UNDONE
        except CoreRefusal:
            raise
        except OneCardError as error:
            raise OutcomeInDoubt(f"the core cannot be asked yet: {error.detail}") from error

    async def _state_after(self, refusal: CoreRefusal, original: Original, context: CallContext) -> str:
        try:
            finding = await self._executor.core.find(original.transid)
            if finding.state == STATE_ABSENT:
                return await self._executor.core.reverse("", original.transid)
        except CoreRefusal as second:
            raise OutcomeInDoubt(f"the core tells nothing of the original: errorcode {second.error_code}") from second
        except OneCardError as error:
            raise OutcomeInDoubt(f"the core cannot be asked yet: {error.detail}") from error
        if finding.state != STATE_UNDONE:
            await context.refuse(
                ErrorReason.ERROR_REASON_REVERSAL_REFUSED,
                "the provincial core refused",
                local_system=LOCAL_SYSTEM,
                local_code=str(refusal.error_code),
                local_text=refusal.text,
            )
        return finding.state

    async def _begin(self, context: CallContext, method: str, encounter_id: str) -> None:
        original = await self._originals.begin(context.message_id, method, context.local_transaction_id, encounter_id)
        match original.ending:
            case Ending.BURIED:
                raise OneCardError(
                    ErrorReason.ERROR_REASON_NEVER_EXECUTED, "a query or a reversal came first and closed this request"
                )
            case Ending.UNDONE:
                raise OneCardError(ErrorReason.ERROR_REASON_REVERSED, "the request was reversed already")

    def _settlement_request(
        self, request: settlement_pb2.PreSettleRequest | settlement_pb2.SettleRequest, transid: str
    ) -> list[Element]:
        terms = request.terms
        head = Head(
            person=request.person,
            insured_number=terms.insured_number,
            institution=terms.institution,
            visit_id=terms.encounter.visit_id,
            transid=transid,
        )
        children = write_head(head, self._settings.core.operator_code, self._tables)
        children |= {"ykc675": self._settings.core.settlement_class, "aae013": ""}
        return forms.leaves(children | forms.TERMS.write(terms, self._tables, "input"))

    def _done(self, read: Callable[[], _Answer]) -> _Answer:
        """Read the answer of what was carried out: an answer that cannot be read is a doubt, never a failure."""
        try:
            return read()
        except OneCardError as error:
            raise OutcomeInDoubt(f"it was carried out, the answer cannot be used: {error}") from error

    def _settled(self, result: Result, local_transaction_id: str) -> settlement_pb2.SettleResponse:
        return settlement_pb2.SettleResponse(
            settlement_id=result.output.value("ykc618"),
            settled_time=settled_time(result.output, times.today()),
            split=read_split(result.output, self._tables, is_red=False),
            local_transaction_id=local_transaction_id,
        )

    def _cancelled(self, result: Result) -> settlement_pb2.CancelSettlementResponse:
        return settlement_pb2.CancelSettlementResponse(
            red_settlement_id=result.output.value("ykc618"),
            settlement_id=result.output.value("yzc001"),
            cancelled_time=settled_time(result.output, times.today()),
            split=read_split(result.output, self._tables, is_red=True),
        )

    def _found(
        self, finding: Finding, method: str, local_transaction_id: str
    ) -> settlement_pb2.QuerySettlementResponse:
        response = settlement_pb2.QuerySettlementResponse()
        if finding.state == STATE_ABSENT:
            response.finding = settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND
            return response
        response.finding = (
            settlement_pb2.SETTLEMENT_FINDING_UNDONE
            if finding.state == STATE_UNDONE
            else settlement_pb2.SETTLEMENT_FINDING_EXECUTED
        )
        if method == CANCEL:
            response.cancellation.CopyFrom(self._done(lambda: self._cancelled(finding.result)))
        else:
            response.settlement.CopyFrom(self._done(lambda: self._settled(finding.result, local_transaction_id)))
        return response


def _original_id(text: str) -> bytes:
    original_id = id_from_text(text)
    if original_id is None:
        raise OneCardError(
            ErrorReason.ERROR_REASON_PAYLOAD_INVALID, violations=[("original_id", "is no message id of 32 hex digits")]
        )
    return original_id


def _moment() -> str:
    return times.text_from(times.now())
