"""What the exchange asks of a card office or a bank, as servicers of the protocol."""

from __future__ import annotations

import functools
from typing import Final

from onecard.card.v1 import change_pb2, change_pb2_grpc, comparison_pb2_grpc, replacement_pb2, replacement_pb2_grpc
from onecard_adapters.cards.comparison import CardComparisonServicer
from onecard_adapters.cards.copy_trees import CopyTrees
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import CardOffice, Change
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.exchange import Exchange

_BIRTHS: Final = frozenset(
    {
        change_pb2.SOCIAL_CHANGE_PRODUCED,
        change_pb2.SOCIAL_CHANGE_ISSUED,
        change_pb2.SOCIAL_CHANGE_ENABLED,
        change_pb2.SOCIAL_CHANGE_UNLOCKED,
    }
)
"""Changes by which the registry comes to know a card; UNLOCKED is one under the holder's corrected number."""


class CardChangeServicer(change_pb2_grpc.CardChangeServiceServicer):
    """Published changes of cards that the participant follows, and the hub's questions for versions."""

    def __init__(self, desk: ExchangeCardDesk, office: CardOffice, store: Store | None) -> None:
        """`store` keeps copies of what is received, which the hub compares with its registry; a bank keeps none."""
        self._desk = desk
        self._office = office
        self._store = store

    async def ReportSocialChange(  # noqa: N802 - the protocol's name
        self, request: change_pb2.ReportSocialChangeRequest, context: ExchangeContext
    ) -> change_pb2.ReportSocialChangeResponse:
        """A published change of another's card."""
        await self._receive(request)
        return change_pb2.ReportSocialChangeResponse()

    async def ReportFinancialChange(  # noqa: N802 - the protocol's name
        self, request: change_pb2.ReportFinancialChangeRequest, context: ExchangeContext
    ) -> change_pb2.ReportFinancialChangeResponse:
        """A published change of an account."""
        await self._receive(request)
        return change_pb2.ReportFinancialChangeResponse()

    async def RequestVersions(  # noqa: N802 - the protocol's name
        self, request: change_pb2.RequestVersionsRequest, context: ExchangeContext
    ) -> change_pb2.RequestVersionsResponse:
        """Versions that the hub misses: the newest carries all, so it is told again."""
        await self._desk.report_again(request, self._office)
        return change_pb2.RequestVersionsResponse()

    async def _receive(self, change: Change) -> None:
        # The copy comes last: what it holds was told to the local system, through any crash.
        await self._office.tell(change)
        if self._store is None and isinstance(change, change_pb2.ReportSocialChangeRequest):
            await self._tell_account_of(change)
        if self._store is not None and not self._is_own(change):
            await self._store.run(lambda connection: self._desk.copies.take(connection, change))

    async def _tell_account_of(self, change: change_pb2.ReportSocialChangeRequest) -> None:
        """A bank may have opened the account before the registry knew the card, and was refused: it tells it again."""
        if change.change in _BIRTHS and await self._desk.has_told(change.card, change_pb2.CARD_MACHINE_FINANCIAL):
            account = change_pb2.RequestVersionsRequest(
                card=change.card, machine=change_pb2.CARD_MACHINE_FINANCIAL, person=change.person
            )
            await self._desk.report_again(account, self._office)

    def _is_own(self, change: Change) -> bool:
        """Whether the desk told it itself."""
        return isinstance(change, change_pb2.ReportSocialChangeRequest) and self._desk.copies.is_own(change.card)


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
    """Serve a card office's or a bank's part of the protocol.

    A bank carries out no steps of replacements, and is not compared with the registry.
    """
    store = None if is_bank else exchange.store
    change_pb2_grpc.add_CardChangeServiceServicer_to_server(CardChangeServicer(desk, office, store), exchange)
    exchange.refusals.make_good = functools.partial(desk.make_good, office=office)
    if store is not None:
        comparison_pb2_grpc.add_CardComparisonServiceServicer_to_server(
            CardComparisonServicer(
                store=store, copies=desk.copies, trees=CopyTrees(store, desk.copies), desk=desk, office=office
            ),
            exchange,
        )
        replacement_pb2_grpc.add_CardReplacementServiceServicer_to_server(CardReplacementServicer(office), exchange)
