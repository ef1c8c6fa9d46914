"""One lock a key: what concerns one encounter is done one after the other, different encounters side by side."""

import asyncio
from contextlib import AbstractAsyncContextManager
from weakref import WeakValueDictionary


class KeyedLocks:
    """Locks that live as long as somebody holds or waits for them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def hold(self, key: str) -> AbstractAsyncContextManager[None]:
        """`async with` it."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
