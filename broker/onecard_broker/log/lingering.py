"""Reading in larger batches while records keep coming: whoever pays for each batch, not each record, reads so.

A record that comes after a quiet time is given at once; what follows within the busy time waits a little for company.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from onecard_broker.log.port import LoggedRecord, Reader

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
        if is_busy and len(records) < FEW and room > 0:
            positions = {record.partition: record.position for record in reversed(records)}
            try:
                await asyncio.sleep(LINGER_SECONDS)
                records += await self._reader.read(room, max_bytes, 0)
            except BaseException:
                for partition, position in positions.items():
                    self._reader.seek(partition, position)
                raise
        return records

    def seek(self, partition: int, position: int) -> None:
        """See `Reader.seek`."""
        self._reader.seek(partition, position)

    def positions(self) -> dict[int, int]:
        """See `Reader.positions`."""
        return self._reader.positions()

    async def close(self) -> None:
        """See `Reader.close`."""
        await self._reader.close()
