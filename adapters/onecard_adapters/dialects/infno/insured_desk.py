"""What every method of the insured role needs: the core, the adapter's own record of each message, and recovery.

Each national message that reached this side is remembered under its id: as attempted with the msgid that the core got,
as refused, as executed, or as a tombstone that keeps a late original from being executed (rule 12).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.values_pb2 import EncounterReference
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.in_part import is_in_doubt
from onecard_adapters.dialects.infno import trades
from onecard_adapters.dialects.infno.core import LOCAL_SYSTEM, CoreClient, LocalRefusal
from onecard_adapters.dialects.infno.envelope import Answer
from onecard_adapters.dialects.infno.fees import FeeLedger
from onecard_adapters.dialects.infno.locks import KeyedLocks
from onecard_adapters.dialects.infno.numbers import next_transaction_number
from onecard_adapters.dialects.infno.settings import InfnoInsuredSettings
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.signatures.sm3 import sm3

STATE: Final = "state"
ATTEMPTED: Final = "attempted"
REFUSED: Final = "refused"
EXECUTED: Final = "executed"
TOMBSTONE: Final = "tombstone"
ATTEMPTED_MS: Final = "attempted_ms"
ASKED_UNDER: Final = "asked_under"
_BURIED_MS: Final = "buried_ms"
_LOCAL_VISIT_ID: Final = "local_mdtrt_id"


def wall_clock_ms() -> int:
    """This machine's time in ms since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlace:
    """Who asks for whom, for the head of the core's trades."""

    insurance_area: str
    institution_code: str = ""
    institution_name: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """An encounter as the core knows it."""

    place: CarePlace
    local_visit_id: str
    trades: trades.PlaceTrades


def care_of(place: CarePlace, local_visit_id: str, *, is_stay: bool) -> dict[str, str]:
    """What is remembered of a registered encounter beside its person; `InsuredDesk.visit` reads it."""
    return {
        _LOCAL_VISIT_ID: local_visit_id,
        "institution_name": place.institution_name,
        "area": place.area,
        "is_stay": "1" if is_stay else "",
    }


