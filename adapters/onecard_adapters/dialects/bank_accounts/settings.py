"""Settings of a bank's profile, under `dialect: bank-accounts`."""

from __future__ import annotations

from typing import Literal

from pydantic import HttpUrl

from onecard_adapters.cards.settings import BankRole
from onecard_adapters.dialects.bank_accounts.wire import BANK_TABLES
from onecard_adapters.dialects.infno.settings import ListenSettings, Strict
from onecard_adapters.mapping.codes import CodeTables


class BankCoreSettings(Strict):
    """The bank's core system."""

    url: HttpUrl
    """Where it is called."""


class BankAccountsSettings(BankRole):
    """The bank's core tells the adapter which accounts changed, and is asked how they stand."""

    dialect: Literal["bank-accounts"]
    listen: ListenSettings
    core: BankCoreSettings

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load, or some are missing."""
        tables = CodeTables.load(self.code_tables)
        tables.require(BANK_TABLES)
        return tables
