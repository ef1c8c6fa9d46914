"""Many cards at once, by COPY: into a stage that nobody reads, and from there into the registry in short transactions.

Owns the stage's form and statements. The cards of a journal partition are written under the lock of its row, so that
they and the worker's own writes stand one behind the other; what the registry knows already stays as it is.
"""

from __future__ import annotations

import dataclasses
import secrets
import struct
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from psycopg import sql

from onecard_broker.domain.card_state import Card
from onecard_broker.records.arrays import framed, uuids
from onecard_broker.records.card_columns import (
    CARD_COLUMNS,
    HOLDER_BYTES,
    STATUS_COLUMNS,
    Column,
    card_row,
    names,
    status_row,
)
from onecard_broker.records.pool import Connection

CHUNK_COUNT: Final = 10_000
"""Cards of one transaction: a worker waits for its partition no longer than they take."""
_PREFIX: Final = "card_stage_"

# ---- rows ----------------------------------------------------------------------------------------------------------

_FIXED_FORMATS: Final = {"bigint": "q", "int": "i", "smallint": "h", "boolean": "?", "uuid": "16s"}
_NEVER_STAGED: Final = frozenset({"social_missing", "financial_missing"})
_CARDS: Final = tuple(column for column in CARD_COLUMNS if column.name not in _NEVER_STAGED)
_FIXED: Final = tuple(column for column in _CARDS if column.type in _FIXED_FORMATS)
_FREE: Final = tuple(column for column in _CARDS if column.type not in _FIXED_FORMATS)
assert (*_FIXED, *_FREE) == _CARDS, "columns of fixed length stand first"

_HOLDER: Final = ("subject_rest bytea", "kind text", "person_number text", "name text", "ordinal bigint")
_STAGED_COLUMNS: Final = (*_CARDS, *STATUS_COLUMNS)
_FIELD_COUNT: Final = len(_STAGED_COLUMNS) + len(_HOLDER)
_FORMAT: Final = struct.Struct(">h" + "".join("i" + _FIXED_FORMATS[column.type] for column in _FIXED))
_TEMPLATE: Final[list[Any]] = [
    _FIELD_COUNT,
    *(part for column in _FIXED for part in (struct.calcsize(">" + _FIXED_FORMATS[column.type]), None)),
]
_ORDINAL: Final = struct.Struct(">iq")
COPY_START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = struct.pack(">h", -1)
_picked: Final = itemgetter(*[index for index, column in enumerate(CARD_COLUMNS) if column in _FREE])


def staged_row(
    partition: int, subject: bytes, kind: str, person_number: str, name: str, card: Card, ordinal: int
) -> bytes:
    """A row of the stage in the binary form of COPY. `subject` is the pseudonym, 32 bytes."""
    row = card_row(partition, subject[:HOLDER_BYTES], card)
    fixed = _TEMPLATE.copy()
    fixed[2::2] = row[: len(_FIXED)]
    free = [
        value.encode() if isinstance(value, str) else value or b""
        for value in (*_picked(row), *status_row(card), subject[HOLDER_BYTES:], kind, person_number, name)
    ]
    return _FORMAT.pack(*fixed) + framed(free) + _ORDINAL.pack(8, ordinal)


# ---- statements ----------------------------------------------------------------------------------------------------


def _definition(column: Column) -> str:
    return f"{column.name} {column.type}"


def _value(column: Column) -> str:
    # What is NULL in the registry is empty in the stage: rows without NULLs are framed faster.
    if not column.name.startswith("replaces_"):
        return f"n.{column.name}"
    return f"nullif(n.{column.name}, '')" + (f"::{column.cast}" if column.cast else "")


_TARGET: Final = f"{names(_CARDS)}, social_code_system, financial_code_system"
_SOURCE: Final = ", ".join([*map(_value, _CARDS), "s.id", "f.id"])
_WITHIN: Final = "n.partition = %b AND n.holder >= %b::uuid AND n.holder <= %b::uuid"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Cards of one transaction: of a journal partition, from one holder to another, both included."""

    partition: int
    first: bytes
    last: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A card that was not taken over, and why: "two-active", "active-elsewhere", "linked"."""

    ordinal: int
    subject: bytes
    cause: str


