"""Records that could not be decided, dead letters, and what waits behind them: stored whole, in position order.

A held record (rule 14) is the offender itself. A dead letter (rule 13) is the delivery report, under the sender and id
of the message that it gives up on.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence

from psycopg.rows import TupleRow

from onecard_broker.domain.model import MessageKey
from onecard_broker.log.cloud_events import SUBJECT, CloudEvent, decode
from onecard_broker.log.port import LoggedRecord
from onecard_broker.records.arrays import bools, byteas, int4s, int8s, texts
from onecard_broker.records.lookups import looked_up
from onecard_broker.records.pool import Connection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A journal record that waits; the offender is the one that it waits for."""

    record: LoggedRecord
    subject: str
    sender: str
    id: bytes
    is_offender: bool
    cause: str
    """Class of the failure and where it arose; never content of the record."""
    is_dead_letter: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """What a person's records wait for."""

    position: int
    dead_letter_of: MessageKey | None
    """The message that was given up on; None for a held record, behind which everything waits."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Blocked:
    """Who waits in a partition, and who need not wait any more."""

    blockers: dict[str, tuple[Blocker, ...]] = dataclasses.field(default_factory=dict)
    let_go: frozenset[str] = frozenset()
    """Subjects with records that wait for nothing: their release was cut off."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A message that could not be decided, or that its recipient gave up on, for operators."""

    partition: int
    position: int
    sender: str
    id: bytes
    cause: str
    waiting_count: int
    """Records of the same person that wait behind it."""
    report: CloudEvent | None = None
    """The delivery report, of a dead letter: who gave it up, why, after how many attempts, and when."""


_HELD = (
    "SELECT p.partition, p.position, p.sender, p.id, p.cause, (SELECT count(*) FROM parked w"
    " WHERE w.partition = p.partition AND w.subject = p.subject AND NOT w.is_offender),"
    " p.is_dead_letter, p.append_time_ms, p.key, p.header_names, p.header_values, p.value"
    " FROM parked p WHERE p.is_offender"
)


async def list_held(connection: Connection) -> list[Held]:
    """All messages that are held and all dead letters, by partition and position."""
    cursor = await connection.execute(_HELD + " ORDER BY p.partition, p.position")
    return [_held(row) for row in await cursor.fetchall()]


async def find_held(connection: Connection, id: bytes) -> Held | None:
    """The held message or dead letter of an id; None if there is none."""
    row = await (await connection.execute(_HELD + " AND p.id = %s", (id,))).fetchone()
    return None if row is None else _held(row)


def _held(row: TupleRow) -> Held:
    return Held(
        partition=row[0],
        position=row[1],
        sender=row[2],
        id=row[3],
        cause=row[4],
        waiting_count=row[5],
        report=decode(_record("", row[0], (row[1], *row[7:]))) if row[6] else None,
    )


def _record(topic: str, partition: int, row: TupleRow) -> LoggedRecord:
    position, append_time_ms, key, names, values, value = row
    return LoggedRecord(
        topic=topic,
        partition=partition,
        position=position,
        append_time_ms=append_time_ms,
        key=key,
        value=value,
        headers=tuple(zip(names, values, strict=True)),
    )


async def save_parked(connection: Connection, rows: Sequence[Parked]) -> None:
    """Store records that wait."""
    if not rows:
        return
    records = [row.record for row in rows]
    # Headers are arrays of unequal lengths: all stand in one array, and each record knows its part of it.
    lasts = list(itertools.accumulate(len(record.headers) for record in records))
    headers = [header for record in records for header in record.headers]
    await connection.execute(
        "INSERT INTO parked (partition, position, subject, sender, id, is_offender, is_dead_letter, cause,"
        " append_time_ms, key, header_names, header_values, value)"
        " SELECT p.partition, p.position, p.subject, p.sender, p.id, p.is_offender, p.is_dead_letter, p.cause,"
        " p.append_time_ms, p.key, h.names[p.first:p.last], h.contents[p.first:p.last], p.value"
        " FROM unnest(%b::int[], %b::bigint[], %b::text[], %b::text[], %b::bytea[], %b::bool[], %b::bool[],"
        " %b::text[], %b::bigint[], %b::bytea[], %b::int[], %b::int[], %b::bytea[]) AS p(partition, position, subject,"
        " sender, id, is_offender, is_dead_letter, cause, append_time_ms, key, first, last, value),"
        " (SELECT %b::text[] AS names, %b::bytea[] AS contents) AS h"
        " ON CONFLICT (partition, position) DO UPDATE SET is_offender = EXCLUDED.is_offender,"
        " cause = EXCLUDED.cause, subject = EXCLUDED.subject",
        (
            int4s([record.partition for record in records]),
            int8s([record.position for record in records]),
            texts([row.subject for row in rows]),
            texts([row.sender for row in rows]),
            byteas([row.id for row in rows]),
            bools([row.is_offender for row in rows]),
            bools([row.is_dead_letter for row in rows]),
            texts([row.cause for row in rows]),
            int8s([record.append_time_ms for record in records]),
            byteas([record.key for record in records]),
            int4s([last - len(record.headers) + 1 for record, last in zip(records, lasts, strict=True)]),
            int4s(lasts),
            byteas([record.value for record in records]),
            texts([name for name, _ in headers]),
            byteas([value for _, value in headers]),
        ),
    )


