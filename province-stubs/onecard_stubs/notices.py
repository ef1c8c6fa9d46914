"""What a local system tells its adapter by itself: one notice after the other, and again until it is taken."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import aiohttp

Notice = TypeVar("Notice")
_AGAIN_S = 0.2


class NotTaken(Exception):
    """The adapter answered that it does not take a notice; the text says why."""


class Notices(Generic[Notice]):
    """A queue in memory. A notice that is not taken goes to the end, so notices overtake each other."""

    def __init__(self, send: Callable[[Notice], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: deque[Notice] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: Notice) -> None:
        """Tell it, later."""
        self._waiting.append(notice)
        self._wake.set()

    def start(self) -> None:
        """Begin to tell, first what waits; call it inside the loop."""
        self._wake.set()
        self._task = asyncio.create_task(self._tell())

    async def stop(self) -> None:
        """Stop telling; what waits is kept."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                notice = self._waiting[0]
                try:
                    await self._send(notice)
                    self._waiting.popleft()
                except (NotTaken, aiohttp.ClientError, TimeoutError, OSError, ValueError):
                    self._waiting.popleft()
                    self._waiting.append(notice)
                    await asyncio.sleep(_AGAIN_S)
