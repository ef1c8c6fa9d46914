"""Settings of this dialect in a profile, under `dialect: card-strings`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, HttpUrl, SecretStr

from onecard_adapters.cards.settings import CardRole
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.infno.settings import ListenSettings, Strict
from onecard_adapters.mapping.codes import CodeTables


class CardOfficeSettings(Strict):
    """The province's card office."""

    url: HttpUrl
    """Where it is called."""
    user: str = Field(min_length=1)
    """As the office knows the adapter."""
    password: SecretStr
    """Of that user."""


class EnablingSettings(Strict):
    """A card whose enabling failed after a good return is enabled again by the adapter."""

    statuses: frozenset[str] = frozenset()
    """Local statuses that say so; none: the office tries again by itself."""
    delays_ms: tuple[int, ...] = Field(default=(1_000, 5_000, 30_000, 300_000), min_length=1)
    """Before each attempt; the last one again and again."""


class CardStringsSettings(CardRole):
    """Cards: the office tells the adapter what became of a card, counters and instant-issue points ask through it."""

    dialect: Literal["card-strings"]
    listen: ListenSettings
    core: CardOfficeSettings
    keeps_copies: bool = False
    """Whether the office wants to hear of other provinces' cards that it follows (外省卡状态)."""
    enabling: EnablingSettings = EnablingSettings()

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return card_fields.load_tables(self.code_tables)
