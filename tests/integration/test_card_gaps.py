"""A gap in the versions of a card, from the hub's question to its closing, through gateway, worker and adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, change_pb2_grpc
from onecard.card.v1.change_pb2_grpc import CardChangeServiceStub
from onecard_adapters.cards.port import CardOffice
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.sdk.exchange import Exchange
from tests.support.card_adapters import (
    BANK,
    ISSUER,
    Authority,
    card_adapter,
    card_hub,
    journaled,
    know_the_card,
    machine_at,
    questions,
    refusals,
)
from tests.support.exchange import assert_nothing_is_lost_or_doubled
from tests.support.gateway import Hub
from tests.support.hub_provinces import exchange_of

pytest_plugins = ("tests.support.engines",)

PASSED_OVER = {ISSUER: ("PRODUCED", "LOST"), BANK: ("NOT_ACTIVATED", "FROZEN")}
"""Two states with one in between that the adapter never sees: its version is missing."""
HISTORIES = {
    ISSUER: (("PRODUCED", "PRODUCED"), ("ENABLED", "ACTIVE"), ("LOST", "LOST"), ("FOUND", "ACTIVE")),
    BANK: (("OPENED", "NOT_ACTIVATED"), ("ACTIVATED", "ACTIVE"), ("FROZEN", "FROZEN"), ("UNFROZEN", "ACTIVE")),
}
"""Versions 1 to 4 as (change, state)."""
BEGAN_MS = 1_780_000_000_000

each_authority = pytest.mark.parametrize("authority", [ISSUER, BANK], ids=["issuer", "bank"])


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with card_hub(postgres_dsn, tmp_path / "hub") as running:
        yield running


@each_authority
async def test_a_gap_is_noticed_asked_for_and_closed_by_the_adapter(
    hub: Hub, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    await know_the_card(hub, authority)
    async with card_adapter(hub, tmp_path, authority) as adapter:
        answer, may_answer = adapter.desk.report_again, asyncio.Event()

        async def answer_later(request: change_pb2.RequestVersionsRequest, office: CardOffice) -> bool:
            await may_answer.wait()
            return await answer(request, office)

        monkeypatch.setattr(adapter.desk, "report_again", answer_later)
        for state in PASSED_OVER[authority]:
            assert await adapter.show(authority.report(state)) == 1

        assert (await machine_at(hub, authority, 3)).missing == ((2, 2),)
        may_answer.set()
        assert (await machine_at(hub, authority, 3, late_count=1)).missing == ()

    assert await questions(hub, authority) == [(authority.machine, 2, 2)]
    assert await journaled(hub, authority) == [1, 3, 3]
    assert await refusals(hub, authority) == []
    await assert_nothing_is_lost_or_doubled(hub.log, hub.dsn)


class Archive(change_pb2_grpc.CardChangeServiceServicer):
    """An authority that can tell every version anew; it does so from the newest to the oldest, the oldest twice."""

    def __init__(self, exchange: Exchange, authority: Authority) -> None:
        self._exchange = exchange
        self._authority = authority

    async def tell(self, version: int) -> None:
        """Tell one."""
        change, state = HISTORIES[self._authority][version - 1]
        report = self._authority.report(state, version, change=change, at_ms=BEGAN_MS + version)
        changes = CardChangeServiceStub(self._exchange.to("cn-00"))
        if isinstance(report, change_pb2.ReportSocialChangeRequest):
            await changes.ReportSocialChange(report)
        else:
            await changes.ReportFinancialChange(report)

    async def RequestVersions(  # noqa: N802
        self, request: change_pb2.RequestVersionsRequest, context: ExchangeContext
    ) -> change_pb2.RequestVersionsResponse:
        """Tell what is asked for."""
        for version in (*range(request.last_version, request.first_version - 1, -1), request.first_version):
            await self.tell(version)
        return change_pb2.RequestVersionsResponse()


@each_authority
async def test_a_gap_is_closed_by_the_missing_versions_themselves_in_any_order(
    hub: Hub, tmp_path: Path, authority: Authority
) -> None:
    await know_the_card(hub, authority)
    exchange = exchange_of(hub, tmp_path, authority.participant)
    archive = Archive(exchange, authority)
    change_pb2_grpc.add_CardChangeServiceServicer_to_server(archive, exchange)
    async with exchange:
        await exchange.wait_ready()
        await archive.tell(1)
        await archive.tell(4)
        machine = await machine_at(hub, authority, 4, late_count=3)

    assert machine.missing == ()
    assert await questions(hub, authority) == [(authority.machine, 2, 3)]
    assert await journaled(hub, authority) == [1, 4, 3, 2, 2]
    assert await refusals(hub, authority) == []
