"""Settlement trades of the care role: pre-settlement, settlement, cancellation, reversal (2601), query (5203).

The insured province computes; this side checks that the bill is the sum of the lines that its own core split, finds
the original that a cancel, reversal or query means in the adapter's memory, and never guesses which one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.settlement_pb2 import (
    CancelSettlementRequest,
    CancelSettlementResponse,
    PreSettleRequest,
    PreSettleResponse,
    QuerySettlementRequest,
    QuerySettlementResponse,
    ReversalResult,
    ReverseRequest,
    ReverseResponse,
    SettlementFinding,
    SettleRequest,
    SettleResponse,
)
from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceStub
from onecard_adapters.dialects.in_part import executed, is_in_doubt
from onecard_adapters.dialects.infno import maps, trades
from onecard_adapters.dialects.infno.care_person import PersonTrades
from onecard_adapters.dialects.infno.care_terms import TermsOfBills
from onecard_adapters.dialects.infno.desk import (
    CALL_S,
    INFNO,
    REVERSED_BEFORE,
    VISIT_ID,
    Call,
    CareDesk,
    insured_number,
    optional_text,
    personal_number,
    reference,
    required_text,
)
from onecard_adapters.dialects.infno.setlinfo import cancelled_output, settled_output, settlement_output
from onecard_adapters.dialects.infno.split import write_split
from onecard_adapters.dialects.sent import (
    ANSWERED,
    fixed_id,
    id_of,
    id_to_reverse,
    id_to_send,
    note_absent,
    sent_as,
    sent_before,
)
from onecard_adapters.runtime.memory import EncounterRecord, Transaction
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

SETTLEMENT_ID = "setl_id"
_REFUSED = "refused"


class SettlementTrades:
    """2206, 2207, 2208, 2303, 2304, 2305, 2601, 5203."""

    def __init__(self, desk: CareDesk, persons: PersonTrades) -> None:
        self._desk = desk
        self._terms = TermsOfBills(desk, persons)

    async def pre_settle(self, call: Call) -> dict[str, Any]:
        """2206, 2303: the split that settling would give."""
        desk = self._desk
        data, visit_id, encounter = self._visit(call)
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id, runs_ahead=True)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            terms = await self._terms.build(call, data, visit_id, encounter)
            message_id = id_to_send(transaction, desk.national.hub_time_ms())
            channel = desk.national.to(encounter.insured_participant, message_id=message_id)
            asked = PreSettleRequest(person=encounter.person.identity, terms=terms)
            answer: PreSettleResponse = await SettlementServiceStub(channel).PreSettle(asked, timeout=CALL_S)
            info, details = write_split(answer.split, desk.tables)
            info.update(setl_id=None, setl_time=None, medins_setl_id=call.request.msgid)
            output = settlement_output(desk, call, encounter, info, details)
            return await desk.answered(transaction, output, sent_as(transaction, message_id))

    async def settle(self, call: Call) -> dict[str, Any]:
        """2207, 2304."""
        desk = self._desk
        data, visit_id, encounter = self._visit(call)
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            try:
                asked = sent_before(transaction, SettleRequest) or SettleRequest(
                    person=encounter.person.identity,
                    terms=await self._terms.build(call, data, visit_id, encounter),
                    pre_settlement_id=self._last_pre_settlement(encounter),
                    invoice_number=optional_text(data, "invono", "input.data"),
                )
                async with desk.number(call, call.request.msgid):
                    message_id = await fixed_id(
                        desk.memory,
                        transaction,
                        asked,
                        desk.national.hub_time_ms(),
                        {_REFUSED: ""},
                        number="msgid",
                    )
            except OneCardError:
                await desk.note(transaction, {_REFUSED: "1"})  # It was never sent.
                raise
            channel = desk.national.to(encounter.insured_participant, message_id=message_id)
            try:
                answer: SettleResponse = await SettlementServiceStub(channel).Settle(asked, timeout=CALL_S)
            except OneCardError as error:
                await self._note_refusal(transaction, error)
                raise
            known = {SETTLEMENT_ID: answer.settlement_id}
            try:
                with executed(call.request.infno):
                    output = settled_output(desk, call, encounter, answer)
            except OutcomeInDoubt:
                # A code that does not map must not hide which settlement stands.
                await desk.note(transaction, known)
                raise
            return await desk.answered(transaction, output, {**known, **ANSWERED})

    async def cancel(self, call: Call) -> dict[str, Any]:
        """2208, 2305: the red record of the settlement named by setl_id."""
        desk = self._desk
        data, visit_id, encounter = self._visit(call)
        settlement_id = required_text(data, SETTLEMENT_ID, "input.data")
        async with desk.locks.hold(encounter.encounter_id):
            original = self._settlement(encounter, settlement_id)
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            asked = CancelSettlementRequest(
                person=encounter.person.identity,
                insured_number=insured_number(encounter.person),
                encounter=reference(call, encounter, visit_id),
                original_id=id_of(original).hex(),
                settlement_id=settlement_id,
                local_transaction_id=call.request.msgid,
            )
            channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
            try:
                answer: CancelSettlementResponse = await SettlementServiceStub(channel).CancelSettlement(
                    asked, timeout=CALL_S
                )
            except OneCardError as error:
                await self._note_refusal(transaction, error)
                raise
            known = {SETTLEMENT_ID: answer.red_settlement_id}
            try:
                with executed(call.request.infno):
                    output = cancelled_output(desk, call, encounter, answer)
            except OutcomeInDoubt:
                await desk.note(transaction, known)
                raise
            return await desk.answered(transaction, output, known)

    async def reverse(self, call: Call) -> dict[str, Any]:
        """2601: reverses the settlement or cancellation that was sent under omsgid, whatever became of it.

        An omsgid that never came is closed here: it became no national message, and will not.
        """
        desk = self._desk
        data = call.request.node("data")
        omsgid = required_text(data, "omsgid", "input.data")
        oinfno = optional_text(data, "oinfno", "input.data")
        trade = trades.TRADES.get(oinfno)
        if oinfno and (trade is None or trade.method not in trades.REVERSIBLE_METHODS):
            raise OneCardError(errors_pb2.ERROR_REASON_REVERSAL_NOT_ALLOWED, "oinfno is no settlement or cancellation")
        original = await self._original(call, omsgid, oinfno)
        if original is None:
            return _reversed(omsgid, ReversalResult.REVERSAL_RESULT_NEVER_EXECUTED)
        visit_id = original.attributes[VISIT_ID]
        encounter = desk.encounter(call, visit_id, personal_number(data, "input.data"))
        # No lock: a settlement that hangs must not keep its own reversal waiting.
        transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        async with desk.number(call, omsgid):
            original_id = await id_to_reverse(desk.memory, original)
        asked = ReverseRequest(
            person=encounter.person.identity,
            insured_number=insured_number(encounter.person),
            original_id=original_id.hex(),
            original_method=original.method,
            original_local_transaction_id=omsgid,
            local_transaction_id=call.request.msgid,
            encounter=reference(call, encounter, visit_id),
        )
        channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
        answer: ReverseResponse = await SettlementServiceStub(channel).Reverse(asked, timeout=CALL_S)
        return await desk.answered(transaction, _reversed(omsgid, answer.result))

    async def _original(self, call: Call, omsgid: str, oinfno: str) -> Transaction | None:
        """What a reversal means; None if it never came, and then it is refused when it comes.

        Raises REVERSAL_NOT_ALLOWED where only other trades came under this number than the one that is meant.
        """
        desk = self._desk
        async with desk.number(call, omsgid):
            sent = desk.memory.find_transactions(call.institution.code, omsgid)
            reversible = [item for item in sent if item.method in trades.REVERSIBLE_METHODS]
            found = [item for item in reversible if oinfno in ("", item.attributes.get(INFNO))]
            if found:
                return _the_one(found, "omsgid")
            others = [item for item in sent if item.method != REVERSED_BEFORE]
            # Numbers collide: next to another trade's, the settlement that oinfno names may still be on its way.
            if reversible or (others and not oinfno):
                raise OneCardError(
                    errors_pb2.ERROR_REASON_REVERSAL_NOT_ALLOWED, "another trade was sent under this omsgid"
                )
            await desk.close_number(call, omsgid)
            return None

    async def query(self, call: Call) -> dict[str, Any]:
        """5203: the settlement or red record named by setl_id; without setl_id the visit's only settlement."""
        desk = self._desk
        data, visit_id, encounter = self._visit(call)
        settlement_id = optional_text(data, SETTLEMENT_ID, "input.data")
        original = self._meant_by_query(encounter, settlement_id)
        asked = QuerySettlementRequest(
            person=encounter.person.identity,
            insured_number=insured_number(encounter.person),
            encounter=reference(call, encounter, visit_id),
            original_id=id_of(original).hex(),
            original_method=original.method,
            original_local_transaction_id=original.local_transaction_id,
            settlement_id=settlement_id,
        )
        # A query asks anew each time: its answer changes with what it asks about.
        channel = desk.national.to(encounter.insured_participant)
        answer: QuerySettlementResponse = await SettlementServiceStub(channel).QuerySettlement(asked, timeout=CALL_S)
        match answer.finding:
            case SettlementFinding.SETTLEMENT_FINDING_EXECUTED | SettlementFinding.SETTLEMENT_FINDING_UNDONE:
                pass
            case SettlementFinding.SETTLEMENT_FINDING_NOT_FOUND:
                async with desk.number(call, original.local_transaction_id):
                    await note_absent(desk.memory, original, bytes.fromhex(asked.original_id))
                raise OneCardError(errors_pb2.ERROR_REASON_NEVER_EXECUTED)
            case _:
                raise OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "the insured province cannot tell yet")
        is_standing = answer.finding == SettlementFinding.SETTLEMENT_FINDING_EXECUTED
        if original.method == trades.CANCEL_SETTLEMENT:
            await desk.note(original, {SETTLEMENT_ID: answer.cancellation.red_settlement_id})
            output = cancelled_output(desk, call, encounter, answer.cancellation, names=maps.SPLIT_AS_QUERIED)
        else:
            await desk.note(original, {SETTLEMENT_ID: answer.settlement.settlement_id})
            output = settled_output(desk, call, encounter, answer.settlement, names=maps.SPLIT_AS_QUERIED)
        is_red = original.method == trades.CANCEL_SETTLEMENT
        output["setlinfo"].update(
            medins_setl_id=original.local_transaction_id,
            refd_setl_flag="1" if is_red else "0",
            vali_flag="1" if is_standing else "0",
        )
        return output

    def _visit(self, call: Call) -> tuple[Mapping[str, Any], str, EncounterRecord]:
        data = call.request.node("data")
        visit_id = required_text(data, VISIT_ID, "input.data")
        return data, visit_id, self._desk.encounter(call, visit_id, personal_number(data, "input.data"))

    def _last_pre_settlement(self, encounter: EncounterRecord) -> str:
        """Id of the pre-settlement that the patient saw last; "" if there was none."""
        found = self._desk.memory.find_transactions_of_encounter(encounter.encounter_id, trades.PRE_SETTLE)
        answered = [id_of(item) for item in found if self._desk.is_answered(item)]
        return max(answered).hex() if answered else ""

    def _settlement(self, encounter: EncounterRecord, settlement_id: str) -> Transaction:
        found = self._desk.memory.find_transactions_of_encounter(encounter.encounter_id, trades.SETTLE)
        return _the_one([item for item in found if item.attributes.get(SETTLEMENT_ID) == settlement_id], SETTLEMENT_ID)

    def _meant_by_query(self, encounter: EncounterRecord, settlement_id: str) -> Transaction:
        memory = self._desk.memory
        settlements = memory.find_transactions_of_encounter(encounter.encounter_id, trades.SETTLE)
        if not settlement_id:
            return _the_one([item for item in settlements if not item.attributes.get(_REFUSED)], VISIT_ID)
        cancellations = memory.find_transactions_of_encounter(encounter.encounter_id, trades.CANCEL_SETTLEMENT)
        found = [*settlements, *cancellations]
        return _the_one([item for item in found if item.attributes.get(SETTLEMENT_ID) == settlement_id], SETTLEMENT_ID)

    async def _note_refusal(self, transaction: Transaction, error: OneCardError) -> None:
        if not is_in_doubt(error):
            await self._desk.note(transaction, {_REFUSED: "1"})


def _reversed(omsgid: str, result: ReversalResult) -> dict[str, Any]:
    name = ReversalResult.Name(result).removeprefix("REVERSAL_RESULT_")
    return {"result": {"omsgid": omsgid, "reversal_result": name}}


def _the_one(found: Sequence[Transaction], by: str) -> Transaction:
    if not found:
        raise OneCardError(errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN, f"none was sent under this {by}")
    if len(found) > 1:
        raise OneCardError(
            errors_pb2.ERROR_REASON_ORIGINAL_AMBIGUOUS, f"{len(found)} transactions were sent under this {by}"
        )
    return found[0]
