"""Settlement trades of the care role: trial, settlement, cancellation, reversal and query.

The insured province computes; this side finds in the adapter's memory the original that a cancellation, reversal or
query means, and never guesses which one.
"""

from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.settlement_pb2 import (
    REVERSAL_RESULT_REVERSED,
    SETTLEMENT_FINDING_EXECUTED,
    SETTLEMENT_FINDING_NOT_FOUND,
    SETTLEMENT_FINDING_UNDONE,
    CancelSettlementRequest,
    CancelSettlementResponse,
    PreSettleRequest,
    PreSettleResponse,
    QuerySettlementRequest,
    QuerySettlementResponse,
    ReverseRequest,
    ReverseResponse,
    SettleRequest,
    SettleResponse,
)
from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceStub
from onecard_adapters.dialects.cross_region_xml import times
from onecard_adapters.dialects.cross_region_xml.care_desk import (
    CALL_S,
    REVERSED_BEFORE,
    Asked,
    CareDesk,
    insured_number,
    reference,
)
from onecard_adapters.dialects.cross_region_xml.care_encounter import remember_care
from onecard_adapters.dialects.cross_region_xml.care_person import PersonTrades
from onecard_adapters.dialects.cross_region_xml.care_terms import Terms
from onecard_adapters.dialects.cross_region_xml.core import STATE_ABSENT, STATE_EXECUTED, STATE_UNDONE
from onecard_adapters.dialects.cross_region_xml.insured_settlement import CANCEL, SETTLE
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid, leaf, parent
from onecard_adapters.dialects.cross_region_xml.split import write_split
from onecard_adapters.dialects.in_part import executed
from onecard_adapters.dialects.sent import ANSWERED, fixed_id, id_of, id_to_reverse, note_absent, sent_before
from onecard_adapters.runtime.memory import EncounterRecord, Transaction
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id

SETTLEMENT_ID: Final = "ykc618"
_PRE_SETTLEMENT_ID: Final = "pre_settlement_id"
_NO_DIGEST: Final = bytes(32)


