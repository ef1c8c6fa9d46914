"""Work that an event loop does itself as long as it is quick: the way to a thread and back costs more than that."""

from __future__ import annotations

import time
from typing import Final

FEW_SIGNATURES: Final = 2
"""Made or checked on the loop they hold it up for about a millisecond; more are a thread's."""
_QUICK_S: Final = 0.005
"""On cores that are two thirds busy one commit in ten to a quick disk takes 2 ms, and hardly one in a hundred 5."""
_SLOW_S: Final = 0.2
"""So slow pieces hold a loop up five times a second at most."""


class Quickness:
    """How long pieces of some work take; `with` it around each that the loop does.

    A piece of 5 ms or more is slow, and for 0.2 s after it a thread is to do the work.
    """

    __slots__ = ("_begun", "_slow_until")

    def __init__(self) -> None:
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
        if ended - self._begun >= _QUICK_S:
            self._slow_until = ended + _SLOW_S
