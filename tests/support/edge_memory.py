"""The adapter's memory in a store of its own, for tests of dialects."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NoReturn

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


def failing_store(what: str) -> Callable[..., Awaitable[NoReturn]]:
    """In place of an operation of the memory: SQLite fails with these words."""

    async def fail(*_: object, **__: object) -> NoReturn:
        raise sqlite3.OperationalError(what)

    return fail
