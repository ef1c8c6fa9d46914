"""Hub time at the adapter."""

from __future__ import annotations

import asyncio

import pytest

from onecard_adapters.sdk.clock import HubClock


class Time:
    """A monotonic clock by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_hub_time_is_the_last_tick_plus_monotonic_time() -> None:
    time = Time()
    clock = HubClock(monotonic=time, wall=lambda: 7.0)
    assert (clock.now_ms(), clock.is_fresh) == (7_000, False)
    clock.observe(1_000_000)
    time.now_s += 1.5
    assert (clock.now_ms(), clock.is_fresh) == (1_001_500, True)


def test_five_seconds_without_a_tick_are_too_many() -> None:
    time = Time()
    clock = HubClock(monotonic=time)
    clock.observe(0)
    time.now_s += 4.999
    assert clock.is_fresh
    time.now_s += 0.001
    assert not clock.is_fresh


async def test_waiting_ends_with_the_next_tick() -> None:
    clock = HubClock()
    waiting = asyncio.create_task(clock.wait_fresh())
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.observe(0)
    await waiting


def test_a_machine_whose_clock_is_wrong_is_told_once_by_how_much(caplog: pytest.LogCaptureFixture) -> None:
    wall = Time()
    clock = HubClock(monotonic=Time(), wall=wall)
    for second in range(4):
        wall.now_s = 2_200.0 + second
        clock.observe(1_000_000 + 1_000 * second)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "this machine's clock is +1200 s from the hub's"
    ]


def test_ticks_that_waited_while_the_process_was_stopped_say_nothing_of_the_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wall = Time()
    clock = HubClock(monotonic=Time(), wall=wall)
    wall.now_s = 1_060.0
    for second in range(61):
        clock.observe(1_000_000 + 1_000 * second)
    wall.now_s += 1
    clock.observe(1_061_000)
    assert caplog.records == []
