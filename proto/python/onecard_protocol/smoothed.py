"""A duration that is measured again and again: its mean and mean deviation, smoothed (RFC 6298, section 2)."""

from __future__ import annotations

from typing import Final

_SHARE: Final = 1 / 8
_SHARE_OF_DIFFERENCE: Final = 1 / 4


class Smoothed:
    """What something takes, in seconds."""

    __slots__ = ("differs_s", "mean_s")

    def __init__(self, mean_s: float, differs_s: float) -> None:
        """What is thought of it at first."""
        self.mean_s = mean_s
        self.differs_s = differs_s

    def took(self, seconds: float) -> None:
        """It took so long this time."""
        self.differs_s += _SHARE_OF_DIFFERENCE * (abs(seconds - self.mean_s) - self.differs_s)
        self.mean_s += _SHARE * (seconds - self.mean_s)

    def within_s(self, deviations: float) -> float:
        """The mean and so many deviations."""
        return self.mean_s + deviations * self.differs_s
