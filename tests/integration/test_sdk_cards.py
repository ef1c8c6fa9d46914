"""Cards through the SDK against the real hub: events to it, events that it publishes, and reads at its gateways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import change_pb2, change_pb2_grpc, feed_pb2, status_pb2, values_pb2
from onecard.card.v1.change_pb2_grpc import CardChangeServiceServicer, CardChangeServiceStub
from onecard.card.v1.feed_pb2_grpc import CardFeedServiceStub
from onecard.card.v1.status_pb2_grpc import CardStatusServiceStub
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.clock import now_ms
from tests.support.card_reports import card, financial_report, social_report
from tests.support.gateway import Hub, eventually, eventually_async, running_hub
from tests.support.hub_provinces import exchange_of
from tests.support.messages import person

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    participants = ("cn-00", "cn-11", "cn-45", "bank-102")
    async with running_hub(
        postgres_dsn, tmp_path / "hub", participants=participants, patterns=("/onecard.*",)
    ) as running:
        await running.add_gateway()
        yield running


class Follower(CardChangeServiceServicer):
    """A card office that is told of changes."""

    def __init__(self) -> None:
        self.told: list[ProtoMessage] = []

    async def ReportSocialChange(  # noqa: N802
        self, request: change_pb2.ReportSocialChangeRequest, context: ExchangeContext
    ) -> change_pb2.ReportSocialChangeResponse:
        """Keep it."""
        self.told.append(request)
        return change_pb2.ReportSocialChangeResponse()

    async def ReportFinancialChange(  # noqa: N802
        self, request: change_pb2.ReportFinancialChangeRequest, context: ExchangeContext
    ) -> change_pb2.ReportFinancialChangeResponse:
        """Keep it."""
        self.told.append(request)
        return change_pb2.ReportFinancialChangeResponse()


@contextlib.asynccontextmanager
async def adapter(hub: Hub, directory: Path, participant: str) -> AsyncIterator[tuple[Exchange, Follower]]:
    exchange = exchange_of(hub, directory, participant)
    follower = Follower()
    change_pb2_grpc.add_CardChangeServiceServicer_to_server(follower, exchange)
    async with exchange:
        await exchange.wait_ready()
        yield exchange, follower


def enabled(serial: int) -> change_pb2.ReportSocialChangeRequest:
    return social_report(
        serial,
        version=2,
        change=change_pb2.SOCIAL_CHANGE_ENABLED,
        state=values_pb2.SOCIAL_STATE_ACTIVE,
        at_ms=now_ms(),
    )


async def verdict(exchange: Exchange, serial: int) -> status_pb2.CardVerdict:
    request = status_pb2.VerifyCardRequest(person=person(serial), card_number=card(serial).number, purpose="counter")
    response = await CardStatusServiceStub(exchange.to("cn-00")).VerifyCard(request)
    assert isinstance(response, status_pb2.VerifyCardResponse)
    return response.verdict


async def until(exchange: Exchange, serial: int, wanted: status_pb2.CardVerdict) -> None:
    async def is_so() -> bool:
        return await verdict(exchange, serial) == wanted

    await eventually_async(is_so)


async def test_an_issuer_and_a_bank_tell_the_hub_and_who_follows_the_person_is_told_as_they_signed(
    hub: Hub, tmp_path: Path
) -> None:
    async with (
        adapter(hub, tmp_path, "cn-11") as (issuer, _),
        adapter(hub, tmp_path, "bank-102") as (bank, bank_follower),
        adapter(hub, tmp_path, "cn-45") as (guangxi, follower),
    ):
        await CardFeedServiceStub(guangxi.to("cn-00")).FollowPerson(
            feed_pb2.FollowPersonRequest(person=person(1), purpose="benefit-payment"), timeout=20
        )
        changes = CardChangeServiceStub(issuer.to("cn-00"))
        await changes.ReportSocialChange(social_report(1, at_ms=now_ms() - 1_000))
        await changes.ReportSocialChange(enabled(1))
        await until(guangxi, 1, status_pb2.CARD_VERDICT_VALID)
        await CardChangeServiceStub(bank.to("cn-00")).ReportFinancialChange(financial_report(1))

        await eventually(lambda: len(follower.told) == 3)
        await eventually(lambda: len(bank_follower.told) == 2)

    assert [type(change).__name__ for change in follower.told] == [
        "ReportSocialChangeRequest",
        "ReportSocialChangeRequest",
        "ReportFinancialChangeRequest",
    ]


async def test_reads_go_on_at_the_other_gateway(hub: Hub, tmp_path: Path) -> None:
    async with adapter(hub, tmp_path, "cn-11") as (issuer, _), adapter(hub, tmp_path, "cn-45") as (guangxi, _):
        changes = CardChangeServiceStub(issuer.to("cn-00"))
        await changes.ReportSocialChange(social_report(1, at_ms=now_ms() - 1_000))
        await changes.ReportSocialChange(enabled(1))
        await until(guangxi, 1, status_pb2.CARD_VERDICT_VALID)
        used = next(
            gateway for gateway in hub.gateways if guangxi._parts.gateways._current.address.endswith(f":{gateway.port}")
        )
        await used.drain()  # It refuses reads from here on, and ends a moment later.
        stopping = asyncio.create_task(used.stop())

        verdicts = {await verdict(guangxi, 1) for _ in range(50)}
        await stopping

    assert status_pb2.CARD_VERDICT_VALID in verdicts
    assert verdicts <= {status_pb2.CARD_VERDICT_VALID, status_pb2.CARD_VERDICT_STALE}


async def test_a_refused_read_tells_the_hubs_reason_at_once(hub: Hub, tmp_path: Path) -> None:
    async with adapter(hub, tmp_path, "cn-45") as (guangxi, _):
        request = status_pb2.VerifyCardRequest(person=person(1), card_number="A00000001", purpose="12")
        with pytest.raises(CallFailed) as refused:
            await CardStatusServiceStub(guangxi.to("cn-00")).VerifyCard(request)
        with pytest.raises(CallFailed) as elsewhere:
            await CardStatusServiceStub(guangxi.to("cn-11")).VerifyCard(request)

    assert refused.value.reason == errors_pb2.ERROR_REASON_PAYLOAD_INVALID
    assert elsewhere.value.reason == errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED
