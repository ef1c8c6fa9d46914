"""From a row of the tables to a card in national terms, fail-closed: errors name row, column and code table."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, Final

from onecard.card.v1 import values_pb2
from onecard_adapters.cards.port import CardDesk, LocalCard
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_tables.columns_cipher import ColumnsCipher
from onecard_adapters.dialects.card_tables.settings import MADE, PROCESS, CardTablesSettings
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import is_absent
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import to_18_digits

_NOT_DELETED: Final = "0"
_STATE: Final = ("aaz500", "ykz509", "aaz502", "aae036")
"""Columns of which card it is, how it stands and since when."""


class RowMapping:
    """Reads the rows of one issuer."""

    def __init__(self, settings: CardTablesSettings, issuer: str) -> None:
        """Raises CONFIGURATION_INVALID: a code table or the key does not load."""
        self.tables: CodeTables = settings.tables()
        self.cipher = ColumnsCipher.load(settings.database.key_file)
        self._settings = settings
        self._issuer = issuer
        self.made: tuple[int, ...] = tuple(int(code) for code in self.tables[PROCESS].by_national[MADE].local)
        """AAC018 under which a card exists."""

    def card(self, key: int, row: Mapping[str, Any]) -> LocalCard | None:
        """The card that a row shows; None where there is none yet, or its making failed.

        Raises LOCAL_FORM_INVALID or UNMAPPED_CODE at card_status[row number].column.
        """
        at = f"card_status[{key}]"
        process = card_fields.required(row, PROCESS, at)
        if self.tables[PROCESS].to_national(process, f"{at}.{PROCESS}").code != MADE:
            return None
        if card_fields.optional(row, "del_flag", at) not in {"", _NOT_DELETED}:
            raise card_fields.invalid(f"{at}.del_flag", "the row is deleted, and its card was not cancelled")
        flat = {name: self.clear(name, value, f"{at}.{name}") for name, value in row.items()}
        if len({to_18_digits(card_fields.required(flat, name, at)) for name in ("status_aac002", "aac002")}) > 1:
            raise card_fields.invalid(f"{at}.aac002", "not the number of the person in csk_ac01")
        card = card_fields.read_card(flat, self.tables, self._issuer, at)
        if card is None:
            raise card_fields.invalid(f"{at}.aaz502", f"says that there is no card, {PROCESS} says that there is")
        self._derive(card.data)
        return self._superseded(card, row, at)

    def reference(self, key: int, row: Mapping[str, Any]) -> values_pb2.CardReference | None:
        """Which card a row is about, if that can be read."""
        at = f"card_status[{key}]"
        try:
            return card_fields.read_reference(self._state_columns(row, at), self._issuer, at)
        except OneCardError:
            return None

    def state(self, key: int, row: Mapping[str, Any]) -> LocalCard | None:
        """How the card of a row stands, whatever else the row holds, if that can be read."""
        at = f"card_status[{key}]"
        try:
            card = card_fields.read_state(self._state_columns(row, at), self.tables, self._issuer, at)
        except OneCardError:
            return None
        return None if card is None else self._superseded(card, row, at)

    def _state_columns(self, row: Mapping[str, Any], at: str) -> dict[str, Any]:
        return {name: self.clear(name, row[name], f"{at}.{name}") for name in _STATE}

    def clear(self, name: str, value: Any, path: str) -> Any:
        """A column's value, opened if it is encrypted, and times and days as text. Raises LOCAL_FORM_INVALID."""
        if isinstance(value, datetime.datetime):
            return f"{value:%Y%m%d%H%M%S}"
        if isinstance(value, datetime.date):
            return f"{value:%Y%m%d}"
        if is_absent(value) or name.removeprefix("status_") not in self._settings.database.encrypted:
            return value
        return self.cipher.decrypt(str(value), path)

    def _derive(self, data: values_pb2.CardData) -> None:
        """What the tables do not hold and the day of issue tells: the third generation is contactless."""
        if data.HasField("issue_day"):
            issued = datetime.date(data.issue_day.year, data.issue_day.month, data.issue_day.day)
            data.is_contactless = issued >= self._settings.third_generation_from
            data.generation = 3 if data.is_contactless else 2

    def _superseded(self, card: LocalCard, row: Mapping[str, Any], at: str) -> LocalCard:
        """The card; one that is over by its successor is told from a cancelled one."""
        is_superseded = card_fields.optional(row, "aae400", at) == self._settings.superseded_cause
        if card.state == values_pb2.SOCIAL_STATE_CANCELLED and is_superseded:
            return dataclasses.replace(card, state=values_pb2.SOCIAL_STATE_SUPERSEDED)
        return card


async def read_row(
    mapping: RowMapping, desk: CardDesk, key: int, row: Mapping[str, Any]
) -> tuple[LocalCard | None, OneCardError | None]:
    """The card that a row shows, and what is wrong with the row.

    A card that was told does not vanish with its row: without an end to tell, the row is wrong. Of a wrong row it is
    told what stops the card, with what was told of it last.
    """
    error = None
    try:
        card = mapping.card(key, row)
    except OneCardError as raised:
        card, error = None, raised
    reference = mapping.reference(key, row) if card is None else None
    if reference is None:
        return card, error
    last = [one for one in await desk.unended(reference.number) if one.card == reference]
    if last and error is None:
        at = f"card_status[{key}].{PROCESS}"
        error = card_fields.invalid(at, "says that there is no card, but one was told, which has not ended")
    state = mapping.state(key, row) if last else None
    return None if state is None else card_fields.as_told_last(state, last), error
