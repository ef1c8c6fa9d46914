"""Work whose time the test sets, and which notes who does it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from onecard_protocol import quickness


class TimedWork:
    """Gives back its items; its clock is the one that tells quick work from slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        self.takes_s = 0.0
        self.by_loop: list[bool] = []
        """Of each batch, whether the event loop worked on it itself."""
        monkeypatch.setattr(quickness, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def __call__(self, items: list[int]) -> list[int]:
        self.by_loop.append(threading.current_thread() is threading.main_thread())
        self.now_s += self.takes_s
        return items
