"""What is remembered of costly checks: bounded, only what passed, each made once at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from onecard_protocol.signatures.remembered import RememberedChecks


class Checks:
    """Counts the checks that were really made."""

    def __init__(self, checks_max: int) -> None:
        self.remembered = RememberedChecks(checks_max)
        self.made: list[str] = []

    def check(self, key: str, *, passes: bool = True) -> bool:
        def make() -> bool:
            self.made.append(key)
            return passes

        return self.remembered.check(key, make)


def test_a_passed_check_is_made_once_and_a_failed_one_again() -> None:
    checks = Checks(8)
    assert [checks.check("a"), checks.check("a")] == [True, True]
    assert [checks.check("b", passes=False), checks.check("b", passes=False)] == [False, False]
    assert checks.made == ["a", "b", "b"]
    assert len(checks.remembered) == 1


def test_the_least_recently_used_check_is_forgotten_first() -> None:
    checks = Checks(2)
    for key in ("a", "b", "a", "c", "a", "b"):
        assert checks.check(key)
    assert checks.made == ["a", "b", "c", "b"]
    assert len(checks.remembered) == 2


def test_a_thousand_checks_leave_no_more_than_the_bound() -> None:
    checks = Checks(10)
    for number in range(1000):
        checks.check(str(number))
    assert len(checks.remembered) == 10


def test_remembering_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        RememberedChecks(0)


class SeenKey:
    """A key that tells when it was looked for, which happens in the moment that decides between making and waiting."""

    def __init__(self) -> None:
        self.is_seen = threading.Event()

    def __hash__(self) -> int:
        self.is_seen.set()
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeenKey)


@pytest.mark.parametrize("outcome", ["passes", "fails", "raises"])
def test_who_asks_for_a_running_check_waits_for_its_outcome(outcome: str) -> None:
    remembered = RememberedChecks(2)
    first_key, second_key = SeenKey(), SeenKey()
    started, go_on = threading.Event(), threading.Event()

    def make() -> bool:
        started.set()
        assert go_on.wait(20)
        if outcome == "raises":
            raise RuntimeError("the device is gone")
        return outcome == "passes"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(remembered.check, first_key, make)
        assert started.wait(20)
        second = threads.submit(remembered.check, second_key, lambda: pytest.fail("made twice"))
        assert second_key.is_seen.wait(20)
        go_on.set()
        for waiting in (first, second):
            if outcome == "raises":
                with pytest.raises(RuntimeError, match="device"):
                    waiting.result(20)
            else:
                assert waiting.result(20) is (outcome == "passes")
    assert len(remembered) == (outcome == "passes")
