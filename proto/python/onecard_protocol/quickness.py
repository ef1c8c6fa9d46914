"""Work that an event loop does itself as long as it is quick: the way to a thread and back costs more than that."""

from __future__ import annotations

import time
from typing import Final

FEW_SIGNATURES: Final = 2
"""Made or checked on the loop they hold it up for about a millisecond; more are a thread's."""


class Quickness:
    """How long pieces of some work take; `with` it around each that the loop does."""

    __slots__ = ("_begun", "_quick_s", "_slow_s", "_slow_until")

    def __init__(self, *, quick_s: float = 0.005, slow_s: float = 0.2) -> None:
        """A piece of `quick_s` or more is slow, and for `slow_s` after it a thread is to do the work.

        So a loop is held up by slow pieces five times a second at most. By 5 ms, as on cores that are two thirds busy
        one commit in ten to a quick disk takes 2 ms, and hardly one in a hundred takes 5.
        """
        self._quick_s = quick_s
        self._slow_s = slow_s
        self._begun = 0.0
        self._slow_until = float("-inf")

    @property
    def is_quick(self) -> bool:
        """Whether the loop may do the next piece."""
        return time.monotonic() >= self._slow_until

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        ended = time.monotonic()
        if ended - self._begun >= self._quick_s:
            self._slow_until = ended + self._slow_s
