"""Place of care role: serves a province's hospitals (infno JSON over HTTP) and asks the nation for them.

Owns the way of one request: envelope, institution, sign-in, trade, answer. The trades themselves are in care_person,
care_encounter, care_after and care_settlement.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpClient
from onecard_adapters.dialects.cashier_text import cashier_text, log_text, unforeseen
from onecard_adapters.dialects.in_part import is_in_doubt
from onecard_adapters.dialects.infno import envelope, trades
from onecard_adapters.dialects.infno.care_after import NotedTrades
from onecard_adapters.dialects.infno.care_encounter import EncounterTrades
from onecard_adapters.dialects.infno.care_person import PersonTrades
from onecard_adapters.dialects.infno.care_settlement import SettlementTrades
from onecard_adapters.dialects.infno.core import CoreClient
from onecard_adapters.dialects.infno.desk import Call, CareDesk
from onecard_adapters.dialects.infno.settings import InfnoCareSettings
from onecard_adapters.dialects.infno.sign_in import SignIns
from onecard_adapters.dialects.local_text import local_text_of
from onecard_adapters.dialects.national import NationalExchange
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_protocol.errors import OneCardError, OutcomeInDoubt, reason_name

TradeHandler = Callable[[Call], Awaitable[dict[str, Any]]]

_log = logging.getLogger(__name__)


def build_care(
    settings: InfnoCareSettings, memory: EdgeMemory, national: NationalExchange, core: LocalHttpClient
) -> "Care":
    """The handler that a LocalHttpServer serves at the profile's path; `core` reaches the province's own core.

    Raises CONFIGURATION_INVALID if the code tables cannot be read.
    """
    return Care(CareDesk(settings, memory, national, CoreClient(settings.core, core, memory)))


class Care:
    """Answers requests of hospitals; is itself the handler."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk
        self._institutions = {item.code: item for item in desk.settings.institutions}
        self._sign_ins = SignIns(desk)
        self._reference_numbers = envelope.ReferenceNumbers(desk.settings.area)
        self._handlers = _handlers(desk, self._sign_ins)
        # Requests in progress by their identity: a repeat that overtakes the answer waits for it.
        self._in_progress: dict[tuple[str, str, bytes], asyncio.Task[dict[str, Any]]] = {}

    async def __call__(self, http: HttpRequest) -> HttpAnswer:
        """Answer one request; every failure becomes an infno answer with HTTP 200, as hospitals expect."""
        asked_ms = self._desk.national.hub_time_ms()
        try:
            async with asyncio.timeout(http.answer_ms_max / 1_000):
                output: Mapping[str, Any] | None = await self._answered_once(envelope.parse_request(http.body))
            code, message = envelope.SUCCESS, ""
        except TimeoutError:
            late = OutcomeInDoubt(f"no outcome within {http.answer_ms_max} ms")
            _log.warning("a trade goes on behind its answer: %s", log_text(late))
            output, code, message = None, envelope.SYSTEM_ERROR, failure_text(late)
        except OneCardError as error:
            _log.info("a trade was answered with a failure: %s", log_text(error))
            output, code, message = None, self._failure_code(error), failure_text(error)
        except Exception as error:
            # An unforeseen error's message may quote the body; its kind and place are enough to find it.
            place = "".join(traceback.format_tb(error.__traceback__))
            told = unforeseen(error)
            _log.error("trade failed unforeseen: %s, %s\n%s", type(error).__name__, log_text(told), place)
            output, code, message = None, self._failure_code(told), failure_text(told)
        now_ms = self._desk.national.hub_time_ms()
        body = envelope.build_answer(
            code=code,
            text=message,
            output=output,
            refmsgid=self._reference_numbers.next(now_ms),
            asked_ms=asked_ms,
            now_ms=now_ms,
        )
        return HttpAnswer(body=body)

    async def _answered_once(self, request: envelope.Request) -> dict[str, Any]:
        handler = self._handlers.get(request.infno)
        if handler is None:
            raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, f"infno {request.infno}")
        institution = self._institutions.get(request.institution_code)
        if institution is None or not institution.is_open:
            raise OneCardError(errors_pb2.ERROR_REASON_INSTITUTION_NOT_OPEN, "fixmedins_code is not in the profile")
        call = Call(request=request, institution=institution)
        self._sign_ins.check(call)
        key = (request.institution_code, request.msgid, request.digest)
        task = self._in_progress.get(key)
        if task is None:
            task = asyncio.ensure_future(handler(call))
            self._in_progress[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        # A caller that gives up does not end the trade: its repeat finds the answer.
        return await asyncio.shield(task)

    def _finished(self, key: tuple[str, str, bytes], task: asyncio.Task[dict[str, Any]]) -> None:
        self._in_progress.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Taken out here as well, because the caller may be gone; a repeat is told again.
            name = reason_name(error.reason) if isinstance(error, OneCardError) else type(error).__name__
            _log.info("a trade of %s was not done: %s", key[0], name)

    def _failure_code(self, error: OneCardError) -> str:
        if is_in_doubt(error) or not self._desk.settings.has_business_error_code:
            return envelope.SYSTEM_ERROR
        return envelope.BUSINESS_ERROR


def _handlers(desk: CareDesk, sign_ins: SignIns) -> Mapping[str, TradeHandler]:
    persons = PersonTrades(desk)
    encounters = EncounterTrades(desk, persons)
    noted = NotedTrades(desk)
    settlements = SettlementTrades(desk, persons)
    by_method: Final[dict[str, TradeHandler]] = {
        trades.QUERY_COVERAGE: persons.identify,
        trades.FILE: persons.file,
        trades.WITHDRAW_FILING: persons.withdraw_filing,
        trades.REGISTER: encounters.register,
        trades.UPLOAD_FEE_LINES: encounters.upload,
        trades.WITHDRAW_FEE_LINES: noted.withdraw,
        trades.DISCHARGE: noted.discharge,
        trades.PRE_SETTLE: settlements.pre_settle,
        trades.SETTLE: settlements.settle,
        trades.CANCEL_SETTLEMENT: settlements.cancel,
        trades.REVERSE: settlements.reverse,
        trades.QUERY_SETTLEMENT: settlements.query,
    }
    return {
        trades.SIGN_IN: sign_ins.sign_in,
        trades.SIGN_OUT: sign_ins.sign_out,
        **{infno: by_method[trade.method] for infno, trade in trades.TRADES.items() if trade.method},
    }


def failure_text(error: OneCardError) -> str:
    """err_msg, at most 200 characters, with what the local system that refused said."""
    return cashier_text(error, local_text_of(error))[: envelope.ERR_MSG_CHARACTERS_MAX]
