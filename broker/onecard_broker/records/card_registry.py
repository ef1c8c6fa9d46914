"""The cardholder registry (持卡库) as rows: cardholders with cards and replacements, read and written by the batch.

Owns the statements, one a table, and which rows of a changed cardholder are written: those that differ. Knows no rule;
the form of the rows is `card_columns`. Implements `records.state_tables` for keys under ``card/holder/``.
"""

from __future__ import annotations

import dataclasses
import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from onecard_broker.domain.card_state import HOLDER_PREFIX, Card, Cardholder, Replacement, Step, holder_key
from onecard_broker.domain.model import AggregateKey
from onecard_broker.records.arrays import bools, byteas, int2s, int4s, int8s, texts, uuids
from onecard_broker.records.card_columns import (
    CARD_COLUMNS,
    HOLDER_COLUMNS,
    STATUS_COLUMNS,
    Column,
    arrays_of,
    byte_strings,
    card_row,
    holder_of,
    holder_row,
    names,
    parameters,
    participant_code,
    participant_name,
    read_card,
    read_holder,
    status_row,
    values,
)
from onecard_broker.records.card_waiting import warn_of_link_sent_back, warn_of_new
from onecard_broker.records.lookups import looked_up
from onecard_broker.records.pool import Connection
from onecard_protocol.card_digests import key_of

PARTITIONED: Final = ("cardholders", "cards")
"""Tables that have a table for each journal partition, in the order in which they are locked."""

StateKey = tuple[int, AggregateKey]

_REPLACEMENT_COLUMNS: Final = (
    Column("partition", "int", int4s),
    Column("holder", "uuid", uuids),
    Column("id", "bytea", byteas),
    Column("phase", "text", texts),
    Column("old_issuer", "smallint", int2s),
    Column("old_number", "text", texts),
    Column("old_sequence", "int", int4s),
    Column("new_issuer", "smallint", int2s),
    Column("new_number", "text", texts),
    Column("new_sequence", "int", int4s),
    Column("began_ms", "bigint", int8s),
    Column("ended_ms", "bigint", int8s),
    Column("benefit_due_ms", "bigint", int8s),
    Column("is_alarmed", "boolean", bools),
)

_STEP_COLUMNS: Final = (
    Column("partition", "int", int4s),
    Column("holder", "uuid", uuids),
    Column("replacement", "bytea", byteas),
    Column("step", "smallint", int2s),
    Column("phase", "text", texts),
    Column("recipient", "smallint", int2s),
    Column("attempt", "int", int4s),
    Column("asked_ids", "text", texts, "bytea[]"),
    Column("reason", "int", int4s),
    Column("changed_ms", "bigint", int8s),
    Column("local_id", "text", texts),
)


def _upsert(table: str, columns: Sequence[Column], key: Sequence[str]) -> str:
    changed = ", ".join(f"{column.name} = EXCLUDED.{column.name}" for column in columns if column.name not in key)
    return (
        f"INSERT INTO {table} ({names(columns)}) SELECT {values(columns, 'n.')}"
        f" FROM unnest({parameters(columns)}) AS n({names(columns)})"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"
    )


_PUT_HOLDERS: Final = _upsert("cardholders", HOLDER_COLUMNS, ("partition", "holder"))
_PUT_REPLACEMENTS: Final = _upsert("card_replacements", _REPLACEMENT_COLUMNS, ("partition", "holder", "id"))
_PUT_STEPS: Final = _upsert("card_replacement_steps", _STEP_COLUMNS, ("partition", "holder", "replacement", "step"))

_SYSTEMS_JOINED: Final = (
    " LEFT JOIN card_code_systems s ON s.system = n.social_system AND s.version = n.social_edition"
    " LEFT JOIN card_code_systems f ON f.system = n.financial_system AND f.version = n.financial_edition"
)
_PUT_CARDS: Final = (
    f"INSERT INTO cards ({names(CARD_COLUMNS)}, social_code_system, financial_code_system)"
    f" SELECT {values(CARD_COLUMNS, 'n.')}, s.id, f.id FROM unnest("
    + parameters((*CARD_COLUMNS, *STATUS_COLUMNS))
    + f") WITH ORDINALITY AS n({names((*CARD_COLUMNS, *STATUS_COLUMNS))}, place)"
    + _SYSTEMS_JOINED
    # A card that is ACTIVE no more goes before the one that now is (`cards_active`).
    + " ORDER BY n.social_state = 2, n.place ON CONFLICT (partition, holder, key_hash) DO UPDATE SET "
    + ", ".join(
        f"{name} = EXCLUDED.{name}"
        for name in [*(column.name for column in CARD_COLUMNS), "social_code_system", "financial_code_system"]
        if name not in {"partition", "holder", "key_hash"}
    )
)

