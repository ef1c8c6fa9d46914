"""What the adapter remembers beside the messages: persons, encounters, local transactions, and numbers given out.

From these a trade that names only a personal number, a visit or a transaction gets its person and its original, and
after a crash a dialect knows under which number it asked its local system (rule 11). Values are sealed with SM4-GCM,
lookup keys are HMAC-SM3 (`sealing`): no personal number stands in the file.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from onecard.exchange.v1 import values_pb2
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_protocol.value_class import value_class

_Row = TypeVar("_Row")
# One call asks for the same rows again and again; opened anew each time they were a quarter of an adapter's work.
_OPENED_MAX = 2_048
_OPENED_BYTES_MAX = 8 * 1_024
_KEYS_MAX = 2_048
_PERSON = b"memory.person"
_ENCOUNTER = b"memory.encounter"
_TRANSACTION = b"memory.transaction"
# `json.dumps` makes an encoder each time it is asked for another form than its own.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@value_class(frozen=True, slots=True, kw_only=True)
class PersonRecord:
    """A person as the insured area told of him or her."""

    identity: values_pb2.PersonIdentity = dataclasses.field(repr=False)
    name: str = dataclasses.field(repr=False)
    insurance_area: str
    personal_number: str = dataclasses.field(repr=False)


@value_class(frozen=True, slots=True, kw_only=True)
class EncounterRecord:
    """A visit or stay."""

    encounter_id: str
    person: PersonRecord
    insured_participant: str
    care: Mapping[str, str]
    """The dialect's own attributes."""


