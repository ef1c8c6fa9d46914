"""When submissions leave for a gateway that gathers, and what an adapter learns of its way there."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace

import grpc.aio
import pytest

from onecard_adapters.sdk.departures import FIRST_LEAD_S, HELD_S_MAX, MANY, Appends, Departures
from onecard_adapters.sdk.gateways import Gateway


class Clock:
    """The loop's time, in ms."""

    now_ms = 5_000_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: SimpleNamespace(time=lambda: clock.now_ms / 1_000))
    return clock


def next_in_ms(
    departures: Departures,
    appends: Appends,
    count: int = 1,
    *,
    is_any_asked: bool = False,
    making_count: int | None = None,
) -> float:
    return 1_000 * departures.next_in_s(appends, count, is_any_asked=is_any_asked, making_count=making_count)


@pytest.mark.parametrize(
    ("gathers_ms", "last_ms", "is_any_asked", "leaves_in_ms"),
    [
        pytest.param(50, -1000, False, 38, id="the first waits until the gateway is about to append"),
        pytest.param(50, -3, True, 38, id="soon after another one too"),
        pytest.param(12, -1000, False, 0, id="it leaves in time"),
        pytest.param(8, -1000, True, 0, id="none has left for this append"),
        pytest.param(11, -1, True, 3.5, id="what came too late for the first leaves with a second one"),
        pytest.param(7, -5, True, 0, id="the second leaves in time"),
        pytest.param(5, -1, True, 40, id="what came too late for both waits to be told of the next append"),
        pytest.param(-3, -15, True, 32, id="so it does right after the append"),
        pytest.param(3, -1000, True, 38, id="what would come too late does as well"),
        pytest.param(3, -1000, False, 0, id="nobody would be told: it leaves"),
        pytest.param(-36, -1000, True, 0, id="nobody was told"),
        pytest.param(-36, -4, True, 6, id="and then submissions leave apart"),
    ],
)
def test_a_submission_leaves_shortly_before_the_gateway_appends(
    clock: Clock, gathers_ms: float, last_ms: float, is_any_asked: bool, leaves_in_ms: float
) -> None:
    appends, departures = Appends(), Departures()
    now_ms = clock.now_ms
    appends.next_s = (now_ms + gathers_ms) / 1_000
    clock.now_ms = now_ms + last_ms
    departures.leave()

    def leaves_in(*, count: int = 1, waited_ms: float = 0) -> float:
        clock.now_ms = now_ms - waited_ms
        departures.begin_waiting()
        clock.now_ms = now_ms
        return next_in_ms(departures, appends, count, is_any_asked=is_any_asked)

    assert leaves_in() == pytest.approx(leaves_in_ms, abs=0.01)
    apart_ms = max(10 + last_ms, 0)
    assert leaves_in(count=MANY) == pytest.approx(apart_ms, abs=0.01)
    assert leaves_in(waited_ms=1_000 * HELD_S_MAX + 1) == pytest.approx(apart_ms, abs=0.01)


class Way:
    """A gateway that appends every `pause_ms`, and the way there and back, simulated."""

    def __init__(self, clock: Clock, *, there_ms: float, back_ms: float, pause_ms: float) -> None:
        self.clock = clock
        self.there_ms, self.back_ms, self.pause_ms = there_ms, back_ms, pause_ms
        self.appends, self.departures = Appends(), Departures()

    def submit(self) -> bool:
        """One message comes right after an append was told of; whether it was in the next append."""
        clock, told_ms = self.clock, self.clock.now_ms
        self.departures.begin_waiting()
        clock.now_ms += next_in_ms(self.departures, self.appends)
        left_s = self.departures.leave()
        arrives_ms = clock.now_ms + self.there_ms
        appended_ms = math.ceil(arrives_ms / self.pause_ms) * self.pause_ms
        answers_ms = appended_ms + 8
        clock.now_ms = answers_ms + self.back_ms
        self.appends.told(round(self.pause_ms) - 8, round(answers_ms - arrives_ms), left_s, holding_ms=0)
        return appended_ms <= told_ms + self.pause_ms


