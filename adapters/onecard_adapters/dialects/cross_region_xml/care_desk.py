"""What every trade of the care role needs: who asks, which transaction it is, and the ways to core and nation.

A transaction is known by (institution, transid, SM3 of the inner document as received): a repeat gets its national
message id and its stored answer; the same transid over other bytes is another transaction (domain.md 0.4), and to the
own core each has a number of its own (`core_number`). The forms of the samples carry no transid: then one is derived
from the document and from what else happened in this visit, so that the same document is a repeat while nothing came
between, and a new transaction after a cancellation. A document whose refusal is final and left nothing behind is a new
wish when it comes again: the cause may have passed.
"""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.exchange.v1.values_pb2 import PersonIdentity
from onecard.medical.v1.values_pb2 import EncounterReference, Institution, InsuredNumber
from onecard_adapters.dialects.cashier_text import cashier_text
from onecard_adapters.dialects.cross_region_xml import safe_xml
from onecard_adapters.dialects.cross_region_xml.core import STATE_EXECUTED, STATE_UNDONE, CoreRefusal, ProvincialCore
from onecard_adapters.dialects.cross_region_xml.envelope import Call, Result
from onecard_adapters.dialects.cross_region_xml.heads import Head, read_person, write_head
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, form_invalid, parent, require_names
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlCareSettings
from onecard_adapters.dialects.cross_region_xml.trades import TRADES, TradeNumber
from onecard_adapters.dialects.in_part import ANSWER, CONTENT, LEFT, TwoSidedTrades, is_final
from onecard_adapters.dialects.infno.locks import KeyedLocks
from onecard_adapters.dialects.local_text import local_text_of
from onecard_adapters.dialects.national import NationalExchange
from onecard_adapters.runtime.context import local_transaction_id_of
from onecard_adapters.runtime.memory import EdgeMemory, EncounterRecord, PersonRecord, Transaction
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import new_message_id, participant_of_area
from onecard_protocol.identity import normalise_identity
from onecard_protocol.signatures.sm3 import sm3

CALL_S: Final = limits.TYPED_CALL_MS / 1_000
"""Time limit of a national call; past it the outcome is unknown."""

_TRANSID_CHARACTERS_MAX: Final = 32
_REFUSAL: Final = "refusal"
_REFUSED: Final = "refused"
_CORE_NUMBER: Final = "core_number"
_METHODS_WITH_EFFECT: Final = sorted({trade.national_method for trade in TRADES.values() if trade.has_effect})

VISIT_ID: Final = "ykc700"


