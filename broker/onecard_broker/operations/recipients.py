"""How far each province is behind its inbox, by the cursors that receivers report (rule 8); read only."""

from __future__ import annotations

import dataclasses

from onecard_broker.directory.model import Directory
from onecard_broker.gateway.cursors import decode_cursor
from onecard_broker.journal import inbox_topic
from onecard_broker.log.port import Log
from onecard_broker.records.pool import Connection
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecipientLag:
    """One province and its inbox."""

    participant: str
    read_ms: int | None
    """When a gateway last saw it read or ready to read, in ms since 1970; None: never."""
    behind_count: int
    """Records of its inbox behind the cursor that it last reported; all of them where it reported none of this log."""


async def recipient_lags(connection: Connection, log: Log, directory: Directory) -> list[RecipientLag]:
    """Every province of the directory, the one that is furthest behind first. Raises LogError or psycopg.Error."""
    cursor = await connection.execute("SELECT participant, read_ms, received_cursor FROM recipient_reads", binary=True)
    reads = {participant: (read_ms, received) for participant, read_ms, received in await cursor.fetchall()}
    lags: list[RecipientLag] = []
    for participant in sorted(directory.participants.keys() - {HUB}):
        read_ms, received = reads.get(participant, (None, None))
        ends = {partition: end for partition, (_, end) in (await log.bounds(inbox_topic(participant))).items()}
        positions = _positions(received or b"", participant, log)
        behind_count = sum(end - positions.get(partition, 0) for partition, end in ends.items())
        lags.append(RecipientLag(participant=participant, read_ms=read_ms, behind_count=behind_count))
    return sorted(lags, key=lambda lag: -lag.behind_count)


def _positions(received: bytes, participant: str, log: Log) -> dict[int, int]:
    try:
        known = decode_cursor(
            received, log_epoch=log.epoch, participant=participant, partition_count=log.partition_count
        )
    except OneCardError:
        return {}  # None was reported, or one of another life of the log.
    return dict(known.positions)
