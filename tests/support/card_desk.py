"""A card desk over a real store, with a registry that answers what the test says; and cards that it observes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc.aio
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import change_pb2, replacement_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import LocalAccount, LocalCard
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.answers import Waiting
from onecard_adapters.sdk.calls import Calls
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.outgoing import Writer
from onecard_adapters.sdk.reading import Reads
from onecard_adapters.sdk.sending import Sending, Telling
from onecard_adapters.sdk.submission import Submission
from onecard_protocol.card_digests import data_digest
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.methods import MethodRegistry
from tests.support.fake_exchange import FakeExchange

METHODS = MethodRegistry.load()
SEALER_KEY = bytes(range(32))
SEALER = Sealer(SEALER_KEY)


class Registry:
    """The hub's registry: standings by card number, and a failure to give instead."""

    def __init__(self) -> None:
        self.standings: dict[str, values_pb2.CardStanding] = {}
        self.freshness = status_pb2.FRESHNESS_FRESH
        self.failure: OneCardError | None = None
        self.asked: list[status_pb2.BatchGetCardStatusRequest] = []
        self.confirmed: list[replacement_pb2.ConfirmBenefitAccountRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def BatchGetCardStatus(  # noqa: N802
        self, request: status_pb2.BatchGetCardStatusRequest, context: object
    ) -> status_pb2.BatchGetCardStatusResponse:
        self.asked.append(request)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        found = [self.standings.get(question.card.number) for question in request.questions]
        return status_pb2.BatchGetCardStatusResponse(
            answers=[
                status_pb2.CardAnswer(freshness=self.freshness, cards=[] if standing is None else [standing])
                for standing in found
            ]
        )

    async def ConfirmBenefitAccount(  # noqa: N802
        self, request: replacement_pb2.ConfirmBenefitAccountRequest, context: object
    ) -> replacement_pb2.ConfirmBenefitAccountResponse:
        if self.failure is not None:
            raise self.failure
        self.confirmed.append(request)
        return replacement_pb2.ConfirmBenefitAccountResponse()


class _Submitted:
    def __init__(self) -> None:
        self.messages: list[Outgoing] = []

    def put(self, outgoing: Outgoing) -> None:
        self.messages.append(outgoing)


class DeskWorld:
    """One adapter's store with a desk; `submitted` is what was handed to the pump, in order."""

    def __init__(self, store: Store, registry: Registry, participant: str = "cn-11") -> None:
        self.store = store
        self.registry = registry
        self.sealer = SEALER
        self.participant = participant
        self._hub = FakeExchange(participant)
        self._hub.serve("cn-00", registry)
        self._submitted = _Submitted()
        self._sending = Sending(
            store=store,
            sealer=SEALER,
            methods=METHODS,
            writer=Writer(network="test-cards", participant=participant, sealer=SEALER, now_ms=now_ms),
            waiting=Waiting(),
            calls=cast(Calls, None),
            submission=cast(Submission, self._submitted),
            reads=cast(Reads, None),
            clock=HubClock(),
        )
        self.desk = ExchangeCardDesk(self)

    async def write(self, operation: Telling[Any]) -> Any:
        return await self._sending.write(operation)

    def to(self, recipient: str) -> grpc.aio.Channel:
        return self._hub.to(recipient)

    @property
    def submitted(self) -> list[Outgoing]:
        return self._submitted.messages

    def told(self) -> list[ProtoMessage]:
        """The events, parsed, in the order in which they were told."""
        return [METHODS[outgoing.method].input_class.FromString(outgoing.payload) for outgoing in self.submitted]

    def social(self) -> list[tuple[str, int, str, str]]:
        """(card number, version, change, state) of each social event."""
        return self._steps(change_pb2.ReportSocialChangeRequest, change_pb2.SocialChange, values_pb2.SocialState)

    def financial(self) -> list[tuple[str, int, str, str]]:
        """The same of each event of an account."""
        return self._steps(
            change_pb2.ReportFinancialChangeRequest, change_pb2.FinancialChange, values_pb2.FinancialState
        )

    def _steps(self, kind: Any, changes: Any, states: Any) -> list[tuple[str, int, str, str]]:
        return [
            (
                event.card.number,
                event.version,
                changes.Name(event.change).partition("_CHANGE_")[2],
                states.Name(event.state).partition("_STATE_")[2],
            )
            for event in self.told()
            if isinstance(event, kind)
        ]

    async def count(self, table: str) -> int:
        """Rows of a table of the store."""

        def count(connection: sqlite3.Connection) -> int:
            number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return number

        return await self.store.run(count)


@contextlib.asynccontextmanager
async def desk_world(
    file: Path, registry: Registry | None = None, participant: str = "cn-11"
) -> AsyncIterator[DeskWorld]:
    """A desk on the store of this file, new or as a former one left it."""
    store = Store(file)
    await store.open()
    try:
        yield DeskWorld(store, registry or Registry(), participant)
    finally:
        await store.close()


def make_card(number: str = "A99000080", **changes: Any) -> LocalCard:
    """A card in use, of the sample's person."""
    values: dict[str, Any] = {
        "person": exchange_values_pb2.PersonIdentity(number="110000196201019924"),
        "card": values_pb2.CardReference(issuer="cn-11", number=number, sequence=1),
        "state": values_pb2.SOCIAL_STATE_ACTIVE,
        "change": change_pb2.SOCIAL_CHANGE_UNSPECIFIED,
        "occurred_ms": 1_710_000_000_000,
        "local_status": exchange_values_pb2.CodedValue(system="beijing.aaz502", version="1", code="1"),
        "data": values_pb2.CardData(generation=3, card_class="1"),
        "holder": values_pb2.HolderDetails(name="周小测"),
    }
    return LocalCard(**{**values, **changes})


def make_account(number: str = "A99000080", **changes: Any) -> LocalAccount:
    """An account in use, of the same card."""
    values: dict[str, Any] = {
        "person": exchange_values_pb2.PersonIdentity(number="110000196201019924"),
        "card": values_pb2.CardReference(issuer="cn-11", number=number, sequence=1),
        "state": values_pb2.FINANCIAL_STATE_ACTIVE,
        "change": change_pb2.FINANCIAL_CHANGE_UNSPECIFIED,
        "occurred_ms": 1_710_000_000_000,
        "local_status": exchange_values_pb2.CodedValue(system="bank.account", version="1", code="1"),
        "bank_card_number": "6217000000000000004",
    }
    return LocalAccount(**{**values, **changes})


def standing(card: LocalCard | change_pb2.ReportSocialChangeRequest, *, version: int) -> values_pb2.CardStanding:
    """The card as the registry tells it once it was told just so."""
    return values_pb2.CardStanding(
        card=card.card,
        social_state=card.state,
        social_version=version,
        social_local_status=card.local_status,
        generation=card.data.generation,
        data_digest=data_digest(card.data),
    )


def account_standing(account: LocalAccount, *, version: int) -> values_pb2.CardStanding:
    """The account as the registry tells it once it was told just so; of the card itself nobody told."""
    return values_pb2.CardStanding(
        card=account.card,
        financial_state=account.state,
        financial_version=version,
        financial_local_status=account.local_status,
    )


def states(*names: str) -> Sequence[values_pb2.SocialState]:
    """Social states by their short names."""
    return [getattr(values_pb2, f"SOCIAL_STATE_{name}") for name in names]