class CoreRefused(OneCardError):
    """The own core refused; its text goes back to the counter."""

    def __init__(self, reason: int, refusal: CoreRefusal) -> None:
        super().__init__(reason, f"the own core answered {refusal.error_code}")
        self.local_text = refusal.text


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request: the document, who asked, and about whom."""

    call: Call
    trade: TradeNumber
    place: Institution
    """The asking institution; without a code it is the own core that asks."""
    transid: str
    """Its number: as sent, or where the form has none as `CareDesk.transaction` derived it; it goes into the answer."""

    @property
    def input(self) -> Element:
        """The inner document."""
        return self.call.input

    @property
    def insurance_area(self) -> str:
        """aab301."""
        return self.call.input.value("aab301")


class CareDesk:
    """Shared by the trades of the care role."""

    def __init__(
        self,
        settings: CrossRegionXmlCareSettings,
        memory: EdgeMemory,
        national: NationalExchange,
        core: ProvincialCore,
    ) -> None:
        self.settings = settings
        self.tables = settings.tables()
        self.memory = memory
        self.national = national
        self.core = core
        self.locks = KeyedLocks()
        self.two_sided = TwoSidedTrades(memory)

    def recipient(self, area: str, element: str) -> str:
        """The province of an area. Raises LOCAL_FORM_INVALID, and RECIPIENT_NOT_ALLOWED for the own province."""
        participant = participant_of_area(area)
        if participant is None:
            raise form_invalid(f"input.{element}: not a six-digit area of a province; it says where to ask")
        if self.settings.is_own_area(area):
            raise OneCardError(
                errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED,
                f"input.{element} lies in this province: the province's own system serves it",
            )
        return participant

    async def transaction(self, asked: Asked, encounter_id: str = "", content: str = "") -> Transaction:
        """The transaction of this request: the known one for a repeat, else a new one with a national message id.

        `content` is kept for trades whose repeat under another transid is to be found (`unfinished`).

        Raises NEVER_EXECUTED for a transid that was reversed before it came.
        """
        transid = asked.transid = asked.transid or self._derived_transid(asked, encounter_id)
        if len(transid) > _TRANSID_CHARACTERS_MAX or not (transid.isascii() and transid.isprintable()):
            raise form_invalid(f"input.transid: at most {_TRANSID_CHARACTERS_MAX} printable ASCII characters")
        digest = sm3(asked.call.inner)
        async with self.number(asked, transid):
            known = self.memory.find_transactions(asked.place.code, transid)
            if any(item.method == REVERSED_BEFORE for item in known):
                raise OneCardError(errors_pb2.ERROR_REASON_NEVER_EXECUTED, "transid was reversed before it came")
            message_id = new_message_id(self.national.hub_time_ms())
            return await self.memory.remember_transaction(
                asked.place.code,
                transid,
                digest,
                message_id,
                TRADES[asked.trade].national_method,
                # A registration's message id becomes the national encounter id.
                encounter_id or message_id.hex(),
                {
                    VISIT_ID: asked.input.value(VISIT_ID),
                    CONTENT: content,
                    _CORE_NUMBER: local_transaction_id_of(message_id),
                },
            )

    def number(self, asked: Asked, transid: str) -> AbstractAsyncContextManager[None]:
        """Held while it is told whether a transid came, so that an original and its reversal never both find none."""
        return self.locks.hold(f"{asked.place.code}/{transid}")

    def _derived_transid(self, asked: Asked, encounter_id: str) -> str:
        """A number in the form of the samples: area, day, ten digits; equal for an equal document, unless refused."""
        digest = sm3(asked.call.inner)
        others = 0
        if encounter_id:
            for method in _METHODS_WITH_EFFECT:
                for item in self.memory.find_transactions_of_encounter(encounter_id, method):
                    others += ANSWER in item.attributes and item.body_digest != digest
        day = asked.input.value("aae036") or asked.input.value("ake007")
        for number in itertools.count(others):
            content = sm3(f"{asked.trade}/{number}/".encode() + asked.call.inner)
            serial = int.from_bytes(content[:8], "big") % 10**10
            transid = f"{asked.input.value('aab299')[:6]:0<6}{day[2:8]:0<6}{serial:010d}"
            known = self.memory.find_transactions(asked.place.code, transid)
            if not any(item.body_digest == digest and _is_over(item) for item in known):
                break
        return transid

    @staticmethod
    def stored_answer(transaction: Transaction) -> Element | None:
        """The output that this transaction was answered with, if it was; raises the final refusal that it met."""
        refusal = transaction.attributes.get(_REFUSAL)
        if refusal is not None:
            told = json.loads(refusal)
            rejection = message_pb2.Rejection(local_text=told["local_text"])
            violations = tuple((field, problem) for field, problem in told["violations"])
            raise CallFailed(told["reason"], told["detail"], violations=violations, rejection=rejection)
        stored = transaction.attributes.get(ANSWER)
        return None if stored is None else safe_xml.parse(stored, "stored answer")

    async def answered(
        self, transaction: Transaction, output: Element, attributes: Mapping[str, str] | None = None
    ) -> Element:
        """Store the output, and what else is to be remembered, then give it."""
        await self.note(transaction, {**(attributes or {}), ANSWER: safe_xml.serialise(output)})
        return output

    async def finished(self, asked: Transaction, done: Transaction, output: Element) -> Element:
        """As `answered`, for the transaction that was carried out and, before, for those that repeated it."""
        for repeat in self.two_sided.repeats(done, asked):
            await self.answered(repeat, output)
        return await self.answered(done, output)

    async def refused(
        self, transaction: Transaction, error: OneCardError, left: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Store a final refusal, so that a repeat meets it, and how the own core's part is taken back before that."""
        told = {
            "reason": error.reason,
            "detail": error.detail,
            "violations": error.violations,
            "local_text": local_text_of(error),
        }
        await self.note(transaction, {**(attributes or {}), _REFUSED: "1", _REFUSAL: json.dumps(told), LEFT: left})

    @contextlib.asynccontextmanager
    async def noting_refusal(self, transaction: Transaction) -> AsyncIterator[None]:
        """Around the national call of a trade that left nothing in the own core.

        A final refusal is noted: a repeat under its number asks the exchange, which answers as it did; a form without a
        number is a new wish.
        """
        try:
            yield
        except OneCardError as error:
            if is_final(error):
                await self.note(transaction, {_REFUSED: "1"})
            raise

    async def note(self, transaction: Transaction, attributes: Mapping[str, str]) -> None:
        """Add to what is remembered of a transaction; see `EdgeMemory.update_transaction`."""
        await self.memory.update_transaction(transaction.message_id, dict(attributes))

    def identity(self, asked: Asked) -> PersonIdentity:
        """The person named in the head. Raises IDENTITY_INVALID, UNMAPPED_CODE, LOCAL_FORM_INVALID."""
        identity = read_person(asked.input, self.tables)
        normalise_identity(identity.kind.code, identity.number)
        return identity

    def person(self, asked: Asked) -> PersonRecord:
        """The person that 0211 told of, by the personal number or by the social security number of the head."""
        for number in (asked.input.value("aac001"), asked.input.value("aac002"), asked.input.value("aac044")):
            found = self.memory.find_person(asked.insurance_area, number) if number else None
            if found is not None:
                self._require_same(found, asked)
                return found
        raise OneCardError(errors_pb2.ERROR_REASON_PERSON_NOT_IDENTIFIED, "0211 was not asked for this person")

    def encounter(self, asked: Asked) -> EncounterRecord:
        """The visit of this person at this institution; ENCOUNTER_UNKNOWN if there is none."""
        visit_id = asked.input.value(VISIT_ID)
        found = self.memory.find_encounter(asked.place.code, visit_id) if visit_id else None
        if found is None:
            raise OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN, "input.ykc700 is not registered here")
        self._require_same(found.person, asked)
        return found

    def _require_same(self, person: PersonRecord, asked: Asked) -> None:
        is_same = asked.input.value("aac001") in {"", person.personal_number}
        if asked.input.value("aac044") or asked.input.value("aac002"):
            identity = self.identity(asked)
            known = normalise_identity(person.identity.kind.code, person.identity.number)
            is_same = is_same and normalise_identity(identity.kind.code, identity.number) == known
        if not is_same:
            raise OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN, "the head names another person")

    def head(self, asked: Asked, person: PersonRecord, transid: str, visit_id: str = "") -> dict[str, object]:
        """The head of a request to the own core."""
        head = Head(
            person=person.identity,
            insured_number=insured_number(person),
            institution=asked.place,
            visit_id=visit_id or asked.input.value(VISIT_ID),
            transid=transid,
        )
        return write_head(head, self.settings.core.operator_code, self.tables)

    async def ask_core(self, trade: TradeNumber, children: list[Element], transid: str) -> Result:
        """A trade of the own core; repeated under the same number, it finds what the first attempt did.

        Raises CoreRefused, LOCAL_SYSTEM_DOWN, OutcomeInDoubt.
        """
        codes = self.settings.core.duplicate_transid_codes
        try:
            return await self.core.call(trade, children)
        except CoreRefusal as refusal:
            if not transid or refusal.error_code not in codes:
                raise CoreRefused(self.settings.core.reason_of(refusal.error_code), refusal) from None
        except OutcomeInDoubt:
            if not transid:
                raise
        return await self._found(transid)

    async def is_undone(self, transid: str) -> bool:
        """Whether the core says that it has undone what it did under a transid; what it does not tell is no yes."""
        try:
            return (await self.core.find(transid)).state == STATE_UNDONE
        except (CoreRefusal, OneCardError):
            return False

    async def _found(self, transid: str) -> Result:
        """What the core did under a transid that it may have got; whatever it does not tell leaves that in doubt."""
        try:
            finding = await self.core.find(transid)
        except CoreRefusal as refusal:
            raise OutcomeInDoubt(f"the own core tells nothing of the trade: errorcode {refusal.error_code}") from None
        except OneCardError as error:
            raise OutcomeInDoubt(f"the own core cannot be asked what it did: {error.detail}") from error
        if finding.state == STATE_UNDONE:
            raise OneCardError(errors_pb2.ERROR_REASON_REVERSED, "the own core holds the trade as undone")
        if finding.state != STATE_EXECUTED:
            raise OutcomeInDoubt("the own core does not know of the trade yet")
        return finding.result


