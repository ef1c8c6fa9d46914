"""Calls with effect of the place of care's own core, through crashes (design.md, section 4, rule 11).

The profile says what the core allows. One that knows a number again is asked again under it. To one that does not,
nothing is sent twice under one number: of what may have reached it a person finds out there what became of it.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, Literal, TypeVar

from onecard_adapters.dialects.in_part import AskedBefore, is_in_doubt
from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_protocol.errors import OneCardError

OwnCoreRecovery = Literal["repeat", "none"]
"""`repeat`: the same number again is answered as before, and nothing is done twice; `none`: a person decides."""

_ASKED: Final = "?"

_Answer = TypeVar("_Answer")


class OwnCoreCalls(Generic[_Answer]):
    """Asks the core within transactions that were durable before."""

    def __init__(
        self,
        memory: EdgeMemory,
        recovery: OwnCoreRecovery,
        *,
        write: Callable[[_Answer], str],
        read: Callable[[str], _Answer],
    ) -> None:
        """`write` and `read` keep a success of the core beside the transaction, for its repeats."""
        self._memory = memory
        self._recovery = recovery
        self._write = write
        self._read = read

    async def ask(
        self, trade: str, number: str, transaction: Transaction, call: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """The core's answer to a trade under a number. Raises AskedBefore, and what `call` raises."""
        if self._recovery == "repeat":
            return await call()
        mark = _mark(trade, number)
        known = transaction.attributes.get(mark, "")
        if known == _ASKED:
            raise AskedBefore(trade)
        if known:
            return self._read(known)
        await self._note(transaction, mark, _ASKED)
        try:
            answer = await call()
        except OneCardError as error:
            if is_in_doubt(error):
                raise AskedBefore(trade) from error
            await self._note(transaction, mark, "")
            raise
        await self._note(transaction, mark, self._write(answer))
        return answer

    def asked_as(self, trade: str, first: Transaction, repeat: Transaction) -> Transaction:
        """Under which of two transactions with equal content the core is asked for the trade.

        The first one, unless that is in doubt: whoever asks under another number has looked.
        """
        is_doubted = first.attributes.get(_mark(trade, first.local_transaction_id)) == _ASKED
        return repeat if is_doubted else first

    async def _note(self, transaction: Transaction, mark: str, value: str) -> None:
        await self._memory.update_transaction(transaction.message_id, {mark: value})


def _mark(trade: str, number: str) -> str:
    return f"asked {trade} {number}"
