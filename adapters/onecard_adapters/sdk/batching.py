"""Work on signatures by the batch: whatever waits when one is done is the next, a large one in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from onecard_protocol.quickness import FEW_SIGNATURES, Quickness

PAUSE_SECONDS: Final = 0.005

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ThreadBatches(Generic[_Item, _Result]):
    """Collects items of one event loop into batches. One item alone is worked on at once.

    A few are worked on by the loop itself while that is quick. Batches that are not full begin at least
    `PAUSE_SECONDS` apart: under load more items share the cost of one.
    """

    def __init__(self, name: str, work: Callable[[list[_Item]], Sequence[_Result]], *, batch_max: int) -> None:
        """`work` runs in the thread or on the loop, never both at once; a result for each item, in their order."""
        self._work = work
        self._batch_max = batch_max
        self._waiting: list[tuple[_Item, asyncio.Future[_Result]]] = []
        self._is_running = False
        self._begun_at = float("-inf")
        self._quickness = Quickness()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, item: _Item) -> asyncio.Future[_Result]:
        """The item's result, when its batch is done; an error of the batch goes to all its items."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        self._waiting.append((item, future))
        if not self._is_running:
            self._is_running = True
            self._schedule(loop)
        return future

    def close(self) -> None:
        """Let go of the thread; what waits is cancelled."""
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        earliest = self._begun_at + PAUSE_SECONDS
        if earliest <= loop.time() or len(self._waiting) >= self._batch_max:
            # After this turn of the loop: what other tasks add in it belongs to the same batch.
            loop.call_soon(self._start, loop)
        else:
            loop.call_at(earliest, self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun_at = loop.time()
        batch = self._waiting[: self._batch_max]
        del self._waiting[: self._batch_max]
        if not batch:
            self._is_running = False
        elif len(batch) <= FEW_SIGNATURES and self._quickness.is_quick:
            with self._quickness:
                results, failure = self._worked(batch)
            self._finish(loop, batch, results, failure)
        else:
            self._executor.submit(self._run, loop, batch)

    def _run(self, loop: asyncio.AbstractEventLoop, batch: list[tuple[_Item, asyncio.Future[_Result]]]) -> None:
        results, failure = self._worked(batch)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._finish, loop, batch, results, failure)

    def _worked(self, batch: list[tuple[_Item, asyncio.Future[_Result]]]) -> tuple[Sequence[_Result], Exception | None]:
        try:
            return self._work([item for item, _ in batch]), None
        except Exception as error:
            return (), error

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[_Item, asyncio.Future[_Result]]],
        results: Sequence[_Result],
        failure: Exception | None,
    ) -> None:
        if self._waiting:
            self._schedule(loop)
        else:
            self._is_running = False
        for index, (_, future) in enumerate(batch):
            if future.done():
                continue
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(results[index])
