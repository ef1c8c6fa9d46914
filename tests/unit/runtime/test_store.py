"""The adapter's store: group commit, isolation of failures, one owner."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime import store_file
from onecard_adapters.runtime.schema import COLUMNS_SINCE, SCHEMA, SCHEMA_VERSION
from onecard_adapters.runtime.store import Store
from onecard_adapters.runtime.store_file import read_store
from onecard_protocol import quickness
from onecard_protocol.errors import OneCardError
from tests.support.store_rows import INSERT, insert, keys, opened_store, writing


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened_store(tmp_path / "folder" / "store.sqlite") as opened:
        yield opened


async def count(store: Store) -> int:
    return int(
        (await store.run(lambda connection: connection.execute("SELECT count(*) FROM tombstones").fetchone()))[0]
    )


@pytest.mark.parametrize("writers", [10, 100])
@pytest.mark.parametrize("brief_every", [1, 3, 1000], ids=["all brief", "some brief", "none brief"])
async def test_writers_that_wait_together_share_one_commit(store: Store, writers: int, brief_every: int) -> None:
    await asyncio.gather(
        *[insert(store, bytes([index]), is_brief=index % brief_every == 0) for index in range(1, writers + 1)]
    )

    assert store.commit_count == 1
    assert await count(store) == writers


@pytest.mark.parametrize("is_brief", [True, False])
async def test_an_operation_that_fails_undoes_only_itself(store: Store, is_brief: bool) -> None:
    results = await asyncio.gather(
        *[insert(store, key, is_brief=is_brief) for key in (b"a", b"a", b"b")], return_exceptions=True
    )

    assert [type(result) for result in results] == [sqlite3.Cursor, sqlite3.IntegrityError, sqlite3.Cursor]
    assert await count(store) == 2


async def test_brief_operations_run_on_the_loop_and_others_in_the_thread(store: Store) -> None:
    def own_thread(connection: sqlite3.Connection) -> int:
        return threading.get_ident()

    assert await store.run(own_thread, is_brief=True) == threading.get_ident()
    assert await store.run(own_thread) != threading.get_ident()


@contextlib.contextmanager
def watched(store: Store, *, at_commit: Callable[[], None] = lambda: None) -> Iterator[list[bool]]:
    """Whether each commit was on the event loop."""
    loop, seen = threading.get_ident(), list[bool]()

    def watch(statement: str) -> None:
        if statement == "COMMIT":
            seen.append(threading.get_ident() == loop)
            at_commit()

    assert store._writing is not None
    store._writing.set_trace_callback(watch)
    yield seen
    store._writing.set_trace_callback(None)


async def test_a_brief_operation_is_committed_on_the_loop_until_a_commit_is_slow_and_again_after_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    took = iter([0.0, 0.01, 0.0])

    def commit_takes_its_time() -> None:
        nonlocal now
        now += next(took, 0.0)

    monkeypatch.setattr(quickness, "time", SimpleNamespace(monotonic=lambda: now))
    with watched(store, at_commit=commit_takes_its_time) as commits:
        for key in (b"quick", b"slow", b"in the thread", b"there too"):
            await insert(store, key, is_brief=True)
        now += 0.25
        await insert(store, b"quick again", is_brief=True)

    assert commits == [True, True, False, False, True]


@pytest.mark.parametrize("is_behind", [False, True])
async def test_an_interruption_around_a_commit_on_the_loop_neither_loses_nor_doubles_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_behind: bool
) -> None:
    end = store._end

    def interrupted(connection: sqlite3.Connection) -> None:
        monkeypatch.setattr(store, "_end", end)
        if is_behind:
            end(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_end", interrupted)
    written = insert(store, b"a", is_brief=True)
    with pytest.raises(KeyboardInterrupt):
        store._begin()

    await written
    assert await count(store) == 1


async def test_a_brief_operation_is_committed_when_it_returns_and_waits_for_the_commit_before_it(
    store: Store, tmp_path: Path
) -> None:
    async with writing(store, b"a") as slow:
        brief = insert(store, b"b", is_brief=True)
        await asyncio.sleep(0.01)
        assert not brief.done()
    await asyncio.gather(slow, brief)
    with read_store(tmp_path / "folder" / "store.sqlite") as reading:
        assert reading.execute("SELECT count(*) FROM tombstones").fetchone() == (2,)


async def test_a_commit_that_fails_fails_each_of_its_operations_alone(store: Store) -> None:
    """A deferred constraint shows only at the commit."""

    def break_later(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        connection.execute("PRAGMA defer_foreign_keys=ON")
        connection.execute("CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("INSERT INTO children VALUES (1)")

    await store.run(lambda connection: None)  # Nothing is under way: what follows shares one transaction.
    assert store._writing is not None
    store._writing.execute("PRAGMA foreign_keys=ON")
    results = await asyncio.gather(
        store.run(break_later, is_brief=True), insert(store, b"a", is_brief=True), return_exceptions=True
    )

    assert [type(result) for result in results] == [sqlite3.IntegrityError, sqlite3.Cursor]
    assert await count(store) == 1


async def test_an_operation_sees_what_those_before_it_wrote(store: Store) -> None:
    writing, reading = insert(store, b"a"), count(store)
    await writing
    assert await reading == 1


async def test_a_question_is_answered_at_once_with_what_is_committed_whatever_the_writer_does(store: Store) -> None:
    await insert(store, b"a")
    assert store.read(keys) == [b"a"]
    async with writing(store, b"b") as written:
        assert store.read(keys) == [b"a"]
    await written
    assert store.read(keys) == [b"a", b"b"]


async def test_a_question_that_writes_is_an_error(store: Store) -> None:
    def write(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, (b"a", 1))

    with pytest.raises(RuntimeError, match="a question wrote"):
        store.read(write)
    async with writing(store, b"b"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store.read(write)


async def test_a_look_comes_after_what_was_asked_for_before_it(store: Store) -> None:
    async with writing(store, b"a"):
        inserted = insert(store, b"b", is_brief=True)
        looking = asyncio.ensure_future(store.look(keys))
        await asyncio.sleep(0)
    assert await looking == [b"a", b"b"]
    assert inserted.done()
    assert await store.look(keys) == [b"a", b"b"]


async def test_a_closed_store_answers_no_question(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    with pytest.raises(RuntimeError):
        store.read(lambda connection: connection.total_changes)
    await store.open()
    await store.close()
    with pytest.raises(RuntimeError):
        store.read(lambda connection: connection.total_changes)


async def test_what_was_awaited_is_in_the_file_for_another_process_after_closing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    await store.open()
    await insert(store, b"a")
    await store.close()
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM tombstones").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("is_quick", [True, False])
@pytest.mark.parametrize("is_brief", [True, False])
async def test_what_was_asked_for_before_closing_is_done(tmp_path: Path, is_brief: bool, is_quick: bool) -> None:
    store = Store(tmp_path / "store.sqlite")
    await store.open()
    store._quickness._slow_until = float("-inf") if is_quick else float("inf")
    asked = insert(store, b"a", is_brief=is_brief)
    await asyncio.sleep(0)
    later = insert(store, b"b", is_brief=is_brief)  # Unless it was quick, the commit of the first is under way.
    await store.close()
    await asyncio.gather(asked, later)


async def test_a_second_adapter_cannot_use_the_store(store: Store, tmp_path: Path) -> None:
    with pytest.raises(OneCardError) as refused:
        await Store(tmp_path / "folder" / "store.sqlite").open()

    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert "another adapter" in refused.value.detail


@pytest.mark.parametrize(
    ("failure", "english", "chinese"),
    [
        ("database or disk is full", "its disk is full", "磁盘已满"),
        ("disk I/O error", "its disk fails or is full", "磁盘故障或已满"),
        ("attempt to write a readonly database", "its folder is there and writable", "目录是否存在"),
    ],
)
async def test_a_store_that_cannot_be_opened_names_what_is_wrong_and_no_adapter_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, english: str, chinese: str
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError(failure)

    monkeypatch.setattr(store_file, "_prepare", fail)
    with pytest.raises(OneCardError) as refused:
        await Store(tmp_path / "store.sqlite").open()

    told = refused.value.detail
    assert (failure in told, english in told, chinese in told, "another adapter" in told) == (True, True, True, False)


async def test_a_command_reads_what_is_committed_while_the_adapter_goes_on_and_writes_nothing(
    store: Store, tmp_path: Path
) -> None:
    await insert(store, b"a")
    with read_store(tmp_path / "folder" / "store.sqlite") as reading:
        for key in (b"b", b"c"):
            await insert(store, key)
            assert reading.execute("SELECT max(original_id) FROM tombstones").fetchone() == (key,)
    with pytest.raises(OneCardError, match="readonly"), read_store(tmp_path / "folder" / "store.sqlite") as writing:
        writing.execute(INSERT, (b"d", 1))
    assert await count(store) == 3


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (SCHEMA_VERSION + 1, errors_pb2.ERROR_REASON_STORE_TOO_NEW),
        (SCHEMA_VERSION - 1, errors_pb2.ERROR_REASON_CONFIGURATION_INVALID),
    ],
)
def test_a_command_reads_only_a_store_of_its_own_release(tmp_path: Path, version: int, reason: int) -> None:
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    with pytest.raises(OneCardError) as refused, read_store(tmp_path / "store.sqlite"):
        pytest.fail("it was read")
    assert refused.value.reason == reason


async def test_a_store_that_was_closed_can_be_opened_again(store: Store, tmp_path: Path) -> None:
    await store.close()
    again = Store(tmp_path / "folder" / "store.sqlite")
    await again.open()
    await again.close()


async def test_a_store_of_an_older_release_gets_the_columns_that_came_later(store: Store, tmp_path: Path) -> None:
    """Every version that added one: the store is put back to what it was, and opened again."""
    await insert(store, b"kept")
    await store.close()
    path = tmp_path / "folder" / "store.sqlite"
    for version, statement in sorted(COLUMNS_SINCE.items(), reverse=True):
        table, column = re.findall(r"TABLE (\w+) ADD COLUMN (\w+)", statement)[0]
        with contextlib.closing(sqlite3.connect(path)) as before:
            before.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            before.execute(f"PRAGMA user_version={version - 1}")
    again = Store(path)
    await again.open()
    assert await count(again) == 1
    await again.close()
    with contextlib.closing(sqlite3.connect(path)) as after, contextlib.closing(sqlite3.connect(":memory:")) as new:
        for statement in SCHEMA:
            new.execute(statement)
        shapes = "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY 1, 2"
        assert after.execute(shapes).fetchall() == new.execute(shapes).fetchall()
        assert after.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


async def test_a_store_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(OneCardError) as refused:
        await Store(tmp_path / "store.sqlite").open()

    assert refused.value.reason == errors_pb2.ERROR_REASON_STORE_TOO_NEW


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"not a database, and long enough to be none" * 100)
    with pytest.raises(OneCardError) as refused:
        await Store(tmp_path / "store.sqlite").open()

    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID


async def test_the_store_survives_power_loss_by_its_settings(store: Store) -> None:
    def pragmas(connection: sqlite3.Connection) -> tuple[str, int]:
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return journal, connection.execute("PRAGMA synchronous").fetchone()[0]

    assert await store.run(pragmas) == ("wal", 2)


async def test_only_the_owner_may_read_the_file(store: Store, tmp_path: Path) -> None:
    await insert(store, b"a")
    assert (tmp_path / "folder" / "store.sqlite").stat().st_mode & 0o077 == 0


async def test_a_store_whose_closing_is_cancelled_is_closed_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path)
    await store.open()
    async with writing(store, b"a") as written:
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    await written

    async with asyncio.timeout(10):
        while True:
            again = Store(path)
            try:
                await again.open()
            except OneCardError:
                await asyncio.sleep(0.01)
                continue
            break
    assert await count(again) == 1
    await again.close()


async def test_an_error_that_no_future_takes_is_told_and_stops_nobody(store: Store) -> None:
    failed = store.run(lambda connection: next(iter(())), is_brief=True)
    await asyncio.sleep(0)
    later = insert(store, b"a", is_brief=True)
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await failed
        await later
