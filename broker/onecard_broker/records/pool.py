"""Connections to PostgreSQL: opened by the composition root, handed to whoever keeps records."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from onecard_broker.records import arrays
from onecard_protocol import limits

Connection = psycopg.AsyncConnection[TupleRow]
Cursor = psycopg.AsyncCursor[TupleRow]


_TRANSACTION_MS_MAX: Final = 30_000
"""What waits for us in the middle of a pipeline counts as active: neither an idle transaction's limit nor a statement's
ends it, and its locks would be held for as long as a worker hangs."""
_TRANSACTION_TIMEOUT_SINCE: Final = 170_000
_SETTINGS: Final = "-c statement_timeout=30000 -c lock_timeout=10000 -c timezone=UTC"
# A plan that was made for a small table is kept while the table grows, and a hash or merge join goes through all of it,
# along an index where it may not scan. JIT would be begun for the penalty alone.
# A worker that hangs within a transaction must not lock out who takes its leases over.
_LOOKING_UP: Final = (
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
    f" -c idle_in_transaction_session_timeout={limits.LEASE_MS}"
)


async def connect(dsn: str, *, application_name: str, looks_up: bool = False) -> Connection:
    """A connection in autocommit mode, so that every transaction is an explicit block.

    The session gives up on a statement after 30 s and on a lock after 10 s: a stuck database shows as an error. One
    that `looks_up` asks for rows by their keys alone, for months: it reads no table from end to end, and the server
    ends it where a transaction waits for us longer than a lease lasts, or, from PostgreSQL 17 on, takes 30 s in all.
    """
    connection = await psycopg.AsyncConnection.connect(
        dsn,
        autocommit=True,
        connect_timeout=10,
        application_name=application_name,
        options=_SETTINGS + (_LOOKING_UP if looks_up else ""),
    )
    try:
        if looks_up and connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
            await connection.execute(f"SET transaction_timeout = {_TRANSACTION_MS_MAX}")
        arrays.register(connection)
    except BaseException:  # A worker may be stopped meanwhile.
        await connection.close()
        raise
    return connection


@contextlib.asynccontextmanager
async def one_trip(connection: Connection, *, check: Callable[[], None]) -> AsyncIterator[None]:
    """A transaction whose statements make one round trip, their BEGIN included, and whose commit makes another.

    Results are there for `check`, before the commit; what it raises, or a statement, leaves nothing behind. The commit
    stays outside of the pipeline, or psycopg can hang.
    """
    try:
        async with connection.pipeline():
            await connection.execute("BEGIN", prepare=False)
            yield
        check()
        await connection.execute("COMMIT", prepare=False)
    except BaseException:
        with contextlib.suppress(psycopg.Error):  # The first error tells more.
            await connection.rollback()
        raise
