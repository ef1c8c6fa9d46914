"""When a gateway admits, and when it says that it does not."""

from __future__ import annotations

import dataclasses

import pytest

from onecard_broker.gateway.readiness import ClockWatch, Readiness
from onecard_protocol.errors import OneCardError, reason_name
from tests.support.clocks import Clocks


@dataclasses.dataclass
class Directory:
    is_fresh: bool = True


def ready() -> tuple[Readiness, Directory, ClockWatch, Clocks]:
    directory, watch, clocks = Directory(), ClockWatch(), Clocks()
    return Readiness(directory, watch, monotonic=clocks.monotonic), directory, watch, clocks


def test_nothing_is_in_the_way_at_first() -> None:
    readiness, *_ = ready()

    readiness.check()
    assert readiness.obstacle() is None


def test_a_stale_directory_stops_admission_with_a_time_to_come_again() -> None:
    readiness, directory, *_ = ready()
    directory.is_fresh = False

    with pytest.raises(OneCardError, match="directory") as raised:
        readiness.check()

    assert reason_name(raised.value.reason) == "HUB_NOT_READY"
    assert raised.value.retry_after_ms > 0


def test_draining_refuses_what_is_new_and_takes_answers() -> None:
    readiness, *_ = ready()
    readiness.is_draining = True

    readiness.check(is_answer=True)
    with pytest.raises(OneCardError, match="shutting down"):
        readiness.check()


def test_a_failed_append_pauses_admission_for_a_moment_whatever_the_wall_clock_says() -> None:
    readiness, _, _, clocks = ready()
    readiness.note_failed_append()

    with pytest.raises(OneCardError, match="journal"):
        readiness.check(is_answer=True)
    clocks.set_back(3_600)
    clocks.pass_time(1)
    readiness.check()


def test_a_clock_that_is_off_stops_admission_and_reading_until_it_is_right_again() -> None:
    readiness, _, watch, _ = ready()
    watch.note_tick(append_time_ms=1_501, read_ms=1_000)

    for check in (readiness.check, readiness.check_reading, lambda: readiness.check(is_answer=True)):
        with pytest.raises(OneCardError, match="clock") as raised:
            check()
        assert reason_name(raised.value.reason) == "HUB_NOT_READY"
        assert raised.value.retry_after_ms > 0

    watch.note_tick(append_time_ms=1_500, read_ms=1_000)
    readiness.check()
    readiness.check_reading()


@pytest.mark.parametrize(
    ("append_time_ms", "is_off"), [(499, True), (500, False), (1_000, False), (1_700, False), (1_701, True)]
)
def test_the_append_time_lies_between_sending_and_acknowledgement(append_time_ms: int, is_off: bool) -> None:
    watch = ClockWatch()

    watch.note_append(sent_ms=1_000, append_time_ms=append_time_ms, acknowledged_ms=1_200)

    assert watch.is_off is is_off


def test_a_slow_append_is_not_taken_for_a_wrong_clock() -> None:
    watch = ClockWatch()

    watch.note_append(sent_ms=1_000, append_time_ms=9_000, acknowledged_ms=9_100)

    assert not watch.is_off


def test_a_clock_behind_the_log_shows_at_the_first_tick() -> None:
    watch = ClockWatch()

    watch.note_tick(append_time_ms=2_000, read_ms=1_499)

    assert watch.is_off


def test_one_slow_reading_is_not_taken_for_a_clock_ahead_and_five_are() -> None:
    watch = ClockWatch()
    for _ in range(4):
        watch.note_tick(append_time_ms=1_000, read_ms=1_600)
        assert not watch.is_off

    watch.note_tick(append_time_ms=1_000, read_ms=1_600)

    assert watch.is_off


def test_only_a_reading_that_proves_it_makes_the_clock_right_again() -> None:
    watch = ClockWatch()
    watch.note_tick(append_time_ms=2_000, read_ms=1_000)

    watch.note_append(sent_ms=1_000, append_time_ms=1_000, acknowledged_ms=1_010)
    assert watch.is_off

    watch.note_tick(append_time_ms=2_000, read_ms=2_020)
    assert not watch.is_off
