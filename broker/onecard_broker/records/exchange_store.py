"""The exchange's rows: one statement a table and batch, with binary arrays (`arrays`, `unnest` and ``%b``).

Owns the SQL of positions, known messages, timers and outputs; knows no rule. Business states are `state_tables`' own.
All functions take the connection whose transaction they belong to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from onecard_broker.domain.model import AggregateKey, KnownMessage, KnownState, MessageKey, Timer, TimerPurpose
from onecard_broker.records.arrays import byteas, int4s, int8s, texts
from onecard_broker.records.lookups import deleted, looked_up
from onecard_broker.records.pool import Connection, Cursor
from onecard_broker.records.schema import day_of
from onecard_protocol.identifiers import message_time_ms
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.value_class import value_class

AGGREGATE_SEPARATOR = "\n"

IS_DELIVERED: Final = "NOT starts_with(recipient, 'journal/')"
"""Condition on outputs: they stand in an inbox, and are not forwarded within the journal."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRow:
    """Where a partition stands: the next position to read, its `now`, and the last control record applied."""

    partition: int
    log_epoch: str
    position: int
    now_ms: int
    control_number: int


@value_class(frozen=True, slots=True, kw_only=True)
class Output:
    """A message in somebody's inbox under its delivery number."""

    recipient: str
    partition: int
    number: int
    message: Message
    answers: str
    decided_ms: int
    position: int
    """Journal position of the record that it was decided from."""
    subject: str = ""
    """Pseudonym of the person that it is forwarded to, or in the hub's inbox that it is of; empty elsewhere."""
    other_subject: str = ""
    """As in `Inbound`, of what is forwarded."""


class OwnershipLost(Exception):
    """Another worker advanced a partition: everything cached of it is worthless (rule 7)."""


async def load_partitions(
    connection: Connection, partitions: Collection[int], log_epoch: str
) -> dict[int, PartitionRow]:
    """The rows of the partitions, made if they are missing."""
    wanted = list(partitions)
    await connection.execute(
        "INSERT INTO partitions (partition, log_epoch, position, now_ms, control_number)"
        " SELECT p, %b, 0, 0, 0 FROM unnest(%b::int[]) AS p ON CONFLICT DO NOTHING",
        (log_epoch, wanted),
    )
    cursor = await connection.execute(
        "SELECT partition, log_epoch, position, now_ms, control_number FROM partitions"
        " WHERE partition = ANY(%b::int[])",
        (wanted,),
        binary=True,
    )
    return {
        row[0]: PartitionRow(partition=row[0], log_epoch=row[1], position=row[2], now_ms=row[3], control_number=row[4])
        for row in await cursor.fetchall()
    }


async def advance(connection: Connection, moves: Sequence[tuple[int, PartitionRow]]) -> Cursor:
    """Move positions from the values read, as (position before, row after); `check_advanced` judges the result."""
    return await connection.execute(
        "UPDATE partitions p SET position = n.position, now_ms = n.now_ms, control_number = n.control_number"
        " FROM unnest(%b::int[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])"
        " AS n(partition, old_position, position, now_ms, control_number)"
        " WHERE p.partition = n.partition AND p.position = n.old_position",
        (
            int4s([row.partition for _, row in moves]),
            int8s([before for before, _ in moves]),
            int8s([row.position for _, row in moves]),
            int8s([row.now_ms for _, row in moves]),
            int8s([row.control_number for _, row in moves]),
        ),
    )


def check_advanced(cursor: Cursor, moves: Sequence[tuple[int, PartitionRow]]) -> None:
    """Raise OwnershipLost unless every row still held its old value; within the transaction, so that it rolls back."""
    if cursor.rowcount != len(moves):
        raise OwnershipLost(f"{len(moves) - cursor.rowcount} of {len(moves)} partitions have another writer")


