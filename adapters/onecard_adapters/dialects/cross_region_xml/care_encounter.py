"""Encounter trades of the care role in which the own core acts first, and its two queries.

It numbers the visit and splits the lines by its catalogue (就医地目录); if the insured province then refuses for good,
its visit (by 0306) or lines (by 0302) are taken back. The trades of which it only takes note are in care_after.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from onecard.medical.v1.encounter_pb2 import (
    Diagnoses,
    FeeLine,
    RegisterRequest,
    RegisterResponse,
    UploadFeeLinesRequest,
)
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceStub
from onecard_adapters.dialects.cross_region_xml import forms, safe_xml
from onecard_adapters.dialects.cross_region_xml.care_desk import (
    CALL_S,
    VISIT_ID,
    Asked,
    CareDesk,
    core_number,
    insured_number,
    reference,
)
from onecard_adapters.dialects.cross_region_xml.care_person import PersonTrades
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid, leaf, parent, require_names
from onecard_adapters.dialects.cross_region_xml.trades import TradeNumber
from onecard_adapters.dialects.fee_parts import require_whole
from onecard_adapters.dialects.filings import choose_filing, validity
from onecard_adapters.dialects.in_part import LEFT, require_final, taken_back
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
from onecard_adapters.mapping import amounts
from onecard_adapters.mapping.fields import day_text
from onecard_adapters.runtime.memory import EncounterRecord, PersonRecord, Transaction
from onecard_adapters.sdk.failures import may_be_sent_again
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

LINES: Final = "lines"
"""Attribute of an upload that was carried out: its line ids."""


class EncounterTrades:
    """0212, 0301, 0706, 0707."""

    def __init__(self, desk: CareDesk, persons: PersonTrades) -> None:
        self._desk = desk
        self._persons = persons

    async def register(self, asked: Asked) -> Element:
        """0212: the own core's ykc700, registered with the insured province under a national encounter id."""
        desk = self._desk
        recipient = desk.recipient(asked.insurance_area, "aab301")
        request = RegisterRequest(institution=asked.place)
        forms.read_into(forms.REGISTRATION, asked.input, request, desk.tables)
        read_diagnoses(asked, desk, request.diagnoses)
        person = desk.person(asked)
        request.person.CopyFrom(person.identity)
        request.insured_number.CopyFrom(insured_number(person))
        transaction = await desk.transaction(asked)
        visit_id = transaction.attributes.get(VISIT_ID, "")
        await self._finish_taking_back(
            asked, transaction, transaction.attributes.get(LEFT, ""), *self._visit_left(asked, person, visit_id)
        )
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        sent = sent_before(transaction, RegisterRequest)
        if sent is None:
            care = await self._complete(asked, person, request)
            request.visit_id = await self._visit_id_of_core(asked, person, transaction)
        else:
            request.visit_id = sent.visit_id
        request.local_transaction_id = transaction.local_transaction_id
        message_id = id_to_send(transaction, desk.national.hub_time_ms())
        try:
            if sent is not None and has_never_left(transaction):
                care = await self._complete(asked, person, request)
            elif sent is not None:
                request, care = sent, beside_it(transaction)
            await desk.note(transaction, sending(request, care) | sent_as(transaction, message_id))
            channel = desk.national.to(recipient, message_id=message_id)
            registered: RegisterResponse = await EncounterServiceStub(channel).Register(request, timeout=CALL_S)
        except OneCardError as error:
            trade, head = self._visit_left(asked, person, request.visit_id)
            await self._take_back(asked, transaction, error, trade, head)
            raise
        record = EncounterRecord(
            encounter_id=registered.encounter.encounter_id,
            person=person,
            insured_participant=recipient,
            care=care,
        )
        await desk.memory.remember_encounter(asked.place.code, request.visit_id, record)
        return await desk.answered(transaction, parent("output", [leaf(VISIT_ID, request.visit_id)]), ANSWERED)

    async def _complete(self, asked: Asked, person: PersonRecord, request: RegisterRequest) -> dict[str, str]:
        """Put into a registration what the document leaves open; what the encounter will remember of it."""
        care_kind = self._desk.tables["med_type"].entry(request.care_kind, "input.aka130")
        request.is_emergency = request.is_emergency or care_kind.attributes.get("emergency") == "1"
        coverage = await self._persons.coverage_of(asked, person, request.first_day)
        filing = choose_filing(
            coverage,
            area=asked.place.area,
            institution_code=asked.place.code,
            day=request.first_day,
            named=request.filing_id,
        )
        request.filing_id = filing.filing_id if filing is not None else ""
        return {
            "aka130": request.care_kind.code,
            "aae140": request.insurance_kind.code,
            "aae030": day_text(request.first_day),
            "ykc901": request.filing_id,
            "ykc902": filing.filing_type.code if filing is not None else "",
            **validity(filing),
            "ykc904": "1" if request.is_emergency else "",
        }

    async def _visit_id_of_core(self, asked: Asked, person: PersonRecord, transaction: Transaction) -> str:
        number = core_number(transaction)
        children = forwarded(asked, self._desk, person, number)
        result = await self._desk.ask_core(TradeNumber.REGISTER, children, number)
        visit_id = result.output.value(VISIT_ID)
        if not visit_id:
            raise OutcomeInDoubt("output.ykc700: the own core gave the visit no number")
        return visit_id

    async def upload(self, asked: Asked) -> Element:
        """0301: at most 100 lines; the own core splits them, the insured province gets them split."""
        desk = self._desk
        rows = forms.rows_of(asked.input, "detail")
        if not 1 <= len(rows) <= limits.FEE_LINE_COUNT_MAX:
            raise form_invalid(f"input.detail: {len(rows)} lines; a call carries 1 to {limits.FEE_LINE_COUNT_MAX}")
        encounter = desk.encounter(asked)
        async with desk.locks.hold(encounter.encounter_id):
            transaction = await desk.transaction(asked, encounter.encounter_id)
            left = transaction.attributes.get(LEFT, "")
            await self._finish_taking_back(asked, transaction, left, *self._lines_left(asked, encounter.person))
            if (stored := desk.stored_answer(transaction)) is not None:
                return stored
            amounts_sent = _amounts_of(rows)
            request = sent_before(transaction, UploadFeeLinesRequest)
            if request is None:
                number = core_number(transaction)
                children = forwarded(asked, desk, encounter.person, number)
                result = await desk.ask_core(TradeNumber.UPLOAD_LINES, children, number)
            try:
                if request is None:
                    request = UploadFeeLinesRequest(
                        person=encounter.person.identity,
                        insured_number=insured_number(encounter.person),
                        encounter=reference(asked, encounter),
                        lines=self._split_lines(amounts_sent, result),
                        local_transaction_id=transaction.local_transaction_id,
                    )
                    output = passed_on(result)
                else:
                    output = safe_xml.parse(beside_it(transaction), "stored answer")
                message_id = id_to_send(transaction, desk.national.hub_time_ms())
                kept = sending(request, safe_xml.serialise(output)) | sent_as(transaction, message_id)
                await desk.note(transaction, kept)
                channel = desk.national.to(encounter.insured_participant, message_id=message_id)
                await EncounterServiceStub(channel).UploadFeeLines(request, timeout=CALL_S)
            except OneCardError as error:
                trade, head = self._lines_left(asked, encounter.person)
                await self._take_back(asked, transaction, error, trade, head)
                raise
            line_ids = ",".join(line.line_id for line in request.lines)
            return await desk.answered(transaction, output, {LINES: line_ids, **ANSWERED})

    def _split_lines(self, sent: Mapping[str, int | None], result: Result) -> list[FeeLine]:
        """The lines as the core split them; it must answer each once, with the amount sent, and its parts must add up.

        `sent` holds the amounts by line id, in fen; None where the document leaves it to the core.
        """
        lines = []
        for index, row in enumerate(forms.rows_of(result.output, "detail")):
            line = FeeLine()
            at = f"output.detail[{index}]"
            forms.read_into(forms.FEE_LINE, row, line, self._desk.tables, at)
            told = sent.get(line.line_id)
            require_whole(line, line.amount_fen if told is None else told, at)
            lines.append(line)
        if sorted(line.line_id for line in lines) != sorted(sent):
            raise form_invalid("output.detail: the own core answered other lines than were sent")
        return lines

    def _visit_left(self, asked: Asked, person: PersonRecord, visit_id: str) -> tuple[TradeNumber, dict[str, object]]:
        """By which trade the core gives a visit back, and the head of that request."""
        return TradeNumber.REVERSE, self._desk.head(asked, person, "", visit_id)

    def _lines_left(self, asked: Asked, person: PersonRecord) -> tuple[TradeNumber, dict[str, object]]:
        """By which trade the core gives the lines of an upload back, and the head of that request."""
        return TradeNumber.WITHDRAW_LINES, self._desk.head(asked, person, "") | {"ykc610": ""}

    async def _take_back(
        self,
        asked: Asked,
        transaction: Transaction,
        error: OneCardError,
        trade: TradeNumber,
        head: Mapping[str, object],
    ) -> None:
        """Undo the core's part after a final refusal; else it stays, and the hospital repeats its request."""
        if may_be_sent_again(error):
            await self._desk.note(transaction, never_left())
        require_final(asked.trade, error)
        number = core_number(transaction)
        await self._desk.refused(transaction, error, number, {VISIT_ID: str(head.get(VISIT_ID, ""))})
        await self._finish_taking_back(asked, transaction, number, trade, head)

    async def _finish_taking_back(
        self, asked: Asked, transaction: Transaction, number: str, trade: TradeNumber, head: Mapping[str, object]
    ) -> None:
        """Take a visit or the lines of an upload back from the core; nothing is left then but the refusal."""
        if not number:
            return
        with taken_back(asked.trade):
            try:
                await self._desk.ask_core(trade, forms.leaves({**head, "otransid": number}), "")
            except OneCardError:
                # Its answer may be lost, or this one refused because the one before has done it.
                if not await self._desk.is_undone(number):
                    raise
        await self._desk.note(transaction, {LEFT: ""})

    async def query_own_core(self, asked: Asked) -> Element:
        """0706 and 0707: what the own core holds of a visit, as it says it."""
        encounter = self._desk.encounter(asked)
        result = await self._desk.ask_core(asked.trade, forwarded(asked, self._desk, encounter.person, ""), "")
        return passed_on(result)


