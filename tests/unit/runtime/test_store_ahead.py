"""What runs ahead in the adapter's store: seen at once, committed with what follows, told once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard_adapters.runtime.store import Store
from onecard_adapters.runtime.store_file import read_store
from tests.support.eventually import eventually
from tests.support.store_rows import committed, insert, insert_ahead, keys, opened_store, writing


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened_store(tmp_path / "store.sqlite") as opened:
        yield opened


async def test_what_ran_ahead_is_seen_at_once_and_committed_with_what_follows(store: Store) -> None:
    await insert_ahead(store, b"a")
    await insert_ahead(store, b"b")
    assert store.read(keys) == [b"a", b"b"]
    assert committed(store) == []
    assert store.commit_count == 0

    await insert(store, b"c", is_brief=True)
    assert committed(store) == [b"a", b"b", b"c"]
    assert store.commit_count == 1


async def test_what_ran_ahead_and_is_followed_by_nothing_is_committed_soon(store: Store) -> None:
    await insert_ahead(store, b"a")
    await eventually(lambda: committed(store) == [b"a"])

    await insert_ahead(store, b"b")
    await eventually(lambda: committed(store) == [b"a", b"b"])


async def test_what_ran_ahead_is_done_before_closing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    await store.open()
    await insert_ahead(store, b"a")
    await store.close()
    with read_store(tmp_path / "store.sqlite") as connection:
        assert keys(connection) == [b"a"]
    with pytest.raises(RuntimeError):
        await insert_ahead(store, b"b")


@pytest.mark.parametrize("is_brief", [True, False])
async def test_a_failure_of_what_follows_does_not_undo_what_ran_ahead(store: Store, is_brief: bool) -> None:
    await insert_ahead(store, b"a")
    with pytest.raises(sqlite3.IntegrityError):
        await insert(store, b"a", is_brief=is_brief)
    assert committed(store) == [b"a"]

    await insert_ahead(store, b"b")
    await insert(store, b"c", is_brief=is_brief)
    assert committed(store) == [b"a", b"b", b"c"]


async def test_a_failure_ahead_fails_alone_and_undoes_nothing_that_ran_before_it(store: Store) -> None:
    await insert_ahead(store, b"a")
    failed = insert_ahead(store, b"a")
    after = insert_ahead(store, b"b")
    with pytest.raises(sqlite3.IntegrityError):
        await failed
    await after
    assert committed(store) == [b"a", b"b"]


async def test_what_ran_ahead_in_a_transaction_that_sqlite_ended_is_run_again(store: Store) -> None:
    await insert_ahead(store, b"a")
    assert store._writing is not None
    store._writing.execute("ROLLBACK")  # As SQLite does where the disk fails it.
    assert await insert_ahead(store, b"b")
    assert committed(store) == [b"a", b"b"]

    await insert_ahead(store, b"c")
    store._writing.execute("ROLLBACK")
    await insert(store, b"d", is_brief=True)
    assert committed(store) == [b"a", b"b", b"c", b"d"]


async def test_nothing_runs_ahead_of_a_store_that_is_being_closed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    await store.open()
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await insert_ahead(store, b"a")
    await closing


async def test_behind_others_nothing_runs_ahead_of_them(store: Store) -> None:
    async with writing(store, b"a") as written:
        after = insert_ahead(store, b"a")
        await asyncio.sleep(0)
        assert not after.done()
    await written
    with pytest.raises(sqlite3.IntegrityError):
        await after


async def test_what_ran_ahead_and_cannot_be_committed_is_told_in_the_log(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_full(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    await insert_ahead(store, b"a")
    monkeypatch.setattr(store, "_end", is_full)
    with pytest.raises(sqlite3.OperationalError):
        await insert(store, b"b", is_brief=True)
    monkeypatch.undo()

    assert committed(store) == []
    assert "an abandoned operation of the store failed: OperationalError" in caplog.text
    await insert_ahead(store, b"a")
    await insert(store, b"b", is_brief=True)
    assert committed(store) == [b"a", b"b"]
