"""Starting and stopping aiokafka's clients so that none of their connections stays open, whatever is cut short."""

import asyncio
import contextlib
import traceback

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

_STOP_SECONDS = 2.0


async def start(client: AIOKafkaConsumer | AIOKafkaProducer, within_s: float) -> None:
    """Start a client; raises TimeoutError when it has not started in time. One that failed still wants stopping."""
    async with asyncio.timeout(within_s):
        try:
            await client.start()
        except BaseException as error:
            # aiokafka 0.14 forgets the connection over which it asks for its first metadata (AIOKafkaClient.bootstrap)
            # when that waiting is cancelled, as a time limit does: only that function's own variable still names it.
            for frame, _ in traceback.walk_tb(error.__traceback__):
                connection = frame.f_locals.get("bootstrap_conn")
                if connection is not None:
                    connection.close()
            raise


class Leaving:
    """Clients on their way out, each in a task of its own: who lets one go may be cancelled, its stopping is not."""

    def __init__(self) -> None:
        """Nobody is leaving yet."""
        self._tasks: set[asyncio.Task[None]] = set()

    def let_go(self, client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
        """Begin to stop a client; a producer's batches under way get a moment to end."""
        task = asyncio.create_task(_stop(client), name="leaving kafka client")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def all_gone(self) -> None:
        """Wait until every client has left."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _stop(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    if isinstance(client, AIOKafkaProducer):
        connections = client.client
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await client.flush()
        # aiokafka has no end but a flush: without its sender there is nothing left to wait for.
        sender = client._sender
        if sender is not None and sender.sender_task is not None:
            sender.sender_task.cancel()
        await connections.close()
    else:
        connections = client._client
    try:
        # It raises CancelledError of its own accord when it cancels a task that has not begun, and keeps what is open.
        with contextlib.suppress(KafkaError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_STOP_SECONDS):
                await client.stop()
    finally:
        await connections.close()
