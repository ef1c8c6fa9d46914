"""The appender's own rules, on a producer that answers when the test says so."""

from __future__ import annotations

import asyncio
import types
from typing import Any

import pytest

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


async def test_the_late_answer_of_a_batch_that_failed_is_not_taken_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = Producer()

    async def connected(appender: KafkaAppender) -> Any:
        return producer

    monkeypatch.setattr(KafkaAppender, "_connect", connected)
    appender = KafkaAppender(KafkaSettings(bootstrap_servers="nobody:1", delivery_timeout_ms=1000), gathers=False)
    record = Record(topic="onecard.journal", partition=0, key=b"", value=b"", headers=())

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
