"""Work by the batch in a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from onecard_adapters.sdk import batching
from onecard_adapters.sdk.batching import ThreadBatches
from tests.support.timed_work import TimedWork


@pytest.fixture
def all_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "FEW_SIGNATURES", 0)


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


@pytest.mark.usefixtures("all_in_threads")
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


@pytest.mark.parametrize("few", [0, 2], ids=["in a thread", "on the loop"])
async def test_an_error_goes_to_everyone_of_the_batch_and_the_next_one_works(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "FEW_SIGNATURES", few)

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


async def test_a_few_are_worked_on_by_the_loop_until_that_is_slow_and_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = TimedWork(monkeypatch)
    batches = ThreadBatches("test", work, batch_max=10)
    await asyncio.gather(*[batches.submit(item) for item in range(2)])
    await asyncio.gather(*[batches.submit(item) for item in range(3)])
    work.takes_s = 0.01
    await batches.submit(0)
    await batches.submit(0)
    work.now_s += 0.25
    await batches.submit(0)
    batches.close()

    assert work.by_loop == [True, False, True, False, True]
