"""What is left of a log whose beginning was dropped, on each engine."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from kafka import KafkaAdminClient, TopicPartition

from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.log.kafka import KafkaLog
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import Log, PositionBeforeStart, Record, TopicMismatch, TopicSpec
from tests.support.logs import JOURNAL

pytest_plugins = ("tests.support.engines",)

Drop = Callable[[dict[int, int]], Awaitable[None]]


def numbered(partition: int, count: int, topic: str = JOURNAL) -> list[Record]:
    return [
        Record(topic=topic, partition=partition, key=b"", value=b"%d" % number, headers=()) for number in range(count)
    ]


@pytest.fixture
def drop(request: pytest.FixtureRequest, log: Log) -> Drop:
    """Drops the journal's beginning, by partition up to the first position to keep."""
    if isinstance(log, EmbeddedLog):
        embedded = log

        async def drop_rows(first_positions: dict[int, int]) -> None:
            await embedded.truncate(JOURNAL, first_positions)

        return drop_rows
    servers: str = request.getfixturevalue("kafka_bootstrap")
    prefix: str = request.getfixturevalue("topic_prefix")

    async def drop_records(first_positions: dict[int, int]) -> None:
        def call() -> None:
            admin = KafkaAdminClient(bootstrap_servers=servers)
            admin.delete_records(
                {TopicPartition(prefix + JOURNAL, partition): first for partition, first in first_positions.items()}
            )
            admin.close()

        await asyncio.to_thread(call)

    return drop_records


async def test_a_position_before_the_start_is_refused_and_the_start_named(log: Log, drop: Drop) -> None:
    await log.append([*numbered(0, 10), *numbered(1, 5)])
    await drop({0: 6})
    assert (await log.bounds(JOURNAL))[0] == (6, 10)
    assert (await log.bounds(JOURNAL))[1] == (0, 5)
    reader = log.open_reader(JOURNAL, {0: 2})
    with pytest.raises(PositionBeforeStart) as raised:
        await reader.read(100, 1_000_000, 20_000)
    assert (raised.value.topic, raised.value.partition, raised.value.start) == (JOURNAL, 0, 6)
    reader.seek(0, raised.value.start)
    assert [record.position for record in await reader.read(100, 1_000_000, 20_000)] == [6, 7, 8, 9]


async def test_positions_go_on_where_they_were_when_everything_was_dropped(log: Log, drop: Drop) -> None:
    await log.append(numbered(0, 3))
    await drop({0: 3})
    assert (await log.bounds(JOURNAL))[0] == (3, 3)
    with pytest.raises(PositionBeforeStart):
        await log.open_reader(JOURNAL, {0: 0}).read(100, 1_000_000, 20_000)
    [appended] = await log.append(numbered(0, 1))
    assert appended.position == 3


async def test_the_embedded_log_drops_what_is_older_than_its_topic_keeps(postgres_dsn: str) -> None:
    log = await EmbeddedLog.open(postgres_dsn)
    short, kept = "onecard.short", "onecard.kept"
    await log.ensure_topics(
        [TopicSpec(name=short, partition_count=1, retention_ms=1), TopicSpec(name=kept, partition_count=1)]
    )
    appended = await log.append([*numbered(0, 4, short), *numbered(0, 4, kept)])
    while (await log.append(numbered(0, 1, kept)))[0].append_time_ms <= appended[0].append_time_ms + 1:
        pass
    await log.apply_retention()
    assert await log.bounds(short) == {0: (4, 4)}
    assert (await log.bounds(kept))[0][0] == 0
    await log.close()


async def test_kafka_topics_with_other_settings_are_refused(kafka_bootstrap: str, topic_prefix: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics(
        {
            topic_prefix + JOURNAL: {
                "num_partitions": 1,
                "replication_factor": 1,
                "configs": {"message.timestamp.type": "CreateTime", "cleanup.policy": "compact"},
            }
        },
        wait_for_metadata=True,
    )
    admin.close()
    settings = KafkaSettings(
        bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix, replication_factor=2, min_insync_replicas=2
    )
    log = await KafkaLog.open(settings)
    with pytest.raises(TopicMismatch) as raised:
        await log.ensure_topics([TopicSpec(name=JOURNAL, partition_count=1)])
    text = str(raised.value)
    for expected in (
        "replication factor is 1, must be 2",
        "cleanup.policy is compact, must be delete",
        "message.timestamp.type is CreateTime, must be LogAppendTime",
        "min.insync.replicas is 1, must be 2",
    ):
        assert expected in text
    await log.close()


async def test_a_kafka_journal_made_anew_is_another_epoch(kafka_bootstrap: str, topic_prefix: str) -> None:
    settings = KafkaSettings(
        bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix, replication_factor=1, min_insync_replicas=1
    )
    epochs = []
    for _ in range(2):
        log = await KafkaLog.open(settings)
        await log.ensure_topics([TopicSpec(name=JOURNAL, partition_count=1)])
        epochs.append(log.epoch)
        await log.close()

        def delete() -> None:
            admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
            admin.delete_topics([topic_prefix + JOURNAL])
            while any(name == topic_prefix + JOURNAL for name in admin.list_topics()):
                pass
            admin.close()

        await asyncio.to_thread(delete)
    assert epochs[0] != epochs[1]
