"""Cards at Guangdong's core: columns in the infno envelope, under numbers of ours (K…).

Statuses 1 and 2 are those of a mobile front-end (domain.md 2.2), the others ours.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

from onecard_stubs.behaviour import Behaviours
from onecard_stubs.card_columns import CONFIRM, NOTICE, VERIFY, Columns, ColumnsCards, Statuses, StepRefused
from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.records import Refused
from onecard_stubs.notices import NotTaken
from onecard_stubs.population import Population

PATH: Final = "/fsi/api/rsfComIfsService/card"
"""Where the adapter hears of cards."""
QUERY: Final = "K201"
STATUSES: Final = Statuses(
    produced="4", active="1", lost="2", temporarily_lost="5", superseded="7", steps=("1", "2", "3", "4", "5")
)

_NUMBERS: Final = {NOTICE: "K101", VERIFY: "K102", CONFIRM: "K103"}
_ORGANISATION: Final = "S44000099901"

Trade = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


class GuangdongCards:
    """The cards, and the adapter that hears of them."""

    def __init__(self, population: Population, behaviours: Behaviours, adapter_url: Callable[[], str]) -> None:
        self._adapter_url = adapter_url
        self._sequence = 0
        self.columns = ColumnsCards(population, STATUSES, behaviours, self._ask)

    def trades(self) -> dict[str, Trade]:
        """By infno."""
        return {
            QUERY: lambda _, content: {"data": self.columns.query(content["data"])},
            "K202": lambda _, content: {"data": self._step(content["data"])},
            "K203": lambda _, content: {"data": self.columns.copy(content["data"])},
        }

    def _step(self, columns: Columns) -> dict[str, str]:
        try:
            return self.columns.step(columns)
        except StepRefused as refused:
            raise Refused(str(refused)) from refused

    async def _ask(self, trade: str, columns: Columns) -> Mapping[str, Any]:
        self._sequence += 1
        message = {
            "infno": _NUMBERS[trade],
            "msgid": f"{_ORGANISATION}{wire.compact(wire.now())[:14]}{self._sequence:04d}",
            "fixmedins_code": _ORGANISATION,
            "input": {"data": columns},
        }
        url = self._adapter_url()
        if not url:
            raise ValueError("no adapter is configured")
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.post(
                url, data=wire.write(message).encode(), headers={"Content-Type": "application/json"}
            ) as response,
        ):
            answer = wire.parse(await response.read())
        if answer.get("infcode") != 0:
            raise NotTaken(str(answer.get("err_msg")))
        data: Mapping[str, Any] = answer["output"]["data"]
        return data
