"""Connections to PostgreSQL: opened by the composition root, handed to whoever keeps records."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from onecard_broker.records import arrays

Connection = psycopg.AsyncConnection[TupleRow]
Cursor = psycopg.AsyncCursor[TupleRow]


async def connect(dsn: str, *, application_name: str) -> Connection:
    """A connection in autocommit mode, so that every transaction is an explicit block.

    The session gives up on a statement after 30 s and on a lock after 10 s: a stuck database shows as an error.
    """
    connection = await psycopg.AsyncConnection.connect(
        dsn,
        autocommit=True,
        connect_timeout=10,
        application_name=application_name,
        options="-c statement_timeout=30000 -c lock_timeout=10000 -c timezone=UTC",
    )
    arrays.register(connection)
    return connection
