"""What every log promises, on each engine."""

import asyncio
import contextlib
from collections.abc import Sequence

import psutil
import pytest

from onecard_broker.log.port import (
    AppendFailed,
    ForeignEpoch,
    Log,
    LoggedRecord,
    LogMisconfigured,
    PositionAfterEnd,
    Reader,
    Record,
    RecordTooLarge,
    TopicMismatch,
    TopicSpec,
)
from tests.support.logs import INBOX, JOURNAL, PARTITION_COUNT, LogOpener

pytest_plugins = ("tests.support.engines",)

MEGABYTE = 1024 * 1024


def record(value: bytes, *, partition: int = 0, topic: str = JOURNAL) -> Record:
    return Record(topic=topic, partition=partition, key=b"key", value=value, headers=(("ce_id", value[:32]),))


def from_start(log: Log, topic: str = JOURNAL, partition_count: int = PARTITION_COUNT) -> Reader:
    return log.open_reader(topic, dict.fromkeys(range(partition_count), 0))


async def read_count(reader: Reader, count: int) -> list[LoggedRecord]:
    """Read until `count` records have come; an empty read of 20 s ends the test."""
    records: list[LoggedRecord] = []
    while len(records) < count:
        more = await reader.read(1000, 8 * MEGABYTE, 20_000)
        assert more, f"{len(records)} of {count} records came"
        records.extend(more)
    return records


def values(records: Sequence[LoggedRecord], partition: int) -> list[bytes]:
    return [logged.value for logged in records if logged.partition == partition]


async def test_what_was_appended_is_read_back_whole(log: Log) -> None:
    sent = Record(
        topic=JOURNAL,
        partition=3,
        key=b"\x00key\xff",
        value=b"",
        headers=(("ce_id", b"1"), ("onecard-header", b"\x00\xff" * 100), ("onecard-signature", b"")),
    )
    [appended] = await log.append([sent])
    [logged] = await read_count(from_start(log), 1)
    assert (logged.topic, logged.partition, logged.position) == (JOURNAL, 3, appended.position)
    assert (logged.key, logged.value, logged.headers) == (sent.key, sent.value, sent.headers)
    assert logged.append_time_ms == appended.append_time_ms


async def test_a_log_knows_with_how_many_partitions_its_journal_was_made(log_opener: LogOpener) -> None:
    unmade = await log_opener()
    assert unmade.made_partition_count is None

    await unmade.ensure_topics([TopicSpec(name=JOURNAL, partition_count=PARTITION_COUNT - 1)])

    assert unmade.made_partition_count == PARTITION_COUNT - 1
    assert (await log_opener()).made_partition_count == PARTITION_COUNT - 1


async def test_positions_of_a_partition_begin_at_zero_and_have_no_gaps(log: Log) -> None:
    first = await log.append([record(b"%d" % n, partition=n % 2) for n in range(10)])
    second = await log.append([record(b"x", partition=1)])
    assert [appended.position for appended in first] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert second[0].position == 5
    assert (await log.bounds(JOURNAL))[1] == (0, 6)
    assert (await log.bounds(JOURNAL))[7] == (0, 0)


async def test_concurrent_appends_keep_the_order_of_calls_in_each_partition(log: Log) -> None:
    calls = [[record(b"%d" % n, partition=n % 3), record(b"%d+" % n, partition=n % 3)] for n in range(600)]
    answers = await asyncio.gather(*(log.append(call) for call in calls))
    records = await read_count(from_start(log), 1200)
    for partition in range(3):
        expected = [sent.value for call in calls for sent in call if sent.partition == partition]
        assert values(records, partition) == expected
        positions = [
            one.position
            for call, answer in zip(calls, answers, strict=True)
            for sent, one in zip(call, answer, strict=True)
            if sent.partition == partition
        ]
        assert positions == list(range(len(expected)))


async def test_append_times_never_fall_within_a_partition(log: Log) -> None:
    await asyncio.gather(*(log.append([record(b"%d" % n)]) for n in range(200)))
    times = [logged.append_time_ms for logged in await read_count(from_start(log), 200)]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000_000


