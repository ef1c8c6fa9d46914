"""Leases in PostgreSQL: which worker owns which partition (rule 7).

A lease is a hint that keeps workers out of each other's way; what makes two writers impossible is the compare-and-set
of the position in every transaction. Partitions are shared evenly among the workers that are alive.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence

import psycopg

from onecard_broker.records.pool import Connection, connect
from onecard_protocol import limits

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Holds a fair share of the named leases for one process and renews them.

    `owned` is what may be worked on now; it is empty once the leases may have run out without having been renewed.
    """

    def __init__(self, dsn: str, *, owner: str, names: Sequence[str]) -> None:
        """`owner` is unique to the process; `names` are all leases there are."""
        self._dsn = dsn
        self._owner = owner
        self._names = list(names)
        self._owned: frozenset[str] = frozenset()
        self._valid_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self.changed = asyncio.Event()

    @property
    def owned(self) -> frozenset[str]:
        """Names of the leases held now."""
        return self._owned if time.monotonic() < self._valid_until else frozenset()

    async def start(self) -> None:
        """Take a first share and keep renewing."""
        await self._renew()
        self._task = asyncio.create_task(self._run(), name="leases")

    async def stop(self) -> None:
        """Give everything back, so that others need not wait for the leases to run out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._owned = frozenset()
        if self._connection is not None:
            try:
                await self._connection.execute("DELETE FROM leases WHERE owner = %s", (self._owner,))
                await self._connection.execute("DELETE FROM workers WHERE owner = %s", (self._owner,))
            except psycopg.Error:
                log.info("leases could not be given back; they run out by themselves")
            await self._connection.close()

    async def drop(self) -> None:
        """Give all leases back at once after losing a partition to another worker; the next renewal takes a share."""
        self._owned = frozenset()
        self.changed.set()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(limits.LEASE_RENEW_MS / 1000)
            try:
                await self._renew()
            except psycopg.Error as error:
                log.warning("leases not renewed: %s", type(error).__name__)
                await self._disconnect()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _renew(self) -> None:
        if self._connection is None:
            self._connection = await connect(self._dsn, application_name="onecard leases", looks_up=True)
        begun = time.monotonic()
        async with self._connection.transaction():
            owned = await self._renewed(self._connection)
        self._valid_until = begun + limits.LEASE_MS / 1000
        if owned != self._owned:
            self._owned = owned
            log.info("%s holds %d leases", self._owner, len(owned))
            self.changed.set()

    async def _renewed(self, connection: Connection) -> frozenset[str]:
        lease = limits.LEASE_MS / 1000
        await connection.execute(
            "INSERT INTO workers (owner, expires_at) VALUES (%s, now() + make_interval(secs => %s))"
            " ON CONFLICT (owner) DO UPDATE SET expires_at = EXCLUDED.expires_at",
            (self._owner, lease),
        )
        await connection.execute("DELETE FROM workers WHERE expires_at < now()")
        row = await (await connection.execute("SELECT count(*) FROM workers")).fetchone()
        share = math.ceil(len(self._names) / max(1, row[0] if row else 1))
        cursor = await connection.execute(
            "UPDATE leases SET expires_at = now() + make_interval(secs => %s) WHERE owner = %s RETURNING name",
            (lease, self._owner),
        )
        owned = sorted(row[0] for row in await cursor.fetchall())
        if len(owned) > share:
            await connection.execute("DELETE FROM leases WHERE name = ANY(%s)", (owned[share:],))
            owned = owned[:share]
        elif len(owned) < share:
            cursor = await connection.execute(
                "INSERT INTO leases (name, owner, expires_at)"
                " SELECT n.name, %s, now() + make_interval(secs => %s)"
                " FROM unnest(%s::text[]) AS n(name) LEFT JOIN leases l ON l.name = n.name"
                " WHERE l.name IS NULL OR l.expires_at < now() ORDER BY n.name LIMIT %s"
                " ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, expires_at = EXCLUDED.expires_at"
                " WHERE leases.expires_at < now() RETURNING name",
                (self._owner, lease, self._names, share - len(owned)),
            )
            owned += [row[0] for row in await cursor.fetchall()]
        return frozenset(owned)