_WANTED: Final = " FROM unnest(%b::int[], %b::uuid[]) AS w(partition, holder)"


def _selected(columns: Iterable[Column], prefix: str) -> str:
    return ", ".join(
        f"uuid_send({prefix}{column.name})" if column.type == "uuid" else f"{prefix}{column.name}" for column in columns
    )


def _of_holders(table: str, alias: str) -> str:
    return _WANTED + looked_up(table, alias, "partition", "holder")


LOAD_HOLDERS: Final = f"SELECT {_selected(HOLDER_COLUMNS, 'h.')}" + _of_holders("cardholders", "h")
LOAD_CARDS: Final = (
    f"SELECT {_selected(CARD_COLUMNS, 'c.')}, s.system, s.version, f.system, f.version"
    + _of_holders("cards", "c")
    + " JOIN card_code_systems s ON s.id = c.social_code_system"
    " JOIN card_code_systems f ON f.id = c.financial_code_system"
)
LOAD_REPLACEMENTS: Final = f"SELECT {_selected(_REPLACEMENT_COLUMNS, 'r.')}" + _of_holders("card_replacements", "r")
LOAD_STEPS: Final = f"SELECT {_selected(_STEP_COLUMNS, 't.')}" + _of_holders("card_replacement_steps", "t")


class CardRegistry:
    """The registry. One task uses it at a time."""

    def __init__(self) -> None:
        self._known_systems: set[tuple[str, str]] = set()
        """Code systems that were read from the database, so that they stand in it for good."""

    async def prepare(self, connection: Connection, partitions: Collection[int]) -> None:
        """Make the tables of journal partitions that have none."""
        missing = await _missing_tables(connection, partitions)
        if missing:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext('onecard.cards'))")
                for partition, table in await _missing_tables(connection, partitions):
                    await connection.execute(
                        f"CREATE TABLE {table}_p{partition:04d} PARTITION OF {table} FOR VALUES IN ({partition})"
                    )

    async def load(
        self, connection: Connection, keys: Collection[StateKey], *, has_replacements: bool = True
    ) -> dict[StateKey, Cardholder]:
        """The cardholders that exist among these; cards in the order of issuer, number and sequence.

        Without replacements where only cards are looked at.
        """
        if not keys:
            return {}
        wanted = [(partition, holder_of(key.removeprefix(HOLDER_PREFIX))) for partition, key in keys]
        which = int4s([partition for partition, _ in wanted]), uuids([holder for _, holder in wanted])
        statements = [LOAD_HOLDERS, LOAD_CARDS, *([LOAD_REPLACEMENTS, LOAD_STEPS] if has_replacements else [])]
        async with connection.pipeline():
            cursors = [await connection.execute(statement, which, binary=True) for statement in statements]
        holders, cards, *rest = [await cursor.fetchall() for cursor in cursors]
        replacements, steps = rest or ([], [])
        cards_of: dict[tuple[int, bytes], list[Card]] = defaultdict(list)
        for row in cards:
            cards_of[row[_CARD_PARTITION], row[_CARD_HOLDER]].append(read_card(row))
            self._known_systems.update((row[-4:-2], row[-2:]))
        steps_of: dict[tuple[int, bytes, bytes], list[Step]] = defaultdict(list)
        for row in steps:
            steps_of[row[:3]].append(_read_step(row[3:]))
        replacements_of: dict[tuple[int, bytes], list[Replacement]] = defaultdict(list)
        for row in replacements:
            replacements_of[row[:2]].append(_read_replacement(row[2:], steps_of[row[:3]]))
        found: dict[StateKey, Cardholder] = {}
        for partition, *holder_values in holders:
            place = partition, holder_values[0]
            holder = dataclasses.replace(
                read_holder(holder_values),
                cards=tuple(sorted(cards_of[place], key=lambda card: card.key)),
                replacements=tuple(sorted(replacements_of[place], key=lambda one: (one.began_ms, one.id))),
            )
            found[partition, holder_key(holder.subject)] = holder
        return found

    async def find_replacement(
        self, connection: Connection, replacement_id: bytes
    ) -> tuple[Cardholder, Replacement] | None:
        """A replacement by its id, with its holder; None if there is none such."""
        cursor = await connection.execute(
            "SELECT r.partition, uuid_send(r.holder) || h.subject_rest FROM card_replacements r"
            " JOIN cardholders h ON h.partition = r.partition AND h.holder = r.holder WHERE r.id = %b",
            (replacement_id,),
            binary=True,
        )
        keys = [(partition, holder_key(subject.hex())) for partition, subject in await cursor.fetchall()]
        holders = await self.load(connection, keys)
        found = [
            (holder, one) for holder in holders.values() for one in holder.replacements if one.id == replacement_id
        ]
        return found[0] if found else None

    async def save(
        self,
        connection: Connection,
        changes: Mapping[StateKey, tuple[Cardholder | None, Cardholder | None]],
    ) -> None:
        """Write what differs: holders, cards, replacements and steps that are new or other, and delete what is gone."""
        difference = _Difference()
        for (partition, key), (before, after) in changes.items():
            warn_of_new(before.replacements if before else (), after.replacements if after else ())
            warn_of_link_sent_back(before.sent_back if before else None, after)
            difference.add(partition, key.removeprefix(HOLDER_PREFIX), before, after)
        for statement, columns, gone in (
            (_delete("cardholders", ()), (), difference.holders_gone),
            (_delete("cards", (("key_hash", "bytea"),)), (byteas,), difference.cards_gone),
            (_delete("card_replacements", (("id", "bytea"),)), (byteas,), difference.replacements_gone),
            (_delete("card_replacement_steps", (("replacement", "bytea"),)), (byteas,), difference.replacements_gone),
            (
                _delete("card_replacement_steps", (("replacement", "bytea"), ("step", "smallint"))),
                (byteas, int2s),
                difference.steps_gone,
            ),
        ):
            if gone:
                makers: Sequence[Callable[[Sequence[Any]], Any]] = (int4s, uuids, *columns)
                arrays = [make(items) for make, items in zip(makers, zip(*gone, strict=True), strict=True)]
                await connection.execute(statement, arrays)
        if difference.holders:
            await connection.execute(_PUT_HOLDERS, arrays_of(HOLDER_COLUMNS, difference.holders))
        if difference.cards:
            brought = {row[-2:]: row[_CARD_BANK] for row in difference.cards}
            await self.add_systems(connection, brought | {row[-4:-2]: row[_CARD_ISSUER] for row in difference.cards})
            await connection.execute(_PUT_CARDS, arrays_of((*CARD_COLUMNS, *STATUS_COLUMNS), difference.cards))
        if difference.replacements:
            await connection.execute(_PUT_REPLACEMENTS, arrays_of(_REPLACEMENT_COLUMNS, difference.replacements))
        if difference.steps:
            await connection.execute(_PUT_STEPS, arrays_of(_STEP_COLUMNS, difference.steps))

    async def add_systems(self, connection: Connection, pairs: Mapping[tuple[Any, ...], int]) -> None:
        """Give code systems their numbers, as far as they have none, and note who brings them in; -1: nobody."""
        new = sorted((*pair, owner) for pair, owner in pairs.items() if pair not in self._known_systems)
        if new:
            systems, versions, owners = zip(*new, strict=True)
            await connection.execute(
                "INSERT INTO card_code_systems (system, version, brought_by)"
                " SELECT n.system, n.version, nullif(n.owner, -1) FROM unnest(%b::text[], %b::text[], %b::smallint[])"
                " AS n(system, version, owner) WHERE NOT EXISTS (SELECT FROM card_code_systems s"
                " WHERE s.system = n.system AND s.version = n.version) ON CONFLICT DO NOTHING",
                (texts(systems), texts(versions), int2s(owners)),
            )

    async def systems(self, connection: Connection) -> dict[tuple[str, str], int]:
        """The numbers of all code systems by system and version."""
        cursor = await connection.execute("SELECT system, version, id FROM card_code_systems", binary=True)
        return {(system, version): number for system, version, number in await cursor.fetchall()}