REVERSED_BEFORE: Final = "cross-region-xml/reversed-before"
"""In place of a method: a transid that a reversal named before any transaction came under it."""


def _is_over(item: Transaction) -> bool:
    """Whether it was refused for good, with nothing left to take back."""
    return _REFUSED in item.attributes and not item.attributes.get(LEFT)


def core_number(transaction: Transaction) -> str:
    """The transid under which the own core is asked: the adapter's own, for the core knows one once for all hospitals.

    A release that asked under the hospital's transid remembered none: what it began keeps that one.
    """
    return transaction.attributes.get(_CORE_NUMBER) or transaction.local_transaction_id


def insured_number(person: PersonRecord) -> InsuredNumber:
    """The person's number in the insured area."""
    return InsuredNumber(insurance_area=person.insurance_area, personal_number=person.personal_number)


def content_key(asked: Asked) -> str:
    """Equal for requests of one trade with the same document, whatever its transid. Raises LOCAL_FORM_INVALID."""
    require_names(asked.input, "input")
    children = [child for child in asked.input.children if child.name != "transid"]
    return sm3(f"{asked.trade}/{safe_xml.serialise(parent('input', children))}".encode()).hex()


def reference(asked: Asked, encounter: EncounterRecord) -> EncounterReference:
    """The encounter of a request in national form."""
    return EncounterReference(
        encounter_id=encounter.encounter_id,
        institution_code=asked.place.code,
        visit_id=asked.input.value(VISIT_ID),
    )


def failure_text(error: OneCardError) -> str:
    """errormsg, all that GBK carries, with what a local system said.

    A character of another province's text that GBK has not is written as its number: the text is for a person.
    """
    text = safe_xml.writable(cashier_text(error, local_text_of(error)))
    return text.encode("gbk", "backslashreplace").decode("gbk")
