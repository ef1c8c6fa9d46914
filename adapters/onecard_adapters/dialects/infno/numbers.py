"""Numbers of our own transactions (msgid)."""

from typing import Final

from onecard_adapters.dialects.infno.envelope import compact_time
from onecard_adapters.runtime.memory import EdgeMemory

_NUMBERS_PER_SECOND: Final = 10_000


async def next_transaction_number(memory: EdgeMemory, organisation_code: str, now_ms: int) -> str:
    """A new msgid: organisation 12 + time 14 + sequence 4 (domain.md 1.5), never at random as real senders make it.

    No two made from one store are equal: a number is the second and a sequence within it, each is greater than the one
    before, and where a second has no more of them, or the clock goes back, the time in them runs ahead of the clock.
    """
    number = await memory.next_number(organisation_code, now_ms // 1_000 * _NUMBERS_PER_SECOND)
    second, sequence = divmod(number, _NUMBERS_PER_SECOND)
    return f"{organisation_code}{compact_time(second * 1_000)[:14]}{sequence:04d}"