@pytest.mark.parametrize(
    ("there_ms", "back_ms", "pause_ms"), [(5, 1, 60), (9, 5, 60), (20, 15, 60), (2, 25, 60), (65, 60, 200)]
)
def test_an_adapter_learns_how_long_its_way_is(clock: Clock, there_ms: float, back_ms: float, pause_ms: float) -> None:
    way = Way(clock, there_ms=there_ms, back_ms=back_ms, pause_ms=pause_ms)
    for _ in range(100):
        way.submit()
    begun_ms = clock.now_ms
    assert sum(way.submit() for _ in range(400)) >= 390
    assert clock.now_ms - begun_ms < 400 * pause_ms * 1.03, "one append each, but for one in fifty"


def test_a_way_that_became_short_is_learned_too_and_none_is_thought_endless(clock: Clock) -> None:
    way = Way(clock, there_ms=30, back_ms=10, pause_ms=100)
    for _ in range(100):
        way.submit()
    assert way.appends.leads_s[0] > 0.035
    way.there_ms = way.back_ms = 1
    for _ in range(2_000):
        way.submit()
    assert way.appends.leads_s[0] < FIRST_LEAD_S
    way.there_ms = 10_000
    for _ in range(100):
        way.submit()
    assert way.appends.next_s == float("-inf"), "no append is waited for"
    way.there_ms = 1
    for _ in range(100):
        way.submit()
    assert way.appends.leads_s[0] < FIRST_LEAD_S


def test_a_submission_that_was_held_up_once_changes_little(clock: Clock) -> None:
    way = Way(clock, there_ms=8, back_ms=2, pause_ms=100)
    for _ in range(100):
        way.submit()
    known_s = way.appends.leads_s[0]
    way.there_ms = 500
    way.submit()
    assert known_s < way.appends.leads_s[0] < 2 * known_s
    way.there_ms = 8
    for _ in range(20):
        way.submit()
    assert way.appends.leads_s[0] < 1.1 * known_s


async def test_a_gateways_way_is_remembered_beyond_its_connection() -> None:
    gateway = Gateway("127.0.0.1:1", lambda address: grpc.aio.insecure_channel(address))
    gateway.appends.told(50, 1, asyncio.get_running_loop().time() - 0.02, holding_ms=0)
    lead_s = gateway.appends.leads_s[0]
    await gateway.reconnect()

    assert (gateway.appends.next_s, gateway.appends.leads_s[0]) == (float("-inf"), lead_s)
    assert lead_s > FIRST_LEAD_S
    await gateway.channel.close()


def test_a_second_departure_is_for_what_still_is_in_time_mostly(clock: Clock) -> None:
    way = Way(clock, there_ms=25, back_ms=5, pause_ms=100)
    for _ in range(200):
        way.submit()
    appends, departures = way.appends, way.departures
    clock.now_ms = 1_000 * appends.next_s - 29
    departures.begin_waiting()
    assert next_in_ms(departures, appends) == 0, "nobody is asked"
    assert next_in_ms(departures, appends, is_any_asked=True) == pytest.approx(64), "its way takes 30 ms"


def test_a_hub_that_does_not_tell_what_took_so_long_teaches_nothing(clock: Clock) -> None:
    appends = Appends()
    appends.told(50, 0, clock.now_ms / 1_000 - 0.08, holding_ms=0)
    assert appends.leads_s[0] == FIRST_LEAD_S
    assert appends.next_s == pytest.approx(clock.now_ms / 1_000 + 0.05)


def test_news_of_an_append_that_come_late_are_of_one_that_is_known(clock: Clock) -> None:
    appends = Appends()
    appends.told(50, 1, clock.now_ms / 1_000, holding_ms=0)
    next_s = appends.next_s
    clock.now_ms += 45
    appends.told(5, 45, clock.now_ms / 1_000 - 0.05, holding_ms=0)
    assert appends.next_s == pytest.approx(next_s)
    appends.told(0, 50, clock.now_ms / 1_000 - 0.05, holding_ms=0)
    assert appends.next_s == float("-inf")
    appends.told(5, 45, clock.now_ms / 1_000 - 0.05, holding_ms=0)
    assert appends.next_s == float("-inf"), "it is too late for this one, and it is not known that others come"


