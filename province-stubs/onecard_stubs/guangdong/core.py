"""Guangdong's provincial core: an aiohttp server that speaks infno JSON.

For other provinces' people it is the place of care: it numbers visits and splits fee lines by its catalogue. For its
own people it is the insured province: coverage, filings, and who pays what (benefits.py). It answers a repeated msgid
as before, refuses the same msgid with other content, and misbehaves on request (behaviour.py).
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

from aiohttp import web

from onecard_stubs import behaviour
from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.benefits import Asked, Benefits, asked
from onecard_stubs.guangdong.cards import PATH as CARD_PATH
from onecard_stubs.guangdong.cards import QUERY, GuangdongCards
from onecard_stubs.guangdong.catalogue import Catalogue
from onecard_stubs.guangdong.records import Refused
from onecard_stubs.guangdong.visits import Visits
from onecard_stubs.population import Population
from onecard_stubs.serving import HOST, ServedSystem

PATH = "/fsi/api/rsfComIfsService/callService"
FAILED = -1
NOT_SIGNED_IN = -3
"""infcode of a trade without a valid sign_no (ours); nothing of it was looked at."""
_SIGN_IN, _SIGN_OUT = "9001", "9002"
_READING = {"1101", "2206", "2303", "5203", QUERY}

Trade = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
"""head and input of a request to the output of its answer; raises Refused."""


class GuangdongCore(ServedSystem):
    """The core of one province, in memory; `province_area` lets tests stand it up for any other."""

    def __init__(
        self,
        population: Population | None = None,
        *,
        province_area: str = "440000",
        requires_sign_in: bool = False,
        adapter_url: str = "",
    ) -> None:
        super().__init__(PATH)
        self.requires_sign_in = requires_sign_in
        """Whether trades without a valid sign_no are refused."""
        self.sign_nos: set[str] = set()
        """Those that are valid; whoever takes one out ends that session."""
        self.population = population or Population(province_area=province_area)
        self.adapter_url = adapter_url
        """Where the adapter serves this province; its cards have a path of their own there."""
        self.cards = GuangdongCards(
            self.population, self.behaviours, lambda: urljoin(self.adapter_url, CARD_PATH) if self.adapter_url else ""
        )
        self.benefits = Benefits(self.population)
        self.visits = Visits(Catalogue.load(), province_area)
        self._province_area = province_area
        self._answers: dict[Asked, tuple[Any, dict[str, Any]]] = {}
        self._sequence = 0
        self._trades: dict[str, Trade] = {
            _SIGN_IN: self._sign_in,
            _SIGN_OUT: self._sign_out,
            **self.visits.trades(),
            **self.benefits.trades(self.visits),
            **self.cards.trades(),
        }
        self.requests: list[str] = []
        """Trade numbers in the order they came."""

    async def start(self, host: str = HOST, port: int = 0) -> None:
        """Listen; OSError if the port is taken."""
        await self._listen(host, port, self.cards.columns.commands(), self._serve)
        self.cards.columns.notices.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self.cards.columns.notices.stop()
        await super().stop()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            message = wire.parse(body)
        except (ValueError, RecursionError):
            return self._response(self._failure("报文不是合法的JSON"))
        infno = str(message.get("infno", ""))
        self.requests.append(infno)

        async def work(switches: behaviour.Switches) -> web.Response:
            answer = self.answer(message)
            if switches.wrong_code:
                _spoil_codes(answer)
            return self._response(answer, encoding="gb18030" if switches.wrong_encoding else "utf-8")

        return await behaviour.serve(request, self.behaviours.take(infno), work)

    def _response(self, answer: Mapping[str, Any], encoding: str = "utf-8") -> web.Response:
        body = wire.write(answer).encode(encoding)
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        infno, content = str(message.get("infno", "")), message.get("input") or {}
        is_free = not self.requires_sign_in or infno in (_SIGN_IN, _SIGN_OUT)
        if not is_free and message.get("sign_no") not in self.sign_nos:
            return self._failure("未签到或签到已失效", code=NOT_SIGNED_IN)
        key = asked(message)
        if key in self.benefits.closed:
            return self._failure("该报文号已被冲正，不得再办理")
        known = self._answers.get(key)
        if known is not None and infno not in _READING:
            return known[1] if known[0] == content else self._failure("同一报文号已用于其他内容")
        trade = self._trades.get(infno)
        if trade is None:
            return self._failure(f"不支持的交易 {infno}")
        try:
            answer = self._success(trade(message, content))
        except Refused as refused:
            return self._failure(str(refused))
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            return self._failure(f"报文内容不完整 {type(error).__name__}")
        self._answers[key] = (content, answer)
        return answer

    def _success(self, output: dict[str, Any]) -> dict[str, Any]:
        return {"infcode": 0, **self._head(), "err_msg": None, "output": output}

    def _failure(self, text: str, *, code: int = FAILED) -> dict[str, Any]:
        return {"infcode": code, **self._head(), "err_msg": text}

    def _sign_in(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        self._sequence += 1
        sign_no = f"{self._sequence:06d}"
        self.sign_nos.add(sign_no)
        return {"signinoutb": {"sign_no": sign_no, "sign_time": wire.clock(wire.now())}}

    def _sign_out(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        sign_no = str(content["signOut"]["sign_no"])
        if sign_no not in self.sign_nos:
            raise Refused("签到编号不存在")
        self.sign_nos.remove(sign_no)
        return {"signinoutb": {"sign_no": sign_no, "sign_time": wire.clock(wire.now())}}

    def _head(self) -> dict[str, Any]:
        self._sequence += 1
        time = wire.now()
        return {
            "inf_refmsgid": f"{self._province_area}{wire.compact(time)[:14]}{self._sequence:010d}",
            "refmsg_time": wire.compact(time),
            "respond_time": wire.compact(time),
            "enctype": "",
            "signtype": "",
        }


def _spoil_codes(answer: dict[str, Any]) -> None:
    """Put a code that stands in no table wherever the answer carries insutype or clr_type."""

    def spoil(value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in ("insutype", "clr_type", "chrgitm_lv"):
                    value[name] = "Z9"
                else:
                    spoil(inner)
        elif isinstance(value, list):
            for inner in value:
                spoil(inner)

    spoil(answer)