def _amounts_of(rows: Sequence[Element]) -> dict[str, int | None]:
    """akc227 of each line by its ykc610, in fen; None if it has none. Raises LOCAL_FORM_INVALID."""
    found: dict[str, int | None] = {}
    for index, row in enumerate(rows):
        line_id, amount = row.value("ykc610"), row.value("akc227")
        if not line_id:
            raise form_invalid(f"input.detail[{index}].ykc610: missing")
        if line_id in found:
            raise form_invalid(f"input.detail[{index}].ykc610: stands twice")
        found[line_id] = amounts.fen_from_yuan(amount, f"input.detail[{index}].akc227") if amount else None
    return found


def read_diagnoses(asked: Asked, desk: CareDesk, diagnoses: Diagnoses) -> None:
    """input.detail."""
    for index, row in enumerate(forms.rows_of(asked.input, "detail")):
        at = f"input.detail[{index}]"
        forms.read_into(forms.DIAGNOSIS, row, diagnoses.diagnoses.add(), desk.tables, at)


def forwarded(asked: Asked, desk: CareDesk, person: PersonRecord, transid: str, **instead: object) -> list[Element]:
    """The hospital's own document for the core; its head is as the adapter knows it, and what stands `instead`.

    Raises LOCAL_FORM_INVALID for an element whose name cannot be passed on.
    """
    require_names(asked.input, "input")
    head = desk.head(asked, person, transid) | instead
    return [
        *forms.leaves(head),
        *(child for child in asked.input.children if child.name not in head),
    ]


def passed_on(result: Result) -> Element:
    """The core's output for the hospital. Raises LOCAL_FORM_INVALID for an element whose name cannot be passed on."""
    require_names(result.output, "output")
    return result.output


async def remember_care(desk: CareDesk, asked: Asked, changes: Mapping[str, str]) -> None:
    """Add to the dialect's own attributes of an encounter, as they stand now; call it under the encounter's lock."""
    encounter = desk.encounter(asked)
    changed = EncounterRecord(
        encounter_id=encounter.encounter_id,
        person=encounter.person,
        insured_participant=encounter.insured_participant,
        care={**encounter.care, **changes},
    )
    await desk.memory.remember_encounter(asked.place.code, asked.input.value(VISIT_ID), changed)
