"""Settings of the card-tables dialect in a profile."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from onecard_adapters.cards.settings import CardRole
from onecard_adapters.dialects.infno.settings import Strict


class DatabaseSettings(Strict):
    """The local system's database."""

    url: SecretStr
    """SQLAlchemy URL, such as "postgresql+psycopg://user:password@host/cards" or "sqlite:///cards.db"."""
    poll_interval_ms: int = Field(default=1_000, ge=50, le=3_600_000)
    """Pause between two readings of what was updated."""
    overlap_s: int = Field(default=7_200, ge=0, le=604_800)
    """How far back each reading goes behind the newest row seen: update times are set by batches that run late."""
    page_rows: int = Field(default=500, ge=1, le=5_000)


class CardTablesSettings(CardRole):
    """Issuer of cards: the adapter reads the card office's tables, and writes what its replacements ask for."""

    dialect: Literal["card-tables"]
    database: DatabaseSettings