class InsuredDesk:
    """Shared by the servicers of the insured role."""

    def __init__(
        self,
        settings: InfnoInsuredSettings,
        memory: EdgeMemory,
        client: LocalHttpClient,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.settings = settings
        self.now_ms = now_ms
        self.tables: CodeTables = settings.tables()
        self.memory = memory
        self.ledger = FeeLedger(memory)
        self.locks = KeyedLocks()
        self._core = CoreClient(settings.core, client, memory)

    async def ask_core(
        self, context: ExchangeContext, infno: str, content: Mapping[str, Any], place: CarePlace
    ) -> Answer:
        """One trade that may be asked again at will, each time under a new msgid. Refusals are as in `effect`."""
        return await self._call(context, await self._next_number(), infno, content, place, has_effect=False)

    async def _next_number(self) -> str:
        return await next_transaction_number(self.memory, self.settings.organisation_code, self.now_ms())

    async def _call(
        self,
        context: ExchangeContext,
        msgid: str,
        infno: str,
        content: Mapping[str, Any],
        place: CarePlace,
        *,
        has_effect: bool,
    ) -> Answer:
        head = {
            "msgid": msgid,
            "mdtrtarea_admvs": place.area,
            "insuplc_admdvs": place.insurance_area,
            "fixmedins_code": place.institution_code,
            "fixmedins_name": place.institution_name,
        }
        try:
            return await self._core.call(infno, content, head, now_ms=self.now_ms(), has_effect=has_effect)
        except LocalRefusal as refusal:
            await context.refuse(
                refusal.reason,
                refusal.detail,
                local_system=LOCAL_SYSTEM,
                local_code=refusal.local_code,
                local_text=refusal.local_text,
            )

    async def effect(
        self,
        context: ExchangeContext,
        transaction: Transaction,
        infno: str,
        content: Mapping[str, Any],
        place: CarePlace,
    ) -> Answer:
        """One trade with an effect, under the msgid that the transaction has had since before its first attempt.

        The core's refusal becomes the request's rejection, with the core's code and text beside the reason; what was
        refused for good is remembered as not executed.
        """
        try:
            return await self._call(context, local_number(transaction), infno, content, place, has_effect=True)
        except OneCardError as error:
            if not is_in_doubt(error):
                await self.note(transaction, {STATE: REFUSED})
            raise

    def visit(self, reference: EncounterReference) -> Visit:
        """The encounter as the core numbered it; ENCOUNTER_UNKNOWN if it was not registered here."""
        found = self.memory.find_encounter(reference.institution_code, reference.visit_id)
        if found is None or found.encounter_id != reference.encounter_id:
            raise OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN)
        care = found.care
        return Visit(
            place=CarePlace(
                insurance_area=found.person.insurance_area,
                institution_code=reference.institution_code,
                institution_name=care["institution_name"],
                area=care["area"],
            ),
            local_visit_id=care[_LOCAL_VISIT_ID],
            trades=trades.INPATIENT if care["is_stay"] else trades.OUTPATIENT,
        )

    def find(self, encounter_id: str, method: str, message_id: bytes) -> Transaction | None:
        """What is remembered of a national message."""
        found = self.memory.find_transactions_of_encounter(encounter_id, method)
        return next((item for item in found if item.message_id == message_id), None)

    async def begin(
        self, context: ExchangeContext, method: str, institution_code: str, encounter_id: str, asked_under: str = ""
    ) -> Transaction:
        """Remember, under its msgid, that the core is about to be asked for this message; in every attempt the same.

        `asked_under` is the asking side's own number, for answers to whoever asks later. Raises NEVER_EXECUTED for a
        message that a reversal or query overtook (the tombstone).
        """
        transaction = await self._remember(
            context.message_id,
            await self._next_number(),
            method,
            institution_code,
            encounter_id,
            {STATE: ATTEMPTED, ATTEMPTED_MS: str(self.now_ms()), ASKED_UNDER: asked_under},
        )
        if transaction.attributes.get(STATE) == TOMBSTONE:
            raise OneCardError(errors_pb2.ERROR_REASON_NEVER_EXECUTED, "it was reversed or asked for before it came")
        return transaction

    async def bury(self, message_id: bytes, method: str, reference: EncounterReference) -> int:
        """Make sure that a message which has not come will not be executed when it does.

        Returns when that was first done, in ms since 1970.
        """
        buried = {STATE: TOMBSTONE, _BURIED_MS: str(self.now_ms())}
        transaction = await self._remember(
            message_id, "", method, reference.institution_code, reference.encounter_id, buried
        )
        if transaction.attributes[STATE] != TOMBSTONE:
            await self.note(transaction, buried)
            return int(buried[_BURIED_MS])
        return int(transaction.attributes[_BURIED_MS])

    async def _remember(
        self,
        message_id: bytes,
        local_id: str,
        method: str,
        institution_code: str,
        encounter_id: str,
        attributes: dict[str, str],
    ) -> Transaction:
        # The record is known by the message's own id, whatever local number it gets, so that the original and its
        # tombstone are the same record.
        return await self.memory.remember_transaction(
            institution_code,
            message_id.hex(),
            sm3(message_id),
            message_id,
            method,
            encounter_id,
            {**attributes, "local_id": local_id},
        )

    async def note(self, transaction: Transaction, attributes: Mapping[str, str]) -> None:
        """Add to what is remembered of a message."""
        await self.memory.update_transaction(transaction.message_id, dict(attributes))

    def is_conclusive(self, transaction: Transaction, now_ms: int) -> bool:
        """Whether the absence of a result proves by now that the core did not and will not execute the message."""
        if transaction.attributes.get(STATE) == EXECUTED:
            return False  # What the core answered with success is not disproved by a query that does not show it.
        attempted_ms = int(transaction.attributes.get(ATTEMPTED_MS, "0"))
        return now_ms - attempted_ms >= self.settings.recovery.conclusive_after_ms

    async def begin_other(
        self, context: ExchangeContext, method: str, institution_code: str, encounter_id: str
    ) -> Transaction:
        """`begin` for a trade that is not a settlement, which after a crash may be sent again if the profile says so.

        The core tells nothing of such a trade, so a repeat may be its first execution: past execute_before there is
        none, but of what the core is known to have executed. Raises OutcomeInDoubt where the core may have executed it,
        NOT_EXECUTED where it has not.
        """
        if self.find(encounter_id, method, context.message_id) is None:
            # Without a record of an attempt the core was never asked, crash or not.
            self.check_time(context)
            return await self.begin(context, method, institution_code, encounter_id)
        transaction = await self.begin(context, method, institution_code, encounter_id)
        state = transaction.attributes[STATE]
        if state == REFUSED:
            self.check_time(context)
            await self.note(transaction, {STATE: ATTEMPTED, ATTEMPTED_MS: str(self.now_ms())})
        elif context.is_recovery and self.settings.recovery.others == "none":
            raise OutcomeInDoubt("the profile declares no recovery for this trade; a person decides")
        elif state != EXECUTED and self._is_too_late(context):
            raise OutcomeInDoubt("an attempt was cut off, and it is too late to repeat it; a person decides")
        return transaction

    def check_time(self, context: ExchangeContext) -> None:
        """In recovery the runtime leaves execute_before to us: raise NOT_EXECUTED past it."""
        if self._is_too_late(context):
            raise OneCardError(
                errors_pb2.ERROR_REASON_NOT_EXECUTED, "an attempt was cut off before the core executed it"
            )

    def _is_too_late(self, context: ExchangeContext) -> bool:
        # The margin is the clocks' allowed difference.
        return (
            context.is_recovery
            and context.execute_before_ms is not None
            and self.now_ms() + limits.CLOCK_SKEW_MS_MAX >= context.execute_before_ms
        )


def local_number(transaction: Transaction) -> str:
    """The msgid that the core got for a message."""
    return transaction.attributes["local_id"]