async def check_owned(connection: Connection, positions: Mapping[int, int]) -> None:
    """Raise OwnershipLost unless every partition stands where its owner believes."""
    cursor = await connection.execute(
        "SELECT count(*) FROM unnest(%b::int[], %b::bigint[]) AS w(partition, position)"
        " JOIN partitions p ON p.partition = w.partition AND p.position = w.position",
        (int4s(list(positions)), int8s(list(positions.values()))),
        binary=True,
    )
    ((still,),) = await cursor.fetchall()
    if still != len(positions):
        raise OwnershipLost(f"{len(positions) - still} of {len(positions)} partitions have another writer")


async def load_known(
    connection: Connection, keys: Collection[tuple[int, MessageKey]]
) -> dict[tuple[int, MessageKey], KnownMessage]:
    """What is known of (partition, (sender, id))."""
    if not keys:
        return {}
    wanted = list(keys)
    cursor = await connection.execute(
        "SELECT k.partition, k.sender, k.id, k.digest, k.recipient, k.method, k.subject, k.state, k.answer_sender,"
        " k.answer_id, k.aggregates"
        " FROM unnest(%b::int[], %b::int[], %b::text[], %b::bytea[]) AS w(day, partition, sender, id)"
        + looked_up("known_messages", "k", "day", "partition", "sender", "id"),
        (
            int4s([day_of(message_time_ms(key[1])) for _, key in wanted]),
            int4s([partition for partition, _ in wanted]),
            texts([key[0] for _, key in wanted]),
            byteas([key[1] for _, key in wanted]),
        ),
        binary=True,
    )
    found: dict[tuple[int, MessageKey], KnownMessage] = {}
    for row in await cursor.fetchall():
        found[(row[0], (row[1], row[2]))] = KnownMessage(
            sender=row[1],
            id=row[2],
            digest=row[3],
            recipient=row[4],
            method=row[5],
            subject=row[6],
            state=KnownState(row[7]),
            answer=None if row[8] is None else (row[8], row[9]),
            aggregates=tuple(AggregateKey(key) for key in row[10].split(AGGREGATE_SEPARATOR) if key),
        )
    return found


_INSERT_KNOWN: Final = (
    "INSERT INTO known_messages (day, partition, sender, id, digest, recipient, method, subject, state,"
    " answer_sender, answer_id, aggregates)"
    " SELECT * FROM unnest(%b::int[], %b::int[], %b::text[], %b::bytea[], %b::bytea[], %b::text[], %b::text[],"
    " %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[])"
)
_REPLACE_KNOWN: Final = (
    _INSERT_KNOWN + " ON CONFLICT (day, partition, sender, id) DO UPDATE SET state = EXCLUDED.state,"
    " answer_sender = EXCLUDED.answer_sender, answer_id = EXCLUDED.answer_id, aggregates = EXCLUDED.aggregates,"
    " subject = EXCLUDED.subject"
)


async def save_known(connection: Connection, rows: Collection[tuple[int, KnownMessage]], *, are_new: bool) -> None:
    """Insert what is new, or replace what may be known; at most one row a message in a call.

    A row that is said to be new and is not is a psycopg.errors.UniqueViolation.
    """
    if not rows:
        return
    await connection.execute(
        _INSERT_KNOWN if are_new else _REPLACE_KNOWN,
        (
            int4s([day_of(message_time_ms(known.id)) for _, known in rows]),
            int4s([partition for partition, _ in rows]),
            texts([known.sender for _, known in rows]),
            byteas([known.id for _, known in rows]),
            byteas([known.digest for _, known in rows]),
            texts([known.recipient for _, known in rows]),
            texts([known.method for _, known in rows]),
            texts([known.subject for _, known in rows]),
            texts([str(known.state) for _, known in rows]),
            texts([None if known.answer is None else known.answer[0] for _, known in rows]),
            byteas([None if known.answer is None else known.answer[1] for _, known in rows]),
            texts([AGGREGATE_SEPARATOR.join(known.aggregates) for _, known in rows]),
        ),
    )


_TIMER_COLUMNS: Final = (
    "t.partition, t.id, t.due_ms, t.purpose, t.request_sender, t.request_id, t.attempt, t.aggregate, t.what, t.method"
)


