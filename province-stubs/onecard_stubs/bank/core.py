"""The bank's core as an HTTP server: accounts, notices to its adapter, and what people do at the bank.

Commands under /control/command: `open` (an employer's batch, or one), `set_status` (also to what disagrees with the
card office), `hourly_batch`, `show`. A notice that the adapter does not take is given again.
"""

import asyncio
import json
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp
from aiohttp import web

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.behaviour import Switches, serve
from onecard_stubs.notices import Notices, NotTaken
from onecard_stubs.population import numbers
from onecard_stubs.serving import HOST, ServedSystem

PATH: Final = "/bank"
NOTICE: Final = "SB1001"
QUERY: Final = "SB2001"
NOT_ACTIVATED, ACTIVE, FROZEN, LOST, CLOSED = "0", "1", "2", "3", "9"
STATUSES: Final = (NOT_ACTIVATED, ACTIVE, FROZEN, LOST, CLOSED)
NOTICE_ACCOUNTS_MAX: Final = 500

_SUCCESS, _FAILED = "000000", "E00001"
_FIRST_INDEX: Final = 700_000

_log = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""Province that issued the card, card number, sequence."""


@dataclass(slots=True, kw_only=True)
class Account:
    """One account."""

    key: Key
    identity_number: str
    bank_card_number: str
    status: str
    updated: datetime

    def fields(self) -> dict[str, str]:
        """As the core tells it."""
        return {
            "issueProv": self.key[0],
            "ssCardNo": self.key[1],
            "ssCardSeq": self.key[2],
            "idType": "110001",
            "idNo": self.identity_number,
            "cardNo": self.bank_card_number,
            "acctStatus": self.status,
            "updTime": f"{self.updated:%Y%m%d%H%M%S}",
        }


class BankCore(ServedSystem):
    """One bank, in memory."""

    def __init__(self, *, adapter_url: str = "") -> None:
        super().__init__(PATH)
        self.adapter_url = adapter_url
        """Where notices go; empty: nowhere."""
        self.accounts: dict[Key, Account] = {}
        self.told: list[dict[str, str]] = []
        """Every account as it was told, in order; a batch tells it again later, whatever came after."""
        self.notices = Notices(self._tell)

    async def start(self, host: str = HOST, port: int = 0) -> None:
        """Listen, and tell the adapter of what happens; OSError if the port is taken."""
        await self._listen(
            host,
            port,
            {"open": self.open, "set_status": self.set_status, "hourly_batch": self.hourly_batch, "show": self.show},
            self._serve,
        )
        self.notices.start()

    async def stop(self) -> None:
        """Stop; what the bank holds is kept."""
        await self.notices.stop()
        await super().stop()

    async def open(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Open accounts, for an employer all at once: takes `cards`, each with issue_prov, card_number,
        identity_number and perhaps sequence and bank_card_number; and status (0, not activated)."""
        status = str(arguments.get("status", NOT_ACTIVATED))
        opened = []
        for card in arguments["cards"]:
            key = (str(card["issue_prov"]), str(card["card_number"]), str(card.get("sequence", 1)))
            if key not in self.accounts:
                index = _FIRST_INDEX + len(self.accounts)
                self.accounts[key] = Account(
                    key=key,
                    identity_number=str(card["identity_number"]),
                    bank_card_number=str(card.get("bank_card_number") or numbers.bank_card_number(index)),
                    status=status,
                    updated=_now(),
                )
            opened.append(self.accounts[key])
        self._tell_later(opened)
        return {"opened": len(opened), "bank_card_numbers": [account.bank_card_number for account in opened]}

    async def set_status(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put an account into a status, whatever its card's is: takes card_number, status; is_told false keeps it."""
        status = str(arguments["status"])
        if status not in STATUSES:
            raise ValueError(f"status is one of {STATUSES}")
        found = [account for account in self.accounts.values() if account.key[1] == str(arguments["card_number"])]
        if not found:
            raise ValueError("no account of this card")
        for account in found:
            account.status, account.updated = status, _now()
        if arguments.get("is_told", True):
            self._tell_later(found)
        return {"changed": len(found)}

    async def hourly_batch(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tell everything again, each `repeats` times, in an order that `seed` decides."""
        rows = self.told * int(arguments.get("repeats", 1))
        random.Random(int(arguments.get("seed", 0))).shuffle(rows)
        self._queue(rows)
        return {"accounts": len(rows)}

    async def show(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """How many accounts are in which status."""
        counts = dict.fromkeys(STATUSES, 0)
        for account in self.accounts.values():
            counts[account.status] += 1
        return {"accounts": len(self.accounts), "by_status": counts, "waiting": len(self.notices)}

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            message = json.loads(await request.read())
            code, cards = str(message["tranCode"]), message["body"].get("cards", [])
            keys = [(str(card["issueProv"]), str(card["ssCardNo"]), str(card.get("ssCardSeq", "1"))) for card in cards]
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return _response(_FAILED, "报文格式不正确", [], Switches())

        async def work(switches: Switches) -> web.Response:
            if code != QUERY:
                return _response(_FAILED, "交易码不支持", [], switches)
            found = (self.accounts.get(key) for key in keys)
            return _response(_SUCCESS, "", [account.fields() for account in found if account], switches)

        return await serve(request, self.behaviours.take(code), work)

    def _tell_later(self, accounts: Iterable[Account]) -> None:
        rows = [account.fields() for account in accounts]
        self.told += rows
        self._queue(rows)

    def _queue(self, rows: Sequence[dict[str, str]]) -> None:
        if self.adapter_url:
            for first in range(0, len(rows), NOTICE_ACCOUNTS_MAX):
                self.notices.put(list(rows[first : first + NOTICE_ACCOUNTS_MAX]))

    async def _tell(self, rows: list[dict[str, str]]) -> None:
        switches = self.behaviours.take(f"outward-{NOTICE}")
        if switches.down:
            raise NotTaken("the line is down")
        await asyncio.sleep(switches.delay_ms / 1_000)
        message = {"tranCode": NOTICE, "body": {"accounts": rows}}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            for _ in range(2 if switches.duplicate else 1):
                async with session.post(self.adapter_url, json=message) as response:
                    answer = json.loads(await response.read())
        if answer.get("retCode") != _SUCCESS:
            _log.warning("the adapter did not take a notice: %s", answer.get("retMsg"))
            raise NotTaken(answer.get("retMsg"))


def _response(code: str, text: str, accounts: list[dict[str, str]], switches: Switches) -> web.Response:
    if switches.wrong_code:
        accounts = [{**account, "acctStatus": "Z"} for account in accounts]
    message = {"retCode": code, "retMsg": text, "body": {"accounts": accounts}}
    encoding = "gb18030" if switches.wrong_encoding else "utf-8"
    body = json.dumps(message, ensure_ascii=False).encode(encoding)
    return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})


def _now() -> datetime:
    return datetime.now(SHANGHAI)
