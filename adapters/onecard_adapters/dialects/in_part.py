"""A trade of which one side did its part and the other not, or not for certain: never a refusal.

Whoever asked is told that it stands in part and what to do: the same request again, which does only what is left.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.local_text import local_text_of
from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_adapters.sdk.failures import may_be_sent_again
from onecard_protocol.errors import OneCardError, OutcomeInDoubt, reason_name

_IN_DOUBT: Final = frozenset(
    {
        errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN,
        errors_pb2.ERROR_REASON_HELD,
        errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL,
        errors_pb2.ERROR_REASON_INTERNAL,
        # Other content was sent under the id: what is refused is the second one, and the first may have been executed.
        errors_pb2.ERROR_REASON_ID_CONFLICT,
    }
)
_NEVER_TOLD: Final = frozenset({errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL, errors_pb2.ERROR_REASON_ID_CONFLICT})
"""Doubts that no repeat ends."""

INSURED_PROVINCE: Final = "the insured province"
OWN_CORE: Final = "the own core"
DESTINATION: Final = "the destination's province"

ANSWER: Final = "answer"
"""Attribute of a transaction that was answered with success: its output."""
CONTENT: Final = "content"
"""Attribute of a transaction whose repeat under another local number is to be found: equal for equal content."""
DONE: Final = "done"
"""Attribute of a transaction whose first side has executed it."""
LEFT: Final = "left"
"""Attribute of a refused transaction whose part at the own core is still to be taken back."""
_CLOSED: Final = "closed"


def is_in_doubt(error: OneCardError) -> bool:
    """Whether what was asked may have been, or may still be, executed: never to be treated as a failure."""
    return error.reason in _IN_DOUBT


def is_final(error: OneCardError) -> bool:
    """Whether the same message can never be executed: neither in doubt, nor refused for a cause that passes."""
    return not is_in_doubt(error) and not may_be_sent_again(error)


class ExecutedInPart(OutcomeInDoubt):
    """What was executed where, and where it is not complete; the local system's words that stopped it beside it."""

    def __init__(self, detail: str, local_text: str = "") -> None:
        super().__init__(detail)
        self.local_text = local_text


@contextmanager
def executed(what: str) -> Iterator[None]:
    """Around the handling of an answer that says the other side acted.

    What fails then is no refusal of the trade: it stands, and its outcome is in doubt to whoever asked until table or
    system are put right and it is asked for again.
    """
    try:
        yield
    except OneCardError as error:
        raise OutcomeInDoubt(f"{what} was executed; its answer cannot be taken over: {error}") from error


@contextmanager
def executed_in_part(trade: str, *, at: str, left: str) -> Iterator[None]:
    """Around what is left of a trade once one side has acted: every failure of it leaves the trade executed in part."""
    try:
        yield
    except OneCardError as error:
        raise ExecutedInPart(
            f"{trade} was executed by {at} and is not complete at {left}; the same request again completes it: {error}",
            local_text_of(error),
        ) from error


@contextmanager
def asked_first(trade: str) -> Iterator[None]:
    """Around the question for the coverage that goes before a trade: without an answer nothing of the trade was sent.

    The question has no effect, so its doubt is none of the trade, which may be asked for again.
    """
    try:
        yield
    except OneCardError as error:
        if not is_in_doubt(error):
            raise
        raise OneCardError(
            errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE,
            f"{trade} was not sent: {INSURED_PROVINCE} did not tell the coverage: {reason_name(error.reason)}",
        ) from error


def require_final(trade: str, error: OneCardError) -> None:
    """After the own core's part: raise ExecutedInPart unless `error` says for good that the insured province refuses.

    The core's part then stays, and the hospital repeats the trade under its number.
    """
    if not is_final(error):
        with executed_in_part(trade, at=OWN_CORE, left=INSURED_PROVINCE):
            raise error


