"""Cardholders' rows as a gateway reads them: one reading for all that is missing at a moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import psycopg

from onecard_broker.domain.card_changes import PACKAGE
from onecard_broker.domain.card_state import Cardholder, holder_key
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import subjects_with_undecided


class CardRows:
    """The `CardholderReader` over the registry's tables."""

    def __init__(self, database: LiveConnection) -> None:
        """The connection is used for nothing else, and stays the caller's to close."""
        self._database = database
        self._registry = CardRegistry()

    async def load(self, wanted: Collection[tuple[int, str]]) -> Mapping[str, Cardholder | None]:
        """See `CardholderReader`. All rows are of one moment, so that no link is half seen."""
        keys = [(partition, holder_key(subject)) for partition, subject in wanted]
        connection = await self._database.get()
        if connection.isolation_level is None:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        async with connection.transaction():
            holders = await self._registry.load(connection, keys, has_replacements=False)
            undecided = await subjects_with_undecided(connection, wanted, package=PACKAGE)
        return {holder.subject: holder for holder in holders.values()} | dict.fromkeys(undecided)
