"""Records that wait behind one that could not be decided (rule 14): stored whole, in position order."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from psycopg.rows import TupleRow

from onecard_broker.log.port import LoggedRecord
from onecard_broker.records.pool import Connection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A journal record that waits; the offender is the one that could not be decided."""

    record: LoggedRecord
    subject: str
    sender: str
    id: bytes
    is_offender: bool
    cause: str
    """Class of the failure and where it arose; never content of the record."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A message that could not be decided, for operators."""

    partition: int
    position: int
    sender: str
    id: bytes
    cause: str
    waiting_count: int
    """Records of the same person that wait behind it."""


_HELD = (
    "SELECT p.partition, p.position, p.sender, p.id, p.cause, (SELECT count(*) FROM parked w"
    " WHERE w.partition = p.partition AND w.subject = p.subject AND NOT w.is_offender)"
    " FROM parked p WHERE p.is_offender"
)


async def list_held(connection: Connection) -> list[Held]:
    """All messages that are held, by partition and position."""
    cursor = await connection.execute(_HELD + " ORDER BY p.partition, p.position")
    return [_held(row) for row in await cursor.fetchall()]


async def find_held(connection: Connection, id: bytes) -> Held | None:
    """The held message of an id; None if there is none."""
    row = await (await connection.execute(_HELD + " AND p.id = %s", (id,))).fetchone()
    return None if row is None else _held(row)


def _held(row: TupleRow) -> Held:
    return Held(partition=row[0], position=row[1], sender=row[2], id=row[3], cause=row[4], waiting_count=row[5])


async def save_parked(connection: Connection, rows: Sequence[Parked]) -> None:
    """Store records that wait."""
    if not rows:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO parked (partition, position, subject, sender, id, is_offender, cause, append_time_ms, key,"
            " header_names, header_values, value) VALUES (%b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"
            " ON CONFLICT (partition, position) DO UPDATE SET is_offender = EXCLUDED.is_offender,"
            " cause = EXCLUDED.cause, subject = EXCLUDED.subject",
            [
                (
                    row.record.partition,
                    row.record.position,
                    row.subject,
                    row.sender,
                    row.id,
                    row.is_offender,
                    row.cause,
                    row.record.append_time_ms,
                    row.record.key,
                    [name for name, _ in row.record.headers],
                    [value for _, value in row.record.headers],
                    row.record.value,
                )
                for row in rows
            ],
        )


async def delete_parked(connection: Connection, positions: Collection[tuple[int, int]]) -> None:
    """Forget records that were decided after all, by (partition, position)."""
    if positions:
        await connection.execute(
            "DELETE FROM parked p USING unnest(%b::int[], %b::bigint[]) AS w(partition, position)"
            " WHERE p.partition = w.partition AND p.position = w.position",
            ([partition for partition, _ in positions], [position for _, position in positions]),
        )


async def load_held_subjects(connection: Connection, partitions: Collection[int]) -> dict[int, frozenset[str]]:
    """Subjects with parked records, by partition."""
    cursor = await connection.execute(
        "SELECT DISTINCT partition, subject FROM parked WHERE partition = ANY(%b::int[])",
        (list(partitions),),
        binary=True,
    )
    held: dict[int, set[str]] = {}
    for partition, subject in await cursor.fetchall():
        held.setdefault(partition, set()).add(subject)
    return {partition: frozenset(subjects) for partition, subjects in held.items()}


async def load_parked_with(connection: Connection, topic: str, partition: int, sender: str, id: bytes) -> list[Parked]:
    """The held message and all that wait behind it, in position order; empty if the message is not held."""
    cursor = await connection.execute(
        "SELECT position, subject, sender, id, is_offender, cause, append_time_ms, key, header_names, header_values,"
        " value FROM parked WHERE partition = %b AND subject = (SELECT subject FROM parked"
        " WHERE partition = %b AND sender = %b AND id = %b AND is_offender) ORDER BY position",
        (partition, partition, sender, id),
        binary=True,
    )
    return [
        Parked(
            record=LoggedRecord(
                topic=topic,
                partition=partition,
                position=row[0],
                append_time_ms=row[6],
                key=row[7],
                value=row[10],
                headers=tuple(zip(row[8], row[9], strict=True)),
            ),
            subject=row[1],
            sender=row[2],
            id=row[3],
            is_offender=row[4],
            cause=row[5],
        )
        for row in await cursor.fetchall()
    ]
