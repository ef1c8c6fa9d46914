"""What operators looked at, kept before it is shown."""

from __future__ import annotations

import dataclasses

from onecard_broker.records.pool import Connection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRead:
    """One look of an operator at a person."""

    read_ms: int
    operator: str
    """The account and machine, "account@machine"."""
    subject: str
    is_revealed: bool
    """Whether numbers were shown in full."""
    reason: str


async def keep_read(connection: Connection, read: OperatorRead) -> None:
    """Keep a look, for good."""
    await connection.execute(
        "INSERT INTO operator_reads (read_ms, operator, subject, is_revealed, reason) VALUES (%s, %s, %s, %s, %s)",
        dataclasses.astuple(read),
    )
