"""`onecard hub recipients`: who is behind, and since when."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from onecard_broker.commands.hub import app
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.gateway.cursors import Cursor, encode_cursor
from onecard_broker.gateway.store import GatewayStore
from onecard_broker.journal import inbox_topic, topics
from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.log.port import Record
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from tests.support.directories import NETWORK, new_signer, numbered, put_participant
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)

READ_MS = 1_700_000_000_000


async def prepare(dsn: str) -> None:
    """Three records for cn-44, which received the first; two for cn-51, which never came."""
    log = await EmbeddedLog.open(dsn)
    await log.ensure_topics(topics(log.partition_count))
    database = LiveConnection(dsn, application_name="test")
    try:
        await DirectoryStore(database).append(
            numbered(*map(put_participant, ("cn-00", "cn-44", "cn-51"))),
            new_signer("hub-1"),
            network=NETWORK,
            now_ms=now_ms(),
        )
        for participant, count in (("cn-44", 3), ("cn-51", 2)):
            record = Record(topic=inbox_topic(participant), partition=1, key=b"", value=b"", headers=())
            await log.append([record] * count)
        store = GatewayStore(database)
        received = encode_cursor(Cursor(log_epoch=log.epoch, participant="cn-44", positions={1: 1}))
        await store.exchange_reads({"cn-44": READ_MS}, {"cn-44": received})
        # Another gateway saw it read earlier, and heard of no cursor.
        assert await store.exchange_reads({"cn-44": READ_MS - 5_000}, {}) == {"cn-44": READ_MS}
    finally:
        await database.close()
        await log.close()


def test_each_province_is_shown_with_what_it_did_not_receive_yet(postgres_dsn: str, tmp_path: Path) -> None:
    asyncio.run(prepare(postgres_dsn))
    config = write_hub_configuration(tmp_path, postgres_dsn)

    shown = CliRunner().invoke(app, ["recipients", "--config", str(config)], catch_exceptions=False)
    as_json = CliRunner().invoke(app, ["recipients", "--config", str(config), "--json"], catch_exceptions=False)

    assert json.loads(as_json.output) == [
        {"participant": "cn-44", "read_ms": READ_MS, "behind_count": 2},
        {"participant": "cn-51", "read_ms": None, "behind_count": 2},
    ]
    assert "2023-11-15 06:13:20" in shown.output
    assert "never" in shown.output


async def test_a_time_that_was_told_by_a_clock_ahead_gives_way_to_what_is_told_now(postgres_dsn: str) -> None:
    """Other gateways do not count it, and would count the province as away until its time has come."""
    database = LiveConnection(postgres_dsn, application_name="test")
    store = GatewayStore(database)
    try:
        await store.exchange_reads({"cn-44": now_ms() + 3_600_000}, {})
        read_ms = now_ms()
        told = await store.exchange_reads({"cn-44": read_ms}, {})
        assert read_ms <= told["cn-44"] <= now_ms() + limits.CLOCK_SKEW_MS_MAX
    finally:
        await database.close()