async def delete_parked(connection: Connection, positions: Collection[tuple[int, int]]) -> None:
    """Forget records that were decided after all, by (partition, position)."""
    if positions:
        await connection.execute(
            "DELETE FROM parked p USING unnest(%b::int[], %b::bigint[]) AS w(partition, position)"
            " WHERE p.partition = w.partition AND p.position = w.position",
            ([partition for partition, _ in positions], [position for _, position in positions]),
        )


async def load_blocked(connection: Connection, partitions: Collection[int]) -> dict[int, Blocked]:
    """Who waits for what, by partition."""
    cursor = await connection.execute(
        "SELECT partition, subject, is_dead_letter, position, sender, id FROM parked"
        " WHERE is_offender AND partition = ANY(%b::int[]) UNION ALL"
        " SELECT DISTINCT partition, subject, NULL::boolean, NULL::bigint, NULL, NULL::bytea FROM parked"
        " WHERE NOT is_offender AND partition = ANY(%b::int[])",
        (list(partitions), list(partitions)),
        binary=True,
    )
    found = {partition: Blocked() for partition in partitions}
    waiting: list[tuple[int, str]] = []
    for partition, subject, is_dead_letter, position, *key in await cursor.fetchall():
        if position is None:
            waiting.append((partition, subject))
            continue
        blockers = found[partition].blockers
        blocker = Blocker(position=position, dead_letter_of=(key[0], key[1]) if is_dead_letter else None)
        blockers[subject] = (*blockers.get(subject, ()), blocker)
    for partition, subject in waiting:
        if subject not in found[partition].blockers:
            found[partition].let_go |= {subject}
    return found


_WITH_UNDECIDED = (
    "SELECT DISTINCT p.subject FROM unnest(%b::int[], %b::text[]) AS w(partition, subject)"
    + looked_up("parked", "p", "partition", "subject")
    + " WHERE NOT p.is_dead_letter AND position(%b::bytea IN"
    f" p.header_values[array_position(p.header_names, '{SUBJECT}')]) = 1"
)


async def subjects_with_undecided(
    connection: Connection, wanted: Collection[tuple[int, str]], *, package: str
) -> set[str]:
    """Of whom, among these (partition, subject), a message of a package is held, or waits behind what is held."""
    partitions, subjects = [partition for partition, _ in wanted], [subject for _, subject in wanted]
    cursor = await connection.execute(
        _WITH_UNDECIDED, (int4s(partitions), texts(subjects), f"/{package}.".encode()), binary=True
    )
    return {subject for (subject,) in await cursor.fetchall()}


_PARKED = (
    "SELECT subject, sender, id, is_offender, cause, is_dead_letter, position, append_time_ms, key, header_names,"
    " header_values, value FROM parked WHERE partition = %b"
)


async def load_offender(connection: Connection, topic: str, partition: int, sender: str, id: bytes) -> Parked | None:
    """The held message or dead letter of a key."""
    cursor = await connection.execute(
        _PARKED + " AND sender = %b AND id = %b AND is_offender", (partition, sender, id), binary=True
    )
    row = await cursor.fetchone()
    return None if row is None else _parked(topic, partition, row)


async def load_waiting(connection: Connection, topic: str, partition: int, subjects: Collection[str]) -> list[Parked]:
    """What waits, of these subjects, in position order."""
    cursor = await connection.execute(
        _PARKED + " AND subject = ANY(%b::text[]) AND NOT is_offender ORDER BY position",
        (partition, list(subjects)),
        binary=True,
    )
    return [_parked(topic, partition, row) for row in await cursor.fetchall()]


def _parked(topic: str, partition: int, row: TupleRow) -> Parked:
    return Parked(
        record=_record(topic, partition, row[6:]),
        subject=row[0],
        sender=row[1],
        id=row[2],
        is_offender=row[3],
        cause=row[4],
        is_dead_letter=row[5],
    )