def test_who_cannot_be_in_time_for_any_append_waits_for_none(clock: Clock) -> None:
    way = Way(clock, there_ms=30, back_ms=30, pause_ms=60)
    for _ in range(100):
        way.submit()
    way.departures.begin_waiting()

    assert next_in_ms(way.departures, way.appends, is_any_asked=True) == 0


@pytest.mark.parametrize(
    ("making_count", "gathers_ms", "last_ms", "is_any_asked", "leaves_in_ms"),
    [
        pytest.param(0, 40, -1000, False, 0, id="the last answer that was in the making takes all with it"),
        pytest.param(0, 40, -4, False, 6, id="soon after another one too"),
        pytest.param(0, 40, -4, True, 28, id="but not while another one is under way"),
        pytest.param(0, -8, -20, True, 0, id="when the gateway waits for it as well"),
        pytest.param(0, -10, -20, True, 25, id="but not when it comes too late for that"),
        pytest.param(3, 40, -1000, False, 28, id="others are waited for until the gateway is about to append"),
        pytest.param(3, 12, -1000, False, 0, id="then those that wait leave"),
        pytest.param(3, 11, -1, True, 3.5, id="and once more when that mostly is in time"),
        pytest.param(3, 5, -1, True, 8, id="and before the gateway waits no longer"),
        pytest.param(3, -3, -15, True, 0, id="with whatever waits by then"),
        pytest.param(3, -5, -2, True, 30, id="what comes after that waits to be told of the next append"),
    ],
)
def test_answers_leave_when_no_other_is_in_the_making_or_when_they_must(
    clock: Clock, making_count: int, gathers_ms: float, last_ms: float, is_any_asked: bool, leaves_in_ms: float
) -> None:
    appends, departures = Appends(), Departures()
    now_ms = clock.now_ms
    appends.next_s = (now_ms + gathers_ms) / 1_000
    appends.holding_s = 0.015
    clock.now_ms = now_ms + last_ms
    departures.leave()
    clock.now_ms = now_ms
    departures.begin_waiting()

    leaves_in = next_in_ms(departures, appends, is_any_asked=is_any_asked, making_count=making_count)
    assert leaves_in == pytest.approx(leaves_in_ms, abs=0.01)


@pytest.mark.parametrize("waited_ms", [100, 185, 199])
@pytest.mark.parametrize("making_count", [None, 3])
def test_nothing_is_held_longer_whatever_gateways_tell(
    clock: Clock, waited_ms: float, making_count: int | None
) -> None:
    appends, departures = Appends(), Departures()
    departures.begin_waiting()
    clock.now_ms += waited_ms
    appends.told(60_000, 1, clock.now_ms / 1_000 - 0.005, holding_ms=60_000)
    if making_count:
        appends.next_s = clock.now_ms / 1_000  # It appends now, and waits for answers of ours.

    more_ms = next_in_ms(departures, appends, is_any_asked=True, making_count=making_count)

    assert waited_ms + more_ms == pytest.approx(1_000 * HELD_S_MAX, abs=0.01)


def test_where_the_gateway_does_not_wait_for_them_answers_leave_with_the_rest(clock: Clock) -> None:
    appends, departures = Appends(), Departures()
    appends.told(50, 1, clock.now_ms / 1_000 - 0.005, holding_ms=15)
    departures.begin_waiting()
    assert next_in_ms(departures, appends, making_count=0) == 0
    appends.told(50, 1, clock.now_ms / 1_000 - 0.005, holding_ms=0)
    expected_ms = 50 - 1_000 * appends.leads_s[0]
    assert next_in_ms(departures, appends, making_count=0) == pytest.approx(expected_ms, abs=0.01)
    assert next_in_ms(departures, appends, making_count=None) == pytest.approx(expected_ms, abs=0.01)
