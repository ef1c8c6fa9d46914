"""What this participant knows of cards: states and versions of both machines, its own cards' and those it follows.

Owns the table and the order of versions in it, and knows neither messages nor local systems. It is what the hub
compares with its registry, so it is written in the transaction of the event that it comes from. Card numbers are
sealed, keys hidden (`sealing`).
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard_adapters.cards.port import Change
from onecard_adapters.runtime.sealing import Sealer
from onecard_protocol.card_digests import KEY_BYTES, data_digest, key_bounds, key_of, leaf_digest

RANGE_BITS: Final = 20
PAGE_COUNT_MAX: Final = 1_500
"""Cards of one answer: some 60 bytes each, below what a message may hold."""

_HIDDEN_BYTES: Final = 16
_REFERENCE: Final = b"cards.reference"
_NO_DATA: Final = data_digest(values_pb2.CardData())
_COLUMNS: Final = (
    "range, hidden_key, social_state, social_version, financial_state, financial_version, data_digest, bank, reference"
)
_SOCIAL: Final = (
    "social_state = excluded.social_state, social_version = excluded.social_version"
    " WHERE is_issued OR excluded.social_version > social_version"
)
# Another bank counts its versions from 1: nothing is known of the account until it tells.
_SOCIAL_WITH_DATA: Final = (
    "data_digest = excluded.data_digest, bank = excluded.bank,"
    " financial_state = iif(bank = excluded.bank, financial_state, 0),"
    f" financial_version = iif(bank = excluded.bank, financial_version, 0), {_SOCIAL}"
)
_FINANCIAL: Final = (
    "financial_state = excluded.financial_state, financial_version = excluded.financial_version"
    " WHERE excluded.financial_version > financial_version"
)
_ALL: Final = (
    "social_state = excluded.social_state, social_version = excluded.social_version,"
    " financial_state = excluded.financial_state, financial_version = excluded.financial_version,"
    " data_digest = excluded.data_digest, bank = excluded.bank"
)
_WHERE_KEY: Final = "is_issued = ? AND range = ? AND hidden_key = ?"

Row = tuple[int, bytes, int, int, int, int, bytes, str, bytes]
_Values = tuple[int, int, int, int, bytes, str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where a card stands in the table."""

    is_issued: bool
    range: int
    hidden_key: bytes

    @property
    def values(self) -> tuple[bool, int, bytes]:
        """Of the primary key's columns."""
        return self.is_issued, self.range, self.hidden_key


