"""How long brokers gather records before they answer: by how many readers are busy at once."""

from __future__ import annotations

from onecard_broker.log.kafka_reader import Pace


def test_a_quiet_reader_gets_its_first_record_at_once() -> None:
    pace = Pace()
    assert pace.next_wait_ms("one", 10.0) == 0

    pace.note_records("one", 10.0)
    assert pace.next_wait_ms("one", 11.0) == 0


def test_a_busy_reader_waits_a_little_for_company() -> None:
    pace = Pace()
    pace.note_records("one", 10.0)

    assert pace.next_wait_ms("one", 10.01) == 15


def test_many_busy_readers_together_get_no_more_than_400_answers_a_second() -> None:
    pace = Pace()
    for reader in range(32):
        pace.note_records(reader, 10.0)

    assert pace.next_wait_ms(0, 10.09) == 32 * 1000 // 400


def test_readers_that_ended_or_fell_quiet_count_no_more() -> None:
    pace = Pace()
    for reader in range(32):
        pace.note_records(reader, 10.0)
    pace.forget(31)
    pace.note_records(0, 11.0)

    assert pace.next_wait_ms(0, 11.01) == 15
    assert pace.next_wait_ms(31, 11.01) == 0
