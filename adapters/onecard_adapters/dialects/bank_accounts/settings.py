"""Settings of a bank's profile, under `dialect: bank-accounts`."""

from __future__ import annotations

from typing import Literal

from pydantic import HttpUrl

from onecard_adapters.cards.settings import BankRole
from onecard_adapters.dialects.infno.settings import ListenSettings, Strict


class BankCoreSettings(Strict):
    """The bank's core system."""

    url: HttpUrl


class BankAccountsSettings(BankRole):
    """The bank's core tells the adapter which accounts changed, and is asked how they stand."""

    dialect: Literal["bank-accounts"]
    listen: ListenSettings
    core: BankCoreSettings
