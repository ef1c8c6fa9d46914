"""The directory's rows: control records by number without gaps, and how far each log has them.

A record is committed here first and then appended to `onecard.control` (publication); what is appended twice after a
crash carries the same number, and a repeated number does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from onecard.exchange.v1 import control_pb2, errors_pb2
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory
from onecard_broker.directory.signing import sign_control
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.signatures.signer import Signer

PAGE_COUNT: Final = 500


class DirectoryStore:
    """Control records in PostgreSQL."""

    def __init__(self, database: LiveConnection) -> None:
        """The connection stays the caller's to close."""
        self._database = database

    async def records(self, first_number: int, count_max: int = PAGE_COUNT) -> list[Message]:
        """Signed control records from a number on, in order."""
        cursor = await (await self._database.get()).execute(
            "SELECT header, payload, signature FROM control_records WHERE number >= %s ORDER BY number LIMIT %s",
            (first_number, count_max),
        )
        return [trusted_message(*row) for row in await cursor.fetchall()]

    async def load(self) -> Directory:
        """The directory after all records."""
        directory = EMPTY_DIRECTORY
        while page := await self.records(directory.version + 1):
            for message in page:
                directory = directory.apply(control_pb2.ControlRecord.FromString(message.payload))
        return directory

    async def append(
        self, records: Sequence[control_pb2.ControlRecord], signer: Signer, *, network: str, now_ms: int
    ) -> None:
        """Sign and keep records that follow the newest one, all or none.

        Raises OneCardError CONFIGURATION_INVALID if somebody else changed the directory meanwhile.
        """
        if not records:
            return
        connection = await self._database.get()
        async with connection.transaction():
            await connection.execute("LOCK TABLE control_records IN EXCLUSIVE MODE")
            cursor = await connection.execute("SELECT coalesce(max(number), 0) FROM control_records")
            row = await cursor.fetchone()
            newest = row[0] if row is not None else 0
            if [record.number for record in records] != list(range(newest + 1, newest + 1 + len(records))):
                raise OneCardError(
                    errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                    f"the directory changed meanwhile and stands at {newest}; look at the differences again"
                    f" / 目录在此期间已变更，请重新核对差异",
                )
            messages = [sign_control(record, signer, network=network, now_ms=now_ms) for record in records]
            async with connection.cursor() as insert:
                await insert.executemany(
                    "INSERT INTO control_records (number, header, payload, signature) VALUES (%s, %s, %s, %s)",
                    [
                        (record.number, message.header_bytes, message.payload, message.signature)
                        for record, message in zip(records, messages, strict=True)
                    ],
                )

    async def published_number(self, log_epoch: str) -> int:
        """Highest number that was appended to the control topic of this log; 0 for a new one."""
        cursor = await (await self._database.get()).execute(
            "SELECT published_number FROM control_publication WHERE log_epoch = %s", (log_epoch,)
        )
        row = await cursor.fetchone()
        return 0 if row is None else row[0]

    async def set_published_number(self, log_epoch: str, number: int) -> None:
        """Note how far the control topic of this log has the records; never goes back."""
        await (await self._database.get()).execute(
            "INSERT INTO control_publication VALUES (%s, %s) ON CONFLICT (log_epoch) DO UPDATE"
            " SET published_number = greatest(control_publication.published_number, excluded.published_number)",
            (log_epoch, number),
        )
