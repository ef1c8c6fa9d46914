"""Clients of Kafka that are cut short while they start, or while they stop, leave no connection open."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from onecard_broker.log.kafka_clients import Leaving, start

_API_VERSIONS, _METADATA = 18, 3
_VERSIONS = struct.pack(">hihhhhhh", 0, 2, _API_VERSIONS, 0, 0, _METADATA, 0, 1)


class MuteBroker:
    """Says which versions it speaks, and answers nothing else."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                kind, version, number = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                if kind == _API_VERSIONS:
                    answer = struct.pack(">i", number) + _VERSIONS + (b"\0" * 4 if version else b"")
                    writer.write(struct.pack(">i", len(answer)) + answer)
                else:
                    self.asked.set()
        except asyncio.IncompleteReadError:
            self.left.set()
        finally:
            writer.close()


@pytest.fixture
async def mute() -> AsyncIterator[tuple[MuteBroker, str]]:
    broker = MuteBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield broker, f"{host}:{port}"


@pytest.mark.parametrize("kind", [AIOKafkaConsumer, AIOKafkaProducer])
async def test_a_start_that_is_cut_short_leaves_no_connection_open(
    mute: tuple[MuteBroker, str], kind: type[AIOKafkaConsumer | AIOKafkaProducer]
) -> None:
    broker, address = mute
    client = kind(bootstrap_servers=address)
    starting = asyncio.create_task(start(client, within_s=100))
    await broker.asked.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    leaving = Leaving()
    leaving.let_go(client)
    await leaving.all_gone()
    await asyncio.wait_for(broker.left.wait(), 60)
