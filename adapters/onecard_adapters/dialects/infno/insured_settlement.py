"""Settlements of the insured role: pre-settle, settle, cancel, reverse, query.

What is done after a crash, and how it is found out what the core did, is in `recovery`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import settlement_pb2
from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceServicer
from onecard.medical.v1.values_pb2 import EncounterReference, SettlementSplit
from onecard_adapters.dialects.in_part import executed
from onecard_adapters.dialects.infno import maps, trades
from onecard_adapters.dialects.infno.desk import VISIT_ID, optional_text, required_text
from onecard_adapters.dialects.infno.envelope import time_ms_of
from onecard_adapters.dialects.infno.insured_desk import (
    ASKED_UNDER,
    ATTEMPTED,
    EXECUTED,
    REFUSED,
    STATE,
    TOMBSTONE,
    InsuredDesk,
    Visit,
    local_number,
)
from onecard_adapters.dialects.infno.recovery import SETTLEMENT_ID, Recovery, Row, settlement_trade
from onecard_adapters.dialects.infno.split import read_split
from onecard_adapters.mapping.fields import FieldMap, day_text
from onecard_adapters.runtime.context import ExchangeContext, Refused
from onecard_adapters.runtime.memory import Transaction
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import id_from_text

_REVERSED_MS = "reversed_ms"

Finding = settlement_pb2.SettlementFinding


class SettlementServicer(SettlementServiceServicer):
    """SettlementService by 2206/2303, 2207/2304, 2208/2305, 2601 and 5203."""

    def __init__(self, desk: InsuredDesk) -> None:
        self._desk = desk
        self._recovery = Recovery(desk)

    async def PreSettle(  # noqa: N802 - the service's name
        self, request: settlement_pb2.PreSettleRequest, context: ExchangeContext
    ) -> settlement_pb2.PreSettleResponse:
        """The split that settling would give."""
        desk, reference = self._desk, request.terms.encounter
        visit = desk.visit(reference)
        content = {"data": self._terms(request.terms, visit)}
        answer = await desk.ask_core(context, visit.trades.pre_settle, content, visit.place)
        split = read_split(answer.node("setlinfo"), answer.rows("setldetail"), desk.tables)
        return settlement_pb2.PreSettleResponse(split=split)

    async def Settle(  # noqa: N802 - the service's name
        self, request: settlement_pb2.SettleRequest, context: ExchangeContext
    ) -> settlement_pb2.SettleResponse:
        """Settles; after a crash finds out first whether the core has."""
        desk, reference = self._desk, request.terms.encounter
        local_id = request.terms.local_transaction_id
        async with desk.locks.hold(reference.encounter_id):
            visit = desk.visit(reference)
            number = request.terms.insured_number.personal_number
            found = await self._recovery.before(context, trades.SETTLE, reference, visit, number, local_id)
            if isinstance(found, Row):
                with executed("5203"):
                    response = self._settled(found.info, found.details, local_id, maps.SPLIT_AS_QUERIED)
                await self._note_executed(context, trades.SETTLE, reference, response.settlement_id)
                return response
            data = {**self._terms(request.terms, visit), "invono": request.invoice_number}
            answer = await desk.effect(context, found, visit.trades.settle, {"data": data}, visit.place)
            with executed(visit.trades.settle):
                response = self._settled(answer.node("setlinfo"), answer.rows("setldetail"), local_id, maps.SPLIT)
            await desk.note(found, {STATE: EXECUTED, SETTLEMENT_ID: response.settlement_id})
            return response

    async def CancelSettlement(  # noqa: N802 - the service's name
        self, request: settlement_pb2.CancelSettlementRequest, context: ExchangeContext
    ) -> settlement_pb2.CancelSettlementResponse:
        """Makes the red record; after a crash finds out first whether the core has."""
        desk, reference = self._desk, request.encounter
        async with desk.locks.hold(reference.encounter_id):
            visit = desk.visit(reference)
            number = request.insured_number.personal_number
            found = await self._recovery.before(
                context, trades.CANCEL_SETTLEMENT, reference, visit, number, request.local_transaction_id
            )
            if isinstance(found, Row):
                with executed("5203"):
                    response = self._cancelled(found.info, found.details, request.settlement_id, maps.SPLIT_AS_QUERIED)
                await self._note_executed(context, trades.CANCEL_SETTLEMENT, reference, response.red_settlement_id)
                return response
            data = {VISIT_ID: visit.local_visit_id, SETTLEMENT_ID: request.settlement_id, "psn_no": number}
            answer = await desk.effect(context, found, visit.trades.cancel, {"data": data}, visit.place)
            with executed(visit.trades.cancel):
                response = self._cancelled(
                    answer.node("setlinfo"), answer.rows("setldetail"), request.settlement_id, maps.SPLIT
                )
            await desk.note(found, {STATE: EXECUTED, SETTLEMENT_ID: response.red_settlement_id})
            return response

    async def Reverse(  # noqa: N802 - the service's name
        self, request: settlement_pb2.ReverseRequest, context: ExchangeContext
    ) -> settlement_pb2.ReverseResponse:
        """Undoes the original once, by its own id; one that never came is buried instead."""
        desk, reference = self._desk, request.encounter
        original_id = _original_id(request.original_id)
        async with desk.locks.hold(reference.encounter_id):
            original = desk.find(reference.encounter_id, request.original_method, original_id)
            if original is None or original.attributes[STATE] in (TOMBSTONE, REFUSED):
                buried_ms = await desk.bury(original_id, request.original_method, reference)
                return _reversed(request, settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED, buried_ms)
            if _REVERSED_MS in original.attributes:
                reversed_ms = int(original.attributes[_REVERSED_MS])
                return _reversed(request, settlement_pb2.REVERSAL_RESULT_REVERSED, reversed_ms)
            visit = desk.visit(reference)
            is_undone = False
            # A core that is declared to reverse need not know 5203.
            if desk.settings.recovery.settlement != "reverse":
                row = await self._recovery.find(context, original, visit, request.insured_number.personal_number)
                if row is None:
                    if not desk.is_conclusive(original, desk.now_ms()):
                        raise OutcomeInDoubt("the core may still be working on the original")
                    buried_ms = await desk.bury(original_id, request.original_method, reference)
                    return _reversed(request, settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED, buried_ms)
                is_undone = row.is_undone
            if not is_undone:
                await self._reverse_at_core(context, request, original, visit)
            now_ms = desk.now_ms()
            await desk.note(original, {_REVERSED_MS: str(now_ms)})
            return _reversed(request, settlement_pb2.REVERSAL_RESULT_REVERSED, now_ms)

    async def _reverse_at_core(
        self, context: ExchangeContext, request: settlement_pb2.ReverseRequest, original: Transaction, visit: Visit
    ) -> None:
        desk, reference, number = self._desk, request.encounter, request.insured_number.personal_number
        data = {"psn_no": number, "omsgid": local_number(original), "oinfno": settlement_trade(original, visit)}
        transaction = await desk.begin(context, trades.REVERSE, reference.institution_code, reference.encounter_id)
        try:
            await desk.effect(context, transaction, "2601", {"data": data}, visit.place)
        except Refused as refusal:
            # It may be refused because it is undone already, by an attempt whose answer was lost.
            row = await self._recovery.find(context, original, visit, number)
            if row is not None and row.is_undone:
                return
            await context.refuse(
                errors_pb2.ERROR_REASON_REVERSAL_REFUSED,
                refusal.detail,
                local_system=refusal.local_system,
                local_code=refusal.local_code,
                local_text=refusal.local_text,
            )

    async def QuerySettlement(  # noqa: N802 - the service's name
        self, request: settlement_pb2.QuerySettlementRequest, context: ExchangeContext
    ) -> settlement_pb2.QuerySettlementResponse:
        """What became of a settlement or cancellation; NOT_FOUND makes sure that it will not be executed later."""
        desk, reference = self._desk, request.encounter
        async with desk.locks.hold(reference.encounter_id):
            original_id = self._asked_about(request)
            original = desk.find(reference.encounter_id, request.original_method, original_id)
            if original is None or original.attributes[STATE] in (TOMBSTONE, REFUSED):
                await desk.bury(original_id, request.original_method, reference)
                return settlement_pb2.QuerySettlementResponse(finding=Finding.SETTLEMENT_FINDING_NOT_FOUND)
            visit = desk.visit(reference)
            try:
                row = await self._recovery.find(context, original, visit, request.insured_number.personal_number)
                if row is None and not desk.is_conclusive(original, desk.now_ms()):
                    raise OutcomeInDoubt("the core may still be working on the original")
            except OneCardError as error:
                return settlement_pb2.QuerySettlementResponse(
                    finding=Finding.SETTLEMENT_FINDING_IN_DOUBT,
                    doubt_reason=error.reason,  # type: ignore[arg-type]
                )
            if row is None:
                await desk.bury(original_id, request.original_method, reference)
                return settlement_pb2.QuerySettlementResponse(finding=Finding.SETTLEMENT_FINDING_NOT_FOUND)
            return self._told(original, row)

    def _asked_about(self, request: settlement_pb2.QuerySettlementRequest) -> bytes:
        """The original's message id; by its settlement id where the asker does not know it."""
        if request.original_id:
            return _original_id(request.original_id)
        found = self._desk.memory.find_transactions_of_encounter(
            request.encounter.encounter_id, request.original_method
        )
        for transaction in found:
            if transaction.attributes.get(SETTLEMENT_ID) == request.settlement_id:
                return transaction.message_id
        raise OneCardError(errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN)

    def _told(self, original: Transaction, row: Row) -> settlement_pb2.QuerySettlementResponse:
        response = settlement_pb2.QuerySettlementResponse(
            finding=Finding.SETTLEMENT_FINDING_UNDONE if row.is_undone else Finding.SETTLEMENT_FINDING_EXECUTED
        )
        if original.method == trades.CANCEL_SETTLEMENT:
            cancelled_id = optional_text(row.info, "init_setl_id", "setlinfo")
            response.cancellation.CopyFrom(self._cancelled(row.info, row.details, cancelled_id, maps.SPLIT_AS_QUERIED))
        else:
            local_id = original.attributes.get(ASKED_UNDER, "")
            response.settlement.CopyFrom(self._settled(row.info, row.details, local_id, maps.SPLIT_AS_QUERIED))
        return response

    async def _note_executed(
        self, context: ExchangeContext, method: str, reference: EncounterReference, settlement_id: str
    ) -> None:
        transaction = self._desk.find(reference.encounter_id, method, context.message_id)
        if transaction is not None and transaction.attributes[STATE] == ATTEMPTED:
            await self._desk.note(transaction, {STATE: EXECUTED, SETTLEMENT_ID: settlement_id})

    def _terms(self, terms: settlement_pb2.SettlementTerms, visit: Visit) -> dict[str, Any]:
        data = maps.TERMS.write(terms, self._desk.tables, "data")
        data[VISIT_ID] = visit.local_visit_id
        data["mid_setl_flag"] = "1" if terms.HasField("interim_period") else "0"
        if terms.HasField("interim_period"):
            data["begntime"] = day_text(terms.interim_period.first_day)
            data["endtime"] = day_text(terms.interim_period.last_day)
        # Ours: the filing is an input of the benefit's computation.
        data["trt_dcla_detl_sn"] = terms.filing_id
        return data

    def _settled(
        self, info: Mapping[str, Any], details: Sequence[Mapping[str, Any]], local_id: str, names: FieldMap
    ) -> settlement_pb2.SettleResponse:
        return settlement_pb2.SettleResponse(
            settlement_id=required_text(info, SETTLEMENT_ID, "setlinfo"),
            settled_time=_time(info),
            split=self._split(info, details, names),
            local_transaction_id=local_id,
        )

    def _cancelled(
        self, info: Mapping[str, Any], details: Sequence[Mapping[str, Any]], settlement_id: str, names: FieldMap
    ) -> settlement_pb2.CancelSettlementResponse:
        return settlement_pb2.CancelSettlementResponse(
            red_settlement_id=required_text(info, SETTLEMENT_ID, "setlinfo"),
            settlement_id=optional_text(info, "init_setl_id", "setlinfo") or settlement_id,
            cancelled_time=_time(info),
            split=self._split(info, details, names),
        )

    def _split(self, info: Mapping[str, Any], details: Sequence[Mapping[str, Any]], names: FieldMap) -> SettlementSplit:
        return read_split(info, details, self._desk.tables, names)


def _original_id(text: str) -> bytes:
    message_id = id_from_text(text)
    if message_id is None:
        raise OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_INVALID, "original_id is no message id")
    return message_id


def _time(info: Mapping[str, Any]) -> Timestamp:
    time = Timestamp()
    time.FromMilliseconds(time_ms_of(info.get("setl_time"), "setlinfo.setl_time"))
    return time


def _reversed(
    request: settlement_pb2.ReverseRequest, result: settlement_pb2.ReversalResult, time_ms: int
) -> settlement_pb2.ReverseResponse:
    response = settlement_pb2.ReverseResponse(result=result, original_id=request.original_id)
    response.reversed_time.FromMilliseconds(time_ms)
    return response
