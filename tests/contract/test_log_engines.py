"""The development engines outlive a killed owner and are taken over."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from onecard_stubs.dev.kafka import KafkaCluster
from onecard_stubs.dev.postgres import EmbeddedPostgres
from tests.support.logs import require_kafka

OWNER = """
import asyncio, sys
from pathlib import Path
from {module} import {engine}

async def own():
    await {engine}(Path(sys.argv[1])).start()
    print("started", flush=True)
    await asyncio.sleep(600)

asyncio.run(own())
"""


def kill_an_owner(module: str, engine: str, directory: Path) -> None:
    """Let another process start an engine in `directory`, and kill -9 it."""
    program = OWNER.format(module=module, engine=engine)
    with subprocess.Popen([sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        owner.send_signal(signal.SIGKILL)


async def test_postgres_is_taken_over_with_its_data_after_its_owner_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    kill_an_owner("onecard_stubs.dev.postgres", "EmbeddedPostgres", directory)
    started_by_owner = int((directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    postgres = EmbeddedPostgres(directory)
    async with postgres:
        assert postgres.process_id == started_by_owner
        async with await psycopg.AsyncConnection.connect(postgres.dsn()) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    assert not (directory / "postmaster.pid").exists()
    async with postgres, await psycopg.AsyncConnection.connect(postgres.dsn()) as connection:
        assert await (await connection.execute("SELECT one FROM kept")).fetchone() == (1,)
    with pytest.raises(RuntimeError, match="not started"):
        postgres.dsn()


async def test_kafka_is_taken_over_after_its_owner_was_killed(tmp_path: Path) -> None:
    require_kafka()
    kill_an_owner("onecard_stubs.dev.kafka", "KafkaCluster", tmp_path)
    started_by_owner = int((tmp_path / "broker-1" / "broker.pid").read_text(encoding="utf-8"))
    async with KafkaCluster(tmp_path) as cluster:
        assert cluster.process_ids == {1: started_by_owner}
    assert cluster.process_ids == {}
