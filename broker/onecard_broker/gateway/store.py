"""What a gateway reads and keeps in PostgreSQL: stored outputs, published numbers, who read its inbox of late, and who
brought in which code systems.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Protocol

from onecard.exchange.v1 import message_pb2
from onecard_broker.records.card_columns import participant_name
from onecard_broker.records.live_connection import LiveConnection


@dataclasses.dataclass(frozen=True, slots=True)
class StoredOutput:
    """A message under its delivery number, as the worker stored it."""

    number: int
    message: message_pb2.SignedMessage


class OutputReader(Protocol):
    """Stored outputs and what was published of them. Raises psycopg.Error where the database does not answer."""

    async def read_outputs(
        self, recipient: str, partition: int, first_number: int, last_number: int, *, bytes_max: int
    ) -> list[StoredOutput]:
        """Outputs of a recipient and partition with numbers from first to last, in order; dropped ones are missing.

        Ends with the output that brings the bytes to `bytes_max`, so that one that is kept is always among them.
        """
        ...

    async def published_numbers(self, recipients: Collection[str]) -> dict[str, dict[int, int]]:
        """Highest published number by recipient and partition."""
        ...


class ReadTimes(Protocol):
    """Where the gateways tell each other which participants read their inboxes of late, and keep how far they are."""

    async def exchange_reads(self, reads: Mapping[str, int], cursors: Mapping[str, bytes]) -> dict[str, int]:
        """Tell the newest time, in ms, at which each participant read here; returns the newest of all gateways.

        `cursors` are those that some of these participants reported; they are kept for whoever asks for the lag.
        """
        ...


class GatewayStore:
    """Both of the above, and `code_systems.CodeSystemReader`."""

    def __init__(self, database: LiveConnection) -> None:
        """The connection stays the caller's to close."""
        self._database = database

    async def read_outputs(
        self, recipient: str, partition: int, first_number: int, last_number: int, *, bytes_max: int
    ) -> list[StoredOutput]:
        """See `OutputReader`."""
        cursor = await (await self._database.get()).execute(
            "SELECT number, header, payload, signature FROM (SELECT number, header, payload, signature, coalesce("
            "sum(octet_length(header) + octet_length(payload) + octet_length(signature)) OVER"
            " (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before FROM outputs"
            " WHERE recipient = %s AND partition = %s AND number BETWEEN %s AND %s) AS ranged"
            " WHERE bytes_before < %s ORDER BY number",
            (recipient, partition, first_number, last_number, bytes_max),
        )
        rows = await cursor.fetchall()
        return [
            StoredOutput(number, message_pb2.SignedMessage(header=header, payload=payload, signature=signature))
            for number, header, payload, signature in rows
        ]

    async def published_numbers(self, recipients: Collection[str]) -> dict[str, dict[int, int]]:
        """See `OutputReader`."""
        cursor = await (await self._database.get()).execute(
            "SELECT recipient, partition, published_number FROM delivery_numbers"
            " WHERE recipient = ANY(%s) AND published_number > 0",
            (list(recipients),),
        )
        numbers: dict[str, dict[int, int]] = {recipient: {} for recipient in recipients}
        for recipient, partition, number in await cursor.fetchall():
            numbers[recipient][partition] = number
        return numbers

    async def exchange_reads(self, reads: Mapping[str, int], cursors: Mapping[str, bytes]) -> dict[str, int]:
        """See `ReadTimes`."""
        connection = await self._database.get()
        if reads:
            await connection.execute(
                "INSERT INTO recipient_reads AS known (participant, read_ms, received_cursor)"
                " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bytea[])"
                # A time that lies ahead was told by a clock that was wrong: it gives way to one that is told now.
                " ON CONFLICT (participant) DO UPDATE SET read_ms = greatest(excluded.read_ms,"
                " least(known.read_ms, floor(extract(epoch FROM now()) * 1000)::bigint)),"
                " received_cursor = coalesce(excluded.received_cursor, known.received_cursor)",
                (list(reads), list(reads.values()), [cursors.get(participant) for participant in reads]),
            )
        cursor = await connection.execute("SELECT participant, read_ms FROM recipient_reads")
        return dict(await cursor.fetchall())

    async def code_systems(self) -> dict[tuple[str, str], str]:
        """See `CodeSystemReader`."""
        cursor = await (await self._database.get()).execute(
            "SELECT system, version, coalesce(brought_by, -1) FROM card_code_systems"
        )
        return {(system, version): participant_name(owner) for system, version, owner in await cursor.fetchall()}
