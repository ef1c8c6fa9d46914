"""The provincial core as seen from the adapter: one call in this dialect, and what its answer means for us.

Owns the distinction on which everything depends: refused (nothing was done), in doubt (it may have been done), done.
Knows nothing of national messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.connectors.http import HttpAnswer
from onecard_adapters.dialects.cross_region_xml import envelope
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, leaf, parent
from onecard_adapters.dialects.cross_region_xml.settings import CoreSettings
from onecard_adapters.dialects.cross_region_xml.trades import TRADES, TradeNumber
from onecard_adapters.dialects.local_text import masked
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

STATE_ABSENT: Final = "0"
STATE_EXECUTED: Final = "1"
STATE_UNDONE: Final = "2"


class PostsBytes(Protocol):
    """The connector's client (connectors.http.LocalHttpClient)."""

    async def post(self, body: bytes, *, content_type: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """Send and wait; LOCAL_SYSTEM_DOWN if nothing was sent, OutcomeInDoubt for what fails later."""
        ...


class CoreRefusal(Exception):
    """The core answered an errorcode below zero: it did nothing. The text is masked."""

    def __init__(self, error_code: int, text: str) -> None:
        super().__init__(error_code, text)
        self.error_code = error_code
        self.text = masked(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the core knows of a transaction (trade 0708)."""

    state: str
    """STATE_ABSENT, STATE_EXECUTED or STATE_UNDONE."""
    result: Result
    """The original's output and transid, where there is one."""


class ProvincialCore:
    """Calls to one core."""

    def __init__(self, client: PostsBytes, settings: CoreSettings) -> None:
        self._client = client
        self._settings = settings

    async def call(self, trade: TradeNumber, children: list[Element]) -> Result:
        """One trade of the table. Raises as `ask` does."""
        return await self.ask(trade, children, has_effect=TRADES[trade].has_effect)

    async def ask(self, trade: str, children: list[Element], *, has_effect: bool) -> Result:
        """One trade.

        Raises CoreRefusal; OneCardError where nothing was executed (unreachable, unencodable, a read without a
        readable answer); OutcomeInDoubt where a trade with effect may have been.
        """
        body = envelope.write_call(self._settings.operation, trade, tuple(children))
        try:
            answer = await self._client.post(
                body,
                content_type=envelope.CONTENT_TYPE,
                headers={"SOAPAction": f'"urn:{self._settings.operation.value}"'},
            )
            result = envelope.read_result(answer.body)
        except OutcomeInDoubt as error:
            if has_effect:
                raise
            raise OneCardError(ErrorReason.ERROR_REASON_LOCAL_SYSTEM_DOWN, f"{trade}: {error.detail}") from error
        except OneCardError as error:
            if has_effect and error.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID:
                raise OutcomeInDoubt(f"{trade}: the answer cannot be read: {error.detail}") from error
            raise
        if not result.is_success:
            raise CoreRefusal(result.error_code, result.error_message)
        return result

    async def find(self, transid: str, settlement_id: str = "") -> Finding:
        """What became of a transaction, or of a settlement by its number. Raises as `call` does."""
        result = await self.call(
            TradeNumber.QUERY_TRANSACTION, [leaf("otransid", transid), leaf("ykc618", settlement_id)]
        )
        state = result.output.value("ykc701")
        if state not in {STATE_ABSENT, STATE_EXECUTED, STATE_UNDONE}:
            raise OneCardError(
                ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID,
                f"{TradeNumber.QUERY_TRANSACTION}: output.ykc701 is no state",
            )
        told = parent("output", [item for item in result.output.children if item.name not in {"ykc701", "otransid"}])
        original = Result(error_code=0, transaction_id=result.output.value("otransid"), output=told)
        return Finding(state=state, result=original)

    async def reverse(self, transid: str, original_transid: str) -> str:
        """Undo a transaction (STATE_UNDONE), or see to it that it is never done (STATE_ABSENT). Raises as `call`."""
        result = await self.call(TradeNumber.REVERSE, [leaf("transid", transid), leaf("otransid", original_transid)])
        state = result.output.value("ykc701")
        if state not in {STATE_ABSENT, STATE_UNDONE}:
            raise OutcomeInDoubt(f"{TradeNumber.REVERSE}: output.ykc701 is no state")
        return state
