"""Settings of the card-tables dialect in a profile."""

from __future__ import annotations

import datetime
from typing import Final, Literal

from pydantic import Field, SecretStr

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.settings import CardRole
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.infno.settings import ProfilePath, Strict
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

PROCESS: Final = "aac018"
"""Code table of AAC018: a process is MADE where a card exists, NO_CARD before that or where making it failed."""
MADE: Final = "MADE"
NO_CARD: Final = "NO_CARD"


class DatabaseSettings(Strict):
    """The local system's database."""

    url: SecretStr
    """SQLAlchemy URL, such as "postgresql+psycopg://user:password@host/cards" or "sqlite:////path/cards.sqlite"."""
    key_file: ProfilePath
    """32 hex digits: the SM4 key by which the local system encrypts columns."""
    encrypted: frozenset[str] = frozenset({"aac002", "aac003", "aac007", "aae010"})
    """Columns that hold SM4-ECB with PKCS 7, in hex; empty where they stand in the clear."""
    poll_interval_ms: int = Field(default=1_000, ge=50, le=3_600_000)
    """Pause between two readings."""
    late_ms: int = Field(default=5_000, ge=0, le=3_600_000)
    """How far each reading goes back: the longest time from a row's update time to its commit."""
    overlap_s: int = Field(default=7_200, ge=0, le=604_800)
    """How far the thorough reading goes back, behind the newest row."""
    overlap_every_s: int = Field(default=600, ge=1, le=86_400)
    """Pause between two thorough readings; the first is made at the start."""
    page_rows: int = Field(default=500, ge=1, le=5_000)
    """Rows read at a time."""


class CardTablesSettings(CardRole):
    """Issuer of cards: the adapter reads the card office's tables, and writes what replacements ask for."""

    dialect: Literal["card-tables"]
    database: DatabaseSettings
    third_generation_from: datetime.date
    """Cards issued from this day on are of the third generation; the tables do not tell it."""
    superseded_cause: str = Field(min_length=1, max_length=100)
    """AAE400 of a cancelled card whose successor was enabled; written when a card is superseded, and read."""
    step_wait_ms: int = Field(default=5_000, ge=0, le=7_000)
    """How long the local system is given to work off a step before the adapter asks for it again."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        tables = card_fields.load_tables(self.code_tables)
        process = tables[PROCESS]
        wrong = sorted(set(process.by_national) ^ {MADE, NO_CARD})
        wrong += sorted(code for code in process.by_local if not code.isdecimal())
        if wrong:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                f"code tables {self.code_tables}: table {PROCESS} holds numbers under {MADE} and {NO_CARD}; wrong or"
                f" missing: {(names := ', '.join(wrong))} / 代码表 {PROCESS} 应只在 {MADE} 和 {NO_CARD} 下列数字；"
                f"有误或缺少：{names}",
            )
        return tables
