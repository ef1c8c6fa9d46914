"""Events of ours that the hub refused, shown one by one to whoever may make them good; the others wait for a person."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from onecard_adapters.runtime import outbox
from onecard_adapters.runtime.outbox import StoredOutgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_protocol.errors import OneCardError, policy
from onecard_protocol.identifiers import id_text

MakeGood = Callable[[StoredOutgoing], Awaitable[bool]]
"""True if what the event was to tell is told otherwise. Raises OneCardError; retryable, it is asked again."""

_AGAIN_S: Final = 1.0

_log = logging.getLogger(__name__)


class Refusals:
    """Those of a former process first. Nothing is kept beside the outbox, where one that is made good is over."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self.make_good: MakeGood | None = None
        """Set before the exchange is entered; None: all wait for a person."""

    def add(self, message_id: bytes) -> None:
        """One was refused, and that is durable."""
        if self.make_good is not None:
            self._waiting.put_nowait(message_id)

    async def run(self, make_good: MakeGood) -> None:
        """Show them, for ever."""
        for left in await self._store.run(lambda store: outbox.list_refused_events(store, self._sealer)):
            self.add(left.outgoing.id)
        while True:
            message_id = await self._waiting.get()
            stored = await self._store.run(lambda store, key=message_id: outbox.find(store, self._sealer, key))  # type: ignore[misc]
            try:
                is_good = stored is not None and await make_good(stored)
            except OneCardError as error:
                _log.warning("our refused event %s: %s", id_text(message_id), error)
                if policy(error.reason).retryable:
                    await asyncio.sleep(_AGAIN_S)
                    self.add(message_id)
                continue
            if is_good:
                await self._store.insist(lambda store, key=message_id: outbox.forgive_event(store, key))  # type: ignore[misc]
                _log.info("our refused event %s was made good", id_text(message_id))
