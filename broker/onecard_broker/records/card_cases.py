"""Differences of cards that a person must decide, as rows; a case goes when a comparison finds it no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onecard_broker.records.pool import Connection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CardCase:
    """One card of which the registry and a province's copy say different things."""

    participant: str
    scope: int
    """A ComparisonScope."""
    issuer: str
    number: str = dataclasses.field(repr=False)
    sequence: int
    kind: str
    """A DifferenceKind."""
    here: str
    """States and versions in the registry; empty if the card is missing there."""
    there: str
    found_ms: int
    """When it was first found so, in ms since 1970."""


async def put_cases(
    connection: Connection, participant: str, scope: int, cases: Sequence[CardCase], *, is_complete: bool
) -> None:
    """Keep the cases that a comparison of a scope left; with `is_complete`, those of it that it did not find go."""
    async with connection.transaction():
        if is_complete:
            await connection.execute(
                "DELETE FROM card_cases c WHERE participant = %s AND scope = %s AND NOT EXISTS ("
                " SELECT FROM unnest(%s::text[], %s::text[], %s::int[]) AS k(issuer, number, sequence)"
                " WHERE (k.issuer, k.number, k.sequence) = (c.issuer, c.number, c.sequence))",
                (
                    participant,
                    scope,
                    [case.issuer for case in cases],
                    [case.number for case in cases],
                    [case.sequence for case in cases],
                ),
            )
        cursor = connection.cursor()
        await cursor.executemany(
            "INSERT INTO card_cases (participant, scope, issuer, number, sequence, kind, here, there, found_ms)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (participant, scope, issuer, number, sequence) DO UPDATE SET found_ms = CASE WHEN"
            " (card_cases.kind, card_cases.here, card_cases.there) = (EXCLUDED.kind, EXCLUDED.here, EXCLUDED.there)"
            " THEN card_cases.found_ms ELSE EXCLUDED.found_ms END,"
            " kind = EXCLUDED.kind, here = EXCLUDED.here, there = EXCLUDED.there",
            [dataclasses.astuple(case) for case in cases],
        )


async def list_cases(connection: Connection, participant: str = "") -> list[CardCase]:
    """The open cases, of one participant or of all, oldest first."""
    cursor = await connection.execute(
        "SELECT participant, scope, issuer, number, sequence, kind, here, there, found_ms FROM card_cases"
        " WHERE participant = %s OR %s = '' ORDER BY found_ms, participant, issuer, number, sequence",
        (participant, participant),
    )
    return [
        CardCase(
            participant=row[0],
            scope=row[1],
            issuer=row[2],
            number=row[3],
            sequence=row[4],
            kind=row[5],
            here=row[6],
            there=row[7],
            found_ms=row[8],
        )
        for row in await cursor.fetchall()
    ]
