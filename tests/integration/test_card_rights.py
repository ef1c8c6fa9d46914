"""Of cards, who may send what through a gateway: their authorities, and the hub's own programs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import comparison_pb2
from onecard.exchange.v1 import message_pb2
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import reason_name
from onecard_protocol.messages import Message
from tests.support.card_reports import (
    READ_DIGESTS,
    REPORT_FINANCIAL,
    REPORT_SOCIAL,
    financial_report,
    social_report,
)
from tests.support.gateway import Hub, eventually_async, running_hub
from tests.support.messages import make_signed

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    participants = ("cn-00", "cn-11", "cn-45", "bank-102")
    async with running_hub(postgres_dsn, tmp_path, participants=participants, patterns=("/onecard.*",)) as running:
        yield running


async def test_an_account_is_its_banks_to_tell_of_and_a_card_its_issuers(hub: Hub) -> None:
    bank_event = make_signed(
        hub.signers["cn-11"],
        financial_report(1),
        now_ms=now_ms(),
        sender="cn-11",
        recipient="cn-00",
        method=REPORT_FINANCIAL,
        kind=message_pb2.MESSAGE_KIND_EVENT,
    )
    agency_event = make_signed(
        hub.signers["bank-102"],
        social_report(1),
        now_ms=now_ms(),
        sender="bank-102",
        recipient="cn-00",
        method=REPORT_SOCIAL,
        kind=message_pb2.MESSAGE_KIND_EVENT,
    )

    refusals = [*await hub.submit("cn-11", bank_event), *await hub.submit("bank-102", agency_event)]

    assert [reason_name(one.refusal.reason) for one in refusals] == ["SENDER_NOT_ALLOWED"] * 2


async def test_a_program_of_the_hubs_calls_a_province_and_gets_its_answer(hub: Hub) -> None:
    query = comparison_pb2.ReadDigestsRequest(scope=comparison_pb2.COMPARISON_SCOPE_ISSUED, depth=1, prefixes=[""])
    signed = make_signed(
        hub.signers["cn-00"],
        query,
        now_ms=now_ms(),
        sender="cn-00",
        recipient="cn-11",
        method=READ_DIGESTS,
        execute_before_ms=now_ms() + 9_000,
    )

    def answer(request: Message) -> tuple[message_pb2.MessageKind, ProtoMessage]:
        assert request.header.sender == "cn-00"
        return message_pb2.MESSAGE_KIND_REPLY, comparison_pb2.ReadDigestsResponse(card_count=7)

    async with hub.receiver("cn-11") as province, hub.channel("cn-00") as channel:
        province.answer = answer
        await eventually_async(lambda: _is_reading(hub, "cn-11"))
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(READ_DIGESTS)
        metadata = (("onecard-header-bin", signed.header), ("onecard-signature-bin", signed.signature))
        body = await call(signed.payload, metadata=metadata, timeout=20)

    assert comparison_pb2.ReadDigestsResponse.FromString(body).card_count == 7


async def _is_reading(hub: Hub, participant: str) -> bool:
    return hub.gateways[0]._recipients.is_reading(participant)
