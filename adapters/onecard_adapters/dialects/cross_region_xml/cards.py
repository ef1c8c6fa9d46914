"""Cards in the cross-region XML envelope: trades of columns (card_columns) with numbers of ours, and their settings."""

from __future__ import annotations

import logging
from typing import Final, Literal

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import CardDesk
from onecard_adapters.cards.settings import CardRole
from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpClient, LocalHttpServers
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_columns import CardTrade, Columns, ColumnsOffice, ServedColumns
from onecard_adapters.dialects.cashier_text import cashier_text, log_text
from onecard_adapters.dialects.cross_region_xml import envelope, forms, gbk
from onecard_adapters.dialects.cross_region_xml.care import REFUSED, SUCCESS
from onecard_adapters.dialects.cross_region_xml.care_desk import CoreRefused
from onecard_adapters.dialects.cross_region_xml.core import CoreRefusal, ProvincialCore
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import parent
from onecard_adapters.dialects.cross_region_xml.settings import CoreSettings
from onecard_adapters.dialects.infno.settings import ListenSettings
from onecard_adapters.dialects.served_office import Built, ServedOffice
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

NUMBERS: Final = {
    CardTrade.NOTICE: "0901",
    CardTrade.VERIFY: "0902",
    CardTrade.BENEFIT_CONFIRMED: "0903",
    CardTrade.QUERY: "0911",
    CardTrade.STEP: "0912",
    CardTrade.COPY: "0913",
}
"""Ours."""

_log = logging.getLogger(__name__)


class CrossRegionXmlCardSettings(CardRole):
    """Cards: the core tells the adapter what became of a card, counters ask it, it asks the core."""

    dialect: Literal["cross-region-xml"]
    listen: ListenSettings
    core: CoreSettings
    keeps_copies: bool = False
    """Whether the core wants to hear of other provinces' cards that it follows."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return card_fields.load_tables(self.code_tables)


def build_card_office(settings: CrossRegionXmlCardSettings, desk: CardDesk, servers: LocalHttpServers) -> ServedOffice:
    """The card office of a profile; CONFIGURATION_INVALID if its code tables do not load."""
    tables = settings.tables()

    def build(http: LocalHttpClient) -> Built:
        core = ProvincialCore(http, settings.core)

        async def ask(trade: CardTrade, columns: Columns) -> Columns:
            try:
                result = await core.ask(NUMBERS[trade], forms.leaves(columns), has_effect=trade.has_effect)
            except CoreRefusal as refusal:
                raise CoreRefused(settings.core.reason_of(refusal.error_code), refusal) from refusal
            return {child.name: child.text.strip() for child in result.output.children}

        office = ColumnsOffice(
            settings.area, tables, keeps_copies=settings.keeps_copies, ask=ask, can_carry=gbk.is_encodable
        )
        return office, _Served(ServedColumns(desk, tables, office))

    return ServedOffice(servers, listen=settings.listen, url=str(settings.core.url), build=build)


class _Served:
    """The handler of the profile's path."""

    def __init__(self, columns: ServedColumns) -> None:
        self._handlers = {NUMBERS[trade]: handler for trade, handler in columns.handlers().items()}

    async def __call__(self, http: HttpRequest) -> HttpAnswer:
        call = None
        try:
            call = envelope.read_call(http.body)
            transid = call.input.value("transid")
            handler = self._handlers.get(call.trade)
            if handler is None:
                raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, f"TransNo {call.trade}")
            output = await handler({child.name: child.text.strip() for child in call.input.children})
            result = Result(error_code=SUCCESS, transaction_id=transid, output=parent("output", forms.leaves(output)))
            body = envelope.write_result(call.operation, result)
        except OneCardError as error:
            _log.info("a card trade was answered with a failure: %s", log_text(error))
            text = cashier_text(error, error.local_text if isinstance(error, CoreRefused) else "")
            operation = call.operation if call is not None else envelope.operation_asked(http.body)
            body = envelope.write_result(operation, Result(error_code=REFUSED, error_message=text))
        return HttpAnswer(body=body, content_type=envelope.CONTENT_TYPE)
