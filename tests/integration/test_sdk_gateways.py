"""Gateways that are not reached, or go while they are spoken to: what the adapter says, and that it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from onecard.exchange.v1 import service_pb2
from onecard.medical.v1 import filing_pb2_grpc
from onecard_adapters.sdk import unreached
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.gateways import Gateways, brought
from tests.support.certificates import Authority, CertificateFiles
from tests.support.eventually import eventually
from tests.support.sdk_country import Country, Filings, filing_event

pytest_plugins = ("tests.support.fake_hub_of_two",)

SERVER_NAME = "gateway.example"
WATCH = service_pb2.WatchDirectoryRequest(first_number=1_000)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of gateways that are not reached, and of those that are again."""
    return [record.getMessage() for record in caplog.records if record.name == unreached.__name__]


async def tell(exchange: Exchange, filing_id: str) -> None:
    await filing_pb2_grpc.FilingServiceStub(exchange.to("cn-44")).ReportFiling(filing_event(1, filing_id))


async def test_an_adapter_that_starts_without_the_hub_says_so_and_goes_on_when_it_comes(
    one: Country, caplog: pytest.LogCaptureFixture
) -> None:
    filings = Filings()
    await one.hub_down()
    async with one.exchange("cn-51") as home:
        await eventually(lambda: bool(told(caplog)))
        await tell(home, "a")
        await one.hub_up()
        async with one.province("cn-44", filings):
            await eventually(lambda: filings.told == ["a"])
        (first, last) = told(caplog)

    for gateway in one.gateways:
        assert f"{gateway.address}: nothing listens there" in first
    assert "Connection refused" in first
    assert "Nothing is lost" in first
    assert "hub.gateways" in first
    assert any(last == f"Gateway {gateway.address} is reached: what was kept is sent now." for gateway in one.gateways)


async def test_it_says_so_in_chinese_where_the_locale_is_chinese(
    one: Country, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    await one.hub_down()
    async with one.exchange("cn-51") as home:
        await eventually(lambda: bool(told(caplog)))
        await one.hub_up()
        await home.wait_ready()
        first, last = told(caplog)

    assert first.startswith("无法连接枢纽的任何网关")
    assert "数据不会丢失" in first
    assert last.startswith("已连接网关")


async def test_nothing_is_said_while_one_gateway_of_two_answers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreached, "_LOOK_AGAIN_S", 0.01)
    asked = Asked()
    async with server_of(None, handlers=[asked]) as address, gateways_of(await address_of_nobody(), address) as both:
        telling = asyncio.create_task(both._unreached.tell())
        await eventually(lambda: asked.count >= 3)
        telling.cancel()

    assert told(caplog) == []


async def test_many_that_wait_hear_of_it_once(caplog: pytest.LogCaptureFixture) -> None:
    async with gateways_of(await address_of_nobody()) as gateways:
        waiting = [asyncio.create_task(gateways.ready()) for _ in range(20)]
        await eventually(lambda: bool(told(caplog)))
        async with server_of(None, gateways.addresses[0]):
            await asyncio.gather(*waiting)

    assert len(told(caplog)) == 2
    assert "is reached: " in told(caplog)[1]


async def test_it_is_told_again_now_and_then(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreached, "TELL_AGAIN_S", 0.01)
    async with gateways_of(await address_of_nobody()) as gateways:
        waiting = asyncio.create_task(gateways.ready())
        await eventually(lambda: len(told(caplog)) == 3)
        waiting.cancel()


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """How an adapter connects to a gateway that has a certificate of the hub's authority."""

    tls: bool = True
    trusts_hub: bool = True
    is_trusted: bool = True
    server_name: str = SERVER_NAME
    gateway_has_tls: bool = True


