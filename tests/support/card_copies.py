"""A province's end of the comparison over a real store, with an office that notes what it is told, and cards for it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from onecard.card.v1 import change_pb2, comparison_pb2, replacement_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard_adapters.cards.comparison import CardComparisonServicer
from onecard_adapters.cards.copies import CardCopies
from onecard_adapters.cards.copy_trees import CopyTrees
from onecard_adapters.cards.port import CardOffice, Change, LocalAccount, LocalCard
from onecard_adapters.cards.servicers import CardChangeServicer
from onecard_adapters.runtime.store import Store
from tests.support.card_desk import DeskWorld, Registry, desk_world
from tests.support.fake_exchange import FakeExchange


class NotingOffice(CardOffice):
    """Shows the cards that it is given, and notes what it is told."""

    def __init__(self) -> None:
        self.cards: dict[str, LocalCard | LocalAccount] = {}
        self.told: list[Change] = []

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        raise NotImplementedError

    async def tell(self, change: Change) -> None:
        self.told.append(change)

    async def find(self, card: values_pb2.CardReference) -> LocalCard | LocalAccount | None:
        return self.cards.get(card.number)


@dataclasses.dataclass(slots=True, kw_only=True)
class Province:
    """One province with its desk and copies; `stub` asks it as the hub."""

    world: DeskWorld
    office: NotingOffice
    trees: CopyTrees
    exchange: FakeExchange
    participant: str

    @property
    def store(self) -> Store:
        return self.world.store

    @property
    def copies(self) -> CardCopies:
        return self.world.desk.copies

    @property
    def stub(self) -> CardComparisonServiceStub:
        return CardComparisonServiceStub(self.exchange.to(self.participant))

    async def put(self, cards: Sequence[comparison_pb2.CopiedCard], bank: str = "bank-102") -> None:
        """Make copies what they are said to be."""

        def put(connection: object) -> None:
            for card in cards:
                self.copies.put(connection, card, bank)  # type: ignore[arg-type]

        await self.store.run(put)

    async def receive(self, change: Change) -> None:
        """Receive a published change."""
        servicer = CardChangeServicer(self.world.desk, self.office, self.store)
        if isinstance(change, change_pb2.ReportSocialChangeRequest):
            await servicer.ReportSocialChange(change, None)  # type: ignore[arg-type]
        else:
            await servicer.ReportFinancialChange(change, None)  # type: ignore[arg-type]

    async def card(self, reference: values_pb2.CardReference) -> comparison_pb2.CopiedCard | None:
        """The copy of a card."""
        return await self.store.run(lambda connection: self.copies.find(connection, reference))


@contextlib.asynccontextmanager
async def province(
    file: Path, participant: str = "cn-11", *, registry: Registry | None = None, wait_s: float = 30
) -> AsyncIterator[Province]:
    """A province, new or as its store left it."""
    async with desk_world(file, registry, participant) as world:
        office, exchange = NotingOffice(), FakeExchange("cn-00")
        trees = CopyTrees(world.store, world.desk.copies, wait_s=wait_s)
        exchange.serve(
            participant,
            CardComparisonServicer(
                store=world.store, copies=world.desk.copies, trees=trees, desk=world.desk, office=office
            ),
        )
        yield Province(world=world, office=office, trees=trees, exchange=exchange, participant=participant)


def make_copy(number: int, issuer: str = "cn-11", **changes: object) -> comparison_pb2.CopiedCard:
    """A copy of a card in use."""
    values: dict[str, object] = {
        "card": values_pb2.CardReference(issuer=issuer, number=f"A{number:08}", sequence=1),
        "social_state": values_pb2.SOCIAL_STATE_ACTIVE,
        "social_version": 3,
        "financial_state": values_pb2.FINANCIAL_STATE_ACTIVE,
        "financial_version": 2,
        "data_digest": bytes(range(16)),
    }
    return comparison_pb2.CopiedCard(**{**values, **changes})  # type: ignore[arg-type]
