"""How long brokers gather records before they answer: by how many readers are busy at once."""

from __future__ import annotations

import pytest

from onecard_broker.log.kafka_reader import Pace
from onecard_protocol.busyness import Busyness


def machine(*, share: float) -> Busyness:
    """A machine whose cores are in use by so much, for so long that it is known."""
    times = iter(range(1_000))
    busyness = Busyness(
        machine_seconds=lambda: (share * (now := next(times)), now),
        process_seconds=lambda: 0.0,
        clock=lambda: next(times),
    )
    for _ in range(20):
        busyness.share()
    return busyness


def test_a_quiet_reader_gets_its_first_record_at_once() -> None:
    pace = Pace(machine(share=0.2))
    assert pace.next_wait_ms("one", 10.0) == 0

    pace.note_records("one", 1, 10.0)
    assert pace.next_wait_ms("one", 11.0) == 0


def test_a_busy_reader_waits_a_little_for_company() -> None:
    pace = Pace(machine(share=0.2))
    pace.note_records("one", 1, 9.97)
    pace.note_records("one", 1, 10.0)

    assert pace.next_wait_ms("one", 10.01) == 15
    assert 40 <= pace.holds_ms("one", 10.01) <= 41


def test_a_record_now_and_then_such_as_a_tick_is_never_waited_with() -> None:
    pace = Pace(machine(share=1.0))
    for second in (10.0, 10.25, 10.5):
        pace.note_records("ticks", 8, second)

        assert pace.next_wait_ms("ticks", second + 0.01) == 0


def test_a_reader_that_fell_quiet_begins_anew() -> None:
    pace = Pace(machine(share=0.2))
    for second in (10.0, 10.03, 20.0):
        pace.note_records("one", 1, second)
    assert pace.next_wait_ms("one", 20.01) == 0

    pace.note_records("one", 1, 20.03)
    assert pace.next_wait_ms("one", 20.04) == 15


def test_on_a_busy_machine_a_reader_with_company_waits_longer_and_one_without_does_not() -> None:
    pace = Pace(machine(share=1.0))
    for second in (9.97, 10.0):
        pace.note_records("many", 2, second)
        pace.note_records("one", 1, second)

    assert pace.next_wait_ms("many", 10.01) == pytest.approx(100, abs=1)
    assert pace.next_wait_ms("one", 10.01) == 15


def test_many_busy_readers_together_get_no_more_than_400_answers_a_second() -> None:
    pace = Pace(machine(share=0.2))
    for second in (9.97, 10.0):
        for reader in range(32):
            pace.note_records(reader, 5, second)

    assert pace.next_wait_ms(0, 10.09) == 32 * 1000 // 400


def test_readers_that_ended_or_fell_quiet_count_no_more() -> None:
    pace = Pace(machine(share=0.2))
    for reader in range(32):
        pace.note_records(reader, 5, 10.0)
    pace.forget(31)
    pace.note_records(0, 5, 11.0)
    pace.note_records(0, 5, 11.03)

    assert pace.next_wait_ms(0, 11.04) == 15
    assert pace.next_wait_ms(31, 11.01) == 0
