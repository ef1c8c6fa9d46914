"""Cards and cardholders as columns: their names, types, and the short forms in which a country of them is kept.

Pure: owns the rows' form in both directions, and knows no statement. Participants are numbers (11 is cn-11, 1102 is
bank-102), a person is the first half of the pseudonym, hex digits are packed by two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import psycopg

from onecard_broker.domain.card_state import Card, Cardholder, CardKey, LocalStatus, Machine, SentBack
from onecard_broker.records.arrays import BinaryArray, bools, byteas, int2s, int4s, int8s, texts, uuids
from onecard_protocol.card_digests import compared_digest, key_of
from onecard_protocol.identifiers import PARTICIPANTS

HOLDER_BYTES: Final = 16
"""Half of a pseudonym: no two persons of a country share it, by odds of 10^20."""
NOBODY: Final = -1
"""The number of no participant."""
_BANKS_FROM: Final = 1_000
_LOWER, _UPPER, _AS_IT_IS = b"\0", b"\1", b"\2"

_CODES: Final = {"": NOBODY} | {
    name: int(name.rpartition("-")[2]) + (_BANKS_FROM if name.startswith("bank-") else 0) for name in PARTICIPANTS
}
_NAMES: Final = {code: name for name, code in _CODES.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type as arrays of it are cast, and what makes an array of its values."""

    name: str
    type: str
    make: Callable[[Sequence[Any]], BinaryArray]
    cast: str = ""
    """What an item is cast to, where arrays of the column's own type cannot be sent (arrays within arrays)."""


def _columns(make: Callable[[Sequence[Any]], BinaryArray], sql_type: str, names: str) -> tuple[Column, ...]:
    return tuple(Column(name, sql_type, make) for name in names.split())


HOLDER_COLUMNS: Final = (
    Column("partition", "int", int4s),
    Column("holder", "uuid", uuids),
    Column("subject_rest", "bytea", byteas),
    *_columns(texts, "text", "kind number name"),
    Column("linked_to", "bytea", byteas),
    Column("linked_from", "text", texts, "bytea[]"),
    Column("followers", "text", texts, "smallint[]"),
    Column("sent_back_from", "bytea", byteas),
    Column("sent_back_linked_by", "text", texts, "smallint"),
    Column("sent_back_ms", "text", texts, "bigint"),
)

CARD_COLUMNS: Final = (
    *_columns(int8s, "bigint", "social_version social_changed_ms financial_version financial_changed_ms"),
    *_columns(
        int4s,
        "int",
        "partition sequence issue_day expiry_day social_late_count financial_late_count",
    ),
    *_columns(int2s, "smallint", "issuer bank generation social_state financial_state"),
    *_columns(bools, "boolean", "is_contactless has_transit_mark"),
    Column("holder", "uuid", uuids),
    *_columns(byteas, "bytea", "key_hash data_digest social_digest financial_digest"),
    *_columns(byteas, "bytea", "recognition_code institution_code certificate_serial photo_digest"),
    *_columns(
        texts,
        "text",
        "number social_code financial_code electronic_card_id bank_card_number specification_version card_class"
        " production_kind production_way residence_area",
    ),
    Column("social_missing", "text", texts, "bigint[]"),
    Column("financial_missing", "text", texts, "bigint[]"),
    Column("replaces_issuer", "text", texts, "smallint"),
    Column("replaces_sequence", "text", texts, "int"),
    Column("replaces_number", "text", texts),
)
"""All columns but the two code systems, which stand as (system, version) beside them."""

STATUS_COLUMNS: Final = _columns(texts, "text", "social_system social_edition financial_system financial_edition")
"""The systems of the two local statuses and their versions, kept as numbers (`card_code_systems`)."""


