"""A database that hangs, or a fault of the log's own, fails what waits for it, and the log goes on afterwards."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from onecard_broker.log import embedded, embedded_appender
from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.log.port import AppendFailed, LogUnavailable, Record
from tests.support.logs import JOURNAL, PARTITION_COUNT, TOPICS

pytest_plugins = ("tests.support.engines",)

RECORD = Record(topic=JOURNAL, partition=0, key=b"key", value=b"value", headers=())


async def test_an_append_that_hangs_fails_and_the_next_one_does_not(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await EmbeddedLog.open(postgres_dsn, partition_count=PARTITION_COUNT)
    await log.ensure_topics(TOPICS)
    await log.append([RECORD])
    async with await psycopg.AsyncConnection.connect(postgres_dsn) as other:
        await other.execute("SELECT * FROM onecard_log.head FOR UPDATE")
        with monkeypatch.context() as hurried:
            hurried.setattr(embedded_appender, "APPEND_SECONDS", 0.2)
            with pytest.raises(AppendFailed, match="did not append in"):
                await log.append([RECORD])
    [appended] = await log.append([RECORD])
    await log.close()

    assert appended.position == 1  # The statement was cancelled, so what hung is not there.


async def test_a_fault_that_nobody_foresaw_fails_the_append_and_not_the_next_one(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = await EmbeddedLog.open(postgres_dsn, partition_count=PARTITION_COUNT)
    await log.ensure_topics(TOPICS)
    await log.append([RECORD])
    with monkeypatch.context() as faulty:
        faulty.setattr(embedded_appender, "encode_headers", None)
        with pytest.raises(AppendFailed, match="a fault while appending: TypeError"):
            await log.append([RECORD])
    [appended] = await log.append([RECORD])
    await log.close()

    assert appended.position == 1
    assert "Traceback" in caplog.text


async def test_a_database_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_CONNECT_SECONDS", 1)
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LogUnavailable):
        await EmbeddedLog.open(f"postgresql://nobody@127.0.0.1:{port}/nothing")
    for writer in connected:
        writer.close()
    server.close()

    assert connected