class CardStage:
    """One load's stage. Its table is dropped by `drop`, or by the next load."""

    def __init__(self) -> None:
        self.table: Final = f"{_PREFIX}{secrets.token_hex(6)}"

    async def create(self, connection: Connection) -> None:
        """Make the table. The connection keeps others from loading until it ends; raises TimeoutError if one does."""
        await prepare_for_loading(connection)
        row = await (await connection.execute("SELECT pg_try_advisory_lock(hashtext('onecard.card-load'))")).fetchone()
        if row != (True,):
            raise TimeoutError("another load of cards is under way")
        cursor = await connection.execute(
            "SELECT relname FROM pg_class WHERE starts_with(relname, %b) AND relkind = 'r'", (_PREFIX,)
        )
        for (name,) in await cursor.fetchall():
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        columns = ", ".join([*map(_definition, _STAGED_COLUMNS), *_HOLDER])
        await connection.execute(f"CREATE UNLOGGED TABLE {self.table} ({columns})")

    async def drop(self, connection: Connection) -> None:
        """Drop the table."""
        await connection.execute(f"DROP TABLE IF EXISTS {self.table}")

    @property
    def copy_statement(self) -> str:
        """The COPY that takes `staged_row`s between `COPY_START` and `COPY_END`."""
        return f"COPY {self.table} FROM STDIN (FORMAT BINARY)"

    async def finish(self, connection: Connection) -> list[Left]:
        """Put what was copied in order, and take persons out who hold two ACTIVE cards in it."""
        await connection.execute(f"CREATE INDEX ON {self.table} (partition, holder)")
        await connection.execute(f"ANALYZE {self.table}")
        cursor = await connection.execute(
            f"DELETE FROM {self.table} n USING (SELECT partition, holder FROM {self.table} WHERE social_state = 2"
            " GROUP BY partition, holder HAVING count(DISTINCT key_hash) > 1) d"
            " WHERE n.partition = d.partition AND n.holder = d.holder"
            " RETURNING n.ordinal, uuid_send(n.holder) || n.subject_rest, 'two-active'",
            binary=True,
        )
        return [_left(row) for row in await cursor.fetchall()]

    async def chunks(self, connection: Connection) -> list[Chunk]:
        """The stage in parts, by partition and holder; pseudonyms are spread evenly, so equal parts hold as many."""
        cursor = await connection.execute(
            f"SELECT partition, count(*) FROM {self.table} GROUP BY partition ORDER BY partition", binary=True
        )
        parts = [
            (partition, index, -(-count // CHUNK_COUNT))
            for partition, count in await cursor.fetchall()
            for index in range(-(-count // CHUNK_COUNT))
        ]
        return [
            Chunk(
                partition=partition,
                first=_bound(index, count),
                last=(int.from_bytes(_bound(index + 1, count)) - 1).to_bytes(HOLDER_BYTES)
                if index + 1 < count
                else b"\xff" * HOLDER_BYTES,
            )
            for partition, index, count in parts
        ]

    async def take_over(self, connection: Connection, chunk: Chunk) -> tuple[int, list[Left]]:
        """Write a chunk into the registry; returns how many cards are new to it, and those that a person must see.

        A person whose number forwards to another, or who holds another ACTIVE card in the registry, is left out.
        """
        within = (chunk.partition, chunk.first.hex(), chunk.last.hex())
        async with connection.transaction():
            await connection.execute("SELECT FROM partitions WHERE partition = %b FOR UPDATE", (chunk.partition,))
            cursor = await connection.execute(
                "SELECT n.ordinal, uuid_send(n.holder) || n.subject_rest,"
                " CASE WHEN h.linked_to IS NULL THEN 'active-elsewhere' ELSE 'linked' END"
                f" FROM {self.table} n JOIN cardholders h ON h.partition = n.partition AND h.holder = n.holder"
                f" WHERE {_WITHIN} AND h.partition = %b AND h.holder >= %b::uuid AND h.holder <= %b::uuid"
                f" AND (h.linked_to IS NOT NULL OR EXISTS (SELECT FROM {self.table} m JOIN cards c"
                " ON c.partition = m.partition AND c.holder = m.holder AND c.social_state = 2"
                " AND c.key_hash <> m.key_hash WHERE m.partition = n.partition AND m.holder = n.holder"
                " AND m.social_state = 2 AND NOT EXISTS (SELECT FROM cards k WHERE k.partition = m.partition"
                " AND k.holder = m.holder AND k.key_hash = m.key_hash)))",
                (*within, *within),
                binary=True,
            )
            left = [_left(row) for row in await cursor.fetchall()]
            out = uuids([one.subject[:HOLDER_BYTES] for one in left])
            await connection.execute(
                "INSERT INTO cardholders (partition, holder, subject_rest, kind, number, name)"
                " SELECT DISTINCT ON (n.holder) n.partition, n.holder, n.subject_rest, n.kind, n.person_number, n.name"
                f" FROM {self.table} n WHERE {_WITHIN} AND n.holder <> ALL (%b::uuid[])"
                " ORDER BY n.holder, n.ordinal DESC ON CONFLICT DO NOTHING",
                (*within, out),
            )
            cursor = await connection.execute(
                f"INSERT INTO cards ({_TARGET}) SELECT {_SOURCE} FROM {self.table} n"
                " LEFT JOIN card_code_systems s ON s.system = n.social_system AND s.version = n.social_edition"
                " LEFT JOIN card_code_systems f ON f.system = n.financial_system AND f.version = n.financial_edition"
                f" WHERE {_WITHIN} AND n.holder <> ALL (%b::uuid[])"
                " ORDER BY n.holder, n.ordinal DESC ON CONFLICT (partition, holder, key_hash) DO NOTHING",
                (*within, out),
            )
        return cursor.rowcount, left


async def prepare_for_loading(connection: Connection) -> None:
    """Let a connection's statements take the time and memory of a load."""
    await connection.execute("SET statement_timeout = 0")
    await connection.execute("SET work_mem = '64MB'")
    await connection.execute("SET maintenance_work_mem = '256MB'")


def _bound(index: int, count: int) -> bytes:
    return ((index << 8 * HOLDER_BYTES) // count).to_bytes(HOLDER_BYTES)


def _left(row: Sequence[Any]) -> Left:
    return Left(ordinal=row[0], subject=row[1], cause=row[2])