class SettlementTrades:
    """0303, 0304, 0305, 0306, 0708."""

    def __init__(self, desk: CareDesk, persons: PersonTrades) -> None:
        self._desk = desk
        self._terms = Terms(desk, persons)

    async def trial(self, asked: Asked) -> Element:
        """0303: the split that settling would give; asked anew each time, for the lines may have changed."""
        desk = self._desk
        encounter = desk.encounter(asked)
        async with desk.locks.hold(encounter.encounter_id):
            message_id = new_message_id(desk.national.hub_time_ms())
            request = PreSettleRequest(
                person=encounter.person.identity,
                terms=await self._terms.of(asked, encounter, asked.transid),
            )
            channel = desk.national.to(encounter.insured_participant, message_id=message_id)
            answer: PreSettleResponse = await SettlementServiceStub(channel).PreSettle(request, timeout=CALL_S)
            output = parent("output", [self._echo(asked), *write_split(answer.split, desk.tables)])
            await remember_care(desk, asked, {_PRE_SETTLEMENT_ID: message_id.hex()})
            return output

    async def settle(self, asked: Asked) -> Element:
        """0304."""
        desk = self._desk
        encounter = desk.encounter(asked)
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(asked, encounter.encounter_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            request = sent_before(transaction, SettleRequest) or SettleRequest(
                person=encounter.person.identity,
                terms=await self._terms.of(asked, encounter, transaction.local_transaction_id),
                pre_settlement_id=encounter.care.get(_PRE_SETTLEMENT_ID, ""),
            )
            async with desk.noting_refusal(transaction):
                async with desk.number(asked, asked.transid):
                    message_id = await fixed_id(
                        desk.memory, transaction, request, desk.national.hub_time_ms(), number="transid"
                    )
                channel = desk.national.to(encounter.insured_participant, message_id=message_id)
                answer: SettleResponse = await SettlementServiceStub(channel).Settle(request, timeout=CALL_S)
            # Before the answer is written: a code that does not map must not hide that the settlement stands.
            await desk.note(transaction, {SETTLEMENT_ID: answer.settlement_id})
            with executed(asked.trade):
                return await desk.answered(transaction, self._settled(asked, answer), ANSWERED)

    async def cancel(self, asked: Asked) -> Element:
        """0305: the red record of the settlement named by ykc618."""
        desk = self._desk
        encounter = desk.encounter(asked)
        settlement_id = asked.input.value(SETTLEMENT_ID)
        if not settlement_id:
            raise form_invalid("input.ykc618: missing")
        async with desk.locks.hold(encounter.encounter_id):
            original = self._settlement(encounter, settlement_id)
            transaction = await desk.transaction(asked, encounter.encounter_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            request = CancelSettlementRequest(
                person=encounter.person.identity,
                insured_number=insured_number(encounter.person),
                encounter=reference(asked, encounter),
                original_id=id_of(original).hex(),
                settlement_id=settlement_id,
                local_transaction_id=transaction.local_transaction_id,
            )
            channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
            async with desk.noting_refusal(transaction):
                answer: CancelSettlementResponse = await SettlementServiceStub(channel).CancelSettlement(
                    request, timeout=CALL_S
                )
            await desk.note(transaction, {SETTLEMENT_ID: answer.red_settlement_id})
            with executed(asked.trade):
                return await desk.answered(transaction, self._cancelled(answer))

    async def reverse(self, asked: Asked) -> Element:
        """0306: reverses what was sent under otransid, whatever became of it.

        A transid that never came is closed here: it became no national message, and will not.
        """
        desk = self._desk
        otransid = asked.input.value("otransid")
        if not otransid:
            raise form_invalid("input.otransid: missing")
        async with desk.number(asked, otransid):
            originals = self._sent_under(asked, otransid)
            if not originals:
                message_id = new_message_id(desk.national.hub_time_ms())
                await desk.memory.remember_transaction(
                    asked.place.code, otransid, _NO_DIGEST, message_id, REVERSED_BEFORE, "", {}
                )
                return parent("output", [leaf("otransid", otransid), leaf("ykc701", STATE_ABSENT)])
        original = _the_one(originals, "otransid")
        encounter = self._encounter_of(asked, original)
        # No lock: a settlement that hangs must not keep its own reversal waiting.
        transaction = await desk.transaction(asked, encounter.encounter_id)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        async with desk.number(asked, otransid):
            original_id = await id_to_reverse(desk.memory, original)
        request = ReverseRequest(
            person=encounter.person.identity,
            insured_number=insured_number(encounter.person),
            original_id=original_id.hex(),
            original_method=original.method,
            original_local_transaction_id=otransid,
            local_transaction_id=transaction.local_transaction_id,
            encounter=reference(asked, encounter),
        )
        channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
        async with desk.noting_refusal(transaction):
            answer: ReverseResponse = await SettlementServiceStub(channel).Reverse(request, timeout=CALL_S)
        state = STATE_UNDONE if answer.result == REVERSAL_RESULT_REVERSED else STATE_ABSENT
        output = parent(
            "output",
            [
                leaf("otransid", otransid),
                leaf("ykc701", state),
                leaf("ykc621", times.text_from(answer.reversed_time)),
            ],
        )
        return await desk.answered(transaction, output)

    async def query(self, asked: Asked) -> Element:
        """0708: by otransid, or by ykc618 with ykc700; asked anew each time, for the answer changes."""
        desk = self._desk
        original = self._meant_by_query(asked)
        encounter = self._encounter_of(asked, original)
        request = QuerySettlementRequest(
            person=encounter.person.identity,
            insured_number=insured_number(encounter.person),
            encounter=reference(asked, encounter),
            original_id=id_of(original).hex(),
            original_method=original.method,
            original_local_transaction_id=original.local_transaction_id,
            settlement_id=asked.input.value(SETTLEMENT_ID),
        )
        channel = desk.national.to(encounter.insured_participant)
        answer: QuerySettlementResponse = await SettlementServiceStub(channel).QuerySettlement(request, timeout=CALL_S)
        head = [leaf("otransid", original.local_transaction_id)]
        match answer.finding:
            case finding if finding == SETTLEMENT_FINDING_EXECUTED:
                head.append(leaf("ykc701", STATE_EXECUTED))
            case finding if finding == SETTLEMENT_FINDING_UNDONE:
                head.append(leaf("ykc701", STATE_UNDONE))
            case finding if finding == SETTLEMENT_FINDING_NOT_FOUND:
                async with desk.number(asked, original.local_transaction_id):
                    await note_absent(desk.memory, original, bytes.fromhex(request.original_id))
                return parent("output", [*head, leaf("ykc701", STATE_ABSENT)])
            case _:
                raise OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "the insured province cannot tell yet")
        if original.method == CANCEL:
            await desk.note(original, {SETTLEMENT_ID: answer.cancellation.red_settlement_id})
            found = self._cancelled(answer.cancellation)
        else:
            await desk.note(original, {SETTLEMENT_ID: answer.settlement.settlement_id})
            found = self._settled(asked, answer.settlement)
        return parent("output", [*head, *found.children])

    def _sent_under(self, asked: Asked, otransid: str) -> list[Transaction]:
        found = self._desk.memory.find_transactions(asked.place.code, otransid)
        others = [item for item in found if item.method not in {SETTLE, CANCEL, REVERSED_BEFORE}]
        if others and len(others) == len(found):
            raise OneCardError(
                errors_pb2.ERROR_REASON_REVERSAL_NOT_ALLOWED, "otransid is no settlement and no cancellation"
            )
        return [item for item in found if item.method in {SETTLE, CANCEL}]

    def _meant_by_query(self, asked: Asked) -> Transaction:
        otransid, settlement_id = asked.input.value("otransid"), asked.input.value(SETTLEMENT_ID)
        if otransid:
            return _the_one(self._sent_under(asked, otransid), "otransid")
        if not settlement_id:
            raise form_invalid("input.otransid: missing, and no ykc618 names a settlement")
        return self._settlement(self._desk.encounter(asked), settlement_id)

    def _encounter_of(self, asked: Asked, original: Transaction) -> EncounterRecord:
        encounter = self._desk.encounter(asked)
        if encounter.encounter_id != original.encounter_id:
            raise OneCardError(
                errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN, "the original belongs to another visit than input.ykc700"
            )
        return encounter

    def _settlement(self, encounter: EncounterRecord, settlement_id: str) -> Transaction:
        found = [
            item
            for method in (SETTLE, CANCEL)
            for item in self._desk.memory.find_transactions_of_encounter(encounter.encounter_id, method)
            if item.attributes.get(SETTLEMENT_ID) == settlement_id
        ]
        return _the_one(found, SETTLEMENT_ID)

    def _echo(self, asked: Asked) -> Element:
        return leaf("ykc675", asked.input.value("ykc675"))

    def _settled(self, asked: Asked, answer: SettleResponse) -> Element:
        return parent(
            "output",
            [
                leaf(SETTLEMENT_ID, answer.settlement_id),
                leaf("ykc621", times.text_from(answer.settled_time)),
                self._echo(asked),
                *write_split(answer.split, self._desk.tables),
            ],
        )

    def _cancelled(self, answer: CancelSettlementResponse) -> Element:
        return parent(
            "output",
            [
                leaf(SETTLEMENT_ID, answer.red_settlement_id),
                leaf("yzc001", answer.settlement_id),
                leaf("ykc621", times.text_from(answer.cancelled_time)),
                *write_split(answer.split, self._desk.tables),
            ],
        )


def _the_one(found: list[Transaction], by: str) -> Transaction:
    if not found:
        raise OneCardError(errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN, f"none was sent under this {by}")
    if len(found) > 1:
        raise OneCardError(
            errors_pb2.ERROR_REASON_ORIGINAL_AMBIGUOUS, f"{len(found)} transactions were sent under this {by}"
        )
    return found[0]
