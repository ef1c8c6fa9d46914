"""How long a batch may gather: by what is left of the machine's time."""

from __future__ import annotations

import dataclasses
import time

import pytest

from onecard_broker.log.busyness import Busyness, _machine_seconds


@dataclasses.dataclass
class Machine:
    """Two cores, of which some are busy while time passes; the process takes its own share of one."""

    now: float = 0.0
    busy: float = 0.0
    own: float = 0.0

    def pass_time(self, seconds: float, *, busy_cores: float, own: float = 0.0) -> None:
        self.now += seconds
        self.busy += seconds * busy_cores
        self.own += seconds * own

    def busyness(self) -> Busyness:
        return Busyness(
            machine_seconds=lambda: (self.busy, 2 * self.now), process_seconds=lambda: self.own, clock=lambda: self.now
        )


def ask_often(machine: Machine, busyness: Busyness, *, busy_cores: float, own: float = 0.0) -> None:
    for _ in range(60):
        machine.pass_time(0.3, busy_cores=busy_cores, own=own)
        busyness.share()


def test_with_time_to_spare_a_batch_gathers_the_shortest_time() -> None:
    machine = Machine()
    busyness = machine.busyness()
    assert busyness.wait(15, 100, 200) == 15

    ask_often(machine, busyness, busy_cores=0.9)

    assert busyness.wait(15, 100, 200) == 15


@pytest.mark.parametrize(("busy_cores", "gathers_ms"), [(1.3, 63.6), (1.6, 100), (1.75, 150), (1.95, 200), (2, 200)])
def test_the_less_is_left_the_longer_it_gathers(busy_cores: float, gathers_ms: float) -> None:
    machine = Machine()
    busyness = machine.busyness()

    ask_often(machine, busyness, busy_cores=busy_cores)

    assert busyness.wait(15, 100, 200) == pytest.approx(gathers_ms, abs=1)


def test_a_process_that_fills_its_core_gathers_too() -> None:
    machine = Machine()
    busyness = machine.busyness()

    ask_often(machine, busyness, busy_cores=0.9, own=0.8)

    assert busyness.wait(0.005, 0.05, 0.1) == pytest.approx(0.05, rel=0.01)


def test_a_moment_alone_changes_little_and_is_not_measured_twice() -> None:
    machine = Machine()
    busyness = machine.busyness()
    ask_often(machine, busyness, busy_cores=0.2)

    machine.pass_time(0.1, busy_cores=2)
    assert busyness.share() == pytest.approx(0.1, abs=0.01)
    machine.pass_time(0.4, busy_cores=2)
    assert busyness.share() == pytest.approx(0.1 + 0.9 / 4, abs=0.01)


def test_the_machine_is_asked_for_what_its_cores_had_and_were_busy() -> None:
    busy_before, total_before = _machine_seconds()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    busy, total = _machine_seconds()

    # The clocks of the machine and of the process need not agree to the tick.
    assert busy - busy_before > 0.2
    assert total - total_before > 0.95 * (busy - busy_before)
