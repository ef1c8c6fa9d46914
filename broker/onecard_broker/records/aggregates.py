"""Business states as bytes, in one table for every kind that has none of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from onecard_broker.domain.model import AggregateKey
from onecard_broker.records.arrays import byteas, int4s, texts
from onecard_broker.records.lookups import deleted, looked_up
from onecard_broker.records.pool import Connection


class Aggregates:
    """The table `aggregates`; values are bytes."""

    async def prepare(self, connection: Connection, partitions: Collection[int]) -> None:
        """Nothing: the table takes all partitions."""
        del connection, partitions

    async def load(
        self, connection: Connection, keys: Collection[tuple[int, AggregateKey]]
    ) -> dict[tuple[int, AggregateKey], bytes]:
        """The states that exist among these."""
        if not keys:
            return {}
        wanted = list(keys)
        cursor = await connection.execute(
            "SELECT a.partition, a.key, a.data FROM unnest(%b::int[], %b::text[]) AS w(partition, key)"
            + looked_up("aggregates", "a", "partition", "key"),
            (int4s([partition for partition, _ in wanted]), texts([key for _, key in wanted])),
            binary=True,
        )
        return {(row[0], AggregateKey(row[1])): row[2] for row in await cursor.fetchall()}

    async def save(
        self,
        connection: Connection,
        changes: Mapping[tuple[int, AggregateKey], tuple[bytes | None, bytes | None]],
    ) -> None:
        """Insert or replace states; None deletes."""
        kept = [(key, data) for key, (_, data) in changes.items() if data is not None]
        gone = [key for key, (_, data) in changes.items() if data is None]
        if kept:
            await connection.execute(
                "INSERT INTO aggregates (partition, key, data)"
                " SELECT * FROM unnest(%b::int[], %b::text[], %b::bytea[])"
                " ON CONFLICT (partition, key) DO UPDATE SET data = EXCLUDED.data",
                (
                    int4s([key[0] for key, _ in kept]),
                    texts([key[1] for key, _ in kept]),
                    byteas([data for _, data in kept]),
                ),
            )
        if gone:
            await connection.execute(
                deleted("aggregates", "unnest(%b::int[], %b::text[]) AS w(partition, key)", "partition", "key"),
                (int4s([key[0] for key in gone]), texts([key[1] for key in gone])),
            )
