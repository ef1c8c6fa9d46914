"""Sichuan's provincial core as an HTTP server: one SOAP path, and the switches of misbehaviour under /control.

It is as honest as local systems are: not idempotent. A transid that comes twice is a mistake (-11), whatever it
carries; a second settlement of a stay is refused whatever its transid. What a caller may rely on: 0708 tells by transid
what became of a transaction, and 0306 of a transid that never came closes it for ever.
"""

import itertools
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urljoin

import aiohttp
from aiohttp import web

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.behaviour import Behaviours, Switches, serve
from onecard_stubs.population import Population
from onecard_stubs.serving import HOST, ServedSystem
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.cards import PATH as CARD_PATH
from onecard_stubs.sichuan.cards import SichuanCards
from onecard_stubs.sichuan.state import CoreState, Refused
from onecard_stubs.sichuan.trades import TRADES

PATH: Final = "/services/STYDJY"

_CODE_MALFORMED: Final = -2
_CODE_UNKNOWN_TRADE: Final = -3
_CODE_DUPLICATE_TRANSID: Final = -11
_CODE_BLOCKED_TRANSID: Final = -12
_WRONG_ERROR_CODE: Final = "OK"

_log = logging.getLogger(__name__)


class SichuanCore(ServedSystem):
    """The core of one province. `start` listens, `stop` ends; an `adapter_url` is where it files outwards."""

    def __init__(
        self,
        population: Population,
        *,
        behaviours: Behaviours | None = None,
        adapter_url: str = "",
        operation: str = soap.TEXT_OPERATION,
    ) -> None:
        super().__init__(PATH, behaviours)
        self.state = CoreState(population)
        self.adapter_url = adapter_url
        self._operation = operation
        self.cards = SichuanCards(
            population,
            self.behaviours,
            operation,
            lambda: urljoin(self.adapter_url, CARD_PATH) if self.adapter_url else "",
        )
        self._issued = itertools.count(1)

    async def start(self, host: str = HOST, port: int = 0) -> None:
        """Listen; port 0 takes a free one the first time."""
        await self._listen(
            host,
            port,
            {
                "file_outwards": self.file_outwards,
                "withdraw_outwards": self.withdraw_outwards,
                "describe": self._describe,
                "settlements_standing": self._standing,
                "show_credentials": self._credentials,
                **self.cards.columns.commands(),
            },
            self._serve,
        )
        self.cards.columns.notices.start()

    async def stop(self) -> None:
        """Stop listening; what the core holds is kept."""
        await self.cards.columns.notices.stop()
        await super().stop()

    async def file_outwards(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """File for an own person and tell the place of care through the adapter (0223).

        Takes identity_number, destination_area, filing_type (01 to 06), insurance_kind, first_day and last_day
        (yyyyMMdd, the last may be empty). A filing that cannot be told stands all the same.
        """
        fields = self.state.file_for_own_person({str(key): str(value) for key, value in arguments.items()})
        return {"filing_id": fields["ykc901"], **await self._tell("0223", fields)}

    async def withdraw_outwards(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take a filing back and tell the place of care (0222). Takes filing_id and cause."""
        fields = self.state.withdraw_own_filing(str(arguments["filing_id"]), str(arguments.get("cause", "")))
        return {"filing_id": fields["ykc901"], **await self._tell("0222", fields)}

    async def _describe(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.state.counts()

    async def _standing(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.state.standing()

    async def _credentials(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"settlements": self.state.credentials(str(arguments["identity_number"]))}

    async def _tell(self, trade: str, fields: soap.Fields) -> dict[str, Any]:
        if not self.adapter_url:
            return {"told": False, "error_code": None, "error_message": "no adapter is configured"}
        switches = self.behaviours.take(f"outward-{trade}")
        body = soap.write_call(self._operation, trade, {"transid": self._new_transid(), **fields})
        answer = await self._post(body)
        if switches.duplicate:
            answer = await self._post(body)
        code = answer.value("errorcode")
        return {
            "told": code.lstrip("+").isdecimal(),
            "error_code": code,
            "error_message": answer.value("errormsg"),
        }

    async def _post(self, body: bytes) -> soap.Message:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.post(self.adapter_url, data=body, headers={"Content-Type": soap.CONTENT_TYPE}) as response,
        ):
            try:
                return soap.read(await response.read())
            except soap.SoapError as error:
                raise ValueError(f"the adapter answered HTTP {response.status} and no SOAP") from error

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            message = soap.read(await request.read())
        except soap.SoapError as error:
            return self._answer(soap.TEXT_OPERATION, _CODE_MALFORMED, f"报文格式错误：{error}", "", Switches())

        async def work(switches: Switches) -> web.Response:
            return self._work(message, switches)

        return await serve(request, self.behaviours.take(message.trade), work)

    def _work(self, message: soap.Message, switches: Switches) -> web.Response:
        transid = message.value("transid")
        trade = TRADES.get(message.trade)
        try:
            if self.cards.serves(message.trade):
                return self._answer(message.operation, 0, "", transid, switches, self.cards.answer(message))
            if trade is None:
                raise Refused(_CODE_UNKNOWN_TRADE, f"交易{message.trade}不存在")
            self._require_new(transid)
            issued = transid or self._new_transid()
            output = trade(self.state, message, issued)
        except Refused as refusal:
            return self._answer(message.operation, refusal.code, refusal.text, transid, switches)
        except (ValueError, KeyError) as error:
            return self._answer(message.operation, _CODE_MALFORMED, f"数据错误：{error}", transid, switches)
        return self._answer(message.operation, 0, "", issued, switches, output)

    def _require_new(self, transid: str) -> None:
        known = self.state.transactions.get(transid) if transid else None
        if known is not None:
            if known.is_blocked:
                raise Refused(_CODE_BLOCKED_TRANSID, "该流水号已被冲正，不得再办理")
            raise Refused(_CODE_DUPLICATE_TRANSID, "流水号重复")

    def _answer(
        self,
        operation: str,
        code: int,
        text: str,
        transid: str,
        switches: Switches,
        output: soap.Fields | None = None,
    ) -> web.Response:
        body = soap.write_answer(
            operation,
            error_code=_WRONG_ERROR_CODE if switches.wrong_code else str(code),
            error_message=text,
            transid=transid,
            output=output,
            is_wrongly_encoded=switches.wrong_encoding,
        )
        return web.Response(body=body, headers={"Content-Type": soap.CONTENT_TYPE})

    def _new_transid(self) -> str:
        today = datetime.now(SHANGHAI)
        return f"{self.state.province_area}{today:%y%m%d}99{next(self._issued):08d}"
