"""Work in order of each subject, and at once for different ones, bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

_log = logging.getLogger(__name__)


class OrderedWork(Generic[_Item]):
    """Runs `work` on items: one at a time and in order for one subject, at most `concurrency` in all."""

    def __init__(self, work: Callable[[_Item], Awaitable[None]], *, concurrency: int) -> None:
        """`work` handles its own errors; what escapes it is logged by its type, and the next item goes on."""
        self._work = work
        self._free = asyncio.Semaphore(concurrency)
        self._queues: dict[bytes, deque[_Item]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._active_count = 0

    @property
    def active_count(self) -> int:
        """Items that are worked on at this moment, without those whose work pauses."""
        return self._active_count

    def __len__(self) -> int:
        return self._count

    def add(self, subject: bytes, item: _Item) -> None:
        """Work on the item when those before it of the same subject are done."""
        self._count += 1
        queue = self._queues.get(subject)
        if queue is not None:
            queue.append(item)
            return
        self._queues[subject] = deque((item,))
        task = asyncio.get_running_loop().create_task(self._drain(subject))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def pause(self, seconds: float) -> None:
        """Called by `work` to wait within an item: its subject waits with it, its place among the others is free."""
        self._active_count -= 1
        self._free.release()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._active_count += 1
            await self._free.acquire()

    async def close(self, grace_s: float) -> None:
        """Let what runs finish for so long, then cancel it; what waits is left."""
        for queue in self._queues.values():
            self._count -= len(queue)
            queue.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _drain(self, subject: bytes) -> None:
        queue = self._queues[subject]
        try:
            while queue:
                async with self._free:
                    # Closing may have emptied the queue while we waited for our turn.
                    if not queue:
                        break
                    item = queue.popleft()
                    self._active_count += 1
                    try:
                        await self._work(item)
                    except Exception as error:
                        _log.error("work on a message failed: %s", type(error).__name__)
                    finally:
                        self._active_count -= 1
                        self._count -= 1
        finally:
            del self._queues[subject]
