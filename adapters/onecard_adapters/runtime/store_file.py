"""The file of an adapter's store: opened by the adapter that has it, or read by a command.

One adapter has the store, which a lock file beside it shows; commands may read it meanwhile. A file of an older release
gets what it lacks when an adapter opens it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.schema import COLUMNS_SINCE, SCHEMA, SCHEMA_VERSION
from onecard_protocol.errors import OneCardError


def open_store(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection, sqlite3.Connection]:
    """The lock, the store, which is made where there is none, and the store to read from.

    Raises OneCardError: CONFIGURATION_INVALID if it cannot be opened or another adapter uses it, STORE_TOO_NEW.
    """
    with _explained(path), contextlib.ExitStack() as opened:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = opened.enter_context(contextlib.closing(_open(path.with_name(f"{path.name}.lock"))))
        # Two adapters on one store would execute everything twice. The lock dies with its process.
        lock.execute("BEGIN EXCLUSIVE")
        connection = opened.enter_context(contextlib.closing(_open(path)))
        _prepare(connection, path)
        reading = opened.enter_context(contextlib.closing(_open(path)))
        reading.execute("PRAGMA query_only=ON")
        opened.pop_all()
    return lock, connection, reading


@contextlib.contextmanager
def read_store(path: Path) -> Iterator[sqlite3.Connection]:
    """The store for a command that only reads, also while an adapter works on it.

    Raises OneCardError: CONFIGURATION_INVALID if there is no store of this release, STORE_TOO_NEW.
    """
    if not path.exists():
        raise _invalid(
            f"there is no store {path}: the adapter was never run on it / 没有该存储文件：适配器尚未在此运行过"
        )
    with _explained(path), contextlib.closing(_open(path)) as connection:
        connection.execute("PRAGMA query_only=ON")
        version = _checked_version(connection, path)
        if version != SCHEMA_VERSION:
            raise _invalid(
                f"{path} has schema {version}: run the adapter of this release on it once"
                " / 存储为旧版结构，请先用本版适配器运行一次"
            )
        yield connection


def cause_of(error: sqlite3.OperationalError) -> tuple[str, str]:
    """What is probably wrong with a store that SQLite cannot use, and what to do; in English and in Chinese."""
    what = str(error)
    if "full" in what:
        return "its disk is full: make room there", "其所在磁盘已满，请清理空间"
    if "locked" in what:
        return "another adapter runs on it: stop one of the two", "另有适配器正在使用，请停止其中之一"
    if "I/O" in what:
        return "its disk fails or is full: look after the disk", "其所在磁盘故障或已满，请检查磁盘"
    return "see whether its folder is there and writable", "请检查其目录是否存在、是否可写"


def _open(path: Path) -> sqlite3.Connection:
    # Each connection has one user at a time, which need not be the thread that opened it.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        english, chinese = cause_of(error)
        raise _invalid(
            f"the store {path} cannot be used ({error}): {english} / 适配器存储无法使用：{chinese}"
        ) from error
    except sqlite3.DatabaseError as error:
        raise _invalid(f"{path} is no adapter's store: {error} / 该文件不是适配器的存储") from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("BEGIN IMMEDIATE")
    before = _checked_version(connection, path)
    added = [statement for version, statement in sorted(COLUMNS_SINCE.items()) if 0 < before < version]
    for statement in (*added, *SCHEMA):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")
    path.chmod(0o600)


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise OneCardError(
            errors_pb2.ERROR_REASON_STORE_TOO_NEW,
            f"{path} has schema {version}, this program knows {SCHEMA_VERSION}"
            f" / 存储结构版本为 {version}，本程序支持到 {SCHEMA_VERSION}",
        )
    return version


def _invalid(detail: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail)
