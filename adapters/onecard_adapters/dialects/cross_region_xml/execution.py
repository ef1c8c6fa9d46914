"""A call with effect on a core that is not idempotent: done once, or told honestly that it is in doubt.

After a crash the call is never repeated blindly (design.md, section 4, rule 11): trade 0708 tells by the transid, which
was durable before the call. What it does not find is closed by a reversal of that transid, which the core remembers,
so that a request still on its way inside the core cannot take effect afterwards.
"""

from typing import Final, NoReturn, Protocol

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.cross_region_xml.core import (
    STATE_EXECUTED,
    STATE_UNDONE,
    CoreRefusal,
    ProvincialCore,
)
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlInsuredSettings
from onecard_adapters.dialects.cross_region_xml.trades import TradeNumber
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

_TELLS_NOTHING: Final = frozenset(
    {ErrorReason.ERROR_REASON_LOCAL_SYSTEM_DOWN, ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID}
)
"""0708 and 0306 that were not asked, or whose answer cannot be read."""
LOCAL_SYSTEM: Final = "provincial core (cross-region-xml)"


class CallContext(Protocol):
    """What the SDK tells a servicer about one call (sdk.ExchangeContext)."""

    @property
    def sender(self) -> str:
        """The asking participant, cn-NN."""
        ...

    @property
    def message_id(self) -> bytes:
        """The request's id."""
        ...

    @property
    def is_recovery(self) -> bool:
        """Whether a crash may have cut an earlier attempt."""
        ...

    @property
    def local_transaction_id(self) -> str:
        """The transid, durable before the call; empty for methods without effect."""
        ...

    async def refuse(
        self, reason: int, detail: str = "", *, local_system: str = "", local_code: str = "", local_text: str = ""
    ) -> NoReturn:
        """Answer with a signed rejection."""
        ...


class Executor:
    """Calls of the insured role, with recovery."""

    def __init__(self, core: ProvincialCore, settings: CrossRegionXmlInsuredSettings) -> None:
        self.core = core
        self._settings = settings

    async def read(self, context: CallContext, trade: TradeNumber, children: list[Element]) -> Result:
        """A trade without effect; a refusal of the core becomes a signed one."""
        try:
            return await self.core.call(trade, children)
        except CoreRefusal as refusal:
            await self.refuse(context, refusal)

    async def execute(self, context: CallContext, trade: TradeNumber, children: list[Element]) -> Result:
        """A trade with effect under the context's transid; a refusal of the core becomes a signed one.

        Raises OutcomeInDoubt where it cannot be told yet, NOT_EXECUTED where recovery closed what was never done.
        """
        if context.is_recovery:
            return await self._recover(context.local_transaction_id)
        try:
            return await self.core.call(trade, children)
        except CoreRefusal as refusal:
            if refusal.error_code in self._settings.core.duplicate_transid_codes:
                # Something between us and the core repeated the request: the first copy has the outcome.
                return await self._recover(context.local_transaction_id)
            await self.refuse(context, refusal)

    async def refuse(self, context: CallContext, refusal: CoreRefusal) -> NoReturn:
        """Answer with the core's refusal, its own code and text beside the catalogue's reason."""
        await context.refuse(
            self._settings.core.reason_of(refusal.error_code),
            "the provincial core refused",
            local_system=LOCAL_SYSTEM,
            local_code=str(refusal.error_code),
            local_text=refusal.text,
        )

    async def _recover(self, transid: str) -> Result:
        if self._settings.recovery == "none":
            raise OutcomeInDoubt("the profile declares no way to learn the outcome; a person decides")
        try:
            finding = await self.core.find(transid)
            if finding.state == STATE_EXECUTED:
                return finding.result
            if finding.state == STATE_UNDONE:
                raise OneCardError(ErrorReason.ERROR_REASON_REVERSED, "the core holds the transaction as undone")
            await self.core.reverse("", transid)
        except CoreRefusal as refusal:
            raise OutcomeInDoubt(f"the core tells nothing of the transaction: errorcode {refusal.error_code}") from None
        except OneCardError as error:
            if error.reason in _TELLS_NOTHING:
                raise OutcomeInDoubt(f"the core cannot be asked yet: {error.detail}") from error
            raise
        raise OneCardError(
            ErrorReason.ERROR_REASON_NOT_EXECUTED, "an attempt was cut off; the core did not execute it and never will"
        )
