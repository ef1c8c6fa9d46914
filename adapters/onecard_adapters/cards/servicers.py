"""What the exchange asks of a card office or a bank, as servicers of the protocol."""

from __future__ import annotations

from onecard.card.v1 import change_pb2, change_pb2_grpc, replacement_pb2, replacement_pb2_grpc
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import CardOffice
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.sdk.exchange import Exchange


class CardChangeServicer(change_pb2_grpc.CardChangeServiceServicer):
    """Published changes of cards that the participant follows, and the hub's questions for versions."""

    def __init__(self, desk: ExchangeCardDesk, office: CardOffice) -> None:
        self._desk = desk
        self._office = office

    async def ReportSocialChange(  # noqa: N802 - the protocol's name
        self, request: change_pb2.ReportSocialChangeRequest, context: ExchangeContext
    ) -> change_pb2.ReportSocialChangeResponse:
        """A published change of another's card."""
        await self._office.tell(request)
        return change_pb2.ReportSocialChangeResponse()

    async def ReportFinancialChange(  # noqa: N802 - the protocol's name
        self, request: change_pb2.ReportFinancialChangeRequest, context: ExchangeContext
    ) -> change_pb2.ReportFinancialChangeResponse:
        """A published change of an account."""
        await self._office.tell(request)
        return change_pb2.ReportFinancialChangeResponse()

    async def RequestVersions(  # noqa: N802 - the protocol's name
        self, request: change_pb2.RequestVersionsRequest, context: ExchangeContext
    ) -> change_pb2.RequestVersionsResponse:
        """Versions that the hub misses: the newest carries all, so it is told again."""
        await self._desk.report_again(request, self._office)
        return change_pb2.RequestVersionsResponse()


class CardReplacementServicer(replacement_pb2_grpc.CardReplacementServiceServicer):
    """Steps of replacements that the local system carries out."""

    def __init__(self, office: CardOffice) -> None:
        self._office = office

    async def CarryOutStep(  # noqa: N802 - the protocol's name
        self, request: replacement_pb2.CarryOutStepRequest, context: ExchangeContext
    ) -> replacement_pb2.CarryOutStepResponse:
        """One step, or its undoing; asked again, also after a crash, the office says that it was done."""
        return await self._office.carry_out(request)


def register_cards(exchange: Exchange, desk: ExchangeCardDesk, office: CardOffice, *, is_bank: bool) -> None:
    """Serve a card office's or a bank's part of the protocol; a bank carries out no steps of replacements."""
    change_pb2_grpc.add_CardChangeServiceServicer_to_server(CardChangeServicer(desk, office), exchange)
    if not is_bank:
        replacement_pb2_grpc.add_CardReplacementServiceServicer_to_server(CardReplacementServicer(office), exchange)
