"""Transaction numbers (msgid): the published form, and no two alike from one store."""

import asyncio
import re
from pathlib import Path

from onecard_adapters.dialects.infno.numbers import next_transaction_number
from tests.support.infno_country import open_memory

ORGANISATION = "S44000099901"
# 2024-03-15 08:51:47 in Shanghai, 00:51:47 in Greenwich.
NOW_MS = 1_710_463_907_293


async def test_a_number_is_organisation_time_of_shanghai_and_sequence(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store.db") as memory:
        numbers = [await next_transaction_number(memory, ORGANISATION, NOW_MS) for _ in range(2)]
    assert numbers == [f"{ORGANISATION}202403150851470000", f"{ORGANISATION}202403150851470001"]
    assert {len(number) for number in numbers} == {30}


async def test_more_numbers_than_a_second_has_are_all_different(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store.db") as memory:
        made = await asyncio.gather(
            *(next_transaction_number(memory, ORGANISATION, NOW_MS + index % 3) for index in range(10_050))
        )
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(ORGANISATION + r"\d{18}", number) for number in made)
    assert max(made) == f"{ORGANISATION}202403150851480049"


async def test_a_restart_and_a_clock_that_went_back_repeat_nothing(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store.db") as memory:
        before = [await next_transaction_number(memory, ORGANISATION, NOW_MS) for _ in range(3)]
    async with open_memory(tmp_path / "store.db") as memory:
        after = [await next_transaction_number(memory, ORGANISATION, NOW_MS - offset) for offset in (0, 3_600_000)]
    assert len({*before, *after}) == 5
    assert sorted(before + after) == before + after
