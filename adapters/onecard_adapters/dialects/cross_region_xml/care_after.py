"""Encounter trades of the care role of which the own core only takes note: withdrawal of lines, discharge.

It is told after the insured province has executed them. Until it has taken note they are executed in part, which is
never a refusal; the same document again, also under another transid, does what is left, under the first transid.
"""

from collections.abc import Sequence
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.encounter_pb2 import DischargeRequest, WithdrawFeeLinesRequest
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceStub
from onecard_adapters.dialects.cross_region_xml import forms
from onecard_adapters.dialects.cross_region_xml.care_desk import (
    CALL_S,
    Asked,
    CareDesk,
    content_key,
    core_number,
    insured_number,
    reference,
)
from onecard_adapters.dialects.cross_region_xml.care_encounter import (
    LINES,
    forwarded,
    passed_on,
    read_diagnoses,
    remember_care,
)
from onecard_adapters.dialects.cross_region_xml.envelope import require_encodable
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid, parent
from onecard_adapters.dialects.in_part import (
    DONE,
    INSURED_PROVINCE,
    OWN_CORE,
    executed_in_part,
    is_between,
    overtaken,
)
from onecard_adapters.mapping.fields import day_text
from onecard_adapters.runtime.memory import EncounterRecord, Transaction
from onecard_protocol.errors import OneCardError

ALL_LINES: Final = "0"
"""otransid of 0302 that means all lines."""
_UPLOAD: Final = "/onecard.medical.v1.EncounterService/UploadFeeLines"


class NotedTrades:
    """0302, 0214."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk

    async def withdraw(self, asked: Asked) -> Element:
        """0302: all lines (otransid 0), those of one upload (otransid), or those named by ykc610."""
        desk = self._desk
        encounter = desk.encounter(asked)
        self._require_tellable(asked, encounter)
        async with desk.locks.hold(encounter.encounter_id):
            repeat = await desk.transaction(asked, encounter.encounter_id, content_key(asked))
            if (stored := desk.stored_answer(repeat)) is not None:
                return stored
            async with desk.two_sided.first_side(repeat):
                line_ids, otransid = self._lines_meant(asked, encounter)
            transaction = desk.two_sided.unfinished(
                repeat, unless=lambda item, before: self._is_uploaded_again(item, line_ids, before)
            )
            if DONE not in transaction.attributes:
                request = WithdrawFeeLinesRequest(
                    person=encounter.person.identity,
                    insured_number=insured_number(encounter.person),
                    encounter=reference(asked, encounter),
                    line_ids=line_ids,
                    local_transaction_id=transaction.local_transaction_id,
                )
                channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
                async with desk.two_sided.first_side(transaction), desk.noting_refusal(transaction):
                    await EncounterServiceStub(channel).WithdrawFeeLines(request, timeout=CALL_S)
                await desk.two_sided.done(transaction)
            if self._is_uploaded_again(transaction, line_ids):
                raise overtaken(asked.trade)
            return await self._finish_at_own_core(asked, encounter, repeat, transaction, otransid=otransid)

    def _require_tellable(self, asked: Asked, encounter: EncounterRecord) -> None:
        """Before the insured province acts: raise for a document that the own core could never be told."""
        require_encodable(parent("input", forwarded(asked, self._desk, encounter.person, "")), "input")

    async def _finish_at_own_core(
        self,
        asked: Asked,
        encounter: EncounterRecord,
        repeat: Transaction,
        transaction: Transaction,
        **instead: object,
    ) -> Element:
        """What the insured province has executed, under the number that the core was or would have been asked first."""
        number = core_number(transaction)
        children = forwarded(asked, self._desk, encounter.person, number, **instead)
        with executed_in_part(asked.trade, at=INSURED_PROVINCE, left=OWN_CORE):
            output = passed_on(await self._desk.ask_core(asked.trade, children, number))
        return await self._desk.finished(repeat, transaction, output)

    def _is_uploaded_again(
        self, withdrawal: Transaction, line_ids: Sequence[str], before: Transaction | None = None
    ) -> bool:
        """Whether lines that a withdrawal took back, or any if it took back all, were uploaded again since.

        With `before`, whether they were until that other request came.
        """
        uploads = self._desk.memory.find_transactions_of_encounter(withdrawal.encounter_id, _UPLOAD)
        since = {
            line_id
            for upload in uploads
            if is_between(withdrawal, upload, before) and LINES in upload.attributes
            for line_id in upload.attributes[LINES].split(",")
        }
        return not since.isdisjoint(line_ids) if line_ids else bool(since)

    def _lines_meant(self, asked: Asked, encounter: EncounterRecord) -> tuple[list[str], str]:
        """Line ids, none means all, and the otransid that says the same to the own core."""
        named = [row.value("ykc610") for row in forms.rows_of(asked.input, "detail")]
        if asked.input.value("ykc610"):
            named.append(asked.input.value("ykc610"))
        otransid = asked.input.value("otransid")
        if named or otransid == ALL_LINES:
            return named, "" if named else ALL_LINES
        if not otransid:
            raise form_invalid("input.otransid: missing, and no ykc610 names lines; 0 means all lines")
        found = self._desk.memory.find_transactions(asked.place.code, otransid)
        uploads = [item for item in found if item.encounter_id == encounter.encounter_id and LINES in item.attributes]
        if not uploads:
            raise form_invalid("input.otransid: no upload was carried out under it")
        if len(uploads) > 1:
            raise OneCardError(
                errors_pb2.ERROR_REASON_ORIGINAL_AMBIGUOUS, f"{len(uploads)} uploads were sent under this otransid"
            )
        return uploads[0].attributes[LINES].split(","), core_number(uploads[0])

    async def discharge(self, asked: Asked) -> Element:
        """0214."""
        desk = self._desk
        encounter = desk.encounter(asked)
        self._require_tellable(asked, encounter)
        request = DischargeRequest(
            person=encounter.person.identity,
            insured_number=insured_number(encounter.person),
            encounter=reference(asked, encounter),
        )
        forms.read_into(forms.DISCHARGE, asked.input, request, desk.tables)
        read_diagnoses(asked, desk, request.diagnoses)
        async with desk.locks.hold(encounter.encounter_id):
            repeat = await desk.transaction(asked, encounter.encounter_id, content_key(asked))
            if (stored := desk.stored_answer(repeat)) is not None:
                return stored
            transaction = desk.two_sided.unfinished(repeat, unless=desk.two_sided.has_later)
            if DONE not in transaction.attributes:
                request.local_transaction_id = transaction.local_transaction_id
                channel = desk.national.to(encounter.insured_participant, message_id=transaction.message_id)
                async with desk.two_sided.first_side(transaction), desk.noting_refusal(transaction):
                    await EncounterServiceStub(channel).Discharge(request, timeout=CALL_S)
                if not desk.two_sided.has_later(transaction):
                    await remember_care(desk, asked, {"akc194": day_text(request.last_day)})
                await desk.two_sided.done(transaction)
            if desk.two_sided.has_later(transaction):
                raise overtaken(asked.trade)
            return await self._finish_at_own_core(asked, encounter, repeat, transaction)
