"""A card office that is asked and answers in columns (card_fields), whatever envelope carries them: six trades.

All are ours, made in the manner of the dialects that carry them: no public source shows how an infno core or a
cross-region XML core is told of cards. An envelope gives them numbers, and moves the columns.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard_adapters.cards.port import CardDesk, Change, LocalCard
from onecard_adapters.dialects import card_fields, card_verdicts
from onecard_adapters.dialects.card_fields import optional, required
from onecard_adapters.dialects.served_office import LookedUp
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.identifiers import participant_of_area

Columns = Mapping[str, object]

_YES: Final = "1"
_NO: Final = "0"


class CardTrade(enum.Enum):
    """What is asked."""

    NOTICE = "card notice"
    """The office tells that a card changed: aaz500, aaz502; answered with ykz605, whether the nation knew it."""
    VERIFY = "card verification"
    """A counter: aac058, aac002, aaz500, ykz501, ykz508, ykz607 terminal; ykz608 yes or no, ykz609 why, aae036."""
    BENEFIT_CONFIRMED = "benefit account changed"
    """An agency: ykz603 replacement, aac058, aac002, aae008 the bank that benefits are paid to from now on."""
    QUERY = "card query"
    """The adapter: aaz500; the card's columns, or none."""
    STEP = "replacement step"
    """The adapter: ykz601 step, ykz602 direction, ykz603 replacement, who, cards; ykz604 number, ykz605, aae036."""
    COPY = "card copy"
    """The adapter: another province's card, ykz513 its issuer, ykz514 its version."""

    @property
    def has_effect(self) -> bool:
        """Whether the local system changes by it."""
        return self in (CardTrade.STEP, CardTrade.COPY)


Ask = Callable[[CardTrade, Columns], Awaitable[Columns]]
"""One trade of the office. Raises OneCardError, OutcomeInDoubt where a trade with effect may have been executed."""


class ColumnsOffice:
    """Is a CardOffice."""

    def __init__(
        self,
        area: str,
        tables: CodeTables,
        *,
        keeps_copies: bool,
        ask: Ask,
        can_carry: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`can_carry` says of a text whether the envelope can."""
        self._can_carry = can_carry
        self._tables = tables
        self._keeps_copies = keeps_copies
        self._ask = ask
        self._own = participant_of_area(area) or ""

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """One step, forward or back."""
        is_forward = request.direction == replacement_pb2.STEP_DIRECTION_FORWARD
        answer = await self._ask(
            CardTrade.STEP,
            {
                "ykz601": card_fields.step_code(request.step, self._tables, "ykz601"),
                "ykz602": _YES if is_forward else _NO,
                "ykz603": request.replacement_id,
                **card_fields.write_person(request.person, self._tables, "step"),
                **card_fields.write_reference(request.new_card),
                "ykz513": request.new_card.issuer,
                "ykz510": request.old_card.number,
                "ykz511": str(request.old_card.sequence),
                "ykz515": request.old_card.issuer,
            },
        )
        response = replacement_pb2.CarryOutStepResponse(
            was_already=optional(answer, "ykz605", "step") == _YES, local_id=optional(answer, "ykz604", "step")
        )
        response.done_time.FromMilliseconds(card_fields.time_ms(answer, "aae036", "step"))
        return response

    async def tell(self, change: Change) -> None:
        """Give the office a copy of another province's card, if it keeps such; accounts it keeps none of."""
        if not self._keeps_copies or not isinstance(change, change_pb2.ReportSocialChangeRequest):
            return
        if change.card.issuer != self._own:
            await self._ask(CardTrade.COPY, card_fields.write_social_change(change, self._tables, self._can_carry))

    async def find(self, card: values_pb2.CardReference) -> LocalCard | None:
        """One of the office's own cards as it stands now."""
        found = await self.pull(card.number) if card.issuer == self._own else None
        return found if found is not None and found.card.sequence == card.sequence else None

    async def pull(self, card_number: str) -> LocalCard | None:
        """The card of a number; None if none was made under it."""
        answer = await self._ask(CardTrade.QUERY, {"aaz500": card_number})
        if not optional(answer, "aaz500", "card"):
            return None
        return card_fields.read_card(answer, self._tables, self._own, "card")


class ServedColumns:
    """The trades that local systems ask the adapter for."""

    def __init__(self, desk: CardDesk, tables: CodeTables, office: ColumnsOffice) -> None:
        self._desk = desk
        self._tables = tables
        self._views = LookedUp(desk, office.pull)

    def handlers(self) -> dict[CardTrade, Callable[[Columns], Awaitable[dict[str, object]]]]:
        """By trade."""
        return {
            CardTrade.NOTICE: self.notice,
            CardTrade.VERIFY: self.verify,
            CardTrade.BENEFIT_CONFIRMED: self.confirm,
        }

    async def notice(self, columns: Columns) -> dict[str, object]:
        """A card changed."""
        number = required(columns, "aaz500", "notice")
        is_card = card_fields.is_card(required(columns, "aaz502", "notice"), self._tables, "notice.aaz502")
        if not is_card and not await self._views.is_standing(number):
            return {"ykz605": _YES}
        _, changed = await self._views.look_up(number)
        return {"ykz605": _NO if changed else _YES}

    async def confirm(self, columns: Columns) -> dict[str, object]:
        """The agency changed the account that benefits are paid to."""
        at = "confirmation"
        await self._desk.confirm_benefit_account(
            replacement_pb2.ConfirmBenefitAccountRequest(
                person=card_fields.read_person(columns, self._tables, at),
                replacement_id=required(columns, "ykz603", at),
                bank=self._tables["bank"].to_national(required(columns, "aae008", at), f"{at}.aae008").code,
            )
        )
        return {}

    async def verify(self, columns: Columns) -> dict[str, object]:
        """A card, or an e-card, of any province, at a counter of this one."""
        at = "verification"
        electronic = optional(columns, "ykz508", at)
        verdict = await self._desk.verify(
            card_verdicts.question(
                card_fields.read_person(columns, self._tables, at),
                card_number=optional(columns, "aaz500", at) if electronic else required(columns, "aaz500", at),
                recognition_code=optional(columns, "ykz501", at),
                electronic_card_id=electronic,
                terminal=required(columns, "ykz607", at),
            )
        )
        return {
            "ykz608": _YES if verdict.is_valid else _NO,
            "ykz609": card_verdicts.verdict_text(verdict.verdict),
            "aae036": card_fields.time_text(verdict.as_of_time.ToMilliseconds()),
        }
