"""Encounter trades of the care role: registration, fee lines, discharge.

The place of care's core acts first where it numbers the visit and splits the lines by its catalogue (就医地目录); if
the insured province then refuses for good, the core's part is taken back. Where the core only takes note (withdrawal,
discharge), it is told after the insured province agreed. So the two never disagree about a visit.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.coverage_pb2 import QueryCoverageResponse
from onecard.medical.v1.encounter_pb2 import (
    Diagnosis,
    DischargeRequest,
    FeeLine,
    RegisterRequest,
    RegisterResponse,
    UploadFeeLinesRequest,
    WithdrawFeeLinesRequest,
)
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceStub
from onecard_adapters.dialects.infno import fees, maps, trades
from onecard_adapters.dialects.infno.care_person import PersonTrades, choose_filing
from onecard_adapters.dialects.infno.core import is_in_doubt
from onecard_adapters.dialects.infno.desk import (
    CALL_S,
    VISIT_ID,
    Call,
    CareDesk,
    insured_number,
    invalid,
    optional_text,
    personal_number,
    reference,
    remember_care,
    required_text,
)
from onecard_adapters.dialects.infno.envelope import Answer
from onecard_adapters.dialects.infno.numbers import next_transaction_number
from onecard_adapters.mapping.fields import day_text
from onecard_adapters.runtime.memory import EncounterRecord, Transaction
from onecard_adapters.sdk.failures import may_be_sent_again
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

ALL_LINES: Final = "0000"
"""feedetl_sn or chrg_bchno of 2302, 2205 that means all lines not settled."""
DEFAULT_VISIT_KIND: Final = "11"
"""med_type of a 2201 that carries none: its form has no such field in the sample; 2206 and 2207 name it."""
_ACTIVE: Final = "1"

_log = logging.getLogger(__name__)


class EncounterTrades:
    """2201, 2401, 2204, 2301, 2205, 2302, 2402."""

    def __init__(self, desk: CareDesk, persons: PersonTrades) -> None:
        self._desk = desk
        self._persons = persons

    async def register(self, call: Call) -> dict[str, Any]:
        """2201, 2401: the core's mdtrt_id, registered with the insured province under a national encounter id."""
        desk = self._desk
        is_stay = call.request.infno == trades.INPATIENT.register
        node = call.request.node("mdtrtinfo" if is_stay else "data", "data")
        recipient = desk.recipient(call)
        asked = RegisterRequest(institution=call.place, local_transaction_id=call.request.msgid)
        (maps.STAY if is_stay else maps.VISIT).read(node, asked, desk.tables, "input")
        if not asked.HasField("care_kind"):
            if is_stay:
                raise invalid("input.mdtrtinfo.med_type", "missing")
            asked.care_kind.CopyFrom(desk.tables["med_type"].coded(DEFAULT_VISIT_KIND))
        self._read_diagnoses(call, asked.diagnoses.diagnoses)
        person = desk.person(call, asked.insured_number.personal_number)
        asked.person.CopyFrom(person.identity)
        asked.insured_number.CopyFrom(insured_number(person))
        transaction = await desk.transaction(call)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        care_kind = desk.tables["med_type"].entry(asked.care_kind, "med_type")
        asked.is_emergency = care_kind.attributes.get("emergency") == "1"
        coverage = await self._persons.coverage_of(call, person, asked.first_day)
        filing = choose_filing(
            coverage,
            area=call.institution.area,
            institution_code=call.institution.code,
            day=asked.first_day,
            named=asked.filing_id,
        )
        asked.filing_id = filing.filing_id if filing is not None else ""
        core_answer = await desk.ask_core(call, call.request.infno, call.request.input)
        node_of_answer = core_answer.node("result", "data")
        asked.visit_id = required_text(node_of_answer, VISIT_ID, "output")
        channel = desk.national.to(recipient, message_id=transaction.message_id)
        try:
            registered: RegisterResponse = await EncounterServiceStub(channel).Register(asked, timeout=CALL_S)
        except OneCardError as error:
            undo = {VISIT_ID: asked.visit_id, "psn_no": person.personal_number}
            await self._take_back(call, transaction, error, trades.place_of(call.request.infno).undo_registration, undo)
            raise
        care = {
            "med_type": asked.care_kind.code,
            "insutype": asked.insurance_kind.code,
            "first_day": day_text(asked.first_day),
            "filing_id": asked.filing_id,
            "filing_type": filing.filing_type.code if filing is not None else "",
            "is_emergency": "1" if asked.is_emergency else "",
            "psn_type": _person_class(coverage, asked),
            "insuplc_admdvs": person.insurance_area,
        }
        record = EncounterRecord(
            encounter_id=registered.encounter.encounter_id or transaction.message_id.hex(),
            person=person,
            insured_participant=recipient,
            care=care,
        )
        await desk.memory.remember_encounter(call.institution.code, asked.visit_id, record)
        return await desk.answered(transaction, core_answer.output if isinstance(core_answer.output, dict) else {})

    def _read_diagnoses(self, call: Call, diagnoses: Any) -> None:
        for index, row in enumerate(call.request.rows("diseinfo")):
            diagnosis = Diagnosis()
            maps.DIAGNOSIS.read(row, diagnosis, self._desk.tables, f"input.diseinfo[{index}]")
            diagnoses.append(diagnosis)

    async def _take_back(
        self, call: Call, transaction: Transaction, error: OneCardError, infno: str, data: Mapping[str, Any]
    ) -> None:
        """Undo the core's part after a final refusal.

        Where the outcome is unknown, or the same message may be sent again, the core's part stays: the hospital repeats
        the trade under its msgid.
        """
        if is_in_doubt(error) or may_be_sent_again(error):
            return
        await self._desk.refused(transaction, error)
        now_ms = self._desk.national.hub_time_ms()
        msgid = await next_transaction_number(self._desk.memory, call.institution.code, now_ms)
        try:
            await self._desk.ask_core(call, infno, {"data": data}, msgid=msgid)
        except OneCardError as failure:
            # The refusal is what the cashier must see; the core's leftover is for the operator.
            _log.error("trade %s at the core after a refusal failed: reason %s", infno, failure.reason)

    async def upload(self, call: Call) -> dict[str, Any]:
        """2204, 2301: at most 100 lines; the core splits them, the insured province gets them split."""
        desk = self._desk
        rows = call.request.rows("feedetail")
        if not 1 <= len(rows) <= limits.FEE_LINE_COUNT_MAX:
            raise invalid("input.feedetail", f"{len(rows)} lines; a call carries 1 to {limits.FEE_LINE_COUNT_MAX}")
        encounter, visit_id = self._encounter_of_rows(call, rows)
        lines = [self._line(row, index) for index, row in enumerate(rows)]
        if len({line.line_id for line in lines}) != len(lines):
            raise invalid("input.feedetail", "a feedetl_sn stands twice")
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            core_answer = await desk.ask_core(call, call.request.infno, call.request.input)
            withdraw = trades.place_of(call.request.infno).withdraw
            undo = {VISIT_ID: visit_id, "psn_no": encounter.person.personal_number}
            undo_lines = {**undo, "feedetl_sn": [line.line_id for line in lines]}
            try:
                self._classify(lines, core_answer)
                asked = UploadFeeLinesRequest(
                    person=encounter.person.identity,
                    insured_number=insured_number(encounter.person),
                    encounter=reference(call, encounter, visit_id),
                    lines=lines,
                    local_transaction_id=call.request.msgid,
                )
                channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
                await EncounterServiceStub(channel).UploadFeeLines(asked, timeout=CALL_S)
            except OneCardError as error:
                await self._take_back(call, transaction, error, withdraw, undo_lines)
                raise
            batches = {
                line.line_id: optional_text(row, "chrg_bchno", "input.feedetail")
                for line, row in zip(lines, rows, strict=True)
            }
            output = core_answer.output if isinstance(core_answer.output, dict) else {}
            return await desk.answered(transaction, output, fees.upload_attributes(lines, batches))

    def _encounter_of_rows(self, call: Call, rows: Sequence[Mapping[str, Any]]) -> tuple[EncounterRecord, str]:
        visits = {
            (required_text(row, VISIT_ID, "input.feedetail"), personal_number(row, "input.feedetail")) for row in rows
        }
        if len(visits) != 1:
            raise invalid("input.feedetail", "lines of more than one visit or person in one call")
        ((visit_id, number),) = visits
        return self._desk.encounter(call, visit_id, number), visit_id

    def _line(self, row: Mapping[str, Any], index: int) -> FeeLine:
        line = FeeLine()
        at = f"input.feedetail[{index}]"
        maps.FEE_LINE.read(row, line, self._desk.tables, at)
        if line.amount_fen < 0 and not line.returned_line_id:
            raise invalid(f"{at}.init_feedetl_sn", "missing; a negative line takes another line back")
        return line

    def _classify(self, lines: Sequence[FeeLine], answer: Answer) -> None:
        """Take the core's split into the lines; it must name every line once and add up."""
        by_id = {line.line_id: line for line in lines}
        rows = answer.rows("result")
        if len(rows) != len(lines):
            raise invalid("output.result", f"{len(rows)} lines answered of {len(lines)} sent")
        for index, row in enumerate(rows):
            at = f"output.result[{index}]"
            split = FeeLine()
            maps.CLASSIFIED.read(row, split, self._desk.tables, at)
            line = by_id.pop(split.line_id, None)
            if line is None:
                raise invalid(f"{at}.feedetl_sn", "not a line that was sent, or answered twice")
            sent_fen = line.amount_fen
            line.MergeFrom(split)
            parts = (
                line.full_self_pay_fen + line.over_limit_self_pay_fen + line.preceding_self_pay_fen + line.in_scope_fen
            )
            if line.amount_fen != sent_fen or parts != sent_fen:
                raise OneCardError(
                    errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT,
                    f"{at}: sent {sent_fen} fen, split as {line.amount_fen} fen with parts of {parts} fen",
                )

    async def withdraw(self, call: Call) -> dict[str, Any]:
        """2205, 2302: lines by their numbers, by batch, or all ("0000")."""
        desk = self._desk
        rows = call.request.rows("data") or [call.request.input]
        encounter, visit_id = self._encounter_of_rows(call, rows)
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            line_ids = self._lines_meant(encounter, rows)
            asked = WithdrawFeeLinesRequest(
                person=encounter.person.identity,
                insured_number=insured_number(encounter.person),
                encounter=reference(call, encounter, visit_id),
                line_ids=line_ids or [],
                local_transaction_id=call.request.msgid,
            )
            channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
            await EncounterServiceStub(channel).WithdrawFeeLines(asked, timeout=CALL_S)
            await desk.ask_core(call, call.request.infno, call.request.input)
            return await desk.answered(transaction, {}, fees.withdrawal_attributes(line_ids))

    def _lines_meant(self, encounter: EncounterRecord, rows: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """Line ids to take back; None means all. Numbers that the encounter does not hold are refused."""
        held = self._desk.ledger.held(encounter.encounter_id)
        meant: list[str] = []
        for row in rows:
            line_id = optional_text(row, "feedetl_sn", "input.data")
            batch = optional_text(row, "chrg_bchno", "input.data")
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
        asked = DischargeRequest(local_transaction_id=call.request.msgid)
        maps.DISCHARGE.read(node, asked, desk.tables, "input.dscginfo")
        asked.person.CopyFrom(encounter.person.identity)
        asked.insured_number.CopyFrom(insured_number(encounter.person))
        asked.encounter.CopyFrom(reference(call, encounter, visit_id))
        self._read_diagnoses(call, asked.diagnoses.diagnoses)
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
            await EncounterServiceStub(channel).Discharge(asked, timeout=CALL_S)
            await desk.ask_core(call, call.request.infno, call.request.input)
            await remember_care(desk, call, visit_id, {"last_day": day_text(asked.last_day)})
            return await desk.answered(transaction, {})


def _person_class(coverage: QueryCoverageResponse, asked: RegisterRequest) -> str:
    """psn_type of the enrolment that the registration chose, by kind, area and status; "" if none fits exactly."""
    fitting = {
        enrolment.person_class.code
        for enrolment in coverage.enrolments
        if enrolment.insurance_kind == asked.insurance_kind
        and enrolment.insurance_area == asked.insured_number.insurance_area
        and enrolment.status.code == _ACTIVE
    }
    return fitting.pop() if len(fitting) == 1 else ""
