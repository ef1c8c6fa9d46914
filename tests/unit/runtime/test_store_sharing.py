"""Operations that can wait a little share the commit of others."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard_adapters.runtime.store import OPERATIONS_PER_COMMIT_MAX, Store
from tests.support.store_rows import INSERT, insert, insert_ahead, opened_store

LONG_S = 60.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened_store(tmp_path / "adapter.sqlite") as opened:
        yield opened


def insert_within(store: Store, key: bytes, seconds: float) -> asyncio.Future[sqlite3.Cursor]:
    return store.run(lambda connection: connection.execute(INSERT, (key, 1)), is_brief=True, within_s=seconds)


async def test_what_can_wait_is_committed_with_what_cannot(store: Store) -> None:
    before = store.commit_count
    waiting = [insert_within(store, b"%d" % number, LONG_S) for number in range(3)]
    await asyncio.sleep(0.05)
    assert not any(one.done() for one in waiting)
    assert store.commit_count == before

    await asyncio.gather(insert(store, b"urgent", is_brief=True), *waiting)

    assert store.commit_count == before + 1


async def test_what_nobody_joins_is_committed_in_its_time_and_the_most_urgent_decides(store: Store) -> None:
    before = store.commit_count
    first = insert_within(store, b"first", LONG_S)
    second = insert_within(store, b"second", 0.05)
    third = insert_within(store, b"third", LONG_S)
    await asyncio.sleep(0)
    assert not second.done()

    await asyncio.gather(first, second, third)

    assert store.commit_count == before + 1


async def test_what_is_asked_for_during_a_commit_waits_its_own_time(store: Store) -> None:
    slow = store.run(lambda connection: time.sleep(0.05))
    await asyncio.sleep(0.02)
    patient = insert_within(store, b"patient", LONG_S)
    await slow
    await asyncio.sleep(0.05)
    assert not patient.done()

    await asyncio.gather(insert_within(store, b"soon", 0.01), patient)


async def test_what_runs_ahead_is_committed_with_it(store: Store) -> None:
    before = store.commit_count
    await insert_ahead(store, b"ahead")
    await insert_within(store, b"within", 0.001)

    assert store.commit_count == before + 1


async def test_what_is_left_of_too_many_follows_at_once(store: Store) -> None:
    keys = range(OPERATIONS_PER_COMMIT_MAX + 10)

    await asyncio.gather(*[insert_within(store, b"%d" % key, 0.01) for key in keys])

    assert store.read(lambda connection: connection.execute("SELECT count(*) FROM tombstones").fetchone()) == (
        len(keys),
    )


async def test_closing_waits_for_nobody_to_join(tmp_path: Path) -> None:
    async with opened_store(tmp_path / "adapter.sqlite") as store:
        waiting = insert_within(store, b"key", LONG_S)
    assert waiting.done()
    async with opened_store(tmp_path / "adapter.sqlite") as store:
        assert store.read(lambda connection: connection.execute("SELECT count(*) FROM tombstones").fetchone()) == (1,)
