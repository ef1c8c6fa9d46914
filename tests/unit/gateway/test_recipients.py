"""Who counts as reading: by this gateway's own time, and by what others tell if their clocks can be believed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from onecard_broker.gateway.recipients import Recipients
from onecard_protocol import limits
from tests.support.clocks import Clocks

OFFLINE_SECONDS = limits.RECIPIENT_OFFLINE_MS / 1000


class ReadTimes:
    """What the gateways told."""

    def __init__(self) -> None:
        self.told: dict[str, int] = {}

    async def exchange_reads(self, reads: Mapping[str, int], cursors: Mapping[str, bytes]) -> dict[str, int]:
        self.told.update(reads)
        return dict(self.told)


def gateway() -> tuple[Recipients, ReadTimes, Clocks]:
    read_times, clocks = ReadTimes(), Clocks()
    return Recipients(read_times, clock_ms=clocks.wall_ms, monotonic=clocks.monotonic), read_times, clocks


@pytest.mark.parametrize("set_back_s", [0, 3_600])
async def test_who_read_here_reads_until_the_time_is_over_whatever_the_wall_clock_says(set_back_s: int) -> None:
    recipients, _, clocks = gateway()
    recipients.note_reading("cn-51")
    await recipients.exchange()

    clocks.set_back(set_back_s)
    clocks.pass_time(OFFLINE_SECONDS)
    await recipients.exchange()
    assert recipients.is_reading("cn-51")
    clocks.pass_time(0.001)
    assert not recipients.is_reading("cn-51")

    recipients.note_reading("cn-51")
    assert recipients.is_reading("cn-51")


async def test_who_read_at_another_gateway_reads_until_the_time_is_over() -> None:
    recipients, read_times, clocks = gateway()
    read_times.told["cn-51"] = clocks.wall_ms() - 1_000
    await recipients.exchange()

    clocks.pass_time(OFFLINE_SECONDS - 1)
    assert recipients.is_reading("cn-51")
    clocks.pass_time(0.001)
    await recipients.exchange()
    assert not recipients.is_reading("cn-51")


@pytest.mark.parametrize(("ahead_ms", "counts"), [(limits.CLOCK_SKEW_MS_MAX, True), (3_600_000, False)])
async def test_a_time_further_ahead_than_clocks_may_be_does_not_count(ahead_ms: int, counts: bool) -> None:
    recipients, read_times, clocks = gateway()
    read_times.told["cn-51"] = clocks.wall_ms() + ahead_ms

    await recipients.exchange()

    assert recipients.is_reading("cn-51") is counts
