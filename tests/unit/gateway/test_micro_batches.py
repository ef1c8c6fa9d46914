"""CPU-bound work of many callers in shared batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from onecard_broker.gateway import micro_batches
from onecard_broker.gateway.micro_batches import MicroBatches
from tests.support.timed_work import TimedWork


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """How many are worked on by the loop itself: none, where a test does not say."""
    monkeypatch.setattr(micro_batches, "FEW_SIGNATURES", getattr(request, "param", 0))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


class Doubling:
    """Work that notes its batches and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.has_begun = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.has_begun.set()
        assert self.may_go.wait(20)
        return [item * 2 for item in items]


async def test_calls_that_arrive_together_share_a_batch(executor: ThreadPoolExecutor) -> None:
    work = Doubling()
    batches = MicroBatches(work, executor, items_max=100, batches_max=1, pause_ms=0)

    results = await asyncio.gather(batches.run([1, 2]), batches.run([]), batches.run([3]))

    assert list(results) == [[2, 4], [], [6]]
    assert work.batches == [[1, 2, 3]]


async def test_what_waits_behind_a_running_batch_is_the_next_one(executor: ThreadPoolExecutor) -> None:
    work = Doubling()
    work.may_go.clear()
    batches = MicroBatches(work, executor, items_max=100, batches_max=1, pause_ms=0)
    first = asyncio.ensure_future(batches.run([1]))
    assert await asyncio.to_thread(work.has_begun.wait, 20)
    others = [asyncio.ensure_future(batches.run([number])) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    work.may_go.set()

    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert work.batches == [[1], [2, 3, 4]]


async def test_no_batch_is_larger_than_its_bound(executor: ThreadPoolExecutor) -> None:
    work = Doubling()
    batches = MicroBatches(work, executor, items_max=5, batches_max=2, pause_ms=0)

    results = await asyncio.gather(*(batches.run([number, number]) for number in range(20)))

    assert results == [[number * 2] * 2 for number in range(20)]
    assert max(map(len, work.batches)) <= 5


async def test_more_items_than_a_batch_holds_are_refused(executor: ThreadPoolExecutor) -> None:
    batches = MicroBatches(Doubling(), executor, items_max=5, batches_max=1, pause_ms=0)

    with pytest.raises(ValueError, match="at most 5"):
        await batches.run([0] * 6)


@pytest.mark.parametrize("few", [0, 2], indirect=True, ids=["in threads", "on the loop"])
async def test_an_error_goes_to_every_caller_of_its_batch_and_to_no_other(executor: ThreadPoolExecutor) -> None:
    def fail_on_zero(items: list[int]) -> list[int]:
        return [1 // item for item in items]

    batches = MicroBatches(fail_on_zero, executor, items_max=2, batches_max=1, pause_ms=0)

    results = await asyncio.gather(*(batches.run([item]) for item in (0, 1, 1, 1)), return_exceptions=True)

    assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError, list, list]


async def test_a_caller_that_gives_up_disturbs_nobody(executor: ThreadPoolExecutor) -> None:
    work = Doubling()
    work.may_go.clear()
    batches = MicroBatches(work, executor, items_max=10, batches_max=1, pause_ms=0)
    leaving = asyncio.ensure_future(batches.run([1]))
    staying = asyncio.ensure_future(batches.run([2]))
    assert await asyncio.to_thread(work.has_begun.wait, 20)

    leaving.cancel()
    work.may_go.set()

    assert await staying == [4]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_what_comes_alone_goes_at_once_and_what_follows_waits_for_the_pause(executor: ThreadPoolExecutor) -> None:
    work = Doubling()
    batches = MicroBatches(work, executor, items_max=4, batches_max=2, pause_ms=3_600_000)

    assert list(await batches.run([1])) == [2]
    waiting = asyncio.ensure_future(batches.run([2]))
    await asyncio.sleep(0)
    assert work.batches == [[1]]

    # A full list does not wait for the pause, and takes what waited before it along.
    assert list(await batches.run([3, 4, 5])) == [6, 8, 10]
    assert list(await waiting) == [4]
    assert work.batches == [[1], [2, 3, 4, 5]]


@pytest.mark.parametrize("few", [2], indirect=True)
async def test_a_short_list_is_worked_on_by_the_loop_until_that_is_slow_and_again_after_a_while(
    executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = TimedWork(monkeypatch)
    batches = MicroBatches(work, executor, items_max=10, batches_max=1, pause_ms=0)
    assert await batches.run([0, 1]) == [0, 1]
    assert await batches.run([0, 1, 2]) == [0, 1, 2]
    work.takes_s = 0.01
    for _ in range(2):
        await batches.run([0])
    work.now_s += 0.25
    await batches.run([0])

    assert work.by_loop == [True, False, True, False, True]
