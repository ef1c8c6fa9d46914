"""Looks at records of the log here and there, by one reader a partition, or at whole topics, by one reader each.

Reads what stands in the log when it is asked, never waits for what is still to come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from onecard_broker.log.port import Log, LoggedRecord, Reader

_READ_BYTES: Final = 8 * 1_024 * 1_024
_READ_COUNT: Final = 2_000
_READ_WAIT_MS: Final = 500
# A record that stands in the log comes with the first read that reaches the log at all.
_EMPTY_READS_MAX: Final = 40


class LogWindow:
    """One task uses a window at a time; close it."""

    def __init__(self, log: Log) -> None:
        """The log stays the caller's to close."""
        self._log = log
        self._readers: dict[tuple[str, int], Reader] = {}

    @property
    def epoch(self) -> str:
        """The log's epoch."""
        return self._log.epoch

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition, the first kept position and the end."""
        return await self._log.bounds(topic)

    async def record(self, topic: str, partition: int, position: int) -> LoggedRecord | None:
        """The record at a position; None where retention took it or nothing stands there yet."""
        async for record in self.records(topic, partition, position):
            return record if record.position == position else None
        return None

    async def records(self, topic: str, partition: int, position: int) -> AsyncIterator[LoggedRecord]:
        """The records of a partition from a position to its present end; from its first one if that lies behind it."""
        start, end = (await self._log.bounds(topic))[partition]
        at = max(start, position)
        if at >= end:
            return
        reader = self._readers.get((topic, partition))
        if reader is None:
            reader = self._readers[topic, partition] = self._log.open_reader(topic, {partition: at})
        else:
            reader.seek(partition, at)
        empty_count = 0
        while reader.positions()[partition] < end and empty_count < _EMPTY_READS_MAX:
            records = await reader.read(_READ_COUNT, _READ_BYTES, _READ_WAIT_MS)
            empty_count = 0 if records else empty_count + 1
            for record in records:
                if record.position < end:
                    yield record

    async def topic(self, name: str) -> AsyncIterator[LoggedRecord]:
        """All records of a topic up to its present end: each partition in its order, the partitions mixed."""
        bounds = await self._log.bounds(name)
        starts = {partition: start for partition, (start, end) in bounds.items() if start < end}
        if not starts:
            return
        reader = self._log.open_reader(name, starts)
        try:
            empty_count = 0
            while empty_count < _EMPTY_READS_MAX and any(
                at < bounds[partition][1] for partition, at in reader.positions().items()
            ):
                records = await reader.read(_READ_COUNT, _READ_BYTES, _READ_WAIT_MS)
                empty_count = 0 if records else empty_count + 1
                for record in records:
                    if record.position < bounds[record.partition][1]:
                        yield record
        finally:
            await reader.close()

    async def close(self) -> None:
        """Close the readers."""
        for reader in self._readers.values():
            await reader.close()
