"""Plans of the worker's statements on tables that are new: prepared then, they are kept while the tables grow."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Final

import pytest

from onecard_broker.domain.card_state import holder_key
from onecard_broker.domain.model import AggregateKey
from onecard_broker.records import exchange_store as store
from onecard_broker.records.aggregates import Aggregates
from onecard_broker.records.card_registry import PARTITIONED, CardRegistry
from onecard_broker.records.pool import Connection, connect
from onecard_broker.records.schema import ensure_days
from onecard_protocol.clock import now_ms
from tests.support.plans import Plans

pytest_plugins = ("tests.support.engines",)

KEYS: Final = [(number % 4, now_ms().to_bytes(6, "big") + os.urandom(10)) for number in range(20)]
CARD_TABLES: Final = (*PARTITIONED, "card_replacements", "card_replacement_steps")
LARGE: Final = {"known_messages", "timers", "aggregates", "outputs", *CARD_TABLES}


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[Connection]:
    ensure_days(postgres_dsn, now_ms())
    connection = await connect(postgres_dsn, application_name="test plans")
    await CardRegistry().prepare(connection, range(4))
    yield connection
    await connection.close()


@pytest.fixture
async def plans(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(connection, monkeypatch, large=LARGE)


async def test_what_a_batch_needs_is_looked_up_in_indexes(connection: Connection, plans: Plans) -> None:
    await store.load_known(connection, [(partition, ("cn-44", key)) for partition, key in KEYS])
    await store.load_timers(connection, KEYS)
    await store.load_messages(connection, [("cn-44", key) for _, key in KEYS])
    await Aggregates().load(connection, [(partition, AggregateKey(key.hex())) for partition, key in KEYS])

    known, timers, messages, aggregates = (plan.used for plan in plans.take())
    assert {name.removeprefix("known_messages") for name in known} == {"_pkey"}
    assert timers == {"timers_pkey"}
    assert {name.removeprefix("outputs") for name in messages} == {"_id_idx"}
    assert aggregates == {"aggregates_pkey"}


async def test_cardholders_are_looked_up_in_indexes(connection: Connection, plans: Plans) -> None:
    await CardRegistry().load(connection, [(partition, holder_key((key * 2).hex())) for partition, key in KEYS])

    assert [plan.used - {"card_code_systems_pkey"} for plan in plans.take()] == [
        {f"{table}_pkey"} for table in CARD_TABLES
    ]
