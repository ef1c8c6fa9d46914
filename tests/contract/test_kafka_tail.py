"""Readers of a Kafka log that have come to the end are given what comes by one consumer, and nothing else changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import psutil
import pytest

from onecard_broker.log.kafka import KafkaLog
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import LoggedRecord, Reader, Record
from tests.support.eventually import eventually
from tests.support.logs import INBOX, JOURNAL, PARTITION_COUNT, TOPICS

pytest_plugins = ("tests.support.engines",)
pytestmark = pytest.mark.timeout(120)

READERS = 6
MEGABYTE = 1024 * 1024


def record(value: bytes, *, partition: int = 0, topic: str = JOURNAL) -> Record:
    return Record(topic=topic, partition=partition, key=b"", value=value, headers=())


class Reading:
    """A reader that is read from all the time, and what it gave."""

    def __init__(self, log: KafkaLog, topic: str, position: int = 0) -> None:
        self.reader: Reader = log.open_reader(topic, dict.fromkeys(range(PARTITION_COUNT), position))
        self.records: list[LoggedRecord] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            self.records += await self.reader.read(1000, 8 * MEGABYTE, 500)

    @property
    def values(self) -> list[bytes]:
        return [logged.value for logged in self.records]

    async def pause(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def go_on(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def close(self) -> None:
        await self.pause()
        await self.reader.close()


@pytest.fixture
async def log(kafka_bootstrap: str, topic_prefix: str) -> AsyncIterator[KafkaLog]:
    settings = KafkaSettings(
        bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix, replication_factor=1, min_insync_replicas=1
    )
    log = await KafkaLog.open(settings, partition_count=PARTITION_COUNT)
    await log.ensure_topics(TOPICS)
    yield log
    await log.close()


@contextlib.asynccontextmanager
async def readings(log: KafkaLog, topics: Sequence[str]) -> AsyncIterator[list[Reading]]:
    """Readers that have come to the end, and are fed together."""
    await log.append([record(b"first", topic=topic) for topic in set(topics)])
    opened = [Reading(log, topic) for topic in topics]
    await eventually(lambda: all(reading.values == [b"first"] for reading in opened))
    await eventually(lambda: connection_count() < READERS)
    yield opened
    for reading in opened:
        await reading.close()


def connection_count() -> int:
    """Connections of this process to the broker and to nobody else, for these tests have no database."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process().net_connections("tcp"))


async def test_readers_at_the_end_share_a_consumer_and_each_gets_everything_once_and_in_order(log: KafkaLog) -> None:
    async with readings(log, [JOURNAL, JOURNAL, JOURNAL, INBOX, INBOX, INBOX]) as opened:
        for number in range(100):
            await log.append(
                [record(b"%d %d" % (number, p), partition=p, topic=t) for t in (JOURNAL, INBOX) for p in range(3)]
            )

        await eventually(lambda: all(len(reading.records) == 301 for reading in opened))
        for reading in opened:
            assert {logged.topic for logged in reading.records} == {reading.records[0].topic}
            for partition in range(3):
                got = [logged.value for logged in reading.records[1:] if logged.partition == partition]
                assert got == [b"%d %d" % (number, partition) for number in range(100)]
            assert reading.reader.positions() == {0: 101, 1: 100, 2: 100, **dict.fromkeys(range(3, 8), 0)}
        assert connection_count() < READERS


async def test_a_reader_that_takes_nothing_holds_up_nobody_and_misses_nothing(log: KafkaLog) -> None:
    async with readings(log, [JOURNAL] * READERS) as opened:
        slow, *others = opened
        await slow.pause()
        sent = [b"%d".ljust(MEGABYTE // 2) % number for number in range(20)]
        for value in sent:
            await log.append([record(value)])

        await eventually(lambda: all(reading.values[1:] == sent for reading in others))
        slow.go_on()
        await eventually(lambda: slow.values[1:] == sent)
        await log.append([record(b"after")])
        await eventually(lambda: all(reading.values[-1] == b"after" for reading in opened))
        assert slow.values[1:] == [*sent, b"after"]
        await eventually(lambda: connection_count() < READERS)


async def test_a_reader_goes_back_while_the_others_go_on(log: KafkaLog) -> None:
    async with readings(log, [JOURNAL] * READERS) as opened:
        again, *others = opened
        await log.append([record(b"%d" % number) for number in range(5)])
        await eventually(lambda: all(len(reading.records) == 6 for reading in opened))
        await again.pause()
        again.reader.seek(0, 2)
        again.go_on()
        await log.append([record(b"5")])

        await eventually(lambda: all(reading.values[-1] == b"5" for reading in opened))
        assert again.values == [b"first", b"0", b"1", b"2", b"3", b"4", b"1", b"2", b"3", b"4", b"5"]
        assert {tuple(reading.values) for reading in others} == {(b"first", b"0", b"1", b"2", b"3", b"4", b"5")}


async def test_a_reader_that_comes_later_and_from_the_start_joins_and_one_that_goes_takes_nothing_along(
    log: KafkaLog,
) -> None:
    async with readings(log, [JOURNAL] * READERS) as opened:
        await opened.pop().close()
        await log.append([record(b"%d" % number) for number in range(50)])
        late = Reading(log, JOURNAL)
        opened.append(late)
        inbox = Reading(log, INBOX)
        opened.append(inbox)
        await log.append([record(b"inbox", topic=INBOX)])

        await eventually(lambda: len(late.records) == 51 and inbox.values == [b"inbox"])
        await eventually(lambda: connection_count() < READERS)
        await log.append([record(b"last"), record(b"last", topic=INBOX)])
        await eventually(lambda: all(reading.values[-1] == b"last" for reading in opened))
        assert {len(reading.records) for reading in opened} == {52, 2}


async def test_readers_go_on_by_themselves_where_the_common_consumer_fails(
    log: KafkaLog, caplog: pytest.LogCaptureFixture
) -> None:
    async with readings(log, [JOURNAL] * READERS) as opened:
        consumer = log._tail._consumer
        assert consumer is not None
        await consumer.stop()
        await log.append([record(b"%d" % number) for number in range(3)])

        await eventually(lambda: all(reading.values == [b"first", b"0", b"1", b"2"] for reading in opened))
        assert "each is read by itself" in caplog.text
        await eventually(lambda: connection_count() < READERS)
        await log.append([record(b"last")])
        await eventually(lambda: all(reading.values[-1] == b"last" for reading in opened))
        assert {len(reading.records) for reading in opened} == {5}
