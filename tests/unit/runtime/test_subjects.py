"""Order by subject, concurrency between subjects."""

from __future__ import annotations

import asyncio

from onecard_adapters.runtime.subjects import OrderedWork
from tests.support.eventually import eventually


async def test_one_subject_is_in_order_and_others_do_not_wait_for_it() -> None:
    done: list[str] = []
    release = asyncio.Event()

    async def work(item: str) -> None:
        if item == "a1":
            await release.wait()
        done.append(item)

    ordered = OrderedWork(work, concurrency=8)
    for item in ("a1", "a2", "b1"):
        ordered.add(item[:1].encode(), item)
    await eventually(lambda: done == ["b1"])
    release.set()
    await eventually(lambda: len(ordered) == 0)

    assert done == ["b1", "a1", "a2"]


async def test_no_more_run_at_once_than_allowed_and_one_that_pauses_gives_its_place_away() -> None:
    running = 0
    most = 0
    paused = asyncio.Event()

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if item == 0:
            paused.set()
            await ordered.pause(0.05)

    ordered: OrderedWork[int] = OrderedWork(work, concurrency=2)
    for item in range(20):
        ordered.add(bytes([item]), item)
    await paused.wait()
    await eventually(lambda: len(ordered) == 0)

    assert most == 2


async def test_work_that_fails_does_not_stop_what_follows() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        if item == 0:
            raise ValueError
        done.append(item)

    ordered = OrderedWork(work, concurrency=1)
    for item in range(3):
        ordered.add(b"a", item)
    await eventually(lambda: len(ordered) == 0)

    assert done == [1, 2]


async def test_closing_lets_what_runs_finish_and_leaves_what_waits() -> None:
    done: list[int] = []
    begun = asyncio.Event()

    async def work(item: int) -> None:
        begun.set()
        await asyncio.sleep(0.02)
        done.append(item)

    ordered = OrderedWork(work, concurrency=4)
    ordered.add(b"a", 1)
    ordered.add(b"a", 2)
    await begun.wait()
    await ordered.close(5)

    assert done == [1]
    assert len(ordered) == 0