class CardCopies:
    """The table. Functions that take a connection run in the store's thread, in the transaction of their caller."""

    def __init__(self, sealer: Sealer, participant: str) -> None:
        """`participant` is whose cards are its own."""
        self._sealer = sealer
        self._participant = participant
        self._touched: dict[bool, set[int]] = {True: set(), False: set()}

    def is_own(self, card: values_pb2.CardReference) -> bool:
        """Whether the participant issued the card."""
        return card.issuer == self._participant

    def take(self, connection: sqlite3.Connection, change: Change) -> bool:
        """Take a change of one machine; False where the table has that version or a newer one.

        Of the social application of an own card any version counts: the version book decided before.
        """
        place = self._place(change.card)
        values: _Values
        if isinstance(change, change_pb2.ReportSocialChangeRequest):
            values = (change.state, change.version, 0, 0, data_digest(change.data), change.data.bank)
            update = _SOCIAL_WITH_DATA if change.HasField("data") else _SOCIAL
        else:
            values = (0, 0, change.state, change.version, _NO_DATA, "")
            update = _FINANCIAL
        return self._write(connection, place, change.card, values, update)

    def put(self, connection: sqlite3.Connection, card: comparison_pb2.CopiedCard, bank: str) -> bool:
        """Make a card what it is said to be, whatever stands there."""
        values = (
            card.social_state,
            card.social_version,
            card.financial_state,
            card.financial_version,
            card.data_digest,
            bank,
        )
        return self._write(connection, self._place(card.card), card.card, values, _ALL)

    def find(
        self, connection: sqlite3.Connection, reference: values_pb2.CardReference
    ) -> comparison_pb2.CopiedCard | None:
        """What is known of a card."""
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM card_copies WHERE {_WHERE_KEY}", self._place(reference).values
        ).fetchone()
        return None if row is None else self._card(row)

    def forget(self, connection: sqlite3.Connection, reference: values_pb2.CardReference) -> bool:
        """Know nothing more of a card; False if nothing was known."""
        place = self._place(reference)
        self._touched[place.is_issued].add(place.range)
        return connection.execute(f"DELETE FROM card_copies WHERE {_WHERE_KEY}", place.values).rowcount > 0

    def take_touched(self, touched: set[int], *, is_issued: bool) -> None:
        """Add the ranges of 20 bits that were written since the last time to a set; in the store's thread.

        Run again after it was undone, it takes nothing and the set has them already.
        """
        touched |= self._touched[is_issued]
        self._touched[is_issued] = set()

    def touched_count(self, *, is_issued: bool) -> int:
        """How many ranges `take_touched` would add."""
        return len(self._touched[is_issued])

    def count(self, connection: sqlite3.Connection, *, is_issued: bool) -> int:
        """Number of cards."""
        row = connection.execute("SELECT count(*) FROM card_copies WHERE is_issued = ?", (is_issued,)).fetchone()
        return int(row[0])

    def rows(self, connection: sqlite3.Connection, first: int, end: int, *, is_issued: bool) -> list[Row]:
        """The rows of the ranges from `first` to before `end`, by range."""
        return connection.execute(
            f"SELECT {_COLUMNS} FROM card_copies WHERE is_issued = ? AND range >= ? AND range < ? ORDER BY range",
            (is_issued, first, end),
        ).fetchall()

    def leaves(self, rows: Sequence[Row]) -> list[tuple[bytes, bytes]]:
        """(key, leaf digest) of rows, by key."""
        keys = self._keys(rows)
        return sorted((key, leaf_digest(key, *row[2:7])) for key, row in zip(keys, rows, strict=True))

    def page(
        self, connection: sqlite3.Connection, prefixes: Iterable[str], after_key: bytes, *, is_issued: bool
    ) -> tuple[list[comparison_pb2.CopiedCard], bool]:
        """The first cards of ranges behind a key, by key, and whether there are more."""
        rows: list[Row] = []
        for prefix in sorted(prefixes):
            first, last = (_range_of(key) for key in key_bounds(prefix))
            rows += connection.execute(
                f"SELECT {_COLUMNS} FROM card_copies WHERE is_issued = ? AND range BETWEEN ? AND ?"
                " ORDER BY range LIMIT ?",
                (is_issued, max(first, _range_of(after_key)), last, PAGE_COUNT_MAX + 2 - len(rows)),
            )
            if len(rows) > PAGE_COUNT_MAX:
                break
        is_cut_off = len(rows) > PAGE_COUNT_MAX
        if is_cut_off:
            # Of the last range not all cards were read, and which are missing is no matter of their keys' order.
            rows = [row for row in rows if row[0] != rows[-1][0]]
        keyed = sorted(zip(self._keys(rows), rows, strict=True), key=lambda pair: pair[0])
        return [self._card(row) for key, row in keyed if key > after_key], is_cut_off

    def _write(
        self,
        connection: sqlite3.Connection,
        place: _Place,
        reference: values_pb2.CardReference,
        values: _Values,
        update: str,
    ) -> bool:
        self._touched[place.is_issued].add(place.range)
        sealed = self._sealer.seal(_REFERENCE, reference.SerializeToString())
        return (
            connection.execute(
                f"INSERT INTO card_copies (is_issued, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                f" ON CONFLICT (is_issued, range, hidden_key) DO UPDATE SET {update}",
                (*place.values, *values, sealed),
            ).rowcount
            > 0
        )

    def _place(self, card: values_pb2.CardReference) -> _Place:
        key = key_of(card.issuer, card.number, card.sequence, _HIDDEN_BYTES)
        return _Place(self.is_own(card), _range_of(key), self._sealer.hide(key))

    def _keys(self, rows: Sequence[Row]) -> list[bytes]:
        keys = self._sealer.reveal(b"".join([row[1] for row in rows]))
        return [keys[start : start + KEY_BYTES] for start in range(0, len(keys), _HIDDEN_BYTES)]

    def _card(self, row: Row) -> comparison_pb2.CopiedCard:
        return comparison_pb2.CopiedCard(
            card=values_pb2.CardReference.FromString(self._sealer.open(_REFERENCE, row[8])),
            social_state=row[2],  # type: ignore[arg-type] # the table's integers are the enum's
            social_version=row[3],
            financial_state=row[4],  # type: ignore[arg-type]
            financial_version=row[5],
            data_digest=row[6],
        )


def _range_of(key: bytes) -> int:
    return int.from_bytes(key[:4].ljust(4, b"\0"), "big") >> (32 - RANGE_BITS)
