"""Remembers which costly checks came out well, bounded, and makes each only once at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future


class RememberedChecks:
    """The most recently used successful checks, at most `checks_max`; failures are not remembered.

    Threads that ask for the same check at once wait for the one that makes it: the messages of one batch arrive
    together. Safe to use from threads; nobody waits for anything but a check that is running.
    """

    __slots__ = ("_checks_max", "_lock", "_passed", "_running")

    def __init__(self, checks_max: int) -> None:
        """Raises ValueError where nothing could be remembered."""
        if checks_max < 1:
            raise ValueError("at least one check is remembered")
        self._checks_max = checks_max
        self._lock = threading.Lock()
        self._passed: OrderedDict[Hashable, None] = OrderedDict()
        self._running: dict[Hashable, Future[bool]] = {}

    def __len__(self) -> int:
        return len(self._passed)

    def check(self, key: Hashable, make: Callable[[], bool]) -> bool:
        """Whether the check named by the key passes; `make` is called where that is not remembered or being made.

        An error of `make` goes to its caller and to all who wait for it.
        """
        with self._lock:
            if key in self._passed:
                self._passed.move_to_end(key)
                return True
            running = self._running.get(key)
            if running is None:
                mine: Future[bool] = Future()
                self._running[key] = mine
        if running is not None:
            return running.result()
        try:
            has_passed = make()
        except BaseException as error:
            self._end(key, has_passed=False)
            mine.set_exception(error)
            raise
        self._end(key, has_passed=has_passed)
        mine.set_result(has_passed)
        return has_passed

    def _end(self, key: Hashable, *, has_passed: bool) -> None:
        with self._lock:
            del self._running[key]
            if has_passed:
                self._passed[key] = None
                if len(self._passed) > self._checks_max:
                    self._passed.popitem(last=False)
