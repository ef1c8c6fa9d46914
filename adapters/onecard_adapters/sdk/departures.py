"""When submissions leave: shortly before their gateway appends what it gathers, answers when the last one is made.

A gateway that gathers appends all that came meanwhile at once: what leaves shortly before that is in the journal as
soon as if it had left by itself, and shares a call, a signature and a check. How long before depends on the way there,
which is learned: the gateway tells how much of the time that a submission took was not its way.
"""

from __future__ import annotations

import asyncio
from typing import Final

from onecard_protocol.smoothed import Smoothed

_SUBMISSION_PAUSE_S: Final = 0.01
"""Submissions begin at least so far apart: more messages share a call, a signature, an append."""
HELD_S_MAX: Final = 0.2
"""Nothing is held longer, whatever gateways tell."""
MANY: Final = 64
"""So many messages wait for nobody."""
FIRST_LEAD_S: Final = 0.012
"""How long before an append a submission leaves while nothing is known of the way to that gateway."""
_LEAD_S_MIN: Final = 0.008
_TELLING_S: Final = 0.035
"""So long after an append, mostly, those who took part in it have been told of the next one."""
TICK_S: Final = 0.001
"""What is due so soon is due."""


class Appends:
    """What is known of one gateway's appends, and of the way there."""

    def __init__(self) -> None:
        """Nothing is."""
        self.next_s = float("-inf")
        """When it appends what it gathers, by the loop's clock; in the past: it gathers nothing, or is too far away."""
        self.holding_s = 0.0
        """How much longer it waits for answers of ours."""
        self._way = Smoothed(FIRST_LEAD_S / 2, FIRST_LEAD_S / 8)

    @property
    def leads_s(self) -> tuple[float, float, float]:
        """How long before an append submissions leave for it: surely in time, mostly, and as often too late as not.

        The first is bounded as RFC 6298, section 2, bounds a way there and back.
        """
        return (
            max(self._way.within_s(4), _LEAD_S_MIN),
            self._way.within_s(1),
            self._way.mean_s,
        )

    def told(self, gathering_ms: int, journaling_ms: int, left_s: float, *, holding_ms: int) -> None:
        """Learn from the answer to a submission that left at `left_s`: the rest is what `SubmitBatchResponse` tells.

        The way counts from the departure until all is checked, and back: so late the gateway's time is known here.
        """
        now_s = asyncio.get_running_loop().time()
        if journaling_ms:  # Else it tells nothing of it.
            # What was held up by something else counts for little more than what was expected.
            self._way.took(min(max(now_s - left_s - journaling_ms / 1_000, 0.0), 1.5 * self.leads_s[0]))
        gathering_s = min(gathering_ms / 1_000, HELD_S_MAX)
        self.holding_s = min(holding_ms / 1_000, HELD_S_MAX)
        # An append that was known of stays known, though this news of it comes too late to be in time for it.
        is_known = gathering_s > self.leads_s[0] or now_s < self.next_s
        self.next_s = now_s + gathering_s if gathering_ms and is_known else float("-inf")


class Departures:
    """Those of one pump: since when something waits, when the last submission left, and when the next one does."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting_since_s = 0.0
        self._last_s = float("-inf")

    def begin_waiting(self) -> None:
        """Something waits now, and nothing did."""
        self._waiting_since_s = asyncio.get_running_loop().time()

    def leave(self) -> float:
        """A submission leaves now; returns when that is."""
        self._last_s = self._waiting_since_s = asyncio.get_running_loop().time()
        return self._last_s

    def next_in_s(
        self, appends: Appends, waiting_count: int, *, is_any_asked: bool, making_count: int | None = None
    ) -> float:
        """How long from now the next submission waits; look again then.

        `is_any_asked`: whether a submission is under way, whose answer will tell of the next append. `making_count`:
        how many answers are in the making beside those that wait; None where no answer waits.
        """
        now_s = asyncio.get_running_loop().time()
        apart_s = max(self._last_s + _SUBMISSION_PAUSE_S - now_s, 0.0)
        left_s = self._waiting_since_s + HELD_S_MAX - now_s
        if waiting_count >= MANY or left_s <= 0:
            return apart_s
        surely_s, mostly_s, barely_s = (appends.next_s - lead_s for lead_s in appends.leads_s)
        departures = [(surely_s, barely_s), (mostly_s, barely_s)]
        if making_count is not None and appends.holding_s:
            departures.append((surely_s + appends.holding_s, barely_s + appends.holding_s))
            # Nothing is waited for: these are the answers to what the last append brought. But one submission keeps its
            # place among those under way until the append.
            is_early = now_s < surely_s
            if not making_count and now_s < departures[-1][1] and not (is_early and is_any_asked):
                return apart_s
        for departure_s, too_late_s in departures:
            if now_s < departure_s:
                return min(departure_s - now_s, left_s)
            if self._last_s < departure_s - TICK_S and now_s < too_late_s:
                return 0.0
        if is_any_asked and now_s < appends.next_s + _TELLING_S:
            return min(appends.next_s + _TELLING_S - now_s, left_s)
        return apart_s