@value_class(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction of a local system and the national message that it became."""

    institution_code: str
    local_transaction_id: str
    body_digest: bytes
    message_id: bytes
    method: str
    encounter_id: str
    attributes: Mapping[str, str]
    """The dialect's own attributes."""


class EdgeMemory:
    """The memory in an adapter's store; each awaited change is durable, unless it runs ahead.

    What is found is shared with others who find the same: it is to be copied, never changed.
    """

    def __init__(self, store: Store, sealer: Sealer) -> None:
        """The store must be open when the memory is used."""
        self._store = store
        self._sealer = sealer
        # The trades of one visit ask by the same numbers again and again.
        self._key_of = functools.lru_cache(_KEYS_MAX)(sealer.lookup)
        self._transactions = _Opened(self._open_transaction)
        self._encounters = _Opened(self._open_encounter)

    async def remember_person(self, insurance_area: str, personal_number: str, person: PersonRecord) -> None:
        """Remember, or replace, the person of (insurance area, personal number)."""
        key = self._key_of("person", insurance_area, personal_number)
        await self._put("persons", key, self._sealer.seal(_PERSON, _dumped(_person_values(person))))

    def find_person(self, insurance_area: str, personal_number: str) -> PersonRecord | None:
        """The person of (insurance area, personal number); None if nothing told of it."""
        value = self._get("persons", self._key_of("person", insurance_area, personal_number))
        return None if value is None else _person(_read(self._sealer.open(_PERSON, value)))

    async def remember_encounter(self, institution_code: str, visit_id: str, encounter: EncounterRecord) -> None:
        """Remember, or replace, the encounter of (institution, local visit number)."""
        key = self._key_of("encounter", institution_code, visit_id)
        values = {
            "encounter_id": encounter.encounter_id,
            "person": _person_values(encounter.person),
            "insured_participant": encounter.insured_participant,
            "care": encounter.care,
        }
        await self._put("encounters", key, self._sealer.seal(_ENCOUNTER, _dumped(values)))

    def find_encounter(self, institution_code: str, visit_id: str) -> EncounterRecord | None:
        """The encounter of (institution, local visit number); None if it is not known."""
        value = self._get("encounters", self._key_of("encounter", institution_code, visit_id))
        return None if value is None else self._encounters.open(value)

    async def remember_transaction(
        self,
        institution_code: str,
        local_transaction_id: str,
        body_digest: bytes,
        message_id: bytes,
        method: str,
        encounter_id: str,
        attributes: Mapping[str, str],
        *,
        runs_ahead: bool = False,
    ) -> Transaction:
        """Remember a transaction; the one that is known already if (institution, number, digest) or the message id is.

        So a repeat keeps its national message id. With `runs_ahead` it is not durable yet, and after a failure of the
        disk a repeat may get another one: for trades without effect.
        """
        made = Transaction(
            institution_code=institution_code,
            local_transaction_id=local_transaction_id,
            body_digest=body_digest,
            message_id=message_id,
            method=method,
            encounter_id=encounter_id,
            attributes=dict(attributes),
        )
        local_key = self._key_of("transaction", institution_code, local_transaction_id)
        encounter_key = self._key_of("transactions of", encounter_id)

        def remember(connection: sqlite3.Connection) -> Transaction:
            row = connection.execute(
                "SELECT value FROM transactions WHERE (local_key = ? AND body_digest = ?) OR message_id = ?"
                " ORDER BY message_id = ? LIMIT 1",
                (local_key, body_digest, message_id, message_id),
            ).fetchone()
            if row is not None:
                return self._transactions.open(row[0])
            connection.execute(
                "INSERT INTO transactions (message_id, local_key, body_digest, encounter_key, method, value)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (message_id, local_key, body_digest, encounter_key, method, self._sealed(made)),
            )
            return made

        return await (self._store.run_ahead(remember) if runs_ahead else self._store.run(remember, is_brief=True))

    def find_transactions(self, institution_code: str, local_transaction_id: str) -> list[Transaction]:
        """All transactions under a local number, oldest first: two originals are for the caller to refuse."""
        local_key = self._key_of("transaction", institution_code, local_transaction_id)
        return self._all("WHERE local_key = ?", (local_key,))

    def find_transactions_of_encounter(self, encounter_id: str, *methods: str) -> list[Transaction]:
        """All transactions of these methods of an encounter, oldest first."""
        encounter_key = self._key_of("transactions of", encounter_id)
        places = ", ".join("?" * len(methods))
        return self._all(f"WHERE encounter_key = ? AND method IN ({places})", (encounter_key, *methods))

    async def update_transaction(self, message_id: bytes, attributes: Mapping[str, str]) -> None:
        """Add attributes to a transaction, or replace those of the same names. Raises KeyError if it is not known."""

        def update(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT value FROM transactions WHERE message_id = ?", (message_id,)).fetchone()
            if row is None:
                raise KeyError(message_id.hex())
            known = self._transactions.open(row[0])
            changed = dataclasses.replace(known, attributes={**known.attributes, **attributes})
            connection.execute(
                "UPDATE transactions SET value = ? WHERE message_id = ?", (self._sealed(changed), message_id)
            )
            self._transactions.drop(row[0])

        await self._store.run(update, is_brief=True)

    async def next_number(self, series: str, at_least: int) -> int:
        """A number that this store has never given out in the series: greater than all before it, and `at_least`."""

        def give_out(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT last FROM series WHERE name = ?", (series,)).fetchone()
            number = at_least if row is None else max(at_least, row[0] + 1)
            connection.execute(
                "INSERT INTO series (name, last) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last",
                (series, number),
            )
            return number

        return await self._store.run(give_out, is_brief=True)

    async def _put(self, table: str, key: bytes, value: bytes) -> None:
        await self._store.run(
            lambda connection: connection.execute(
                f"INSERT INTO {table} (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            ),
            is_brief=True,
        )

    def _get(self, table: str, key: bytes) -> bytes | None:
        row = self._store.read(
            lambda connection: connection.execute(f"SELECT value FROM {table} WHERE key = ?", (key,)).fetchone()
        )
        return None if row is None else row[0]

    def _all(self, where: str, parameters: tuple[object, ...]) -> list[Transaction]:
        rows = self._store.read(
            lambda connection: connection.execute(
                f"SELECT value FROM transactions {where} ORDER BY message_id", parameters
            ).fetchall()
        )
        return [self._transactions.open(row[0]) for row in rows]

    def _sealed(self, transaction: Transaction) -> bytes:
        # `dataclasses.asdict` copies each value deeply, which costs more than to write the JSON.
        values = {
            "institution_code": transaction.institution_code,
            "local_transaction_id": transaction.local_transaction_id,
            "body_digest": transaction.body_digest.hex(),
            "message_id": transaction.message_id.hex(),
            "method": transaction.method,
            "encounter_id": transaction.encounter_id,
            "attributes": transaction.attributes,
        }
        sealed = self._sealer.seal(_TRANSACTION, _dumped(values))
        self._transactions.keep(sealed, transaction)
        return sealed

    def _open_encounter(self, sealed: bytes) -> EncounterRecord:
        values = _read(self._sealer.open(_ENCOUNTER, sealed))
        return EncounterRecord(**{**values, "person": _person(values["person"])})

    def _open_transaction(self, sealed: bytes) -> Transaction:
        values = _read(self._sealer.open(_TRANSACTION, sealed))
        for name in ("body_digest", "message_id"):
            values[name] = bytes.fromhex(values[name])
        return Transaction(**values)


class _Opened(Generic[_Row]):
    """Rows by their sealed bytes, which a change replaces: those that were opened or made last, large ones left out.

    The loop and the store's thread both use it, so each change of it is one call of the dictionary.
    """

    def __init__(self, open_row: Callable[[bytes], _Row]) -> None:
        self._open_row = open_row
        self._rows: OrderedDict[bytes, _Row] = OrderedDict()

    def open(self, sealed: bytes) -> _Row:
        """The row in the sealed bytes."""
        row = self._rows.get(sealed)
        if row is None:
            row = self._open_row(sealed)
            self.keep(sealed, row)
        return row

    def keep(self, sealed: bytes, row: _Row) -> None:
        """Remember what the sealed bytes hold: to open what was sealed a moment ago costs as much as to seal it."""
        if len(sealed) <= _OPENED_BYTES_MAX:
            self._rows[sealed] = row
            if len(self._rows) > _OPENED_MAX:
                self._rows.popitem(last=False)

    def drop(self, sealed: bytes) -> None:
        """Forget what a change replaces."""
        self._rows.pop(sealed, None)


def _dumped(values: Mapping[str, object]) -> bytes:
    return _JSON.encode(values).encode()


def _read(text: bytes) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(text.decode())
    return values


def _person_values(person: PersonRecord) -> dict[str, str]:
    return {
        "identity": person.identity.SerializeToString().hex(),
        "name": person.name,
        "insurance_area": person.insurance_area,
        "personal_number": person.personal_number,
    }


def _person(values: Mapping[str, str]) -> PersonRecord:
    return PersonRecord(
        identity=values_pb2.PersonIdentity.FromString(bytes.fromhex(values["identity"])),
        name=values["name"],
        insurance_area=values["insurance_area"],
        personal_number=values["personal_number"],
    )
