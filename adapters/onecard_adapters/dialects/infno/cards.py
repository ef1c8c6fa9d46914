"""Cards in the infno envelope: trades of columns (card_columns) with numbers of ours, and their settings."""

from __future__ import annotations

import logging
from typing import Final, Literal

from pydantic import Field

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import CardDesk
from onecard_adapters.cards.settings import CardRole
from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpClient, LocalHttpServers
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_columns import CardTrade, Columns, ColumnsOffice, ServedColumns
from onecard_adapters.dialects.cashier_text import log_text
from onecard_adapters.dialects.infno import envelope
from onecard_adapters.dialects.infno.care import failure_text
from onecard_adapters.dialects.infno.core import CoreClient
from onecard_adapters.dialects.infno.numbers import next_transaction_number
from onecard_adapters.dialects.infno.settings import CoreSettings, ListenSettings
from onecard_adapters.dialects.served_office import Built, ServedOffice
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError

NUMBERS: Final = {
    CardTrade.NOTICE: "K101",
    CardTrade.VERIFY: "K102",
    CardTrade.BENEFIT_CONFIRMED: "K103",
    CardTrade.QUERY: "K201",
    CardTrade.STEP: "K202",
    CardTrade.COPY: "K203",
}
"""Ours; the letter keeps them apart from every number of the national medical interface."""

_log = logging.getLogger(__name__)


class InfnoCardSettings(CardRole):
    """Cards: the core tells the adapter what became of a card, counters ask it, it asks the core."""

    dialect: Literal["infno"]
    listen: ListenSettings
    core: CoreSettings
    organisation_code: str = Field(pattern=r"^[A-Z]\d{11}$")
    """The sender in msgids."""
    keeps_copies: bool = False
    """Whether the core wants to hear of other provinces' cards that it follows."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return card_fields.load_tables(self.code_tables)


def build_card_office(
    settings: InfnoCardSettings, desk: CardDesk, memory: EdgeMemory, servers: LocalHttpServers
) -> ServedOffice:
    """The card office of a profile; CONFIGURATION_INVALID if its code tables do not load."""
    tables = settings.tables()

    def build(http: LocalHttpClient) -> Built:
        asking = _Asking(settings, http, memory)
        office = ColumnsOffice(settings.area, tables, keeps_copies=settings.keeps_copies, ask=asking)
        return office, _Served(settings.area, ServedColumns(desk, tables, office))

    return ServedOffice(servers, listen=settings.listen, url=str(settings.core.url), build=build)


class _Asking:
    """One trade of the core."""

    def __init__(self, settings: InfnoCardSettings, http: LocalHttpClient, memory: EdgeMemory) -> None:
        self._settings = settings
        self._memory = memory
        self._core = CoreClient(settings.core, http, memory)

    async def __call__(self, trade: CardTrade, columns: Columns) -> Columns:
        organisation, time_ms = self._settings.organisation_code, now_ms()
        answer = await self._core.call(
            NUMBERS[trade],
            {"data": columns},
            {
                "msgid": await next_transaction_number(self._memory, organisation, time_ms),
                "mdtrtarea_admvs": self._settings.area,
                "insuplc_admdvs": self._settings.area,
                "fixmedins_code": organisation,
            },
            now_ms=time_ms,
            has_effect=trade.has_effect,
        )
        return answer.node("data")


class _Served:
    """The handler of the profile's path."""

    def __init__(self, area: str, columns: ServedColumns) -> None:
        self._handlers = {NUMBERS[trade]: handler for trade, handler in columns.handlers().items()}
        self._reference_numbers = envelope.ReferenceNumbers(area)

    async def __call__(self, http: HttpRequest) -> HttpAnswer:
        asked_ms, output = now_ms(), None
        code, text = envelope.SUCCESS, ""
        try:
            request = envelope.parse_request(http.body)
            handler = self._handlers.get(request.infno)
            if handler is None:
                raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, f"infno {request.infno}")
            output = {"data": await handler(request.node("data"))}
        except OneCardError as error:
            _log.info("a card trade was answered with a failure: %s", log_text(error))
            code, text = envelope.BUSINESS_ERROR, failure_text(error)
        body = envelope.build_answer(
            code=code,
            text=text,
            output=output,
            refmsgid=self._reference_numbers.next(asked_ms),
            asked_ms=asked_ms,
            now_ms=now_ms(),
        )
        return HttpAnswer(body=body)
