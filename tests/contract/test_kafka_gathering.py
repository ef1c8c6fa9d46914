"""A log of a gateway sends together what its callers append one by one."""

import asyncio

import pytest

from onecard_broker.log.busyness import BUSYNESS
from onecard_broker.log.kafka import KafkaLog
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import Record
from tests.support.logs import JOURNAL, PARTITION_COUNT, TOPICS

pytest_plugins = ("tests.support.engines",)


def record(value: bytes) -> Record:
    return Record(topic=JOURNAL, partition=0, key=b"", value=value, headers=())


async def test_the_first_append_goes_at_once_and_those_after_it_together(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaSettings(
        bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix, replication_factor=1, min_insync_replicas=1
    )
    log = await KafkaLog.open(settings, partition_count=PARTITION_COUNT, gathers=True)
    await log.ensure_topics(TOPICS)
    await log.append([record(b"connects")])
    monkeypatch.setattr(BUSYNESS, "wait", lambda quiet, busy, full: 3.0)
    await asyncio.sleep(3)

    assert log.gathering_s == 0
    (alone,) = await log.append([record(b"first")])
    assert 2 < log.gathering_s <= 3
    monkeypatch.setattr(BUSYNESS, "wait", lambda quiet, busy, full: 2.0)
    assert log.gathering_s > 2, "how long it gathers is decided once, and was told"
    gathered = []
    for number in range(3):
        gathered.append(asyncio.create_task(log.append([record(b"%d" % number)])))
        await asyncio.sleep(0.1)
    together = [appended for task in gathered for appended in await task]
    await log.close()

    # Kafka gives one time to a batch.
    assert len({one.append_time_ms for one in together}) == 1
    assert alone.append_time_ms < together[0].append_time_ms
    assert [one.position for one in together] == [alone.position + number for number in (1, 2, 3)]
