"""What every trade of the care role needs: who asks, which transaction it is, and the ways to core and nation.

A transaction is known by (institution, msgid, SM3 of the received body): a repeat gets its national message id and its
stored answer, the same msgid over other bytes is another transaction (domain.md 0.4), and to the own core it has a
number of its own (`core_msgid`): a core that knows the hospital's would answer what it did for the first one.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.values_pb2 import EncounterReference, Institution, InsuredNumber
from onecard_adapters.dialects.in_part import ANSWER, CONTENT, LEFT, TwoSidedTrades
from onecard_adapters.dialects.infno import json_text
from onecard_adapters.dialects.infno.core import CoreClient
from onecard_adapters.dialects.infno.envelope import Answer, Request
from onecard_adapters.dialects.infno.fees import FeeLedger
from onecard_adapters.dialects.infno.locks import KeyedLocks
from onecard_adapters.dialects.infno.numbers import next_transaction_number
from onecard_adapters.dialects.infno.settings import InfnoCareSettings, InstitutionSettings
from onecard_adapters.dialects.infno.trades import REVERSIBLE_METHODS, TRADES
from onecard_adapters.dialects.national import NationalExchange
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import is_absent, text_from
from onecard_adapters.runtime.memory import EdgeMemory, EncounterRecord, PersonRecord, Transaction
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id, participant_of_area
from onecard_protocol.signatures.sm3 import sm3

CALL_S: Final = limits.TYPED_CALL_MS / 1_000
"""Time limit of a national call; past it the outcome is unknown."""

_REFUSAL: Final = "refusal"
_CORE_MSGID: Final = "core_msgid"
INFNO: Final = "infno"
VISIT_ID: Final = "mdtrt_id"
_NO_DIGEST: Final = bytes(32)
REVERSED_BEFORE: Final = "infno/reversed-before"
"""In place of a method: a msgid that a reversal named before any settlement or cancellation came under it."""


def invalid(path: str, problem: str) -> OneCardError:
    """LOCAL_FORM_INVALID at a field."""
    return OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of an institution that may ask."""

    request: Request
    institution: InstitutionSettings

    @property
    def place(self) -> Institution:
        """The institution in national form."""
        return Institution(code=self.institution.code, name=self.institution.name, area=self.institution.area)


