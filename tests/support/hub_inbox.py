"""The hub's inbox for tests: what workers write there, and a log in memory that keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from onecard.exchange.v1 import message_pb2
from onecard_broker.journal import delivery_record, hub_tick_record
from onecard_broker.log.port import LoggedRecord, LogUnavailable, Record
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import Message, build_header, trusted_message


def an_output() -> Message:
    """Any message to the hub."""
    header = build_header(
        network="test-unit",
        sender="cn-11",
        recipient="cn-00",
        method="/onecard.card.v1.CardChangeService/ReportSocialChange",
        kind=message_pb2.MESSAGE_KIND_EVENT,
        message_id=new_message_id(1),
        payload=b"",
    )
    return trusted_message(header, b"", b"s")


class HubInbox:
    """What a worker writes into one or more partitions: outputs under numbers, and ticks."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}

    def output(self, partition: int, subject: str, *, skipped: int = 0) -> Record:
        """The next output about a person; `skipped` numbers are lost before it."""
        number = self.numbers[partition] = self.numbers.get(partition, 0) + 1 + skipped
        return delivery_record(
            an_output(),
            recipient="cn-00",
            partition=partition,
            number=number,
            answers="",
            time_ms=1,
            pseudonym=subject,
        )

    def tick(self, partition: int, now_ms: int, *, lost: int = 0) -> Record:
        """A tick; `lost` outputs before it are not in the inbox."""
        number = self.numbers[partition] = self.numbers.get(partition, 0) + lost
        return hub_tick_record(partition=partition, time_ms=now_ms, number=number)


class MemoryLog:
    """A log of one topic in memory, as far as a follower uses one."""

    def __init__(self, partition_count: int) -> None:
        self.partition_count = partition_count
        self.epoch = "epoch-1"
        self.records: list[LoggedRecord] = []
        self.is_down = False
        self.opened_count = 0
        self.came = asyncio.Event()

    async def append(self, *records: Record) -> None:
        """Append, and let readers have it."""
        for record in records:
            position = sum(one.partition == record.partition for one in self.records)
            self.records.append(
                LoggedRecord(
                    topic=record.topic,
                    partition=record.partition,
                    position=position,
                    append_time_ms=1,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                )
            )
        self.came.set()

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """See `Log`."""
        if self.is_down:
            raise LogUnavailable("down")
        counts = [sum(one.partition == partition for one in self.records) for partition in range(self.partition_count)]
        return {partition: (0, count) for partition, count in enumerate(counts)}

    def open_reader(self, topic: str, positions: Mapping[int, int]) -> MemoryReader:
        """See `Log`."""
        self.opened_count += 1
        return MemoryReader(self, len(self.records))


class MemoryReader:
    """Reads on from where it was opened."""

    def __init__(self, log: MemoryLog, index: int) -> None:
        self._log = log
        self._index = index

    async def read(self, max_records: int, max_bytes: int, wait_ms: int) -> list[LoggedRecord]:
        """See `Reader`."""
        while self._index >= len(self._log.records):
            if self._log.is_down:
                raise LogUnavailable("down")
            self._log.came.clear()
            try:
                await asyncio.wait_for(self._log.came.wait(), 0.02)
            except TimeoutError:
                return []
        records = self._log.records[self._index :]
        self._index += len(records)
        return records

    def seek(self, partition: int, position: int) -> None:
        """Not used by followers."""

    def positions(self) -> dict[int, int]:
        """Not used by followers."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""
