"""Many cards at once, by COPY, into the tables of their journal partition, in short transactions.

Owns the form of a card that waits for its turn (`copied_card`, `Copied`), which of them are taken, and the statements.
The cards of a journal partition are written under the lock of its row, so that they and the worker's own writes stand
one behind the other; what the registry knows already stays as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import psycopg

from onecard.card.v1 import values_pb2
from onecard_broker.domain.card_state import Card
from onecard_broker.records.arrays import UuidArray, framed, uuids
from onecard_broker.records.card_columns import (
    CARD_COLUMNS,
    HOLDER_BYTES,
    card_row,
    names,
    participant_code,
    status_row,
)
from onecard_broker.records.pool import Connection

PERSON_COUNT: Final = 10_000
"""Persons of one transaction: a worker waits for its partition no longer than they take."""

# ---- the form in which cards wait ----------------------------------------------------------------------------------

_FIXED_FORMATS: Final = {"bigint": "q", "int": "i", "smallint": "h", "boolean": "?", "uuid": "16s"}
_NEVER_LOADED: Final = frozenset({"social_missing", "financial_missing"})
_CARDS: Final = tuple(column for column in CARD_COLUMNS if column.name not in _NEVER_LOADED)
_FIXED: Final = tuple(column for column in CARD_COLUMNS if column.type in _FIXED_FORMATS)
_BYTES: Final = tuple(column for column in CARD_COLUMNS if column.type == "bytea")
_REPLACES: Final = tuple(column for column in CARD_COLUMNS if column.name.startswith("replaces_"))
_TEXTS: Final = tuple(column for column in _CARDS if column.type == "text" and column not in _REPLACES)
assert (*_FIXED, *_BYTES, *_TEXTS, *_REPLACES) == _CARDS, "columns of fixed length stand first, texts last"
_KEY: Final = [column.name for column in CARD_COLUMNS].index("key_hash")
_TEXTS_FROM: Final = len(_FIXED) + len(_BYTES)
_TEXTS_TO: Final = _TEXTS_FROM + len(_TEXTS)

_FORMAT: Final = struct.Struct(">" + "".join("i" + _FIXED_FORMATS[column.type] for column in _FIXED))
_TEMPLATE: Final[list[Any]] = [
    part for column in _FIXED for part in (struct.calcsize(">" + _FIXED_FORMATS[column.type]), None)
]
_NO_PREDECESSOR: Final = framed([None] * len(_REPLACES))
_HOLDER: Final = "partition, holder, subject_rest, kind, number, name"
_HOLDER_START: Final = struct.Struct(">hiii16si16s")
_CARD_START: Final = struct.Struct(">hihih")
_HEAD: Final = struct.Struct(">32sq8sH?HH")
"""Pseudonym, place in the file, key, statuses, whether it is ACTIVE; lengths of the card's and the holder's rows."""

_ACTIVE: Final = values_pb2.SOCIAL_STATE_ACTIVE

Statuses = tuple[str, str, str, str]
"""The two local statuses' code systems with their versions (`card_columns.status_row`)."""


class Copied(NamedTuple):
    """A card that waits; they sort by person and place in the file."""

    subject: bytes
    """Pseudonym, 32 bytes."""
    ordinal: int
    """Its place in the file."""
    key: bytes
    is_active: bool
    card: bytes
    """Its row, as COPY takes it."""
    holder: bytes
    """The person's."""


_made: Final = functools.partial(tuple.__new__, Copied)
"""Makes one of a tuple, as `Copied._make` does, in half the time."""


def copied_card(
    partition: int,
    subject: bytes,
    kind: str,
    person_number: str,
    name: str,
    card: Card,
    ordinal: int,
    statuses: dict[Statuses, int],
) -> bytes:
    """A card in the form in which it waits; its statuses are numbered in the order in which they come.

    Raises psycopg.DataError for what the registry cannot hold.
    """
    row = card_row(partition, subject[:HOLDER_BYTES], card)
    fixed = _TEMPLATE.copy()
    fixed[1::2] = row[: len(_FIXED)]
    told = status_row(card)
    texts = "\0".join((*row[_TEXTS_FROM:_TEXTS_TO], kind, person_number, name)).encode().split(b"\0")
    if len(texts) != len(_TEXTS) + 3 or (told not in statuses and "\0" in "".join(told)):
        raise psycopg.DataError("a text holds a zero byte")
    try:
        card_bytes = b"".join(
            (
                _FORMAT.pack(*fixed),
                framed([*row[len(_FIXED) : _TEXTS_FROM], *texts[: len(_TEXTS)]]),
                _NO_PREDECESSOR if card.replaces is None else _predecessor(card.replaces),
            )
        )
        holder_bytes = _HOLDER_START.pack(6, 4, partition, 16, subject[:16], 16, subject[16:]) + framed(
            texts[len(_TEXTS) :]
        )
        head = _HEAD.pack(
            subject,
            ordinal,
            row[_KEY],
            statuses.setdefault(told, len(statuses)),
            card.is_active,
            len(card_bytes),
            len(holder_bytes),
        )
    except struct.error:
        raise psycopg.DataError("a number is out of the range of its column") from None
    return head + card_bytes + holder_bytes


def card_start(social_code_system: int, financial_code_system: int) -> bytes:
    """The beginning of a card's row, which is made when the code systems have their numbers."""
    return _CARD_START.pack(len(_CARDS) + 2, 2, social_code_system, 2, financial_code_system)


