"""Many cards at once, by COPY, into the tables of their journal partition, in short transactions.

Owns the form of a card that waits for its turn (`copied_card`, `Copied`), which of them are taken, and the statements.
The cards of a journal partition are written under the lock of its row, so that they and the worker's own writes stand
one behind the other; what the registry knows already stays as it is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import psycopg

from onecard.card.v1 import change_pb2, snapshot_pb2, values_pb2
from onecard_broker.domain.card_changes import own_content_digest
from onecard_broker.domain.card_state import CardKey, card_key
from onecard_broker.records.arrays import UuidArray, framed, uuids
from onecard_broker.records.card_columns import (
    CARD_COLUMNS,
    HOLDER_BYTES,
    names,
    pack_hex,
    participant_code,
)
from onecard_broker.records.pool import Connection
from onecard_protocol.card_digests import DIGEST_BYTES, KEY_BYTES, compared_digest, day_number, key_of
from onecard_protocol.messages import to_ms

PERSON_COUNT: Final = 10_000
"""Persons of one transaction: a worker waits for its partition no longer than they take."""

# ---- the form in which cards wait ----------------------------------------------------------------------------------

_FIXED_FORMATS: Final = {"bigint": "q", "int": "i", "smallint": "h", "boolean": "?", "uuid": "16s"}
_BY_NAME: Final = {column.name: column for column in CARD_COLUMNS}
_FIXED: Final = (
    "social_version social_changed_ms financial_version financial_changed_ms partition sequence issue_day expiry_day"
    " social_late_count financial_late_count issuer bank generation social_state financial_state is_contactless"
    " has_transit_mark holder"
).split()
_DIGESTS: Final = {"key_hash": KEY_BYTES, "data_digest": DIGEST_BYTES, "social_digest": DIGEST_BYTES}
_BYTES: Final = "financial_digest recognition_code certificate_serial photo_digest".split()
_TEXTS: Final = "number electronic_card_id bank_card_number".split()
_REPEATED: Final = (
    "institution_code social_code financial_code specification_version card_class production_kind production_way"
    " residence_area"
).split()
"""Of these columns many cards have the same."""
_REPLACES: Final = "replaces_issuer replaces_sequence replaces_number".split()
_CARDS: Final = tuple(map(_BY_NAME.__getitem__, (*_FIXED, *_DIGESTS, *_BYTES, *_TEXTS, *_REPEATED, *_REPLACES)))
"""The columns in the order in which `copied_card` writes them."""
assert _BY_NAME.keys() - {column.name for column in _CARDS} == {"social_missing", "financial_missing"}, (
    "columns of cards that are not loaded"
)

_FORMAT: Final = struct.Struct(
    ">"
    + "".join(f"i{_FIXED_FORMATS[_BY_NAME[name].type]}" for name in _FIXED)
    + "".join(f"i{size}s" for size in _DIGESTS.values())
)
_NO_PREDECESSOR: Final = framed([None] * len(_REPLACES))
_HOLDER: Final = "partition, holder, subject_rest, kind, number, name"
_HOLDER_START: Final = struct.Struct(">hiii16si16s")
_CARD_START: Final = struct.Struct(">hihih")
_HEAD: Final = struct.Struct(">32sq8sH?HH")
"""Pseudonym, place in the file, key, statuses, whether it is ACTIVE; lengths of the card's and the holder's rows."""

_ACTIVE: Final = values_pb2.SOCIAL_STATE_ACTIVE
_Account = tuple[int, int, int, str, str, str, str, bytes]
"""Version, time, state, local status (system, version, code), bank card number and the report's digest."""
_NO_ACCOUNT: Final[_Account] = (0, 0, 0, "", "", "", "", b"")

