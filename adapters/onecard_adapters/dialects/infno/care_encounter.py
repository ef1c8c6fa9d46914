"""Encounter trades of the care role in which the place of care's core acts first: registration and fee lines.

It numbers the visit and splits the lines by its catalogue (就医地目录); if the insured province then refuses for good,
the core's part is taken back. The trades of which it only takes note are in care_after.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.coverage_pb2 import QueryCoverageResponse
from onecard.medical.v1.encounter_pb2 import (
    Diagnosis,
    FeeLine,
    RegisterRequest,
    RegisterResponse,
    UploadFeeLinesRequest,
)
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceStub
from onecard_adapters.dialects.fee_parts import require_whole
from onecard_adapters.dialects.filings import choose_filing, validity
from onecard_adapters.dialects.in_part import LEFT, executed, require_final, taken_back
from onecard_adapters.dialects.infno import fees, json_text, maps, trades
from onecard_adapters.dialects.infno.care_person import PersonTrades
from onecard_adapters.dialects.infno.desk import (
    CALL_S,
    VISIT_ID,
    Call,
    CareDesk,
    core_msgid,
    insured_number,
    invalid,
    optional_text,
    personal_number,
    reference,
    required_text,
)
from onecard_adapters.dialects.infno.envelope import Answer
from onecard_adapters.dialects.sent import (
    ANSWERED,
    beside_it,
    has_never_left,
    id_to_send,
    never_left,
    sending,
    sent_as,
    sent_before,
)
from onecard_adapters.mapping.fields import day_text
from onecard_adapters.runtime.memory import EncounterRecord, PersonRecord, Transaction
from onecard_adapters.sdk.failures import may_be_sent_again
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

DEFAULT_VISIT_KIND: Final = "11"
"""med_type of a 2201 that carries none: its form has no such field in the sample; 2206 and 2207 name it."""
_ACTIVE: Final = "1"


class EncounterTrades:
    """2201, 2401, 2204, 2301."""

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
        read_diagnoses(call, desk, asked.diagnoses.diagnoses)
        person = desk.person(call, asked.insured_number.personal_number)
        asked.person.CopyFrom(person.identity)
        asked.insured_number.CopyFrom(insured_number(person))
        transaction = await desk.transaction(call)
        await self._finish_taking_back(call, transaction, transaction.attributes.get(LEFT, ""))
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        sent = sent_before(transaction, RegisterRequest)
        if sent is None:
            care = await self._complete(call, person, asked)
            core_answer = await desk.ask_core(
                call, call.request.infno, call.request.input, msgid=core_msgid(transaction)
            )
            with executed(call.request.infno):
                asked.visit_id = required_text(core_answer.node("result", "data"), VISIT_ID, "output")
            output = _output_of(core_answer)
        else:
            kept, told = beside_it(transaction)
            asked.visit_id, output = sent.visit_id, json_text.parse_object(told.encode())
        message_id = id_to_send(transaction, desk.national.hub_time_ms())
        try:
            if sent is not None and has_never_left(transaction):
                care = await self._complete(call, person, asked)
            elif sent is not None:
                asked, care = sent, kept
            beside = [care, json_text.write(output)]
            await desk.note(transaction, sending(asked, beside) | sent_as(transaction, message_id))
            channel = desk.national.to(recipient, message_id=message_id)
            registered: RegisterResponse = await EncounterServiceStub(channel).Register(asked, timeout=CALL_S)
        except OneCardError as error:
            undo = {VISIT_ID: asked.visit_id, "psn_no": asked.insured_number.personal_number}
            await self._take_back(call, transaction, error, trades.place_of(call.request.infno).undo_registration, undo)
            raise
        record = EncounterRecord(
            encounter_id=registered.encounter.encounter_id or message_id.hex(),
            person=person,
            insured_participant=recipient,
            care=care,
        )
        await desk.memory.remember_encounter(call.institution.code, asked.visit_id, record)
        return await desk.answered(transaction, output, ANSWERED)

    async def _complete(self, call: Call, person: PersonRecord, asked: RegisterRequest) -> dict[str, str]:
        """Put into a registration what the request leaves open; what the encounter will remember of it."""
        desk = self._desk
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
        return {
            "med_type": asked.care_kind.code,
            "insutype": asked.insurance_kind.code,
            "first_day": day_text(asked.first_day),
            "filing_id": asked.filing_id,
            "filing_type": filing.filing_type.code if filing is not None else "",
            **validity(filing),
            "is_emergency": "1" if asked.is_emergency else "",
            "psn_type": _person_class(coverage, asked),
            "insuplc_admdvs": person.insurance_area,
        }

    async def _take_back(
        self, call: Call, transaction: Transaction, error: OneCardError, infno: str, data: Mapping[str, Any]
    ) -> None:
        """Undo the core's part after a final refusal; otherwise it stays, see `require_final`."""
        if may_be_sent_again(error):
            await self._desk.note(transaction, never_left())
        require_final(call.request.infno, error)
        msgid = await self._desk.new_msgid(call)
        left = json.dumps({"infno": infno, "data": data, "msgid": msgid})
        await self._desk.refused(transaction, error, left)
        await self._finish_taking_back(call, transaction, left)

    async def _finish_taking_back(self, call: Call, transaction: Transaction, left: str) -> None:
        """Undo the core's part, under the same number each time; nothing is left then but the refusal."""
        if not left:
            return
        undo = json.loads(left)
        with taken_back(call.request.infno):
            await self._desk.ask_core(call, undo["infno"], {"data": undo["data"]}, msgid=undo["msgid"])
        await self._desk.note(transaction, {LEFT: ""})

    async def upload(self, call: Call) -> dict[str, Any]:
        """2204, 2301: at most 100 lines; the core splits them, the insured province gets them split."""
        desk = self._desk
        rows = call.request.rows("feedetail")
        if not 1 <= len(rows) <= limits.FEE_LINE_COUNT_MAX:
            raise invalid("input.feedetail", f"{len(rows)} lines; a call carries 1 to {limits.FEE_LINE_COUNT_MAX}")
        encounter, visit_id = encounter_of_rows(call, desk, rows)
        lines = [self._line(row, index) for index, row in enumerate(rows)]
        if len({line.line_id for line in lines}) != len(lines):
            raise invalid("input.feedetail", "a feedetl_sn stands twice")
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(call, encounter.encounter_id, visit_id)
            line_ids = [line.line_id for line in lines]
            if not desk.is_answered(transaction) and desk.ledger.is_superseded(transaction, line_ids):
                # To complete it, or to take it back, would undo what came later.
                raise OneCardError(
                    errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION,
                    f"{call.request.infno} was followed by others of its lines",
                )
            await self._finish_taking_back(call, transaction, transaction.attributes.get(LEFT, ""))
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            asked = sent_before(transaction, UploadFeeLinesRequest)
            if asked is None:
                core_answer = await desk.ask_core(
                    call, call.request.infno, call.request.input, msgid=core_msgid(transaction)
                )
            withdraw = trades.place_of(call.request.infno).withdraw
            undo = {VISIT_ID: visit_id, "psn_no": encounter.person.personal_number}
            undo_lines = {**undo, "feedetl_sn": line_ids}
            try:
                if asked is None:
                    self._classify(lines, core_answer)
                    asked = UploadFeeLinesRequest(
                        person=encounter.person.identity,
                        insured_number=insured_number(encounter.person),
                        encounter=reference(call, encounter, visit_id),
                        lines=lines,
                        local_transaction_id=call.request.msgid,
                    )
                    output = _output_of(core_answer)
                else:
                    output = json_text.parse_object(beside_it(transaction).encode())
                message_id = id_to_send(transaction, desk.national.hub_time_ms())
                kept = sending(asked, json_text.write(output)) | sent_as(transaction, message_id)
                await desk.note(transaction, kept)
                channel = desk.national.to(encounter.insured_participant, message_id=message_id)
                await EncounterServiceStub(channel).UploadFeeLines(asked, timeout=CALL_S)
            except OneCardError as error:
                await self._take_back(call, transaction, error, withdraw, undo_lines)
                raise
            batches = {
                line.line_id: optional_text(row, "chrg_bchno", "input.feedetail")
                for line, row in zip(lines, rows, strict=True)
            }
            return await desk.answered(
                transaction, output, {**fees.upload_attributes(asked.lines, batches), **ANSWERED}
            )

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
            require_whole(line, sent_fen, at)


def read_diagnoses(call: Call, desk: CareDesk, diagnoses: Any) -> None:
    """input.diseinfo."""
    for index, row in enumerate(call.request.rows("diseinfo")):
        diagnosis = Diagnosis()
        maps.DIAGNOSIS.read(row, diagnosis, desk.tables, f"input.diseinfo[{index}]")
        diagnoses.append(diagnosis)


def encounter_of_rows(call: Call, desk: CareDesk, rows: Sequence[Mapping[str, Any]]) -> tuple[EncounterRecord, str]:
    """The one visit that all rows of fee lines name."""
    visits = {
        (required_text(row, VISIT_ID, "input.feedetail"), personal_number(row, "input.feedetail")) for row in rows
    }
    if len(visits) != 1:
        raise invalid("input.feedetail", "lines of more than one visit or person in one call")
    ((visit_id, number),) = visits
    return desk.encounter(call, visit_id, number), visit_id


def _output_of(answer: Answer) -> dict[str, Any]:
    return answer.output if isinstance(answer.output, dict) else {}


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
