"""Reading in larger batches while records keep coming: whoever pays for each batch, not each record, reads so.

A record that comes after a quiet time is given at once; what follows within the busy time waits a little for company.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from onecard_broker.log.port import LoggedRecord, Reader, record_size_bytes

BUSY_SECONDS: Final = 0.05
LINGER_SECONDS: Final = 0.01
FEW: Final = 100
"""Batches of so many records or more are not worth waiting for."""


class LingeringReader:
    """A `Reader` over another one."""

    def __init__(self, reader: Reader) -> None:
        """`reader` is closed with this one."""
        self._reader = reader
        self._last_records = 0.0

    async def read(self, max_records: int, max_bytes: int, wait_ms: int) -> list[LoggedRecord]:
        """See `Reader.read`. While it lingers, cancelling loses no record either."""
        records = await self._reader.read(max_records, max_bytes, wait_ms)
        if not records:
            return records
        now = time.monotonic()
        is_busy, self._last_records = now - self._last_records < BUSY_SECONDS, now
        room = max_records - len(records)
        if not is_busy or len(records) >= FEW or room <= 0:
            return records
        try:
            await asyncio.sleep(LINGER_SECONDS)
            left_bytes = max_bytes - sum(map(record_size_bytes, records))
            more = await self._reader.read(room, max(left_bytes, 1), 0)
        except BaseException:
            self._seek_before(records)
            raise
        if sum(map(record_size_bytes, more)) > left_bytes:
            self._seek_before(more)  # A large one, which is given alone.
            return records
        return records + more

    def _seek_before(self, records: Sequence[LoggedRecord]) -> None:
        for partition, position in {record.partition: record.position for record in reversed(records)}.items():
            self._reader.seek(partition, position)

    def seek(self, partition: int, position: int) -> None:
        """See `Reader.seek`."""
        self._reader.seek(partition, position)

    def positions(self) -> dict[int, int]:
        """See `Reader.positions`."""
        return self._reader.positions()

    async def close(self) -> None:
        """See `Reader.close`."""
        await self._reader.close()