Statuses = tuple[str, str, str, str]
"""The two local statuses' code systems with their versions (`card_columns.STATUS_COLUMNS`)."""


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
    told: snapshot_pb2.SnapshotCard,
    ordinal: int,
    statuses: dict[Statuses, int],
) -> bytes:
    """A card in the form in which it waits: as these reports leave it if none came before.

    Written out: it is made by the million, and by the values in which others hold a card it took a third more.
    Takes the persons out of the reports. Statuses are numbered in the order in which they come.
    Raises psycopg.DataError for what the registry cannot hold.
    """
    social, data, local = told.social, told.social.data, told.social.local_status
    account = _account(told.financial) if told.HasField("financial") else _NO_ACCOUNT
    version, changed_ms, account_state, system, system_version, account_code, bank_card_number, account_digest = account
    issuer, number, sequence = card_key(social.card)
    key, state = key_of(issuer, number, sequence), social.state
    # Each is asked for once: protobuf makes an object of a message within a message whenever it is.
    generation, bank, photo_digest = data.generation, data.bank, data.photo_digest
    specification, card_class, residence_area = data.specification_version, data.card_class, data.residence_area
    recognition, institution, serial = data.recognition_code, data.institution_code, data.certificate_serial
    issue_day, expiry_day = day_number(data.issue_day), day_number(data.expiry_day)
    is_contactless, has_transit_mark = data.is_contactless, data.has_transit_mark
    production_kind, production_way = data.production_kind.code, data.production_way.code
    data_digest = compared_digest(
        generation=generation,
        specification_version=specification,
        card_class=card_class,
        recognition_code=recognition,
        institution_code=institution,
        issue_day=issue_day,
        expiry_day=expiry_day,
        is_contactless=is_contactless,
        has_transit_mark=has_transit_mark,
        certificate_serial=serial,
        production_kind=production_kind,
        production_way=production_way,
        bank=bank,
        residence_area=residence_area,
        photo_digest=photo_digest,
    )
    systems = local.system, local.version, system, system_version
    texts = (
        f"{number}\0{data.electronic_card_id}\0{bank_card_number or data.bank_card_number}"
        f"\0{kind}\0{person_number}\0{social.holder.name}"
    )
    encoded = texts.encode().split(b"\0")
    if len(encoded) != len(_TEXTS) + 3 or (systems not in statuses and "\0" in "".join(systems)):
        raise _zero_byte()
    repeated = _repeated(
        institution,
        local.code,
        account_code,
        specification,
        card_class,
        production_kind,
        production_way,
        residence_area,
    )
    holder = subject[:HOLDER_BYTES]
    try:
        fixed = _FORMAT.pack(
            *(8, social.version, 8, to_ms(social.occurred_time)),
            *(8, version, 8, changed_ms),
            *(4, partition, 4, sequence, 4, issue_day, 4, expiry_day, 4, 0, 4, 0),
            *(2, participant_code(issuer), 2, participant_code(bank), 2, generation),
            *(2, state, 2, account_state, 1, is_contactless, 1, has_transit_mark, 16, holder),
            *(KEY_BYTES, key, DIGEST_BYTES, data_digest, DIGEST_BYTES, own_content_digest(social)),
        )
        variable = framed(
            [
                account_digest,
                pack_hex(recognition),
                pack_hex(serial),
                photo_digest,
                *encoded[: len(_TEXTS)],
            ]
        )
        replaces = _predecessor(card_key(social.replaces)) if social.HasField("replaces") else _NO_PREDECESSOR
        holder_bytes = _HOLDER_START.pack(6, 4, partition, 16, holder, 16, subject[HOLDER_BYTES:]) + framed(
            encoded[len(_TEXTS) :]
        )
        head = _HEAD.pack(
            subject,
            ordinal,
            key,
            statuses.setdefault(systems, len(statuses)),
            state == _ACTIVE,
            len(fixed) + len(variable) + len(repeated) + len(replaces),
            len(holder_bytes),
        )
    except struct.error:
        raise psycopg.DataError("a number is out of the range of its column") from None
    return b"".join((head, fixed, variable, repeated, replaces, holder_bytes))


def _account(told: change_pb2.ReportFinancialChangeRequest) -> _Account:
    local, changed_ms = told.local_status, to_ms(told.occurred_time)
    status = local.system, local.version, local.code
    return told.version, changed_ms, told.state, *status, told.bank_card_number, own_content_digest(told)


@functools.lru_cache(maxsize=4_096)
def _repeated(institution: str, *texts: str) -> bytes:
    if any("\0" in text for text in texts):
        raise _zero_byte()
    return framed([pack_hex(institution), *(text.encode() for text in texts)])


def _zero_byte() -> psycopg.DataError:
    return psycopg.DataError("a text holds a zero byte")


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


def _predecessor(key: CardKey) -> bytes:
    issuer, number, sequence = key
    return framed([struct.pack(">h", participant_code(issuer)), struct.pack(">i", sequence), number.encode()])


# ---- which are taken -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A card that was not taken over, and why: "two-active", "active-elsewhere", "linked"."""

    ordinal: int
    subject: bytes
    cause: str
    detail: str = ""
    """The fields at fault, without values; empty where the card as such is sound."""


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
    """Keep others from loading until the connection ends; False if another one loads.

    The server notices a moment later that a connection ended, so a load right after one that failed asks again.
    """
    for _ in range(10):
        cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtext('onecard.card-load'))")
        if await cursor.fetchone() == (True,):
            return True
        await asyncio.sleep(0.1)
    return False


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