async def test_two_logs_on_one_storage_append_without_gap_or_loss(log: Log, log_opener: LogOpener) -> None:
    other = await log_opener()
    calls = [
        writer.append([record(b"%d-%d" % (number, n), partition=p) for p in range(PARTITION_COUNT)])
        for n in range(60)
        for number, writer in enumerate((log, other))
    ]
    answers = await asyncio.gather(*calls)
    for partition in range(PARTITION_COUNT):
        assert sorted(answer[partition].position for answer in answers) == list(range(120))
    records = await read_count(from_start(log), 120 * PARTITION_COUNT)
    for partition in range(PARTITION_COUNT):
        for number in range(2):
            of_writer = [value for value in values(records, partition) if value.startswith(b"%d-" % number)]
            assert of_writer == [b"%d-%d" % (number, n) for n in range(60)]


async def test_records_survive_closing_and_opening_again(log: Log, log_opener: LogOpener) -> None:
    await log.append([record(b"%d" % n) for n in range(20)])
    epoch = log.epoch
    await log.close()
    again = await log_opener()
    assert again.epoch == epoch
    again.check_epoch(epoch)
    assert values(await read_count(from_start(again), 20), 0) == [b"%d" % n for n in range(20)]
    assert (await again.append([record(b"next")]))[0].position == 20


async def test_a_reader_resumes_from_its_positions(log: Log) -> None:
    await log.append([record(b"%d" % n, partition=n % 2) for n in range(20)])
    reader = from_start(log)
    seen = await read_count(reader, 20)
    assert reader.positions() == {0: 10, 1: 10} | dict.fromkeys(range(2, PARTITION_COUNT), 0)
    resumed = log.open_reader(JOURNAL, {0: 7, 1: 10})
    assert [logged.position for logged in await read_count(resumed, 3)] == [7, 8, 9]
    assert values(seen, 0)[7:] == [b"14", b"16", b"18"]


async def test_a_reader_goes_back_where_it_is_told(log: Log) -> None:
    await log.append([record(b"%d" % n) for n in range(10)])
    reader = log.open_reader(JOURNAL, {0: 0})
    assert len(await reader.read(4, MEGABYTE, 20_000)) == 4
    reader.seek(0, 2)
    assert reader.positions() == {0: 2}
    assert [logged.position for logged in await read_count(reader, 8)] == list(range(2, 10))
    with pytest.raises(ValueError, match="partition 5"):
        reader.seek(5, 0)


async def test_a_read_is_bounded_by_records(log: Log) -> None:
    await log.append([record(b"%d" % n, partition=n % 4) for n in range(50)])
    reader = from_start(log)
    sizes: list[int] = []
    while sum(sizes) < 50:
        sizes.append(len(await reader.read(7, MEGABYTE, 20_000)))
    assert max(sizes) <= 7
    assert min(sizes) > 0


async def test_a_read_is_bounded_by_bytes_but_gives_a_larger_record_alone(log: Log) -> None:
    await log.append([record(bytes([n]) * 10_000, partition=n % 2) for n in range(20)])
    await log.append([record(b"L" * 100_000, partition=5)])
    reader = from_start(log)
    batches: list[list[LoggedRecord]] = []
    while sum(map(len, batches)) < 21:
        batches.append(await reader.read(1000, 35_000, 20_000))
    assert {len(batch) for batch in batches} <= {1, 2, 3}
    assert [len(batch) for batch in batches if batch[0].partition == 5 or batch[-1].partition == 5] == [1]
    assert max(len(batch) for batch in batches) == 3


async def test_a_backlog_in_one_partition_does_not_hold_up_another(log: Log) -> None:
    await log.append([record(b"backlog", partition=0) for _ in range(300)])
    await log.append([record(b"fresh", partition=1)])
    reader = log.open_reader(JOURNAL, {0: 0, 1: 0})
    read: list[LoggedRecord] = []
    while not values(read, 1):
        read.extend(await reader.read(100, MEGABYTE, 20_000))
    read.extend(await read_count(reader, 301 - len(read)))
    assert len(values(read, 0)) == 300


async def test_a_waiting_reader_is_woken_by_an_append(log: Log) -> None:
    reader = from_start(log)
    await log.append([record(b"first")])
    await read_count(reader, 1)
    waiting = asyncio.create_task(reader.read(10, MEGABYTE, 60_000))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    await log.append([record(b"second", partition=2)])
    # Far below the minute that it would wait: the time limit only tells waking from waiting out.
    woken = await asyncio.wait_for(waiting, 20)
    assert [logged.value for logged in woken] == [b"second"]


async def test_a_read_ends_empty_when_its_time_is_over(log: Log) -> None:
    reader = from_start(log)
    assert await reader.read(10, MEGABYTE, 30) == []
    await log.append([record(b"late")])
    assert len(await read_count(reader, 1)) == 1