_CARD_PARTITION, _CARD_HOLDER, _CARD_ISSUER, _CARD_BANK = (
    [column.name for column in CARD_COLUMNS].index(name) for name in ("partition", "holder", "issuer", "bank")
)


async def _missing_tables(connection: Connection, partitions: Collection[int]) -> list[tuple[int, str]]:
    cursor = await connection.execute(
        "SELECT p, t FROM unnest(%b::int[]) AS p CROSS JOIN unnest(%b::text[]) WITH ORDINALITY AS t(t, place)"
        " WHERE to_regclass(t || '_p' || lpad(p::text, 4, '0')) IS NULL ORDER BY place, p",
        (int4s(sorted(partitions)), texts(PARTITIONED)),
        binary=True,
    )
    return await cursor.fetchall()


def _delete(table: str, more: Sequence[tuple[str, str]]) -> str:
    columns = (("partition", "int"), ("holder", "uuid"), *more)
    return (
        f"DELETE FROM {table} t USING unnest({', '.join(f'%b::{kind}[]' for _, kind in columns)})"
        f" AS w({', '.join(name for name, _ in columns)}) WHERE "
        + " AND ".join(f"t.{name} = w.{name}" for name, _ in columns)
    )


class _Difference:
    """Rows to be written and keys of rows to be deleted."""

    def __init__(self) -> None:
        self.holders: list[Sequence[Any]] = []
        self.cards: list[tuple[Any, ...]] = []
        self.replacements: list[Sequence[Any]] = []
        self.steps: list[Sequence[Any]] = []
        self.holders_gone: list[tuple[int, bytes]] = []
        self.cards_gone: list[tuple[int, bytes, bytes]] = []
        self.replacements_gone: list[tuple[int, bytes, bytes]] = []
        self.steps_gone: list[tuple[int, bytes, bytes, int]] = []

    def add(self, partition: int, subject: str, before: Cardholder | None, after: Cardholder | None) -> None:
        holder = holder_of(subject)
        if after is None:
            self.holders_gone.append((partition, holder))
        elif before is None or _of_person(before) != _of_person(after):
            self.holders.append(holder_row(partition, after))
        was, now = before or Cardholder(subject=subject), after or Cardholder(subject=subject)
        self._add_cards(partition, holder, was.cards, now.cards)
        self._add_replacements(partition, holder, was.replacements, now.replacements)

    def _add_cards(self, partition: int, holder: bytes, before: Iterable[Card], after: Iterable[Card]) -> None:
        stood = {card.key: card for card in before}
        for card in after:
            old = stood.pop(card.key, None)
            if old is not card and old != card:
                self.cards.append((*card_row(partition, holder, card), *status_row(card)))
        self.cards_gone += [(partition, holder, key_of(*key)) for key in stood]

    def _add_replacements(
        self, partition: int, holder: bytes, before: Iterable[Replacement], after: Iterable[Replacement]
    ) -> None:
        stood = {replacement.id: replacement for replacement in before}
        for replacement in after:
            old = stood.pop(replacement.id, None)
            if old == replacement:
                continue
            self.replacements.append(_replacement_row(partition, holder, replacement))
            steps = {} if old is None else {step.step: step for step in old.steps}
            for step in replacement.steps:
                if steps.pop(step.step, None) != step:
                    self.steps.append(_step_row(partition, holder, replacement.id, step))
            self.steps_gone += [(partition, holder, replacement.id, int(step)) for step in steps]
        self.replacements_gone += [(partition, holder, replacement_id) for replacement_id in stood]


