"""A connection that is opened at its first use, and again when the database went away and came back."""

from __future__ import annotations

import asyncio

import psycopg

from onecard_broker.records.pool import Connection, connect


class LiveConnection:
    """One connection for tasks that ask now and then; what was under way when it broke fails and is the caller's."""

    def __init__(self, dsn: str, *, application_name: str, looks_up: bool = False) -> None:
        """Connects at the first `get`; `looks_up` as of `connect`."""
        self._dsn = dsn
        self._looks_up = looks_up
        self._application_name = application_name
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False

    async def get(self) -> Connection:
        """The connection, in autocommit mode. Raises psycopg.OperationalError where the database does not answer."""
        async with self._lock:
            if self._is_closed:
                raise psycopg.OperationalError("the connection was closed for good")
            if self._connection is None or self._connection.closed:
                self._connection = await connect(
                    self._dsn, application_name=self._application_name, looks_up=self._looks_up
                )
            return self._connection

    async def close(self) -> None:
        """Close it for good."""
        async with self._lock:
            self._is_closed = True
            if self._connection is not None:
                await self._connection.close()
