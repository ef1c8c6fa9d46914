"""Work by the batch in a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from onecard_adapters.sdk.batching import ThreadBatches


async def test_what_is_asked_for_in_one_turn_is_one_batch_and_one_alone_goes_at_once() -> None:
    sizes: list[int] = []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return [item * 2 for item in items]

    batches = ThreadBatches("test", work, batch_max=100)
    assert await batches.submit(1) == 2
    assert await asyncio.gather(*[batches.submit(item) for item in range(50)]) == [item * 2 for item in range(50)]
    batches.close()

    assert sizes == [1, 50]


async def test_what_comes_while_a_batch_is_worked_on_is_the_next_one() -> None:
    sizes: list[int] = []
    begun, release = threading.Event(), threading.Event()

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        begun.set()
        release.wait(60)
        return items

    batches = ThreadBatches("test", work, batch_max=3)
    first = batches.submit(0)
    assert await asyncio.to_thread(begun.wait, 60)
    rest = [batches.submit(item) for item in range(5)]
    release.set()
    await asyncio.gather(first, *rest)
    batches.close()

    assert sizes == [1, 3, 2]


async def test_an_error_goes_to_everyone_of_the_batch_and_the_next_one_works() -> None:
    def work(items: list[int]) -> list[int]:
        if 0 in items:
            raise ValueError("zero")
        return items

    batches = ThreadBatches("test", work, batch_max=10)
    both = [batches.submit(0), batches.submit(1)]
    for failed in both:
        with pytest.raises(ValueError, match="zero"):
            await failed
    assert await batches.submit(2) == 2
    batches.close()
