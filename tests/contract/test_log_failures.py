"""What every log keeps when its engine dies in the middle of appends."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.log.kafka import KafkaLog
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import Appended, AppendFailed, Log, LoggedRecord, LogUnavailable, Reader, Record
from onecard_stubs.dev.kafka import KafkaCluster
from onecard_stubs.dev.postgres import EmbeddedPostgres
from tests.support.logs import JOURNAL, PARTITION_COUNT, TOPICS, require_kafka

pytest_plugins = ("tests.support.engines",)
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(180),
    # kafka-python leaves a refused connection's socket to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mortal:
    """A log whose engine can be killed and brought back."""

    log: Log
    kill: Callable[[], Awaitable[None]]
    revive: Callable[[], Awaitable[None]]


@pytest.fixture(params=["embedded", "kafka"])
async def mortal(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Mortal]:
    log: Log
    if request.param == "embedded":
        server = EmbeddedPostgres(tmp_path / "data")
        await server.start()

        async def kill() -> None:
            process = psutil.Process(server.process_id)
            # The postmaster's own signal for dying at once, without a checkpoint, together with all its children.
            process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(psutil.wait_procs, [process], 30)

        log = await EmbeddedLog.open(server.dsn(), partition_count=PARTITION_COUNT)
        await log.ensure_topics(TOPICS)
        yield Mortal(log=log, kill=kill, revive=server.start)
        await log.close()
        await server.stop()
    else:
        require_kafka()
        # Kept log records of its errors would hold those sockets beyond the test.
        caplog.set_level(logging.CRITICAL, logger="kafka")
        caplog.set_level(logging.CRITICAL, logger="aiokafka")
        cluster = KafkaCluster(tmp_path / "kafka")
        await cluster.start()
        settings = KafkaSettings(
            bootstrap_servers=cluster.bootstrap_servers,
            replication_factor=1,
            min_insync_replicas=1,
            delivery_timeout_ms=2000,
        )
        log = await KafkaLog.open(settings, partition_count=PARTITION_COUNT)
        await log.ensure_topics(TOPICS)
        yield Mortal(log=log, kill=lambda: cluster.kill(1), revive=lambda: cluster.restart(1))
        await log.close()
        await cluster.stop()
        del log
        gc.collect()


def _record(partition: int, number: int) -> Record:
    # Large enough that the records of a partition do not all fit into one batch.
    return Record(topic=JOURNAL, partition=partition, key=b"", value=(b"%d" % number).ljust(4096), headers=())


async def _read_all(log: Log, reader: Reader) -> list[LoggedRecord]:
    records: list[LoggedRecord] = []
    ends = {partition: end for partition, (_, end) in (await log.bounds(JOURNAL)).items()}
    while any(reader.positions()[partition] < end for partition, end in ends.items()):
        records.extend(await reader.read(1000, 1_000_000, 5000))
    return records


async def _outcome(log: Log, records: list[Record]) -> list[Appended | None]:
    try:
        return list(await log.append(records))
    except AppendFailed as failure:
        return list(failure.results)


async def _until_available(call: Callable[[], Awaitable[Answer]]) -> Answer:
    while True:
        try:
            return await call()
        except LogUnavailable:
            await asyncio.sleep(0.1)


async def test_an_engine_killed_under_appends_loses_nothing_acknowledged_and_leaves_no_hole(mortal: Mortal) -> None:
    log = mortal.log
    reader = log.open_reader(JOURNAL, dict.fromkeys(range(PARTITION_COUNT), 0))
    await log.append([_record(partition, -1) for partition in range(PARTITION_COUNT)])
    calls = [
        asyncio.create_task(_outcome(log, [_record(number % 4, number), _record(4 + number % 4, number)]))
        for number in range(2000)
    ]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await mortal.kill()
    outcomes = await asyncio.gather(*calls)
    acknowledged = [[result is not None for result in outcome] for outcome in outcomes]
    assert not all(all(flags) for flags in acknowledged), "the engine died too late to tell anything"

    for index in range(2):
        for lane in range(4):
            # Within a partition: acknowledged up to some call, and none behind it.
            flags = [acknowledged[number][index] for number in range(lane, 2000, 4)]
            assert flags == sorted(flags, reverse=True)

    await mortal.revive()
    again = await _until_available(lambda: log.append([_record(partition, 10_000) for partition in range(8)]))
    records = await _until_available(lambda: _read_all(log, reader))
    assert len(records) == len({(logged.partition, logged.position) for logged in records})
    by_place = {(logged.partition, logged.position): logged.value.strip() for logged in records}
    for number, outcome in enumerate(outcomes):
        for index, result in enumerate(outcome):
            if result is not None:
                assert by_place[4 * index + number % 4, result.position] == b"%d" % number
    for partition, result in enumerate(again):
        assert by_place[partition, result.position] == b"10000"
        assert result.position == max(logged.position for logged in records if logged.partition == partition)


async def test_a_waiting_reader_goes_on_when_the_engine_is_back(mortal: Mortal) -> None:
    log = mortal.log
    reader = log.open_reader(JOURNAL, {0: 0})
    await log.append([_record(0, 1)])
    assert len(await reader.read(10, 1_000_000, 20_000)) == 1
    await mortal.kill()
    await mortal.revive()
    await _until_available(lambda: log.append([_record(0, 2)]))
    records: list[LoggedRecord] = []
    while not records:
        records = await _until_available(lambda: reader.read(10, 1_000_000, 5000))
    assert [logged.value.strip() for logged in records] == [b"2"]
    waiting = asyncio.create_task(reader.read(10, 1_000_000, 60_000))
    await log.append([_record(0, 3)])
    assert [logged.value.strip() for logged in await asyncio.wait_for(waiting, 30)] == [b"3"]
