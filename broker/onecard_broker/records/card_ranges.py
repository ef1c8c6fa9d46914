"""The registry's cards in the order of their keys: those that a province issued, and those that it follows.

Owns which cards a province's copy should hold (`CardSelection`) and the statements that find them; knows nothing of
digests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from onecard.card.v1 import comparison_pb2
from onecard_broker.domain.card_state import Card, Cardholder, CardKey, holder_key
from onecard_broker.records.card_columns import participant_code, participant_name
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.identifiers import PROVINCES

KEY_SPACE: Final = 1 << 16
"""Keys are read by their first two bytes."""

_COLUMNS: Final = (
    "c.key_hash, c.social_state, c.social_version, c.financial_state, c.financial_version, c.data_digest, c.partition,"
    " c.holder, c.issuer, c.number, c.sequence"
)
_SAMPLED: Final = KEY_SPACE // 256
_SAMPLED_COUNT_MIN: Final = 64

_ISSUED: Final = "c.issuer = %(own)s"
# Named, so that a range of keys is looked up under each in `cards_key`: "another than" gives an index nothing to find,
# and releases of PostgreSQL before 18 would read the whole registry for each range.
_ISSUED_ELSEWHERE: Final = "c.issuer = ANY(%(others)s)"
_LIVING_ELSEWHERE: Final = (
    "c.issuer <> %(own)s AND left(c.residence_area, 2) = ANY(%(areas)s) AND left(c.residence_area, 2) <> c.issuer::text"
)
_LIVING_AT_HOME: Final = "c.issuer = ANY(%(issuers)s) AND left(c.residence_area, 2) = c.issuer::text"
_FOLLOWED: Final = (
    "c.issuer <> %(own)s AND (c.partition, c.holder) IN"
    " (SELECT h.partition, h.holder FROM cardholders h WHERE h.followers @> ARRAY[%(own)s::smallint])"
)

LeafRow = tuple[bytes, int, int, int, int, bytes]
"""(key, social state and version, financial state and version, data digest)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CardSelection:
    """Conditions on cards `c`, whose union is a province's part of the registry.

    Each is served by an index, within a range of keys: by issuer (`cards_key`) those of issuers, by place
    (`cards_elsewhere`) that of residents, by followers (`cardholders_followers`) that of persons followed.
    """

    conditions: Sequence[str]
    parameters: dict[str, Any]


def select_cards(
    participant: str,
    scope: comparison_pb2.ComparisonScope,
    *,
    has_everything: bool = False,
    residents_of: Sequence[str] = (),
) -> CardSelection:
    """The cards that a province's copy should hold: issued by it, or issued elsewhere and told to it.

    Those are told to it whose holder lives there or is followed by it, and what its feed brings beyond that.
    """
    code = participant_code(participant)
    if scope == comparison_pb2.COMPARISON_SCOPE_ISSUED:
        return CardSelection(conditions=(_ISSUED,), parameters={"own": code})
    if has_everything:
        others = [participant_code(province) for province in sorted(PROVINCES - {participant})]
        return CardSelection(conditions=(_ISSUED_ELSEWHERE,), parameters={"others": others})
    places = sorted({participant, *residents_of})
    conditions = [_LIVING_ELSEWHERE, _FOLLOWED]
    if residents_of:
        conditions.append(_LIVING_AT_HOME)
    return CardSelection(
        conditions=conditions,
        parameters={
            "own": code,
            "areas": [place.rpartition("-")[2] for place in places],
            "issuers": [participant_code(place) for place in residents_of if place != participant],
        },
    )


class CardRanges:
    """Reads a selection. Raises psycopg.Error."""

    def __init__(self, database: LiveConnection, selection: CardSelection) -> None:
        self._database = database
        self._selection = selection
        self._registry = CardRegistry()

    async def count(self) -> int:
        """How many cards, about: a 256th of them is counted, or all where that is few."""
        sampled = await self._count(_SAMPLED)
        return sampled * 256 if sampled >= _SAMPLED_COUNT_MIN else await self._count(KEY_SPACE)

    async def leaves(self, first: int, end: int) -> list[LeafRow]:
        """The cards whose keys' first two bytes are within, by key."""
        rows = await self._rows(*_bounds(first, end))
        return [row[:6] for row in rows]

    async def cards(self, bounds: Sequence[tuple[bytes, bytes]]) -> list[tuple[Cardholder, Card]]:
        """The cards between bounds of keys, both included, with their holders."""
        rows: list[tuple[Any, ...]] = []
        for first, last in bounds:
            rows += await self._rows(first, last)
        if not rows:
            return []
        connection = await self._database.get()
        cursor = await connection.execute(
            "SELECT DISTINCT h.partition, encode(uuid_send(h.holder) || h.subject_rest, 'hex') FROM cardholders h"
            " JOIN unnest(%s::int[], %s::uuid[]) AS w(partition, holder) USING (partition, holder)",
            ([row[6] for row in rows], [row[7] for row in rows]),
        )
        keys = [(partition, holder_key(subject)) for partition, subject in await cursor.fetchall()]
        wanted: set[CardKey] = {(participant_name(row[8]), row[9], row[10]) for row in rows}
        holders = await self._registry.load(connection, keys, has_replacements=False)
        return [(holder, card) for holder in holders.values() for card in holder.cards if card.key in wanted]

    async def _count(self, end: int) -> int:
        statement = self._united("c.partition, c.holder, c.key_hash")
        first, last = _bounds(0, end)
        cursor = await (await self._database.get()).execute(
            f"SELECT count(*) FROM ({statement}) AS c", {**self._selection.parameters, "first": first, "last": last}
        )
        row = await cursor.fetchone()
        return 0 if row is None else int(row[0])

    async def _rows(self, first: bytes, last: bytes) -> list[tuple[Any, ...]]:
        cursor = await (await self._database.get()).execute(
            f"{self._united(_COLUMNS)} ORDER BY key_hash",
            {**self._selection.parameters, "first": first, "last": last},
            binary=True,
        )
        return await cursor.fetchall()

    def _united(self, columns: str) -> str:
        return " UNION ".join(
            f"SELECT {columns} FROM cards c WHERE {condition} AND c.key_hash BETWEEN %(first)s AND %(last)s"
            for condition in self._selection.conditions
        )


def _bounds(first: int, end: int) -> tuple[bytes, bytes]:
    """The first and the last key whose first two bytes are from `first` to before `end`."""
    return first.to_bytes(2, "big") + bytes(6), (end - 1).to_bytes(2, "big") + b"\xff" * 6