def arrays_of(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> list[BinaryArray]:
    """The rows' values by column, at least one row."""
    return [column.make(values) for column, values in zip(columns, zip(*rows, strict=True), strict=True)]


def parameters(columns: Sequence[Column]) -> str:
    """``%b::int[], %b::text[]`` for `unnest`."""
    return ", ".join(f"%b::{column.type}[]" for column in columns)


def names(columns: Iterable[Column], prefix: str = "") -> str:
    """The names, for a column list."""
    return ", ".join(f"{prefix}{column.name}" for column in columns)


def values(columns: Iterable[Column], prefix: str) -> str:
    """The values as they are inserted, with their casts."""
    return ", ".join(f"{prefix}{column.name}" + (f"::{column.cast}" if column.cast else "") for column in columns)


# ---- short forms ---------------------------------------------------------------------------------------------------


def participant_code(name: str) -> int:
    """A participant's number; -1 for none. Raises psycopg.DataError for what is no participant."""
    code = _CODES.get(name)
    if code is None:
        raise psycopg.DataError("a card names somebody who is no participant")
    return code


def participant_name(code: int) -> str:
    """The participant of a number."""
    return _NAMES[code]


def holder_of(subject: str) -> bytes:
    """The half of a pseudonym by which the registry knows the person. Raises ValueError for what is no pseudonym."""
    return bytes.fromhex(subject)[:HOLDER_BYTES]


def pack_hex(text: str) -> bytes:
    """Hex digits in half their space; any other text as it is."""
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return _AS_IT_IS + text.encode()
    digits = packed.hex()
    if digits == text:
        return _LOWER + packed if text else b""
    return _UPPER + packed if digits.upper() == text else _AS_IT_IS + text.encode()


def unpack_hex(packed: bytes) -> str:
    """The text that `pack_hex` was given."""
    if not packed:
        return ""
    form, content = packed[:1], packed[1:]
    if form == _AS_IT_IS:
        return content.decode()
    return content.hex() if form == _LOWER else content.hex().upper()


def _numbers(items: Iterable[int]) -> str | None:
    """An array of numbers as text; NULL for an empty one."""
    text = ",".join(map(str, items))
    return f"{{{text}}}" if text else None


def byte_strings(items: Iterable[bytes]) -> str | None:
    """An array of byte strings as text; NULL for an empty one."""
    text = ",".join(f'"\\\\x{item.hex()}"' for item in items)
    return f"{{{text}}}" if text else None


# ---- rows ----------------------------------------------------------------------------------------------------------


def holder_row(partition: int, holder: Cardholder) -> tuple[Any, ...]:
    """A cardholder as `HOLDER_COLUMNS`."""
    subject = bytes.fromhex(holder.subject)
    return (
        partition,
        subject[:HOLDER_BYTES],
        subject[HOLDER_BYTES:],
        holder.kind,
        holder.number,
        holder.name,
        bytes.fromhex(holder.linked_to) if holder.linked_to else None,
        byte_strings(map(bytes.fromhex, holder.linked_from)),
        _numbers(sorted(map(participant_code, holder.followers))),
        *_sent_back_row(holder.sent_back),
    )


def _sent_back_row(sent_back: SentBack | None) -> tuple[Any, ...]:
    if sent_back is None:
        return None, None, None
    return bytes.fromhex(sent_back.primary), str(participant_code(sent_back.linked_by)), str(sent_back.since_ms)


def read_sent_back(row: Sequence[Any]) -> SentBack | None:
    """The last three of `HOLDER_COLUMNS`."""
    primary, linked_by, since_ms = row
    if primary is None:
        return None
    return SentBack(primary=primary.hex(), linked_by=participant_name(linked_by), since_ms=since_ms)


def read_holder(row: Sequence[Any]) -> Cardholder:
    """The cardholder of `HOLDER_COLUMNS` behind the partition, still without cards and replacements."""
    holder, subject_rest, kind, number, name, linked_to, linked_from, followers, *sent_back = row
    return Cardholder(
        subject=(holder + subject_rest).hex(),
        kind=kind,
        number=number,
        name=name,
        linked_to="" if linked_to is None else linked_to.hex(),
        linked_from=tuple(subject.hex() for subject in linked_from or ()),
        followers=frozenset(map(participant_name, followers or ())),
        sent_back=read_sent_back(sent_back),
    )


def card_row(partition: int, holder: bytes, card: Card) -> tuple[Any, ...]:
    """A card as `CARD_COLUMNS`."""
    social, financial, replaces = card.social, card.financial, card.replaces
    return (
        social.version,
        social.changed_ms,
        financial.version,
        financial.changed_ms,
        partition,
        card.sequence,
        card.issue_day,
        card.expiry_day,
        social.late_count,
        financial.late_count,
        participant_code(card.issuer),
        participant_code(card.bank),
        card.generation,
        social.state,
        financial.state,
        card.is_contactless,
        card.has_transit_mark,
        holder,
        key_of(card.issuer, card.number, card.sequence),
        data_digest_of(card),
        social.digest,
        financial.digest,
        pack_hex(card.recognition_code),
        pack_hex(card.institution_code),
        pack_hex(card.certificate_serial),
        card.photo_digest,
        card.number,
        social.local.code,
        financial.local.code,
        card.electronic_card_id,
        card.bank_card_number,
        card.specification_version,
        card.card_class,
        card.production_kind,
        card.production_way,
        card.residence_area,
        _numbers(bound for missing in social.missing for bound in missing) if social.missing else None,
        _numbers(bound for missing in financial.missing for bound in missing) if financial.missing else None,
        None if replaces is None else str(participant_code(replaces[0])),
        None if replaces is None else str(replaces[2]),
        None if replaces is None else replaces[1],
    )


def status_row(card: Card) -> tuple[str, str, str, str]:
    """A card's local statuses as `STATUS_COLUMNS`."""
    social, financial = card.social.local, card.financial.local
    return social.system, social.version, financial.system, financial.version


def read_card(row: Sequence[Any]) -> Card:
    """The card of `CARD_COLUMNS` and behind them `STATUS_COLUMNS`."""
    (
        social_version,
        social_changed_ms,
        financial_version,
        financial_changed_ms,
        _partition,
        sequence,
        issue_day,
        expiry_day,
        social_late_count,
        financial_late_count,
        issuer,
        bank,
        generation,
        social_state,
        financial_state,
        is_contactless,
        has_transit_mark,
        _holder,
        _key_hash,
        _data_digest,
        social_digest,
        financial_digest,
        recognition_code,
        institution_code,
        certificate_serial,
        photo_digest,
        number,
        social_code,
        financial_code,
        electronic_card_id,
        bank_card_number,
        specification_version,
        card_class,
        production_kind,
        production_way,
        residence_area,
        social_missing,
        financial_missing,
        replaces_issuer,
        replaces_sequence,
        replaces_number,
        social_system,
        social_edition,
        financial_system,
        financial_edition,
    ) = row
    replaces: CardKey | None = None
    if replaces_number is not None:
        replaces = participant_name(replaces_issuer), replaces_number, replaces_sequence
    return Card(
        issuer=participant_name(issuer),
        number=number,
        sequence=sequence,
        social=Machine(
            state=social_state,
            version=social_version,
            digest=social_digest,
            changed_ms=social_changed_ms,
            local=LocalStatus(system=social_system, version=social_edition, code=social_code),
            missing=_pairs(social_missing),
            late_count=social_late_count,
        ),
        financial=Machine(
            state=financial_state,
            version=financial_version,
            digest=financial_digest,
            changed_ms=financial_changed_ms,
            local=LocalStatus(system=financial_system, version=financial_edition, code=financial_code),
            missing=_pairs(financial_missing),
            late_count=financial_late_count,
        ),
        recognition_code=unpack_hex(recognition_code),
        electronic_card_id=electronic_card_id,
        bank=participant_name(bank),
        bank_card_number=bank_card_number,
        generation=generation,
        specification_version=specification_version,
        card_class=card_class,
        institution_code=unpack_hex(institution_code),
        issue_day=issue_day,
        expiry_day=expiry_day,
        is_contactless=is_contactless,
        has_transit_mark=has_transit_mark,
        certificate_serial=unpack_hex(certificate_serial),
        production_kind=production_kind,
        production_way=production_way,
        residence_area=residence_area,
        photo_digest=photo_digest,
        replaces=replaces,
    )


def data_digest_of(card: Card) -> bytes:
    """Digest of the data by which copies are compared."""
    return compared_digest(
        generation=card.generation,
        specification_version=card.specification_version,
        card_class=card.card_class,
        recognition_code=card.recognition_code,
        institution_code=card.institution_code,
        issue_day=card.issue_day,
        expiry_day=card.expiry_day,
        is_contactless=card.is_contactless,
        has_transit_mark=card.has_transit_mark,
        certificate_serial=card.certificate_serial,
        production_kind=card.production_kind,
        production_way=card.production_way,
        bank=card.bank,
        residence_area=card.residence_area,
        photo_digest=card.photo_digest,
    )


def _pairs(bounds: Sequence[int] | None) -> tuple[tuple[int, int], ...]:
    return tuple(zip(bounds[::2], bounds[1::2], strict=True)) if bounds else ()
