"""Every card of the tables, once, for a snapshot: nothing is told, nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from onecard_adapters.cards.port import ListedCard
from onecard_adapters.connectors.database import Database
from onecard_adapters.connectors.table_reader import Row, rows_by_key
from onecard_adapters.dialects.card_tables import tables
from onecard_adapters.dialects.card_tables.rows import RowMapping
from onecard_adapters.dialects.card_tables.settings import CardTablesSettings
from onecard_protocol.errors import OneCardError


class CardTablesListing:
    """Is a CardListing."""

    def __init__(self, settings: CardTablesSettings, issuer: str) -> None:
        """Raises CONFIGURATION_INVALID: a code table, the key or the URL is wrong."""
        self._mapping = RowMapping(settings, issuer)
        self._database = Database(settings.database.url.get_secret_value())
        self._page_rows = settings.database.page_rows

    async def pages(self) -> AsyncIterator[Sequence[ListedCard]]:
        """See `CardListing`."""
        (every_row, *_) = tables.card_feeds(self._mapping.made)
        async for page in rows_by_key(self._database, every_row, self._page_rows):
            yield [listed for key, row in page if (listed := self._listed(key, row)) is not None]

    async def close(self) -> None:
        """See `CardListing`."""
        await self._database.close()

    def _listed(self, key: int, row: Row | OneCardError) -> ListedCard | None:
        where = f"card_status[{key}]"
        if isinstance(row, OneCardError):
            return ListedCard(where=where, card=row)
        try:
            card = self._mapping.card(key, row)
        except OneCardError as error:
            return ListedCard(where=where, card=error)
        return None if card is None else ListedCard(where=where, card=card)
