"""Whether the core executed a message, and what follows for a message that may have been cut off by a crash.

Answered by 5203 with psn_no and mdtrt_id: the row whose medins_setl_id is the msgid that the core got (design.md, rules
11 and 12). Absence proves something only after the longest time the core may work on a call; until then the outcome is
in doubt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.values_pb2 import EncounterReference
from onecard_adapters.dialects.in_part import executed
from onecard_adapters.dialects.infno import trades
from onecard_adapters.dialects.infno.desk import VISIT_ID, optional_text
from onecard_adapters.dialects.infno.insured_desk import (
    ATTEMPTED,
    ATTEMPTED_MS,
    EXECUTED,
    REFUSED,
    STATE,
    InsuredDesk,
    Visit,
    local_number,
)
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.memory import Transaction
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

SETTLEMENT_ID: Final = "setl_id"
_UNDONE: Final = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One settlement or red record as 5203 tells it."""

    info: Mapping[str, Any]
    details: Sequence[Mapping[str, Any]]
    is_undone: bool
    """Reversed (vali_flag 0), or cancelled by a standing red record."""


class Recovery:
    """Finds out about earlier attempts, by what the profile declares."""

    def __init__(self, desk: InsuredDesk) -> None:
        self._desk = desk

    async def before(
        self,
        context: ExchangeContext,
        method: str,
        reference: EncounterReference,
        visit: Visit,
        number: str,
        asked_under: str,
    ) -> Transaction | Row:
        """The record to execute under, or the row that shows the core executed it before.

        Raises OutcomeInDoubt while it cannot be told, NOT_EXECUTED where it was not and no longer may be, and
        NEVER_EXECUTED for a message that was buried.
        """
        desk = self._desk
        known = None
        if context.is_recovery:
            known = desk.find(reference.encounter_id, method, context.message_id)
        transaction = await desk.begin(context, method, reference.institution_code, reference.encounter_id, asked_under)
        # Without a record of an attempt the core was never asked, crash or not.
        if known is None:
            desk.check_time(context)
            return transaction
        # The state as `begin` found it, behind whatever an attempt that was cut off still had to write.
        if transaction.attributes[STATE] != EXECUTED:
            match desk.settings.recovery.settlement:
                case "none":
                    raise OutcomeInDoubt("the profile declares no recovery for settlements; a person decides")
                case "reverse":
                    return await self._reverse_own_attempt(context, transaction, visit, number)
                case "query":
                    pass
        row = await self.find(context, transaction, visit, number)
        if row is not None:
            return row
        if not desk.is_conclusive(transaction, desk.now_ms()):
            raise OutcomeInDoubt("the core may still be working on an earlier attempt")
        desk.check_time(context)
        await desk.note(transaction, {STATE: ATTEMPTED, ATTEMPTED_MS: str(desk.now_ms())})
        return transaction

    async def _reverse_own_attempt(
        self, context: ExchangeContext, transaction: Transaction, visit: Visit, number: str
    ) -> Transaction:
        """Declared recovery "reverse": 2601 of our own msgid makes sure that nothing stands, then nothing is done."""
        desk = self._desk
        data = {
            "psn_no": number,
            "omsgid": local_number(transaction),
            "oinfno": settlement_trade(transaction, visit),
        }
        try:
            # Not under our own local number, which is the original's: 2601 has a msgid of its own.
            await desk.ask_core(context, "2601", {"data": data}, visit.place)
        except OneCardError as error:
            # A refusal does not say whether there was nothing to reverse or it may not be reversed any more.
            raise OutcomeInDoubt(f"the attempt could not be reversed: {error.detail}") from error
        await desk.note(transaction, {STATE: REFUSED})
        raise OneCardError(errors_pb2.ERROR_REASON_NOT_EXECUTED, "an attempt was cut off and undone")

    async def find(self, context: ExchangeContext, transaction: Transaction, visit: Visit, number: str) -> Row | None:
        """The row of a message in the core, None if there is none."""
        content = {"data": {"psn_no": number, VISIT_ID: visit.local_visit_id, SETTLEMENT_ID: ""}}
        try:
            answer = await self._desk.ask_core(context, "5203", content, visit.place)
        except OneCardError as error:
            raise OutcomeInDoubt(f"5203 did not tell: {error.detail}") from error
        with executed("5203"):
            infos = answer.rows("setlinfo")
            wanted = local_number(transaction)
            for info in infos:
                if optional_text(info, "medins_setl_id", "setlinfo") == wanted:
                    # One row has its details beside it, several rows carry them inside.
                    details = info.get("setldetail", answer.rows("setldetail"))
                    return Row(info=info, details=details, is_undone=_is_undone(info, infos))
        return None


def _is_undone(info: Mapping[str, Any], infos: Sequence[Mapping[str, Any]]) -> bool:
    if optional_text(info, "vali_flag", "setlinfo") == _UNDONE:
        return True
    own_id = optional_text(info, SETTLEMENT_ID, "setlinfo")
    return any(
        optional_text(other, "init_setl_id", "setlinfo") == own_id
        and optional_text(other, "vali_flag", "setlinfo") != _UNDONE
        for other in infos
        if own_id
    )


def settlement_trade(original: Transaction, visit: Visit) -> str:
    """The trade number that a remembered settlement or cancellation was sent to the core with."""
    return visit.trades.cancel if original.method == trades.CANCEL_SETTLEMENT else visit.trades.settle
