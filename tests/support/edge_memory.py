"""The adapter's memory in a store of its own, for tests of dialects."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from onecard_adapters.runtime.memory import EdgeMemory
from onecard_adapters.runtime.sealing import MASTER_KEY_BYTES, Sealer
from onecard_adapters.runtime.store import Store
from onecard_protocol.identifiers import new_message_id


@contextlib.asynccontextmanager
async def edge_memory(directory: Path) -> AsyncIterator[EdgeMemory]:
    """A new memory in `directory`."""
    store = Store(directory / f"{new_message_id(0).hex()}.sqlite")
    await store.open()
    try:
        yield EdgeMemory(store, Sealer(bytes(range(MASTER_KEY_BYTES))))
    finally:
        await store.close()