class CareDesk:
    """Shared by the trades of the care role."""

    def __init__(
        self, settings: InfnoCareSettings, memory: EdgeMemory, national: NationalExchange, core: CoreClient
    ) -> None:
        self.settings = settings
        self.tables: CodeTables = settings.tables()
        self.memory = memory
        self.national = national
        self.core = core
        self.ledger = FeeLedger(memory)
        self.locks = KeyedLocks()
        self.two_sided = TwoSidedTrades(memory)
        self._own_province = participant_of_area(settings.area)

    def recipient(self, call: Call) -> str:
        """The insured province: first two digits of insuplc_admdvs.

        Raises LOCAL_FORM_INVALID if there is none, RECIPIENT_NOT_ALLOWED for the own province, whose persons are none
        of the exchange's business.
        """
        area = call.request.insurance_area
        participant = participant_of_area(area)
        if participant is None:
            raise invalid("insuplc_admdvs", "not a six-digit area of a province; it says where to ask")
        if self.is_own(area):
            raise OneCardError(
                errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED,
                f"insuplc_admdvs {area} lies in this province: send the trade to the province's own system",
            )
        return participant

    def is_own(self, area: str) -> bool:
        """Whether an area lies in the own province."""
        return participant_of_area(area) == self._own_province

    async def transaction(
        self, call: Call, encounter_id: str = "", visit_id: str = "", content: str = "", *, runs_ahead: bool = False
    ) -> Transaction:
        """The transaction of this request: the known one for a repeat, else a new one with a national message id.

        `content` is kept for trades whose repeat under another msgid is to be found (`unfinished`). `runs_ahead` of
        trades without effect: nothing needs to be undone of them.

        Raises NEVER_EXECUTED for a settlement or cancellation whose msgid was reversed before it came.
        """
        message_id = new_message_id(self.national.hub_time_ms())
        request = call.request
        method = TRADES[request.infno].method or f"infno/{request.infno}"
        attributes = {INFNO: request.infno, VISIT_ID: visit_id, CONTENT: content}
        async with self.number(call, request.msgid):
            known = self.memory.find_transactions(request.institution_code, request.msgid)
            if method in REVERSIBLE_METHODS and any(item.method == REVERSED_BEFORE for item in known):
                raise OneCardError(errors_pb2.ERROR_REASON_NEVER_EXECUTED, "msgid was reversed before it came")
            if known and all(item.body_digest != request.digest for item in known):
                attributes[_CORE_MSGID] = await self.new_msgid(call)
            return await self.memory.remember_transaction(
                request.institution_code,
                request.msgid,
                request.digest,
                message_id,
                method,
                # A registration's message id becomes the national encounter id.
                encounter_id or message_id.hex(),
                attributes,
                runs_ahead=runs_ahead,
            )

    def number(self, call: Call, msgid: str) -> AbstractAsyncContextManager[None]:
        """Held while it is told whether a msgid came, so that an original and its reversal never both find nothing."""
        return self.locks.hold(f"{call.institution.code}/{msgid}")

    async def close_number(self, call: Call, msgid: str) -> None:
        """Refuse settlements and cancellations under this msgid from now on; call it with the number held."""
        message_id = new_message_id(self.national.hub_time_ms())
        await self.memory.remember_transaction(
            call.institution.code, msgid, _NO_DIGEST, message_id, REVERSED_BEFORE, "", {}
        )

    @staticmethod
    def stored_answer(transaction: Transaction) -> dict[str, Any] | None:
        """The output that this transaction was answered with, if it was; raises the final refusal that it met."""
        refusal = transaction.attributes.get(_REFUSAL)
        if refusal is not None:
            raise OneCardError(**json.loads(refusal))
        text = transaction.attributes.get(ANSWER)
        return None if text is None else json_text.parse_object(text.encode())

    @staticmethod
    def is_answered(transaction: Transaction) -> bool:
        """Whether this transaction was answered with success."""
        return ANSWER in transaction.attributes

    async def refused(self, transaction: Transaction, error: OneCardError, left: str) -> None:
        """Store a final refusal, so that a repeat meets it, and how the own core's part is taken back before that."""
        refusal = json.dumps({"reason": error.reason, "detail": error.detail})
        await self.note(transaction, {_REFUSAL: refusal, LEFT: left})

    async def answered(
        self, transaction: Transaction, output: Mapping[str, Any], attributes: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Store the output, and what else is to be remembered, then give it."""
        written = json_text.Written(output)
        await self.note(transaction, {**(attributes or {}), ANSWER: written.text})
        return written

    async def finished(self, asked: Transaction, done: Transaction, output: Mapping[str, Any]) -> dict[str, Any]:
        """As `answered`, for the transaction that was carried out and, before, for those that repeated it."""
        for repeat in self.two_sided.repeats(done, asked):
            await self.answered(repeat, output)
        return await self.answered(done, output)

    async def note(self, transaction: Transaction, attributes: Mapping[str, str]) -> None:
        """Add to what is remembered of a transaction; see `EdgeMemory.update_transaction`."""
        await self.memory.update_transaction(transaction.message_id, dict(attributes))

    def person(self, call: Call, personal_number: str) -> PersonRecord:
        """The person that 1101 told of; PERSON_NOT_IDENTIFIED if none did."""
        person = self.memory.find_person(call.request.insurance_area, personal_number)
        if person is None:
            raise OneCardError(errors_pb2.ERROR_REASON_PERSON_NOT_IDENTIFIED)
        return person

    def encounter(self, call: Call, visit_id: str, personal_number: str) -> EncounterRecord:
        """The visit of this person at this institution; ENCOUNTER_UNKNOWN if there is none."""
        encounter = self.memory.find_encounter(call.institution.code, visit_id) if visit_id else None
        if encounter is None or encounter.person.personal_number != personal_number:
            raise OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN, "mdtrt_id is not registered for this psn_no")
        return encounter

    async def new_msgid(self, call: Call) -> str:
        """A number of the adapter's own for a trade of the core."""
        return await next_transaction_number(self.memory, call.institution.code, self.national.hub_time_ms())

    async def ask_core(self, call: Call, infno: str, content: Mapping[str, Any], *, msgid: str) -> Answer:
        """A trade of the place of care's core, under this msgid."""
        request = call.request
        return await self.core.call(
            infno,
            content,
            {
                "msgid": msgid,
                "mdtrtarea_admvs": call.institution.area,
                "insuplc_admdvs": request.insurance_area,
                "fixmedins_code": call.institution.code,
                "fixmedins_name": call.institution.name,
                "opter": request.head["opter"],
                "opter_name": request.head["opter_name"],
            },
            now_ms=self.national.hub_time_ms(),
            has_effect=True,
        )


def core_msgid(transaction: Transaction) -> str:
    """The msgid under which the own core is asked: the hospital's, unless another transaction came under it before."""
    return transaction.attributes.get(_CORE_MSGID) or transaction.local_transaction_id


def content_key(call: Call) -> str:
    """Equal for requests of one institution with the same trade and input, whatever their msgid and head."""
    request = call.request
    named = f"{request.institution_code}/{request.infno}/{json_text.write(request.input)}"
    return sm3(named.encode()).hex()


def reference(call: Call, encounter: EncounterRecord, visit_id: str) -> EncounterReference:
    """The encounter in national form."""
    return EncounterReference(
        encounter_id=encounter.encounter_id, institution_code=call.institution.code, visit_id=visit_id
    )


async def remember_care(desk: CareDesk, call: Call, visit_id: str, changes: Mapping[str, str]) -> None:
    """Add to the dialect's own attributes of an encounter, as they stand now; call it under the encounter's lock."""
    encounter = desk.memory.find_encounter(call.institution.code, visit_id)
    if encounter is None:
        raise OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN)
    changed = EncounterRecord(
        encounter_id=encounter.encounter_id,
        person=encounter.person,
        insured_participant=encounter.insured_participant,
        care={**encounter.care, **changes},
    )
    await desk.memory.remember_encounter(call.institution.code, visit_id, changed)


def insured_number(person: PersonRecord) -> InsuredNumber:
    """The person's number in the insured area."""
    return InsuredNumber(insurance_area=person.insurance_area, personal_number=person.personal_number)


def personal_number(fields: Mapping[str, Any], at: str) -> str:
    """psn_no of a node; LOCAL_FORM_INVALID if it is missing."""
    return required_text(fields, "psn_no", at)


def required_text(fields: Mapping[str, Any], name: str, at: str) -> str:
    """A text field that must be there."""
    text = optional_text(fields, name, at)
    if not text:
        raise invalid(f"{at}.{name}", "missing")
    return text


def optional_text(fields: Mapping[str, Any], name: str, at: str) -> str:
    """A text field, "" where it is absent."""
    value = fields.get(name)
    return "" if is_absent(value) else text_from(value, f"{at}.{name}").strip()
