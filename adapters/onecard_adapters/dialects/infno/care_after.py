"""Encounter trades of the care role of which the place of care's core only takes note: withdrawal of lines, discharge.

It is told after the insured province has executed them. Until it has taken note they are executed in part, which is
never a refusal; the same request again, also under another msgid, does what is left, under the first msgid.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from onecard.medical.v1.encounter_pb2 import DischargeRequest, WithdrawFeeLinesRequest
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceStub
from onecard_adapters.dialects.in_part import DONE, INSURED_PROVINCE, OWN_CORE, executed_in_part, overtaken
from onecard_adapters.dialects.infno import fees, maps
from onecard_adapters.dialects.infno.care_encounter import encounter_of_rows, read_diagnoses
from onecard_adapters.dialects.infno.desk import (
    CALL_S,
    VISIT_ID,
    Call,
    CareDesk,
    content_key,
    core_msgid,
    insured_number,
    invalid,
    optional_text,
    personal_number,
    reference,
    remember_care,
    required_text,
)
from onecard_adapters.mapping.fields import day_text
from onecard_adapters.runtime.memory import EncounterRecord, Transaction

ALL_LINES: Final = "0000"
"""feedetl_sn or chrg_bchno of 2302, 2205 that means all lines not settled."""


class NotedTrades:
    """2205, 2302, 2402."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk

    async def withdraw(self, call: Call) -> dict[str, Any]:
        """2205, 2302: lines by their numbers, by batch, or all ("0000")."""
        desk = self._desk
        rows = call.request.rows("data") or [call.request.input]
        encounter, visit_id = encounter_of_rows(call, desk, rows)
        async with desk.locks.hold(encounter.encounter_id):
            repeat = await desk.transaction(call, encounter.encounter_id, visit_id, content_key(call))
            if (stored := desk.stored_answer(repeat)) is not None:
                return stored
            transaction = desk.two_sided.unfinished(repeat, unless=desk.ledger.is_overtaken)
            if DONE not in transaction.attributes:
                await self._withdraw_at_insured_province(call, encounter, visit_id, rows, transaction)
            if desk.ledger.is_overtaken(transaction):
                raise overtaken(call.request.infno)
            return await self._finish_at_own_core(call, repeat, transaction)

    async def _withdraw_at_insured_province(
        self,
        call: Call,
        encounter: EncounterRecord,
        visit_id: str,
        rows: Sequence[Mapping[str, Any]],
        transaction: Transaction,
    ) -> None:
        """Take the lines back there; from then on the ledger does not hold them either."""
        desk = self._desk
        try:
            line_ids = fees.remembered_lines(transaction)
        except KeyError:
            async with desk.two_sided.first_side(transaction):
                line_ids = self._lines_meant(encounter, rows)
            await desk.note(transaction, fees.lines_to_withdraw(line_ids))
        asked = WithdrawFeeLinesRequest(
            person=encounter.person.identity,
            insured_number=insured_number(encounter.person),
            encounter=reference(call, encounter, visit_id),
            line_ids=line_ids or [],
            local_transaction_id=transaction.local_transaction_id,
        )
        channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
        async with desk.two_sided.first_side(transaction):
            await EncounterServiceStub(channel).WithdrawFeeLines(asked, timeout=CALL_S)
        await desk.note(transaction, fees.withdrawal_attributes(line_ids))

    async def _finish_at_own_core(self, call: Call, repeat: Transaction, transaction: Transaction) -> dict[str, Any]:
        """What the insured province has executed, under the number that the core was or would have been asked first."""
        infno = call.request.infno
        with executed_in_part(infno, at=INSURED_PROVINCE, left=OWN_CORE):
            await self._desk.ask_core(call, infno, call.request.input, msgid=core_msgid(transaction))
        return await self._desk.finished(repeat, transaction, {})

    def _lines_meant(self, encounter: EncounterRecord, rows: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """Line ids to take back; None means all. Numbers that the encounter does not hold are refused."""
        held = self._desk.ledger.held(encounter.encounter_id)
        meant: list[str] = []
        for row in rows:
            line_id = optional_text(row, "feedetl_sn", "input.data")
            batch = optional_text(row, "chrg_bchno", "input.data")
            if line_id and batch and line_id != batch:
                raise invalid("input.data", "names a line and a batch; only one of them is read")
            if ALL_LINES in (line_id, batch):
                return None
            if not line_id and not batch:
                raise invalid("input.data.feedetl_sn", f"missing; {ALL_LINES} means all lines")
            found = [held_id for held_id, line in held.items() if held_id == line_id or (batch and line.batch == batch)]
            if not found:
                raise invalid("input.data", "names a line or batch that this visit does not hold")
            meant += found
        return meant

    async def discharge(self, call: Call) -> dict[str, Any]:
        """2402."""
        desk = self._desk
        node = call.request.node("dscginfo", "data")
        visit_id = required_text(node, VISIT_ID, "input.dscginfo")
        encounter = desk.encounter(call, visit_id, personal_number(node, "input.dscginfo"))
        asked = DischargeRequest()
        maps.DISCHARGE.read(node, asked, desk.tables, "input.dscginfo")
        asked.person.CopyFrom(encounter.person.identity)
        asked.insured_number.CopyFrom(insured_number(encounter.person))
        asked.encounter.CopyFrom(reference(call, encounter, visit_id))
        read_diagnoses(call, desk, asked.diagnoses.diagnoses)
        async with desk.locks.hold(encounter.encounter_id):
            repeat = await desk.transaction(call, encounter.encounter_id, visit_id, content_key(call))
            if (stored := desk.stored_answer(repeat)) is not None:
                return stored
            transaction = desk.two_sided.unfinished(repeat, unless=desk.two_sided.has_later)
            if DONE not in transaction.attributes:
                asked.local_transaction_id = transaction.local_transaction_id
                channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
                async with desk.two_sided.first_side(transaction):
                    await EncounterServiceStub(channel).Discharge(asked, timeout=CALL_S)
                if not desk.two_sided.has_later(transaction):
                    await remember_care(desk, call, visit_id, {"last_day": day_text(asked.last_day)})
                await desk.two_sided.done(transaction)
            if desk.two_sided.has_later(transaction):
                raise overtaken(call.request.infno)
            return await self._finish_at_own_core(call, repeat, transaction)
