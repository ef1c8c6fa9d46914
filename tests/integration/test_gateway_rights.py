"""Open streams end when the directory takes away the right by which they were opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc.aio
import pytest

from onecard.exchange.v1 import service_pb2, service_pb2_grpc
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import reason_name
from tests.support.directories import certificate_name, put_participant
from tests.support.gateway import Hub, change_directory, eventually, reasons, refusal_of, running_hub
from tests.support.messages import make_event

pytest_plugins = ("tests.support.engines",)

LOST = pytest.mark.parametrize("names", [(), ("new.cn-44.onecard.test",)], ids=["removed", "another certificate"])


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


async def change(hub: Hub, participant: str, names: Sequence[str] | None = None) -> None:
    """Let the directory name these certificates of a participant, and wait until the gateway knows."""
    version = hub.gateways[0].directory.version
    await change_directory(hub, put_participant(participant, certificate_names=names))
    await eventually(lambda: hub.gateways[0].directory.version > version)


async def tell_cn_44(hub: Hub) -> None:
    assert reasons(await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()))) == ["RECEIPT"]


@LOST
async def test_a_delivery_ends_before_anything_more_is_told(hub: Hub, names: Sequence[str]) -> None:
    await tell_cn_44(hub)
    async with hub.receiver("cn-44") as receiver:
        await receiver.messages(1)
        await change(hub, "cn-33", ())
        await change(hub, "cn-44", [certificate_name("cn-44"), "new.cn-44.onecard.test"])
        await tell_cn_44(hub)
        await receiver.messages(2)

        await change(hub, "cn-44", names)
        await tell_cn_44(hub)
        await eventually(lambda: receiver.error)

    assert receiver.error is not None
    assert reason_name(refusal_of(receiver.error).reason) == "CERTIFICATE_MISMATCH"
    assert len(receiver.deliveries) == 2


@LOST
async def test_a_watch_of_the_directory_ends(hub: Hub, names: Sequence[str]) -> None:
    watch = service_pb2.WatchDirectoryRequest(first_number=1)
    numbers: list[int] = []
    async with hub.channel("cn-44") as channel:
        stream = service_pb2_grpc.DirectoryServiceStub(channel).WatchDirectory(watch, timeout=30)

        async def read() -> None:
            async for response in stream:
                if response.HasField("record"):
                    numbers.append(response.newest_number)
                elif len(numbers) == 8:
                    await change(hub, "cn-44", names)

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await read()

    assert reason_name(refusal_of(raised.value).reason) == "CERTIFICATE_MISMATCH"
    assert len(numbers) == 8
