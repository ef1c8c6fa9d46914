"""The schema's migrations (yoyo), and the guard that keeps an old program off a newer schema.

A change expands first and contracts one release later; the migration that contracts begins with `CONTRACTS` and raises
``schema_use.oldest_program`` to the first program generation that no longer needs what it drops.
"""

from __future__ import annotations

import importlib.resources
import logging
from typing import Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

log = logging.getLogger(__name__)

PROGRAM_GENERATION: Final = 1
"""Raised by one in each release that changes what the program needs of the schema."""

CONTRACTS: Final = "-- contracts:"
"""How a migration begins that takes away what an older program needs; any other may only add."""

_DAY_MS: Final = 24 * 3_600_000


def migrate(dsn: str) -> list[str]:
    """Apply the migrations that are missing, under yoyo's lock; returns their names.

    Raises OneCardError STORE_TOO_NEW when the schema no longer serves this program.
    """
    from yoyo import get_backend, read_migrations  # Here, for most who look at the schema only check it.

    with importlib.resources.as_file(importlib.resources.files("onecard_broker.records") / "migrations") as directory:
        migrations = read_migrations(str(directory))
        with get_backend(_yoyo_uri(dsn)) as backend:
            _refuse_newer(dsn)
            with backend.lock(timeout=30):
                missing = backend.to_apply(migrations)
                names = [migration.id for migration in missing]
                backend.apply_migrations(missing)
    check(dsn)
    return names


def check(dsn: str) -> None:
    """Raise OneCardError unless the schema is there and this program may use it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('schema_use')").fetchone() == (None,):
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                "the database has no schema of the exchange; run `onecard hub migrate`"
                " / 数据库中没有交换平台的表，请先执行 `onecard hub migrate`",
            )
    _refuse_newer(dsn)


def _refuse_newer(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('schema_use')").fetchone() == (None,):
            return
        row = connection.execute("SELECT oldest_program FROM schema_use").fetchone()
    if row is not None and row[0] > PROGRAM_GENERATION:
        raise OneCardError(
            errors_pb2.ERROR_REASON_STORE_TOO_NEW,
            f"the schema needs program generation {row[0]} or newer, this one is {PROGRAM_GENERATION}"
            f" / 数据库结构需要第 {row[0]} 代或更新的程序，本程序为第 {PROGRAM_GENERATION} 代",
        )


def ensure_days(dsn: str, now_ms: int) -> None:
    """Create the day partitions for yesterday to the day after tomorrow, and drop the days that rules 2 and 8 end.

    What is dropped is gone: days end by the earlier of our clock and the database's, and none while these are more than
    `limits.DROPPING_CLOCK_SKEW_MS_MAX` apart, which is logged.
    """
    today = now_ms // _DAY_MS
    with psycopg.connect(dsn, autocommit=True) as connection:
        ((database_ms,),) = connection.execute("SELECT floor(extract(epoch FROM now()) * 1000)::bigint").fetchall()
        may_drop = abs(now_ms - database_ms) <= limits.DROPPING_CLOCK_SKEW_MS_MAX
        connection.execute("SELECT pg_advisory_lock(hashtext('onecard.ensure_days'))")
        for table, kept_ms in (("known_messages", limits.MESSAGE_AGE_MS_MAX), ("outputs", limits.OUTPUT_KEPT_MS)):
            for day in range(today - 1, today + 3):
                _ensure_day(connection, table, day)
            oldest = (min(now_ms, database_ms) - kept_ms) // _DAY_MS - 1
            for (name,) in connection.execute(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = %s::regclass AND c.relname ~ '_d[0-9]+$'",
                (table,),
            ).fetchall():
                if may_drop and int(name.rpartition("_d")[2]) < oldest:
                    connection.execute(f"DROP TABLE {name}")
        connection.execute("SELECT pg_advisory_unlock(hashtext('onecard.ensure_days'))")
    if not may_drop:
        log.error(
            "no day tables are dropped: this machine's clock is %+d s off the database's, and by a wrong one what is"
            " still needed would be lost; set the wrong one right, and dropping goes on within an hour",
            (now_ms - database_ms) // 1000,
        )


def _ensure_day(connection: psycopg.Connection, table: str, day: int) -> None:
    """Create a day's partition; what came before there was one lies in the default partition and moves over."""
    if connection.execute("SELECT to_regclass(%s)", (f"{table}_d{day}",)).fetchone() != (None,):
        return
    with connection.transaction():
        connection.execute(f"LOCK TABLE {table}_rest IN ACCESS EXCLUSIVE MODE")
        connection.execute(
            f"CREATE TEMPORARY TABLE early ON COMMIT DROP AS SELECT * FROM {table}_rest WHERE day = {day}"
        )
        connection.execute(f"DELETE FROM {table}_rest WHERE day = {day}")
        connection.execute(f"CREATE TABLE {table}_d{day} PARTITION OF {table} FOR VALUES FROM ({day}) TO ({day + 1})")
        connection.execute(f"INSERT INTO {table} SELECT * FROM early")


def day_of(time_ms: int) -> int:
    """Days since 1970 (UTC) of a time in ms: the key of the tables that are dropped by day."""
    return time_ms // _DAY_MS


def _yoyo_uri(dsn: str) -> str:
    """The DSN as the URI that yoyo takes: the database in the path, all else as arguments that reach psycopg."""
    parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    database = parts.pop("dbname", "")
    return f"postgresql+psycopg:///{quote(database)}?{urlencode(parts)}"
