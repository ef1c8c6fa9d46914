"""A process's two clocks, for tests that let time pass and set the wall clock."""

from __future__ import annotations


class Clocks:
    """Wall time and monotonic time; setting the wall clock does not move the other."""

    def __init__(self) -> None:
        self._wall_ms = 1_790_000_000_000
        self._monotonic_s = 1_000.0

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as this process believes."""
        return self._wall_ms

    def monotonic(self) -> float:
        """Seconds since some time."""
        return self._monotonic_s

    def pass_time(self, seconds: float) -> None:
        """Both go on."""
        self._monotonic_s += seconds
        self._wall_ms += round(seconds * 1000)

    def set_back(self, seconds: float) -> None:
        """The wall clock alone is set."""
        self._wall_ms -= round(seconds * 1000)
