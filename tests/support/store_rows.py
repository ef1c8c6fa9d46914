"""The adapter's store with rows that mean nothing but their keys."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from onecard_adapters.runtime.store import Store
from onecard_adapters.runtime.store_file import read_store

INSERT = "INSERT INTO tombstones (original_id, made_ms) VALUES (?, ?)"


@contextlib.asynccontextmanager
async def opened_store(path: Path) -> AsyncIterator[Store]:
    opened = Store(path)
    await opened.open()
    yield opened
    await opened.close()


def insert(store: Store, key: bytes, *, is_brief: bool = False) -> asyncio.Future[sqlite3.Cursor]:
    return store.run(lambda connection: connection.execute(INSERT, (key, 1)), is_brief=is_brief)


def insert_ahead(store: Store, key: bytes) -> asyncio.Future[sqlite3.Cursor]:
    return store.run_ahead(lambda connection: connection.execute(INSERT, (key, 1)))


def committed(store: Store) -> list[bytes]:
    with read_store(store._path) as connection:
        return keys(connection)


def keys(connection: sqlite3.Connection) -> list[bytes]:
    return [key for (key,) in connection.execute("SELECT original_id FROM tombstones ORDER BY original_id")]


@contextlib.asynccontextmanager
async def writing(store: Store, key: bytes) -> AsyncIterator[asyncio.Future[None]]:
    """A write that is under way in the store's thread until the block is left."""
    begun, go_on = threading.Event(), threading.Event()

    def write_slowly(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, (key, 1))
        begun.set()
        go_on.wait()

    written = store.run(write_slowly)
    try:
        await asyncio.to_thread(begun.wait)
        yield written
    finally:
        go_on.set()