@contextmanager
def taken_back(trade: str) -> Iterator[None]:
    """Around the undoing of the own core's part after a refusal: until it is undone, the trade is no plain refusal."""
    try:
        yield
    except OneCardError as error:
        raise ExecutedInPart(
            f"{trade} was refused and still stands at {OWN_CORE}; the same request again takes it back: {error}",
            local_text_of(error),
        ) from error


def overtaken(trade: str) -> ExecutedInPart:
    """What is said to a repeat that would undo, at the side that is left, what came later."""
    return ExecutedInPart(
        f"{trade} was executed by {INSURED_PROVINCE} and others came after it; it is not completed at {OWN_CORE}"
    )


def is_between(transaction: Transaction, other: Transaction, before: Transaction | None) -> bool:
    """Whether the other one came after a transaction, and before a third one, if there is one."""
    return other.message_id > transaction.message_id and (before is None or other.message_id < before.message_id)


class TwoSidedTrades:
    """What the memory tells of trades that two sides carry out one after the other."""

    def __init__(self, memory: EdgeMemory) -> None:
        self._memory = memory

    def unfinished(
        self, transaction: Transaction, *, unless: Callable[[Transaction, Transaction], bool] = lambda *_: False
    ) -> Transaction:
        """The first transaction that this one repeats under another local number; itself if there is none.

        One of the same visit, trade and content that was or may have been executed, and not to its end. `unless` tells
        of such a one, and of this, whether something came between them, so that this one means something else.
        """
        earlier = (item for item in self._open_equals(transaction) if item.message_id < transaction.message_id)
        return next((item for item in earlier if not unless(item, transaction)), transaction)

    def repeats(self, done: Transaction, asked: Transaction) -> list[Transaction]:
        """What is over with `done`: `asked`, if it is another, and all others that repeat it and were not completed."""
        found = {item.message_id: item for item in (*self._open_equals(done), asked)}
        return [item for message_id, item in found.items() if message_id > done.message_id]

    def _open_equals(self, transaction: Transaction) -> list[Transaction]:
        """Those of the same visit, trade and content that are not over, the first one first; itself among them."""
        content = transaction.attributes.get(CONTENT)
        if not content:  # Remembered by a release that kept none.
            return []
        found = self._memory.find_transactions_of_encounter(transaction.encounter_id, transaction.method)
        return [
            item
            for item in found
            if item.attributes.get(CONTENT) == content
            and ANSWER not in item.attributes
            and not item.attributes.get(_CLOSED)
        ]

    def has_later(self, transaction: Transaction, before: Transaction | None = None) -> bool:
        """Whether the first side has executed another trade of this kind for the same visit since."""
        found = self._memory.find_transactions_of_encounter(transaction.encounter_id, transaction.method)
        return any(is_between(transaction, item, before) and DONE in item.attributes for item in found)

    @asynccontextmanager
    async def first_side(self, transaction: Transaction) -> AsyncIterator[None]:
        """Around what the first side does: where it refuses nothing was executed, and nothing is left to finish.

        That is so of what repeats it as well: nothing was asked under a number of theirs. Where it will never be told
        whether it was executed, those that come later ask by themselves.
        """
        try:
            yield
        except OneCardError as error:
            if not is_in_doubt(error) or error.reason in _NEVER_TOLD:
                for item in (transaction, *self.repeats(transaction, transaction)):
                    await self._note(item, {_CLOSED: "1"})
            raise
        if transaction.attributes.get(_CLOSED):
            await self._note(transaction, {_CLOSED: ""})

    async def done(self, transaction: Transaction, attributes: Mapping[str, str] | None = None) -> None:
        """Remember that the first side has executed it, and what else is to be remembered."""
        await self._note(transaction, {**(attributes or {}), DONE: "1"})

    async def _note(self, transaction: Transaction, attributes: Mapping[str, str]) -> None:
        await self._memory.update_transaction(transaction.message_id, dict(attributes))
