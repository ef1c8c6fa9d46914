"""Cards at Sichuan's core: columns in the cross-region XML envelope, under trade numbers of ours (09…).

Statuses 1, 2 and 4 are those of Beijing's AAZ502 (domain.md 2.2), 7 is ours.
"""

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from onecard_stubs.behaviour import Behaviours
from onecard_stubs.card_columns import CONFIRM, NOTICE, VERIFY, Columns, ColumnsCards, Statuses, StepRefused
from onecard_stubs.notices import NotTaken
from onecard_stubs.population import Population
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.state import Refused

PATH: Final = "/services/KSGL"
"""Where the adapter hears of cards."""
STATUSES: Final = Statuses(
    produced="0", active="1", lost="2", temporarily_lost="4", superseded="7", steps=("01", "02", "03", "04", "05")
)

_NUMBERS: Final = {NOTICE: "0901", VERIFY: "0902", CONFIRM: "0903"}
_CODE_NOT_DONE: Final = -51


class SichuanCards:
    """The cards, and the adapter that hears of them."""

    def __init__(
        self, population: Population, behaviours: Behaviours, operation: str, adapter_url: Callable[[], str]
    ) -> None:
        self._operation = operation
        self._adapter_url = adapter_url
        self.columns = ColumnsCards(population, STATUSES, behaviours, self._ask)
        self._trades: dict[str, Callable[[Columns], dict[str, str]]] = {
            "0911": self.columns.query,
            "0912": self.columns.step,
            "0913": self.columns.copy,
        }

    def serves(self, trade: str) -> bool:
        """Whether a trade number is one of cards."""
        return trade in self._trades

    def answer(self, message: soap.Message) -> soap.Fields:
        """The output of a card trade. Raises Refused."""
        try:
            return self._trades[message.trade]({child.tag: (child.text or "").strip() for child in message.root})
        except StepRefused as refused:
            raise Refused(_CODE_NOT_DONE, str(refused)) from refused

    async def _ask(self, trade: str, columns: Columns) -> Mapping[str, str]:
        url = self._adapter_url()
        if not url:
            raise ValueError("no adapter is configured")
        body = soap.write_call(self._operation, _NUMBERS[trade], columns)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.post(url, data=body, headers={"Content-Type": soap.CONTENT_TYPE}) as response,
        ):
            try:
                answer = soap.read(await response.read())
            except soap.SoapError as error:
                raise NotTaken("no SOAP") from error
        if answer.value("errorcode") != "0":
            raise NotTaken(answer.value("errormsg"))
        output = answer.root.find("output")
        return {} if output is None else {child.tag: (child.text or "").strip() for child in output}
