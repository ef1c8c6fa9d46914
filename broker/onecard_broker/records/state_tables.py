"""Business states of kinds that have tables of their own, by the prefix of their key; all others are `aggregates`.

Owns the port and who serves which prefix. The exchange loads and saves every state through here and knows no kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from onecard_broker.domain.model import AggregateKey
from onecard_broker.records.aggregates import Aggregates
from onecard_broker.records.pool import Connection

StateKey = tuple[int, AggregateKey]
"""(journal partition, key)."""

Change = tuple[Any, Any]
"""(value as it was loaded, value as it is to be); None where there is none."""


class StateTable(Protocol):
    """The rows of one kind of state. Its values are never changed in place.

    Loading and saving belong to the transaction of the connection; `save` is called in a pipeline and awaits no result.
    A value that its columns cannot hold is a psycopg.DataError: the record that made it is held.
    """

    async def prepare(self, connection: Connection, partitions: Collection[int]) -> None:
        """Make what the rows of these journal partitions need; before anything of them is loaded or saved."""

    async def load(self, connection: Connection, keys: Collection[StateKey]) -> dict[StateKey, Any]:
        """The states that exist among these."""

    async def save(self, connection: Connection, changes: Mapping[StateKey, Change]) -> None:
        """Write the changes; what is equal before and after need not be written."""


class StateTables:
    """Every state, by the table of its kind."""

    def __init__(self, tables: Mapping[str, StateTable]) -> None:
        """`tables` by prefix of the key, none the beginning of another."""
        self._tables: Sequence[tuple[str, StateTable]] = tuple(tables.items())
        self._rest: StateTable = Aggregates()

    async def prepare(self, connection: Connection, partitions: Collection[int]) -> None:
        """Make what the rows of these journal partitions need."""
        for _, table in self._tables:
            await table.prepare(connection, partitions)

    def has_one_writer(self, key: AggregateKey) -> bool:
        """Whether nobody but the owner of its partition ever writes it; a card registry is also loaded as a whole."""
        return not any(key.startswith(prefix) for prefix, _ in self._tables)

    async def load(self, connection: Connection, keys: Collection[StateKey]) -> dict[StateKey, Any]:
        """The states that exist among these."""
        found: dict[StateKey, Any] = {}
        for table, part in self._by_table(keys):
            found.update(await table.load(connection, part))
        return found

    async def save(self, connection: Connection, changes: Mapping[StateKey, Change]) -> None:
        """Write the changes."""
        for table, part in self._by_table(changes):
            await table.save(connection, {key: changes[key] for key in part})

    def _by_table(self, keys: Collection[StateKey]) -> list[tuple[StateTable, list[StateKey]]]:
        parts: dict[int, tuple[StateTable, list[StateKey]]] = {}
        for key in keys:
            table = next((table for prefix, table in self._tables if key[1].startswith(prefix)), self._rest)
            parts.setdefault(id(table), (table, []))[1].append(key)
        return list(parts.values())