async def test_a_cancelled_read_loses_no_record(log: Log) -> None:
    reader = from_start(log)
    received: list[LoggedRecord] = []
    for n in range(20):
        reading = asyncio.create_task(reader.read(10, MEGABYTE, 60_000))
        await asyncio.sleep(0)
        await log.append([record(b"%d" % n)])
        reading.cancel()
        try:
            received.extend(await reading)
        except asyncio.CancelledError:
            continue
    received.extend(await read_count(reader, 20 - len(received)) if len(received) < 20 else [])
    assert values(received, 0) == [b"%d" % n for n in range(20)]


async def test_an_append_waits_while_too_many_bytes_are_in_flight(log: Log) -> None:
    # The test logs allow 4 MiB in flight; twelve appends of 1 MiB cannot all be under way at once.
    appends = [asyncio.create_task(log.append([record(bytes([n]) * MEGABYTE)])) for n in range(12)]
    await asyncio.wait(appends, return_when=asyncio.FIRST_COMPLETED)
    assert not all(append.done() for append in appends)
    positions = [(await append)[0].position for append in appends]
    assert positions == list(range(12))


async def test_records_up_to_a_mebibyte_pass_and_larger_than_the_limit_are_refused(log: Log) -> None:
    large = bytes(range(256)) * 4096
    await log.append([record(large)])
    [logged] = await read_count(from_start(log), 1)
    assert logged.value == large
    with pytest.raises(RecordTooLarge):
        await log.append([record(b"small"), record(b"x" * (2 * MEGABYTE + 1))])
    assert (await log.bounds(JOURNAL))[0] == (0, 1)


async def test_a_position_never_written_is_refused(log: Log) -> None:
    await log.append([record(b"only")])
    with pytest.raises(PositionAfterEnd) as raised:
        await log.open_reader(JOURNAL, {0: 5}).read(10, MEGABYTE, 10_000)
    assert (raised.value.partition, raised.value.position, raised.value.end) == (0, 5, 1)


async def test_a_foreign_epoch_is_refused(log: Log) -> None:
    log.check_epoch(log.epoch)
    with pytest.raises(ForeignEpoch, match="another-life"):
        log.check_epoch("another-life")


async def test_topics_are_ensured_as_often_as_one_likes(log: Log) -> None:
    spec = TopicSpec(name="onecard.inbox.cn-44", partition_count=2, retention_ms=3_600_000)
    await log.ensure_topics([spec])
    await log.append([record(b"kept", partition=1, topic=spec.name)])
    await log.ensure_topics([spec])
    assert (await log.bounds(spec.name))[1] == (0, 1)


async def test_a_topic_with_other_properties_is_refused_and_the_difference_named(log: Log) -> None:
    with pytest.raises(TopicMismatch) as raised:
        await log.ensure_topics(
            [TopicSpec(name=JOURNAL, partition_count=9), TopicSpec(name=INBOX, partition_count=8, retention_ms=1)]
        )
    assert len(raised.value.differences) == 2
    assert "is 8, must be 9" in raised.value.differences[0]
    assert "is 604800000, must be 1" in raised.value.differences[1]


async def test_an_unknown_topic_has_no_bounds_and_takes_no_records(log: Log) -> None:
    with pytest.raises(LogMisconfigured, match=r"onecard\.nowhere"):
        await log.bounds("onecard.nowhere")
    with pytest.raises(AppendFailed):
        await log.append([record(b"lost", topic="onecard.nowhere")])
    with pytest.raises(AppendFailed):
        await log.append([record(b"lost", partition=PARTITION_COUNT)])
    assert (await log.append([record(b"kept")]))[0].position == 0


@pytest.mark.parametrize("log_opener", ["kafka"], indirect=True)
async def test_a_closed_log_has_no_connection_open_though_reads_and_closings_were_cancelled(
    log: Log, kafka_bootstrap: str
) -> None:
    await log.append([record(b"%d" % n) for n in range(10)])
    for turns in range(10):
        reader = from_start(log)
        await read_count(reader, 10)
        for ending in (reader.read(10, MEGABYTE, 60_000), reader.close()):
            task = asyncio.create_task(ending)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    port = int(kafka_bootstrap.rpartition(":")[2])

    def connections() -> list[object]:
        return [one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == port]

    assert connections()
    await log.close()
    await asyncio.sleep(0)
    assert connections() == []
