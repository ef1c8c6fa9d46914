"""The pause before a retry: it grows, it is bounded, and no two that failed together come back together."""

from __future__ import annotations

from onecard_adapters.runtime.backoff import backoff_s

FIRST_S, MOST_S = 0.1, 5.0
DRAWS = 500
"""That all of them lie in one half of the range happens once in 10**150 runs."""


def pauses(attempt: int) -> list[float]:
    return [backoff_s(attempt, first_s=FIRST_S, most_s=MOST_S) for _ in range(DRAWS)]


def test_each_attempt_doubles_the_pause_until_it_is_the_longest() -> None:
    for attempt, full_s in enumerate([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]):
        assert full_s / 2 <= min(pauses(attempt)) < full_s * 0.75 < max(pauses(attempt)) <= full_s


def test_attempts_without_end_pause_no_longer_than_the_longest() -> None:
    assert min(pauses(1_000_000)) >= MOST_S / 2
    assert max(pauses(1_000_000)) <= MOST_S


def test_those_that_failed_together_do_not_come_back_together() -> None:
    assert len(set(pauses(3))) > DRAWS // 2
