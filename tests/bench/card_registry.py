"""How fast a snapshot is loaded, and how many bytes a card takes: `python -m tests.bench.card_registry 5000000`.

Not a test: run it alone on a quiet machine. Prints one JSON object. The CPU time a card costs loader and PostgreSQL
tells more than the rate where the machine is shared; the country's size is the bytes of a card times its holders.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from onecard_broker.operations.card_loading import CardLoader
from onecard_broker.records.pool import connect
from onecard_broker.records.schema import migrate
from onecard_protocol.card_snapshot import write_snapshot
from onecard_stubs.dev.postgres import EmbeddedPostgres
from tests.support.card_snapshots import snapshot_cards

HOLDERS = 1_380_000_000
PARTITION_COUNT = 8


def own_cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


async def sizes(dsn: str, count: int) -> dict[str, float]:
    """Bytes a card of tables and indexes, by kind."""
    async with await connect(dsn, application_name="bench") as connection:
        cursor = await connection.execute(
            "SELECT regexp_replace(relname, '_p[0-9]+', ''), sum(pg_relation_size(oid)) FROM pg_class"
            " WHERE relname ~ '^(cards|cardholders)_p[0-9]+' GROUP BY 1 ORDER BY 1"
        )
        return {name: round(float(size) / count, 1) for name, size in await cursor.fetchall()}


async def measure(count: int, directory: Path) -> dict[str, object]:
    """Write a snapshot, load it, look at the tables."""
    server = EmbeddedPostgres(directory / "postgres")
    await server.start()
    try:
        dsn = server.dsn()
        await asyncio.to_thread(migrate, dsn)
        file = directory / "cards"
        with file.open("wb") as stream:
            write_snapshot(stream, "cn-11", count, snapshot_cards(count))
        at: dict[str, float] = {}

        def progress(step: str, done: int, total: int) -> None:
            at[step] = time.monotonic()

        postmaster = int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
        cpu = own_cpu(), cpu_of(postmaster)
        began = time.monotonic()
        loaded = await CardLoader(dsn, subject_key=bytes(32), partition_count=PARTITION_COUNT, progress=progress).load(
            file
        )
        seconds = time.monotonic() - began
        assert loaded.taken_count == count
        by_relation = await sizes(dsn, count)
        bytes_per_card = sum(by_relation.values())
        return {
            "cards": count,
            "cards_per_s": round(count / seconds),
            "read_s": round(at["read"] - began, 1),
            "write_s": round(at["write"] - at["order"], 1),
            "loader_cpu_us_per_card": round((own_cpu() - cpu[0]) / count * 1e6, 1),
            "postgres_cpu_us_per_card": round((cpu_of(postmaster) - cpu[1]) / count * 1e6, 1),
            "snapshot_bytes_per_card": round(file.stat().st_size / count),
            "bytes_per_card": round(bytes_per_card),
            "by_relation": by_relation,
            "nation_gigabytes": round(bytes_per_card * HOLDERS / 1e9),
        }
    finally:
        await server.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(asyncio.run(measure(int(sys.argv[1]), Path(made)))))
