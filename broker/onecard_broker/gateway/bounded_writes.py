"""Writing to a stream whose receiver may not read: HTTP/2 stops the writes, and for how long is bounded here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError


class BoundedWrites:
    """The writes of one stream, one at a time."""

    def __init__(self, context: ServicerContext[Any, Any]) -> None:
        self._context = context
        self._writing: asyncio.Future[None] | None = None

    async def write(self, response: Any) -> None:
        """Write one message; raises RECEIVER_TOO_SLOW when it was not taken in `limits.RECEIVER_SLOW_MS`."""
        writing = self._writing = asyncio.ensure_future(self._context.write(response))
        writing.add_done_callback(_take_result)
        done, _ = await asyncio.wait({writing}, timeout=limits.RECEIVER_SLOW_MS / 1000)
        if not done:
            raise OneCardError(
                errors_pb2.ERROR_REASON_RECEIVER_TOO_SLOW,
                f"a batch was not read in {limits.RECEIVER_SLOW_MS} ms",
                retry_after_ms=limits.TICK_MS,
            )
        writing.result()

    def when_free(self, callback: Callable[[], None]) -> None:
        """Call back once no write is under way: now, or when the receiver reads after all or is gone."""
        if self._writing is None or self._writing.done():
            callback()
        else:
            self._writing.add_done_callback(lambda _: callback())


def _take_result(writing: asyncio.Future[None]) -> None:
    """Of a write that nobody waits for any more: it ends with its stream."""
    if not writing.cancelled():
        writing.exception()
