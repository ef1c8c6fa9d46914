"""The card office for the exchange: steps of replacements, copies of others' cards, and a card as it stands now."""

from __future__ import annotations

from typing import Final

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard_adapters.cards.port import Change, LocalCard
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_strings import wire
from onecard_adapters.dialects.card_strings.client import CardOfficeClient
from onecard_adapters.dialects.card_strings.records import read_record
from onecard_adapters.dialects.card_strings.settings import CardStringsSettings
from onecard_adapters.dialects.card_strings.verbs import CARD_TAG, NUMBER_TAG, Verb
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.identifiers import participant_of_area

_FORWARD: Final = "1"
_BACK: Final = "0"


class StringsCardOffice:
    """Is a CardOffice."""

    def __init__(self, settings: CardStringsSettings, tables: CodeTables, client: CardOfficeClient) -> None:
        self._client = client
        self._tables = tables
        self._keeps_copies = settings.keeps_copies
        self._own = participant_of_area(settings.area)

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """One step, forward or back. Raises OneCardError with the office's reason."""
        is_forward = request.direction == replacement_pb2.STEP_DIRECTION_FORWARD
        answer = await self._client.ask(
            Verb.STEP,
            {
                "事项": card_fields.step_code(request.step, self._tables, "事项"),
                "方向": _FORWARD if is_forward else _BACK,
                "业务流水号": request.replacement_id,
                NUMBER_TAG: request.person.number,
                **self._card("原", request.old_card),
                **self._card("新", request.new_card),
            },
        )
        response = replacement_pb2.CarryOutStepResponse(
            was_already=answer.is_already, local_id=answer.values.get("办理编号", "")
        )
        response.done_time.FromMilliseconds(card_fields.time_ms(answer.values, "办理时间", str(Verb.STEP)))
        return response

    async def tell(self, change: Change) -> None:
        """Give the office a copy of another province's card, if it keeps such; accounts it keeps none of."""
        if not self._keeps_copies or not isinstance(change, change_pb2.ReportSocialChangeRequest):
            return
        if change.card.issuer == self._own:
            return
        columns = card_fields.write_social_change(change, self._tables, wire.can_carry)
        await self._client.ask(Verb.COPY, {name.upper(): str(text) for name, text in columns.items()})

    async def find(self, card: values_pb2.CardReference) -> LocalCard | None:
        """One of the office's own cards as it stands now."""
        found = await self.pull(card.number) if card.issuer == self._own else None
        return found if found is not None and found.card.sequence == card.sequence else None

    async def pull(self, card_number: str) -> LocalCard | None:
        """The card of a number; None if none was made under it."""
        status = await self._client.ask(Verb.STATUS, {CARD_TAG: card_number})
        if not card_fields.is_card(status.word, self._tables, f"{Verb.STATUS}"):
            return None
        record = await self._client.ask(Verb.RECORD, {CARD_TAG: card_number})
        return read_record(record.values, self._tables, self._own or "", str(Verb.RECORD))

    @staticmethod
    def _card(which: str, card: values_pb2.CardReference) -> dict[str, str]:
        return {
            f"{which}社保卡号": card.number,
            f"{which}卡换卡序号": str(card.sequence),
            f"{which}卡发卡地": card.issuer.removeprefix("cn-"),
        }
