"""A gateway as a server: reflection, its start, draining and faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from onecard_broker.directory.follower import DirectoryFollower
from onecard_broker.log.port import AppendFailed
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from tests.support.gateway import (
    Hub,
    eventually_async,
    reasons,
    refusal_of,
    running_hub,
    until_serving,
)
from tests.support.messages import (
    citizen_number,
    covered,
    make_event,
    make_request,
)

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


async def test_the_log_names_the_port_that_is_bound(
    postgres_dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onecard_broker.gateway.server")
    async with running_hub(postgres_dsn, tmp_path) as running:
        port = running.gateways[0].port
    assert port
    assert f"gateway serves on 127.0.0.1:{port}" in caplog.messages


async def test_reflection_names_every_service_and_describes_its_methods(hub: Hub) -> None:
    async with hub.channel("cn-44") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="onecard.medical.v1.SettlementService"),
        ]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]

    names = {service.name for service in answers[0].list_services_response.service}
    assert {
        "onecard.exchange.v1.SubmissionService",
        "onecard.exchange.v1.DeliveryService",
        "onecard.medical.v1.SettlementService",
        "grpc.health.v1.Health",
    } <= names
    assert b"SettleRequest" in b"".join(answers[1].file_descriptor_response.file_descriptor_proto)


async def test_a_taken_port_is_named(hub: Hub) -> None:
    with pytest.raises(OneCardError, match="is taken") as raised:
        await hub.add_gateway(f"127.0.0.1:{hub.gateways[0].port}")

    assert str(hub.gateways[0].port) in str(raised.value)


async def test_draining_finishes_the_calls_it_holds_and_admits_no_more(hub: Hub) -> None:
    gateway = hub.gateways[0]
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/onecard.medical.v1.CoverageService/QueryCoverage"
        )
        metadata = (("onecard-header-bin", request.header), ("onecard-signature-bin", request.signature))
        calling = method(request.payload, metadata=metadata, timeout=20)
        await insured.messages(1)
        draining = asyncio.create_task(gateway.drain())
        await eventually_async(lambda: is_not_serving(channel))
        refused = await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()))
        assert not draining.done()

        insured.answer = covered
        await insured.respond(insured.deliveries[0])
        body = await calling
        await draining

    assert body
    assert reasons(refused) == ["HUB_NOT_READY"]
    assert refused[0].refusal.retry_after_ms > 0


async def is_not_serving(channel: grpc.aio.Channel, service: str = "") -> bool:
    health = health_pb2_grpc.HealthStub(channel)
    response = await health.Check(health_pb2.HealthCheckRequest(service=service))  # type: ignore[attr-defined]
    return bool(response.status == health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_a_gateway_says_that_it_serves_once_a_tick_has_confirmed_its_directory(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ticks:
        ticks.setattr(DirectoryFollower, "_note_reading", lambda *_: None)
        await hub.start_gateway()
        async with hub.channel("cn-44", 1) as channel:
            for service in ("", "onecard.exchange.v1.SubmissionService", "onecard.medical.v1.CoverageService"):
                assert await is_not_serving(channel, service)
            refused = await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()), gateway=1)
    async with hub.channel("cn-44", 1) as channel:
        await until_serving(channel)
    admitted = await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()), gateway=1)

    assert reasons(refused) == ["HUB_NOT_READY"]
    assert reasons(admitted) == ["RECEIPT"]


async def test_a_journal_that_does_not_answer_is_told_with_a_time_to_come_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(records: list[object]) -> None:
        raise AppendFailed([None] * len(records), "no leader")

    log = hub.gateways[0].journal
    monkeypatch.setattr(log, "append", fail)
    event = make_event(hub.signers["cn-51"], now_ms())

    first = await hub.submit("cn-51", event)
    second = await hub.submit("cn-51", event)

    # The first may stand in the journal all the same, so nothing claims that it was not accepted.
    assert reasons(first) == ["INTERNAL"]
    assert reasons(second) == ["HUB_NOT_READY"]
    assert second[0].refusal.retry_after_ms > 0


async def test_a_handler_that_fails_is_logged_without_what_it_handled(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = citizen_number(991)

    async def fail(*_: object) -> None:
        raise RuntimeError(number)

    monkeypatch.setattr(hub.gateways[0].submission, "_admit_and_journal", fail)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()))

    assert reason_name(refusal_of(raised.value).reason) == "INTERNAL"
    assert "RuntimeError" in caplog.text
    assert number not in caplog.text