def copied_cards(content: bytes, starts: Sequence[bytes]) -> Iterator[Copied]:
    """The cards of which `copied_card` made the content; `starts` are those of their statuses by number."""
    unpack, size, at = _HEAD.unpack_from, _HEAD.size, 0
    while at < len(content):
        subject, ordinal, key, statuses, is_active, card_size, holder_size = unpack(content, at)
        card_at = at + size
        holder_at = card_at + card_size
        at = holder_at + holder_size
        card, holder = starts[statuses] + content[card_at:holder_at], content[holder_at:at]
        yield _made((subject, ordinal, key, is_active, card, holder))


def _predecessor(key: tuple[str, str, int]) -> bytes:
    issuer, number, sequence = key
    return framed([struct.pack(">h", participant_code(issuer)), struct.pack(">i", sequence), number.encode()])


# ---- which are taken -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A card that was not taken over, and why: "two-active", "active-elsewhere", "linked"."""

    ordinal: int
    subject: bytes
    cause: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A person whom the registry knows."""

    is_linked: bool
    """Whether the number forwards to another."""
    states: Mapping[bytes, int]
    """Social states of the person's cards by key."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Settled:
    """What becomes of cards that waited."""

    cards: list[bytes] = dataclasses.field(default_factory=list)
    """Rows of those that are new to the registry."""
    holders: list[bytes] = dataclasses.field(default_factory=list)
    """Rows of the persons who are."""
    left: list[Left] = dataclasses.field(default_factory=list)


def persons_of(cards: Iterable[Copied]) -> list[list[Copied]]:
    """The cards by person, a person's in the order of the file."""
    return [list(group) for _, group in itertools.groupby(sorted(cards), key=itemgetter(0))]


def settle(persons: Iterable[Sequence[Copied]], known: Mapping[bytes, Known]) -> Settled:
    """Take what is new, and leave out whom the file or the registry contradicts. `known` is by the holder's half.

    Of a card that stands twice in the file the later one counts, and the name that was told last.
    """
    settled = Settled()
    for cards in persons:
        subject = cards[0].subject
        person = known.get(subject[:HOLDER_BYTES])
        cause = _contradiction(cards, person)
        if cause:
            settled.left += [Left(ordinal=card.ordinal, subject=subject, cause=cause) for card in cards]
            continue
        if person is None:
            settled.holders.append(cards[-1].holder)
        if len(cards) == 1 and person is None:
            settled.cards.append(cards[0].card)
            continue
        states = person.states if person else {}
        settled.cards += {card.key: card.card for card in cards if card.key not in states}.values()
    return settled


def _contradiction(cards: Sequence[Copied], person: Known | None) -> str:
    """Why the person is left out; "" if it is not."""
    if len(cards) > 1 and len({card.key for card in cards if card.is_active}) > 1:
        return "two-active"
    if person is None:
        return ""
    if person.is_linked:
        return "linked"
    becomes_active = any(card.is_active and card.key not in person.states for card in cards)
    return "active-elsewhere" if becomes_active and _ACTIVE in person.states.values() else ""


# ---- statements ----------------------------------------------------------------------------------------------------

_COPY_START: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END: Final = struct.pack(">h", -1)

KNOWN: Final = (
    "SELECT uuid_send(h.holder), h.linked_to IS NOT NULL, c.key_hash, c.social_state FROM cardholders h"
    " LEFT JOIN cards c ON c.partition = h.partition AND c.holder = h.holder"
    " WHERE h.partition = %b AND h.holder = ANY(%b::uuid[])"
)


async def lock_loading(connection: Connection) -> bool:
    """Keep others from loading until the connection ends; False if another one loads."""
    cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtext('onecard.card-load'))")
    return await cursor.fetchone() == (True,)


async def take_over(
    connection: Connection, partition: int, persons: Sequence[Sequence[Copied]]
) -> tuple[int, list[Left]]:
    """Write persons of a partition into the registry, in one transaction.

    Returns how many cards are new to it, and those that a person must see.
    """
    try:
        return await _take_over(connection, partition, persons)
    except psycopg.errors.UniqueViolation:
        # A worker has only begun with the partition, so that there was no row to lock: now there is one.
        return await _take_over(connection, partition, persons)


async def _take_over(
    connection: Connection, partition: int, persons: Sequence[Sequence[Copied]]
) -> tuple[int, list[Left]]:
    async with connection.transaction():
        await connection.execute("SELECT FROM partitions WHERE partition = %b FOR UPDATE", (partition,))
        holders = uuids([cards[0].subject[:HOLDER_BYTES] for cards in persons])
        settled = settle(persons, await _known(connection, partition, holders))
        await _copy(connection, f"cardholders_p{partition:04d} ({_HOLDER})", settled.holders)
        columns = f"social_code_system, financial_code_system, {names(_CARDS)}"
        await _copy(connection, f"cards_p{partition:04d} ({columns})", settled.cards)
    return len(settled.cards), settled.left


async def _known(connection: Connection, partition: int, holders: UuidArray) -> dict[bytes, Known]:
    cursor = await connection.execute(KNOWN, (partition, holders), binary=True)
    known: dict[bytes, Known] = {}
    states: dict[bytes, dict[bytes, int]] = defaultdict(dict)
    for holder, is_linked, key, state in await cursor.fetchall():
        if holder not in known:
            known[holder] = Known(is_linked=is_linked, states=states[holder])
        if key is not None:
            states[holder][key] = state
    return known


async def _copy(connection: Connection, target: str, rows: Sequence[bytes]) -> None:
    if rows:
        async with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:
            await copy.write(b"".join((_COPY_START, *rows, _COPY_END)))
