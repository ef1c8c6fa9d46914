"""Where the encounters of the insured role are: their registration tells it, and what follows names a code alone."""

import re
from typing import Final

from onecard.medical.v1.encounter_pb2 import RegisterRequest
from onecard.medical.v1.values_pb2 import EncounterReference, Institution
from onecard_adapters.runtime.memory import EdgeMemory, EncounterRecord, PersonRecord
from onecard_protocol.identifiers import participant_of_area

_NATIONAL_CODE: Final = re.compile(r"[HP]([0-9]{6})[0-9]{5}")
_NAME: Final = "akb021"
_AREA: Final = "aab299"


class Places:
    """The memory of places."""

    def __init__(self, memory: EdgeMemory) -> None:
        self._memory = memory

    async def remember(self, encounter: EncounterReference, request: RegisterRequest) -> None:
        """Keep the institution that registered an encounter."""
        number = request.insured_number
        record = EncounterRecord(
            encounter_id=encounter.encounter_id,
            person=PersonRecord(
                identity=request.person,
                name="",
                insurance_area=number.insurance_area,
                personal_number=number.personal_number,
            ),
            insured_participant=participant_of_area(number.insurance_area) or "",
            care={_NAME: request.institution.name, _AREA: request.institution.area},
        )
        await self._memory.remember_encounter(encounter.institution_code, encounter.visit_id, record)

    def of(self, encounter: EncounterReference) -> Institution:
        """The institution of an encounter.

        Where the registration is not known, the area is that of a code of the national form, and else none: an older
        code tells no area.
        """
        code = encounter.institution_code
        known = self._memory.find_encounter(code, encounter.visit_id)
        if known is not None and known.encounter_id == encounter.encounter_id:
            return Institution(code=code, name=known.care[_NAME], area=known.care[_AREA])
        form = _NATIONAL_CODE.fullmatch(code)
        return Institution(code=code, area=form.group(1) if form else "")