@pytest.mark.parametrize(
    ("side", "why", "check"),
    [
        (Side(trusts_hub=False), "its certificate is not trusted", "hub.tls.authority_file"),
        (Side(server_name="other.example"), "its certificate bears another name", "hub.server_name"),
        (Side(is_trusted=False), "it closed the connection", "certificate_file"),
        (Side(tls=False), "it closed the connection", "hub.tls is set"),
        (Side(gateway_has_tls=False), "it does not speak TLS", "hub.gateways"),
    ],
    ids=["authority of another", "name of another", "client of another", "client without", "gateway without"],
)
async def test_certificates_that_do_not_fit_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, side: Side, why: str, check: str
) -> None:
    hub, other = Authority(tmp_path / "hub", "hub"), Authority(tmp_path / "other", "other")
    ours = (hub if side.is_trusted else other).issue("cn-44")
    trusted = (hub if side.trusts_hub else other).certificate_file
    credentials = dataclasses.replace(ours, authority_file=trusted).channel_credentials() if side.tls else None
    async with (
        server_of(hub.issue(SERVER_NAME) if side.gateway_has_tls else None) as address,
        gateways_of(address, credentials=credentials, server_name=side.server_name) as gateways,
    ):
        waiting = asyncio.create_task(gateways.ready())
        await eventually(lambda: bool(told(caplog)))
        waiting.cancel()

    (line,) = told(caplog)
    assert f"{address}: {why}" in line
    assert check in line.rpartition("Check ")[2]


async def test_a_gateway_that_goes_while_its_deliveries_are_taken_is_left_and_delivery_goes_on(one: Country) -> None:
    filings = Filings()
    async with one.province("cn-44", filings) as care, one.province("cn-51") as home:
        delivery = care._parts.delivery
        grant = delivery._grant
        hub_is_down = asyncio.Event()

        async def grant_to_the_dead(call: Any) -> None:
            delivery._grant = grant  # type: ignore[method-assign]
            await one.hub_down()
            hub_is_down.set()
            await eventually(call.done)
            await grant(call)

        delivery._grant = grant_to_the_dead  # type: ignore[method-assign]
        await eventually(hub_is_down.is_set)
        await eventually(lambda: not home._parts.gateways.is_connected)
        await one.hub_up()
        await tell(home, "a")
        failing = asyncio.create_task(care.wait_failed())
        await eventually(lambda: filings.told == ["a"] or failing.done())
        failing.cancel()

    assert filings.told == ["a"]


class Asked(grpc.GenericRpcHandler):
    """Counts the calls of a server, and has none of the methods."""

    def __init__(self) -> None:
        self.count = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        self.count += 1


@contextlib.asynccontextmanager
async def server_of(
    certificate: CertificateFiles | None, address: str = "127.0.0.1:0", *, handlers: Sequence[Asked] = ()
) -> AsyncIterator[str]:
    """A gRPC server of no method, which with a certificate wants its callers' too; its address."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    if certificate is None:
        port = server.add_insecure_port(address)
    else:
        files = certificate.private_key_file.read_bytes(), certificate.certificate_file.read_bytes()
        authority = certificate.authority_file.read_bytes()
        port = server.add_secure_port(address, grpc.ssl_server_credentials([files], authority, True))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def address_of_nobody() -> str:
    """An address at which nothing listens any more."""
    async with server_of(None) as address:
        return address


@contextlib.asynccontextmanager
async def gateways_of(
    *addresses: str, credentials: grpc.ChannelCredentials | None = None, server_name: str = ""
) -> AsyncIterator[Gateways]:
    gateways = Gateways(addresses, credentials, server_name=server_name)
    try:
        yield gateways
    finally:
        await gateways.close()


async def test_a_call_whose_connection_is_left_failed_and_nobody_was_cancelled(one: Country) -> None:
    one.hub.faults.is_silent = True
    async with gateways_of(*[gateway.address for gateway in one.gateways]) as gateways:
        gateway = await gateways.ready()
        asking = [
            asyncio.create_task(brought(gateway.submission.SubmitBatch(service_pb2.SubmitBatchRequest()))),
            asyncio.create_task(brought(gateway.directory.WatchDirectory(WATCH).read())),
        ]
        cancelled = asyncio.create_task(brought(gateway.submission.SubmitBatch(service_pb2.SubmitBatchRequest())))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        await gateways.replace(gateway)
        for one_asking in asking:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await one_asking
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(asyncio.CancelledError):
            await cancelled


async def test_directory_and_delivery_go_on_after_a_connection_was_left(one: Country) -> None:
    filings = Filings()
    async with one.province("cn-51") as home, one.province("cn-44", filings) as care:
        gateways = care._parts.gateways
        for index in range(3):
            await gateways.replace(gateways.current)
            one.hub.control()
            await eventually(lambda: care._parts.directory.number == len(one.hub.controls))
            await tell(home, str(index))
            await eventually(lambda index=index: len(filings.told) == index + 1)  # type: ignore[misc]

    assert filings.told == ["0", "1", "2"]
