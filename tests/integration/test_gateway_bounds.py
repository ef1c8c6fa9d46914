"""What one participant may take of a gateway at once, and how it is told that it is too much."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from onecard.exchange.v1 import service_pb2, service_pb2_grpc
from onecard_broker.gateway import call_bounds
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import reason_name
from tests.support.gateway import Hub, eventually, reasons, refusal_of, running_hub
from tests.support.messages import make_event, make_request
from tests.support.typed_calls import call, raw_method

pytest_plugins = ("tests.support.engines",)
SUBMIT = "/onecard.exchange.v1.SubmissionService/SubmitBatch"


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


def begin(channel: grpc.aio.Channel, method: str = SUBMIT) -> grpc.aio.StreamUnaryCall[bytes, bytes]:
    """A unary call whose body does not come: only the wire knows that it is one."""
    stream: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(method)
    return stream()


async def reason_of(calling: grpc.aio.StreamUnaryCall[bytes, bytes]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await calling
    return reason_name(refusal_of(raised.value).reason)


async def test_a_body_that_does_not_come_ends_its_call(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_bounds, "BODY_SECONDS", 0.2)
    async with hub.channel("cn-44") as channel:
        assert await reason_of(begin(channel)) == "QUOTA_EXCEEDED"
        nobody = begin(channel)
        await nobody.done_writing()
        assert await reason_of(nobody) == "MALFORMED"
        other = begin(channel)
        await other.write(b"\xff")
        assert await reason_of(other) == "MALFORMED"


async def test_bodies_that_wait_hold_up_their_own_participant_and_no_other(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODIES_READ_PER_CERTIFICATE_COUNT_MAX", 2)
    batch = service_pb2.SubmitBatchRequest().SerializeToString()
    async with hub.channel("cn-33") as slow, hub.channel("cn-33") as later:
        stuck = [begin(slow) for _ in range(2)]
        await asyncio.gather(*(one.wait_for_connection() for one in stuck))
        behind = begin(later)
        await behind.write(batch)
        await behind.done_writing()
        assert reasons(await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()))) == ["RECEIPT"]
        assert not behind.done()

        stuck[0].cancel()

        assert service_pb2.SubmitBatchResponse.FromString(await behind) == service_pb2.SubmitBatchResponse()
        stuck[1].cancel()


async def test_calls_and_streams_beyond_a_certificates_places_are_refused(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLS_PER_CERTIFICATE_COUNT_MAX", 1)
    monkeypatch.setattr(limits, "STREAMS_PER_CERTIFICATE_COUNT_MAX", 1)
    await hub.start_gateway()
    async with contextlib.AsyncExitStack() as opened:
        # One call fills a connection by now, so each has its own.
        first, second, third, fourth = [await opened.enter_async_context(hub.channel("cn-44", 1)) for _ in range(4)]
        held = begin(first)
        await held.wait_for_connection()
        assert await reason_of(begin(second)) == "QUOTA_EXCEEDED"
        request = service_pb2.WatchDirectoryRequest(first_number=1)
        watch = service_pb2_grpc.DirectoryServiceStub(third).WatchDirectory(request)
        await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service_pb2_grpc.DirectoryServiceStub(fourth).WatchDirectory(request).read()
        assert reason_name(refusal_of(raised.value).reason) == "QUOTA_EXCEEDED"
        watch.cancel()
        held.cancel()


async def test_a_message_above_the_largest_batch_is_refused_by_grpc(hub: Hub) -> None:
    too_large = bytes(limits.SUBMIT_BATCH_BYTES_MAX + 128 * 1_024)
    async with hub.channel("cn-44") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await raw_method(channel, SUBMIT)(too_large)

    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("bound", ["CALLS_COUNT_MAX", "CONNECTIONS_COUNT_MAX"])
async def test_a_gateway_takes_no_more_calls_and_connections_than_its_own_bounds(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(limits, bound, 1)
    await hub.start_gateway()
    async with hub.channel("cn-44", 1) as first, hub.channel("cn-51", 1) as second:
        held = begin(first)
        await held.wait_for_connection()
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = second.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(health_pb2.HealthCheckRequest().SerializeToString(), timeout=10)

    expected = {
        "CALLS_COUNT_MAX": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "CONNECTIONS_COUNT_MAX": grpc.StatusCode.UNAVAILABLE,
    }
    assert raised.value.code() == expected[bound]


async def test_five_hundred_calls_at_once_from_one_connection_are_within_the_bounds(hub: Hub) -> None:
    requests = [make_request(hub.signers["cn-44"], now_ms(), serial=serial) for serial in range(512)]
    async with hub.receiver("cn-51"), hub.channel("cn-44") as channel:
        calls = [asyncio.create_task(call(channel, signed)) for signed in requests]
        await eventually(lambda: hub.gateways[0].held_count == len(requests))
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