def _timer(row: tuple[object, ...]) -> tuple[int, Timer]:
    partition, timer_id, due_ms, purpose, sender, request_id, attempt, aggregate, what, method = row
    return partition, Timer(  # type: ignore[return-value]
        id=timer_id,  # type: ignore[arg-type]
        due_ms=due_ms,  # type: ignore[arg-type]
        purpose=TimerPurpose(str(purpose)),
        request=(sender, request_id),  # type: ignore[arg-type]
        attempt=attempt,  # type: ignore[arg-type]
        aggregate=None if aggregate is None else AggregateKey(str(aggregate)),
        what=str(what),
        method=str(method),
    )


async def load_timers(connection: Connection, ids: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], Timer]:
    """Timers by (partition, id); one that was cancelled or spent is absent."""
    if not ids:
        return {}
    wanted = list(ids)
    cursor = await connection.execute(
        f"SELECT {_TIMER_COLUMNS} FROM unnest(%b::int[], %b::bytea[]) AS w(partition, id)"
        + looked_up("timers", "t", "partition", "id"),
        (int4s([partition for partition, _ in wanted]), byteas([timer_id for _, timer_id in wanted])),
        binary=True,
    )
    timers = [_timer(row) for row in await cursor.fetchall()]
    return {(partition, timer.id): timer for partition, timer in timers}


async def due_timers(
    connection: Connection, now_by_partition: Mapping[int, int], count_max: int
) -> list[tuple[int, Timer]]:
    """Timers of the partitions that are due at their partition's `now`, the most overdue first."""
    cursor = await connection.execute(
        f"SELECT {_TIMER_COLUMNS} FROM timers t JOIN unnest(%b::int[], %b::bigint[]) AS w(partition, now_ms)"
        " ON t.partition = w.partition AND t.due_ms <= w.now_ms"
        " WHERE t.due_ms <= %b ORDER BY t.due_ms LIMIT %b",
        (
            list(now_by_partition),
            list(now_by_partition.values()),
            max(now_by_partition.values(), default=0),
            count_max,
        ),
        binary=True,
    )
    return [_timer(row) for row in await cursor.fetchall()]


async def save_timers(
    connection: Connection, set_rows: Collection[tuple[int, Timer]], cancelled: Collection[tuple[int, bytes]]
) -> None:
    """Cancel timers, then set some; one that exists keeps its first time, one that is cancelled here gets a new one."""
    if cancelled:
        await connection.execute(
            deleted("timers", "unnest(%b::int[], %b::bytea[]) AS w(partition, id)", "partition", "id"),
            (int4s([partition for partition, _ in cancelled]), byteas([timer_id for _, timer_id in cancelled])),
        )
    if set_rows:
        await connection.execute(
            "INSERT INTO timers (partition, id, due_ms, purpose, request_sender, request_id, attempt, aggregate, what,"
            " method)"
            " SELECT * FROM unnest(%b::int[], %b::bytea[], %b::bigint[], %b::text[], %b::text[], %b::bytea[],"
            " %b::int[], %b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING",
            (
                int4s([partition for partition, _ in set_rows]),
                byteas([timer.id for _, timer in set_rows]),
                int8s([timer.due_ms for _, timer in set_rows]),
                texts([str(timer.purpose) for _, timer in set_rows]),
                texts([timer.request[0] for _, timer in set_rows]),
                byteas([timer.request[1] for _, timer in set_rows]),
                int4s([timer.attempt for _, timer in set_rows]),
                texts([timer.aggregate for _, timer in set_rows]),
                texts([timer.what for _, timer in set_rows]),
                texts([timer.method for _, timer in set_rows]),
            ),
        )


async def load_messages(connection: Connection, keys: Collection[MessageKey]) -> dict[MessageKey, Message]:
    """Messages that were put out once, by (sender, id)."""
    if not keys:
        return {}
    cursor = await connection.execute(
        "SELECT DISTINCT ON (o.sender, o.id) o.sender, o.id, o.header, o.payload, o.signature"
        " FROM unnest(%b::bytea[]) AS w(id)" + looked_up("outputs", "o", "id"),
        (byteas([key[1] for key in keys]),),
        binary=True,
    )
    return {(row[0], row[1]): trusted_message(row[2], row[3], row[4]) for row in await cursor.fetchall()}


