"""What the card roles of all profiles have in common; each dialect adds what it needs."""

from __future__ import annotations

from onecard_adapters.dialects.infno.settings import Area, ProfilePath, Strict
from onecard_adapters.mapping.codes import CodeTables


class CardRole(Strict):
    """Issuer of cards in a profile."""

    area: Area
    """The issuer's own area, such as "110000"."""
    code_tables: ProfilePath
    """Local codes and their national counterparts."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return CodeTables.load(self.code_tables)


class BankRole(Strict):
    """A bank in a profile."""

    participant: str
    """Whom it signs as, such as "bank-102"."""
    code_tables: ProfilePath
    """Local codes and their national counterparts."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return CodeTables.load(self.code_tables)