_of_person: Final = operator.attrgetter("kind", "number", "name", "linked_to", "linked_from", "followers", "sent_back")
"""What stands in the holder's own row."""


def _replacement_row(partition: int, holder: bytes, replacement: Replacement) -> tuple[Any, ...]:
    old, new = replacement.old, replacement.new
    return (
        partition,
        holder,
        replacement.id,
        str(replacement.phase),
        participant_code(old[0]),
        *old[1:],
        participant_code(new[0]),
        *new[1:],
        replacement.began_ms,
        replacement.ended_ms,
        replacement.benefit_due_ms,
        replacement.is_alarmed,
    )


def _read_replacement(row: Sequence[Any], steps: Iterable[Step]) -> Replacement:
    (replacement_id, phase, old_issuer, old_number, old_sequence, new_issuer, new_number, new_sequence, *rest) = row
    began_ms, ended_ms, benefit_due_ms, is_alarmed = rest
    return Replacement(
        id=replacement_id,
        phase=phase,
        old=(participant_name(old_issuer), old_number, old_sequence),
        new=(participant_name(new_issuer), new_number, new_sequence),
        steps=tuple(sorted(steps, key=lambda step: step.step)),
        began_ms=began_ms,
        ended_ms=ended_ms,
        benefit_due_ms=benefit_due_ms,
        is_alarmed=is_alarmed,
    )


def _step_row(partition: int, holder: bytes, replacement_id: bytes, step: Step) -> tuple[Any, ...]:
    return (
        partition,
        holder,
        replacement_id,
        int(step.step),
        str(step.phase),
        participant_code(step.recipient),
        step.attempt,
        byte_strings(step.asked_ids),
        step.reason,
        step.changed_ms,
        step.local_id,
    )


def _read_step(row: Sequence[Any]) -> Step:
    step, phase, recipient, attempt, asked_ids, reason, changed_ms, local_id = row
    return Step(
        step=step,
        phase=phase,
        recipient=participant_name(recipient),
        attempt=attempt,
        asked_ids=tuple(asked_ids or ()),
        reason=reason,
        changed_ms=changed_ms,
        local_id=local_id,
    )