async def load_numbers(connection: Connection, partitions: Collection[int]) -> dict[tuple[str, int], tuple[int, int]]:
    """(last number, published number) by (recipient, partition)."""
    cursor = await connection.execute(
        "SELECT recipient, partition, last_number, published_number FROM delivery_numbers"
        " WHERE partition = ANY(%b::int[])",
        (list(partitions),),
        binary=True,
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in await cursor.fetchall()}


async def save_outputs(connection: Connection, outputs: Sequence[Output]) -> None:
    """Insert outputs and raise the numbers of their (recipient, partition)."""
    if not outputs:
        return
    await connection.execute(
        "INSERT INTO outputs (day, recipient, partition, number, sender, id, header, payload, signature, answers,"
        " decided_ms, position, subject, other_subject)"
        " SELECT * FROM unnest(%b::int[], %b::text[], %b::int[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[],"
        " %b::bytea[], %b::bytea[], %b::text[], %b::bigint[], %b::bigint[], %b::text[], %b::text[])",
        (
            int4s([day_of(output.decided_ms) for output in outputs]),
            texts([output.recipient for output in outputs]),
            int4s([output.partition for output in outputs]),
            int8s([output.number for output in outputs]),
            texts([output.message.header.sender for output in outputs]),
            byteas([output.message.header.id for output in outputs]),
            byteas([output.message.header_bytes for output in outputs]),
            byteas([output.message.payload for output in outputs]),
            byteas([output.message.signature for output in outputs]),
            texts([output.answers for output in outputs]),
            int8s([output.decided_ms for output in outputs]),
            int8s([output.position for output in outputs]),
            texts([output.subject for output in outputs]),
            texts([output.other_subject for output in outputs]),
        ),
    )
    highest: dict[tuple[str, int], int] = {}
    for output in outputs:
        highest[(output.recipient, output.partition)] = output.number
    await connection.execute(
        "INSERT INTO delivery_numbers (recipient, partition, last_number, published_number)"
        " SELECT recipient, partition, number, 0 FROM unnest(%b::text[], %b::int[], %b::bigint[])"
        " AS n(recipient, partition, number)"
        " ON CONFLICT (recipient, partition) DO UPDATE SET last_number = EXCLUDED.last_number",
        (texts([key[0] for key in highest]), int4s([key[1] for key in highest]), int8s(list(highest.values()))),
    )


async def save_published(connection: Connection, published: Mapping[tuple[str, int], int]) -> None:
    """Raise the publisher's watermarks."""
    if not published:
        return
    await connection.execute(
        "UPDATE delivery_numbers d SET published_number = n.number"
        " FROM unnest(%b::text[], %b::int[], %b::bigint[]) AS n(recipient, partition, number)"
        " WHERE d.recipient = n.recipient AND d.partition = n.partition AND d.published_number < n.number",
        ([key[0] for key in published], [key[1] for key in published], list(published.values())),
    )


async def read_outputs(
    connection: Connection, recipient: str, partition: int, first_number: int, last_number: int, count_max: int
) -> list[Output]:
    """Outputs of one inbox partition by number, in order; those dropped by retention are missing."""
    cursor = await connection.execute(
        "SELECT number, header, payload, signature, answers, decided_ms, position, subject, other_subject FROM outputs"
        " WHERE recipient = %b AND partition = %b AND number BETWEEN %b AND %b ORDER BY number LIMIT %b",
        (recipient, partition, first_number, last_number, count_max),
        binary=True,
    )
    return [
        Output(
            recipient=recipient,
            partition=partition,
            number=row[0],
            message=trusted_message(row[1], row[2], row[3]),
            answers=row[4],
            decided_ms=row[5],
            position=row[6],
            subject=row[7],
            other_subject=row[8],
        )
        for row in await cursor.fetchall()
    ]
