"""The version book: which version of each (card, machine) was told last, and with what content.

Functions of a connection, to be run by `Store`. Cards stand under HMAC keys, events are sealed: no number of a person
or card is in the file.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from typing import Final

from onecard.card.v1 import values_pb2
from onecard_adapters.runtime.sealing import Sealer

_EVENT: Final = b"cards.event"
_PAGE_COUNT: Final = 1_000
_IS_TOLD: Final = "is_told AND event IS NOT NULL"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BookEntry:
    """The newest version of one machine of a card."""

    version: int
    state: int
    digest: bytes
    """Keyed digest of the content."""


def book_key(sealer: Sealer, card: values_pb2.CardReference, machine: int) -> bytes:
    """The key of (card, machine); a sequence that is not stated is the first."""
    return sealer.lookup("card", str(machine), card.issuer, card.number, str(card.sequence or 1))


def content_digest(sealer: Sealer, content: bytes) -> bytes:
    """By which equal contents show; keyed, because a person's data can be guessed."""
    return sealer.lookup("card content", content.hex())


def find(connection: sqlite3.Connection, key: bytes) -> BookEntry | None:
    """The entry of a key; None if nothing was told."""
    row = connection.execute("SELECT version, state, digest FROM card_book WHERE key = ?", (key,)).fetchone()
    return None if row is None else BookEntry(version=row[0], state=row[1], digest=row[2])


def find_event(connection: sqlite3.Connection, sealer: Sealer, key: bytes) -> bytes | None:
    """The event that told the newest version, serialised; None if the version was taken over from the registry."""
    return _find_event(connection, sealer, f"SELECT event FROM card_book WHERE key = ? AND {_IS_TOLD}", key)


def find_last(connection: sqlite3.Connection, sealer: Sealer, key: bytes) -> bytes | None:
    """The newest version as the event that told it, or as it was taken over; None where neither is known."""
    return _find_event(connection, sealer, "SELECT event FROM card_book WHERE key = ? AND event IS NOT NULL", key)


def _find_event(connection: sqlite3.Connection, sealer: Sealer, statement: str, key: bytes) -> bytes | None:
    row = connection.execute(statement, (key,)).fetchone()
    return None if row is None else sealer.open(_EVENT, row[0])


def event_count(connection: sqlite3.Connection) -> int:
    """How many versions the book has with the event that told them."""
    return int(connection.execute(f"SELECT count(*) FROM card_book WHERE {_IS_TOLD}").fetchone()[0])


def registry_count(connection: sqlite3.Connection) -> int:
    """How many versions were taken over from the registry."""
    return int(connection.execute(f"SELECT count(*) FROM card_book WHERE NOT ({_IS_TOLD})").fetchone()[0])


def events(connection: sqlite3.Connection, sealer: Sealer) -> Iterator[bytes]:
    """Every event that told a version, by short readings: what is written meanwhile may be among them or not."""
    after = b""
    while rows := connection.execute(
        f"SELECT key, CASE WHEN {_IS_TOLD} THEN event END FROM card_book WHERE key > ? ORDER BY key LIMIT ?",
        (after, _PAGE_COUNT),
    ).fetchall():
        yield from (sealer.open(_EVENT, event) for _, event in rows if event is not None)
        after = rows[-1][0]


def put(
    connection: sqlite3.Connection, sealer: Sealer, key: bytes, entry: BookEntry, event: bytes, *, is_told: bool
) -> None:
    """Write or replace an entry with the event that tells it, or would have told it had the registry not known it."""
    connection.execute(
        "INSERT INTO card_book (key, version, state, digest, event, is_told) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET version = excluded.version, state = excluded.state,"
        " digest = excluded.digest, event = excluded.event, is_told = excluded.is_told",
        (key, entry.version, entry.state, entry.digest, sealer.seal(_EVENT, event), is_told),
    )


def remove(connection: sqlite3.Connection, key: bytes) -> None:
    """Know nothing more of a key."""
    connection.execute("DELETE FROM card_book WHERE key = ?", (key,))
