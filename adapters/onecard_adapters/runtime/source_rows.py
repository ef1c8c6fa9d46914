"""How far a local system's tables were read, and which of their rows could not be taken.

Functions of a connection, to be run by `Store`. A row is known by its feed and the local system's own row number, which
is no personal data; why it was not taken names columns and code tables, never values that could be a person's.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

DEAD_ROWS_MAX: Final = 10_000
"""More rows than these cannot be a matter of rows: reading stops until the mapping is mended."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeadRow:
    """A row that could not be taken."""

    key: int
    reason: int
    """ErrorReason."""
    detail: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that could not be taken, as it is listed for a person."""

    source: str
    row: DeadRow
    first_ms: int
    last_ms: int
    """When its reason was last another one; at first `first_ms`."""


def position(connection: sqlite3.Connection, feed: str) -> str | None:
    """The newest update time up to which everything was taken, as it was written; None before the first reading."""
    row = connection.execute("SELECT position FROM source_positions WHERE feed = ?", (feed,)).fetchone()
    return None if row is None else str(row[0])


def advance(connection: sqlite3.Connection, feed: str, to: str) -> None:
    """Everything up to this update time was taken."""
    connection.execute(
        "INSERT INTO source_positions (feed, position) VALUES (?, ?)"
        " ON CONFLICT (feed) DO UPDATE SET position = excluded.position",
        (feed, to),
    )


def dead_rows(connection: sqlite3.Connection, source: str) -> list[DeadRow]:
    """The rows of a source that could not be taken, by their numbers."""
    rows = connection.execute(
        "SELECT key, reason, detail FROM dead_source_rows WHERE source = ? ORDER BY key", (source,)
    ).fetchall()
    return [DeadRow(key=row[0], reason=row[1], detail=row[2]) for row in rows]


def refused_rows(connection: sqlite3.Connection) -> list[RefusedRow]:
    """The rows of all sources that could not be taken, the oldest first."""
    rows = connection.execute(
        "SELECT source, key, reason, detail, first_ms, last_ms FROM dead_source_rows ORDER BY first_ms, source, key"
    )
    return [
        RefusedRow(
            source=source, row=DeadRow(key=key, reason=reason, detail=detail), first_ms=first_ms, last_ms=last_ms
        )
        for source, key, reason, detail, first_ms, last_ms in rows
    ]


def change_dead_rows(
    connection: sqlite3.Connection, source: str, now_ms: int, *, dead: Mapping[int, DeadRow], taken: Iterable[int]
) -> None:
    """Keep rows that could not be taken, and let go of those that were taken since."""
    connection.executemany(
        "INSERT INTO dead_source_rows (source, key, reason, detail, first_ms, last_ms) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (source, key) DO UPDATE SET reason = excluded.reason, detail = excluded.detail,"
        " last_ms = excluded.last_ms",
        [(source, row.key, row.reason, row.detail, now_ms, now_ms) for row in dead.values()],
    )
    connection.executemany(
        "DELETE FROM dead_source_rows WHERE source = ? AND key = ?", [(source, key) for key in taken]
    )
