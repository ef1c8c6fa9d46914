"""Work on signatures of many callers at once: whatever waits is one batch, in a thread if it is large."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final, Generic, TypeVar

from onecard_protocol.quickness import FEW_SIGNATURES, Quickness

Item = TypeVar("Item")
Result = TypeVar("Result")

SIGNATURES_AT_ONCE: Final = 2
"""Lists of one kind of work under way."""


class MicroBatches(Generic[Item, Result]):
    """Runs `work` on lists of items of one or several callers; at most `batches_max` lists are under way at once.

    `work` gives one result for each item, in their order. An error of `work` goes to every caller of its list.
    A caller that stops waiting takes nothing back. A short list is worked on by the loop itself while that is quick.
    Lists that are not full begin at least `pause_ms` apart: what comes alone goes at once, and under load more callers
    share a list's cost.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result]],
        executor: Executor,
        *,
        items_max: int,
        batches_max: int,
        pause_ms: int,
    ) -> None:
        """A list holds at most `items_max` items; no caller may bring more at once."""
        self._work = work
        self._executor = executor
        self._items_max = items_max
        self._batches_max = batches_max
        self._pause_seconds = pause_ms / 1000
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = deque()
        self._waiting_count = 0
        self._running_count = 0
        self._begun_at = float("-inf")
        self._beginning: asyncio.Handle | None = None
        self._quickness = Quickness()

    def run(self, items: Sequence[Item]) -> asyncio.Future[Sequence[Result]]:
        """The results of these items, when they are there. Raises ValueError for more than `items_max`."""
        if len(items) > self._items_max:
            raise ValueError(f"at most {self._items_max} items, not {len(items)}")
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        if items:
            self._waiting.append((items, future))
            self._waiting_count += len(items)
            self._schedule()
        else:
            future.set_result([])
        return future

    def _schedule(self) -> None:
        if not self._waiting or self._running_count >= self._batches_max:
            return
        loop = asyncio.get_running_loop()
        is_full = self._waiting_count >= self._items_max
        if self._beginning is not None:
            if not is_full:
                return
            self._beginning.cancel()
        # At the earliest one turn of the loop later, so that calls that arrived together share a list.
        earliest = self._begun_at + self._pause_seconds
        if is_full or earliest <= loop.time():
            self._beginning = loop.call_soon(self._begin)
        else:
            self._beginning = loop.call_at(earliest, self._begin)

    def _begin(self) -> None:
        self._beginning = None
        loop = asyncio.get_running_loop()
        self._begun_at = loop.time()
        items: list[Item] = []
        callers: list[tuple[asyncio.Future[Sequence[Result]], int]] = []
        while self._waiting and len(items) + len(self._waiting[0][0]) <= self._items_max:
            some, future = self._waiting.popleft()
            items.extend(some)
            callers.append((future, len(some)))
        self._waiting_count -= len(items)
        self._running_count += 1
        running = self._run_here(items) or loop.run_in_executor(self._executor, self._work, items)
        running.add_done_callback(lambda done: self._end(done, callers))
        self._schedule()

    def _run_here(self, items: list[Item]) -> asyncio.Future[Sequence[Result]] | None:
        """The results of a short list; None where a thread is to work on it."""
        if len(items) > FEW_SIGNATURES or not self._quickness.is_quick:
            return None
        done: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        try:
            with self._quickness:
                done.set_result(self._work(items))
        except Exception as error:
            done.set_exception(error)
        return done

    def _end(
        self, done: asyncio.Future[Sequence[Result]], callers: list[tuple[asyncio.Future[Sequence[Result]], int]]
    ) -> None:
        self._running_count -= 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        results = done.result() if error is None else ()
        start = 0
        for future, count in callers:
            if not future.done():
                if error is None:
                    future.set_result(results[start : start + count])
                elif isinstance(error, asyncio.CancelledError):
                    future.cancel()
                else:
                    future.set_exception(error)
            start += count
        self._schedule()
