"""Place of care role: serves a province's hospitals and its own core over SOAP, and asks the nation for them.

Owns the way of one request: envelope, institution, trade, answer. The trades themselves are in care_person,
care_encounter, care_after and care_settlement.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.values_pb2 import Institution
from onecard_adapters.connectors.http import Handler, HttpAnswer, HttpRequest
from onecard_adapters.dialects.cashier_text import log_text, unforeseen
from onecard_adapters.dialects.cross_region_xml import envelope
from onecard_adapters.dialects.cross_region_xml.care_after import NotedTrades
from onecard_adapters.dialects.cross_region_xml.care_desk import Asked, CareDesk, failure_text
from onecard_adapters.dialects.cross_region_xml.care_encounter import EncounterTrades
from onecard_adapters.dialects.cross_region_xml.care_person import PersonTrades
from onecard_adapters.dialects.cross_region_xml.care_settlement import SettlementTrades
from onecard_adapters.dialects.cross_region_xml.core import PostsBytes, ProvincialCore
from onecard_adapters.dialects.cross_region_xml.envelope import Call, Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlCareSettings
from onecard_adapters.dialects.cross_region_xml.trades import TradeNumber, trade_of
from onecard_adapters.dialects.in_part import executed, is_in_doubt
from onecard_adapters.dialects.national import NationalExchange
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

SUCCESS: Final = 0
REFUSED: Final = -1
IN_DOUBT: Final = -9
"""errorcode of an outcome that is unknown, not failed: query (0708) or reverse (0306), never settle again."""

TradeHandler = Callable[[Asked], Awaitable[Element]]

_log = logging.getLogger(__name__)


def build_care(
    settings: CrossRegionXmlCareSettings, memory: EdgeMemory, national: NationalExchange, core: PostsBytes
) -> Handler:
    """The handler that a LocalHttpServer serves at the profile's path; `core` reaches the province's own core.

    Raises CONFIGURATION_INVALID if the code tables cannot be read.
    """
    return Care(CareDesk(settings, memory, national, ProvincialCore(core, settings.core))).handle


class Care:
    """Answers requests of hospitals and of the own core."""

    def __init__(self, desk: CareDesk) -> None:
        self._institutions = {item.code: item for item in desk.settings.institutions}
        self._is_own_area = desk.settings.is_own_area
        self._handlers = _handlers(desk)
        # Requests in progress by their bytes: a repeat that overtakes the answer waits for it.
        self._in_progress: dict[tuple[str, bytes], tuple[Asked, asyncio.Task[Result]]] = {}

    async def handle(self, http: HttpRequest) -> HttpAnswer:
        """Answer one request; every failure becomes an answer of the dialect with HTTP 200, as callers expect."""
        call = asked = None
        try:
            call = envelope.read_call(http.body)
            asked, task = self._begun_once(call)
            async with asyncio.timeout(http.answer_ms_max / 1_000):
                # A caller that gives up does not end the trade: its repeat finds the answer.
                result = await asyncio.shield(task)
            body = self._written(call, result)
        except TimeoutError:
            late = OutcomeInDoubt(f"no outcome within {http.answer_ms_max} ms")
            _log.warning("a trade goes on behind its answer: %s", log_text(late))
            body = self._failure(http, call, asked, late)
        except OneCardError as error:
            _log.info("a trade was answered with a failure: %s", log_text(error))
            body = self._failure(http, call, asked, error)
        except Exception as error:
            # The message of an unforeseen error may quote the document: only its kind is logged.
            told = unforeseen(error)
            _log.error("a trade failed unforeseen: %s, %s", type(error).__name__, log_text(told))
            body = self._failure(http, call, asked, told)
        return HttpAnswer(body=body, content_type=envelope.CONTENT_TYPE)

    def _begun_once(self, call: Call) -> tuple[Asked, asyncio.Task[Result]]:
        trade = trade_of(call.trade)
        handler = self._handlers.get(trade.number) if trade is not None else None
        if trade is None or handler is None:
            raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, f"TransNo {call.trade}")
        place = self._place(call, trade.number)
        key = (call.trade, call.inner)
        begun = self._in_progress.get(key)
        if begun is None:
            asked = Asked(call=call, trade=trade.number, place=place, transid=call.input.value("transid"))
            task = asyncio.ensure_future(_answer(handler, asked))
            begun = self._in_progress[key] = (asked, task)
            task.add_done_callback(lambda _: self._in_progress.pop(key, None))
        return begun

    def _place(self, call: Call, trade: TradeNumber) -> Institution:
        """The institution that asks, as the profile has it; none where the own core tells of its own filings."""
        is_core = trade is TradeNumber.REPORT_FILING or (
            trade is TradeNumber.WITHDRAW_FILING and self._is_own_area(call.input.value("aab301"))
        )
        if is_core:
            return Institution()
        institution = self._institutions.get(call.input.value("akb026"))
        if institution is None or not institution.is_open:
            raise OneCardError(errors_pb2.ERROR_REASON_INSTITUTION_NOT_OPEN, "akb026 is not in the profile")
        return Institution(code=institution.code, name=institution.name, area=institution.area)

    def _written(self, call: Call, result: Result) -> bytes:
        """The answer; where it cannot be written, what was done stands all the same."""
        trade = trade_of(call.trade)
        try:
            return envelope.write_result(call.operation, result)
        except OneCardError as error:
            if trade is None or not trade.has_effect:
                raise
            with executed(call.trade):
                raise error

    def _failure(self, http: HttpRequest, call: Call | None, asked: Asked | None, error: OneCardError) -> bytes:
        sent = call.input.value("transid") if call is not None else ""
        # One that was derived is told with a doubt too: by it the outcome can be asked for, or reversed.
        transid = asked.transid if asked is not None else sent
        operation = call.operation if call is not None else envelope.operation_asked(http.body)
        result = Result(
            error_code=IN_DOUBT if is_in_doubt(error) else REFUSED,
            error_message=failure_text(error),
            # Only what the envelope can carry is echoed.
            transaction_id=transid if transid.isascii() and transid.isprintable() else "",
        )
        return envelope.write_result(operation, result)


async def _answer(handler: TradeHandler, asked: Asked) -> Result:
    output = await handler(asked)
    return Result(error_code=SUCCESS, transaction_id=asked.transid, output=output)


def _handlers(desk: CareDesk) -> Mapping[TradeNumber, TradeHandler]:
    persons = PersonTrades(desk)
    encounters = EncounterTrades(desk, persons)
    noted = NotedTrades(desk)
    settlements = SettlementTrades(desk, persons)
    return {
        TradeNumber.IDENTIFY: persons.identify,
        TradeNumber.FILE: persons.file,
        TradeNumber.WITHDRAW_FILING: persons.withdraw_filing,
        TradeNumber.REPORT_FILING: persons.report_filing,
        TradeNumber.REGISTER: encounters.register,
        TradeNumber.DISCHARGE: noted.discharge,
        TradeNumber.UPLOAD_LINES: encounters.upload,
        TradeNumber.WITHDRAW_LINES: noted.withdraw,
        TradeNumber.QUERY_TOTALS: encounters.query_own_core,
        TradeNumber.QUERY_LINES: encounters.query_own_core,
        TradeNumber.TRIAL_SETTLEMENT: settlements.trial,
        TradeNumber.SETTLE: settlements.settle,
        TradeNumber.CANCEL: settlements.cancel,
        TradeNumber.REVERSE: settlements.reverse,
        TradeNumber.QUERY_TRANSACTION: settlements.query,
    }
