"""The appender's own rules, on a producer that answers when the test says so."""

from __future__ import annotations

import asyncio
import types
from typing import Any, cast

import pytest

from onecard_broker.log.busyness import BUSYNESS
from onecard_broker.log.kafka_appender import KafkaAppender
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import AppendFailed, Record
from tests.support.eventually import eventually


class Producer:
    """One answer for each batch, in their order."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[Any]] = []

    def create_batch(self) -> Any:
        return types.SimpleNamespace(append=lambda **fields: None)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def acknowledge(self, number: int, offset: int) -> None:
        self.answers[number].set_result(types.SimpleNamespace(offset=offset, timestamp=1))


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    """The producer that every appender is given."""
    producer = Producer()

    async def connected(appender: KafkaAppender) -> Any:
        return producer

    monkeypatch.setattr(KafkaAppender, "_connect", connected)
    return producer


async def test_the_late_answer_of_a_batch_that_failed_is_not_taken_for_the_next_one(producer: Producer) -> None:
    appender = _appender()
    record = _record(partition=0)

    first = asyncio.create_task(appender.in_flight.run([record]))
    await eventually(lambda: len(producer.answers) == 1)
    (lane,) = appender._lanes.values()
    lane.under_way_since -= 3600
    appender._watch()
    with pytest.raises(AppendFailed):
        await first
    second = asyncio.create_task(appender.in_flight.run([record]))
    await eventually(lambda: len(producer.answers) == 2)

    producer.acknowledge(0, offset=5)
    await asyncio.sleep(0)
    assert not second.done()
    producer.acknowledge(1, offset=9)
    assert [appended.position for appended in await second] == [9]
    await appender.close()


async def test_a_fault_that_nobody_foresaw_fails_the_calls_and_what_comes_later_is_appended(
    producer: Producer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    appender = _appender()
    appender._producer = cast(Any, producer)
    left: list[Any] = []
    monkeypatch.setattr(appender._leaving, "let_go", left.append)
    with monkeypatch.context() as faulty:
        faulty.delattr(Producer, "create_batch")
        calls = [asyncio.create_task(appender.in_flight.run([_record(partition)])) for partition in (0, 1)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    reason = "1 of 1 records were not acknowledged: a fault while appending: AttributeError"
    assert [str(result) for result in results] == [reason] * 2
    assert "Traceback" in caplog.text
    assert left == [producer], "what it has under way may be written still, and nothing may be sent behind it"

    later = asyncio.create_task(appender.in_flight.run([_record(partition=0)]))
    await eventually(lambda: len(producer.answers) == 1)
    producer.acknowledge(0, offset=7)
    assert [appended.position for appended in await later] == [7]
    await appender.close()


async def test_a_batch_that_failed_for_want_of_time_makes_room_for_the_first_call_of_another_partition(
    producer: Producer,
) -> None:
    appender = _appender(in_flight_bytes_max=1 << 20, record_bytes_max=1 << 20)
    calls = [asyncio.create_task(appender.in_flight.run([_record(n, value=bytes(600_000))])) for n in (0, 1)]
    await eventually(lambda: len(producer.answers) == 1)
    (lane,) = appender._lanes.values()
    lane.under_way_since -= 3600
    appender._watch()
    with pytest.raises(AppendFailed):
        await calls[0]
    await eventually(lambda: len(producer.answers) == 2)
    producer.acknowledge(1, offset=9)
    assert [appended.position for appended in await calls[1]] == [9]
    await appender.close()


async def test_where_kafka_does_not_answer_calls_that_waited_for_room_are_told_too() -> None:
    appender = _appender(in_flight_bytes_max=1 << 20, record_bytes_max=1 << 20)
    records = [_record(partition, value=bytes(600_000)) for partition in range(4)]
    calls = [asyncio.create_task(appender.in_flight.run([record])) for record in records]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [AppendFailed] * 4
    await appender.close()


@pytest.mark.parametrize("within_s", [None, 0.2])
@pytest.mark.parametrize("comes_in_time", [True, False])
async def test_a_batch_that_gathered_waits_a_little_for_what_is_coming(
    producer: Producer, monkeypatch: pytest.MonkeyPatch, comes_in_time: bool, within_s: float | None
) -> None:
    monkeypatch.setattr("onecard_broker.log.kafka_appender.COMING_S", 60.0 if comes_in_time else 0.05)
    monkeypatch.setattr(BUSYNESS, "wait", lambda quiet, busy, full: 0.2)
    appender = _appender(gathers=True)
    first = asyncio.create_task(appender.in_flight.run([_record(partition=0)]))
    await eventually(lambda: len(producer.answers) == 1)
    producer.acknowledge(0, offset=1)
    await first

    second = asyncio.create_task(appender.in_flight.run([_record(partition=1)]))
    appender.coming("third", within_s=within_s)
    await asyncio.sleep(0.3)
    assert len(producer.answers) == (1 if comes_in_time else 2)
    third = asyncio.create_task(appender.in_flight.run([_record(partition=2)]))
    await asyncio.sleep(0)
    appender.came("third")
    await eventually(lambda: len(producer.answers) == 3)
    for number in (1, 2):
        producer.acknowledge(number, offset=number)
    await asyncio.gather(second, third)
    await appender.close()


@pytest.mark.parametrize("within_s", [0.05, 5.0])
async def test_a_batch_waits_for_nothing_that_is_overdue_or_due_much_later(
    producer: Producer, monkeypatch: pytest.MonkeyPatch, within_s: float
) -> None:
    monkeypatch.setattr("onecard_broker.log.kafka_appender.COMING_S", 0.1)
    monkeypatch.setattr(BUSYNESS, "wait", lambda quiet, busy, full: 0.2)
    appender = _appender(gathers=True)
    first = asyncio.create_task(appender.in_flight.run([_record(partition=0)]))
    await eventually(lambda: len(producer.answers) == 1)
    begun_s = asyncio.get_running_loop().time()
    producer.acknowledge(0, offset=1)
    await first

    appender.coming("something", within_s=within_s)
    second = asyncio.create_task(appender.in_flight.run([_record(partition=1)]))
    await eventually(lambda: len(producer.answers) == 2)
    waited_s = asyncio.get_running_loop().time() - begun_s
    assert appender._awaited == set()
    assert ("something" in appender._coming) == (within_s == 5.0), f"asked for after {waited_s:.3f} s"
    producer.acknowledge(1, offset=2)
    await second
    await appender.close()


async def test_where_half_of_the_waits_for_what_was_due_were_in_vain_there_are_none_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("onecard_broker.log.kafka_appender.COMING_S", 0.01)
    appender = _appender(gathers=True)

    async def waits(*, in_vain: bool) -> bool:
        appender.coming("something", within_s=0.005)
        waiting = asyncio.create_task(appender._wait_for_what_is_coming())
        await asyncio.sleep(0)
        does_wait = not waiting.done()
        if not in_vain:
            appender.came("something")
        await waiting
        appender.came("something")
        return does_wait

    in_vain = skipped = 0
    while await waits(in_vain=True):
        in_vain += 1
        assert in_vain < 50
    while not await waits(in_vain=False):
        skipped += 1
        assert skipped < 50
    assert (in_vain, skipped) == (6, 12)
    assert [await waits(in_vain=False) for _ in range(5)] == [True] * 5
    await appender.close()


def _appender(*, gathers: bool = False, **settings: int) -> KafkaAppender:
    return KafkaAppender(
        KafkaSettings(bootstrap_servers="127.0.0.1:1", delivery_timeout_ms=1000, **settings), gathers=gathers
    )


def _record(partition: int, value: bytes = b"") -> Record:
    return Record(topic="onecard.journal", partition=partition, key=b"", value=value, headers=())
