"""Plans of the worker's prepared statements, made while its tables are small: they are kept while the tables grow."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_broker.domain.card_state import Cardholder, holder_key
from onecard_broker.domain.model import AggregateKey, KnownMessage, KnownState, Timer, TimerPurpose
from onecard_broker.records import exchange_store as store
from onecard_broker.records.aggregates import Aggregates
from onecard_broker.records.card_registry import PARTITIONED, CardRegistry
from onecard_broker.records.pool import Connection, connect
from onecard_broker.records.schema import ensure_days
from onecard_protocol.clock import now_ms
from onecard_protocol.messages import trusted_message
from tests.support.cardholders import replacing_holder
from tests.support.plans import Plan, Plans

pytest_plugins = ("tests.support.engines",)

KEYS: Final = [(number % 4, now_ms().to_bytes(6, "big") + os.urandom(10)) for number in range(20)]
CARD_TABLES: Final = (*PARTITIONED, "card_replacements", "card_replacement_steps")
LARGE: Final = {"known_messages", "timers", "aggregates", "outputs", *CARD_TABLES}


@pytest.fixture(params=["new", "empty", "small"])
async def connection(request: pytest.FixtureRequest, postgres_dsn: str) -> AsyncIterator[Connection]:
    """A worker's, to tables that PostgreSQL knows nothing of, knows to be empty, or knows to be small."""
    ensure_days(postgres_dsn, now_ms())
    connection = await connect(postgres_dsn, application_name="test plans", looks_up=True)
    await CardRegistry().prepare(connection, range(4))
    if request.param == "small":
        await fill(connection)
    if request.param != "new":
        await connection.execute("ANALYZE")
    yield connection
    await connection.close()


async def fill(connection: Connection) -> None:
    """A few rows in each table of the exchange."""
    states: dict[tuple[int, AggregateKey], tuple[bytes | None, bytes | None]] = {
        (partition, AggregateKey(key.hex())): (None, b"state") for partition, key in KEYS
    }
    await Aggregates().save(connection, states)
    message = trusted_message(message_pb2.MessageHeader(sender="cn-44", id=KEYS[0][1]).SerializeToString(), b"", b"")
    for number, (partition, key) in enumerate(KEYS):
        known = KnownMessage(
            sender="cn-44", id=key, digest=b"", recipient="", method="", subject="", state=KnownState.OPEN
        )
        timer = Timer(id=key, due_ms=now_ms(), purpose=TimerPurpose.QUERY, request=("cn-44", key))
        output = store.Output(
            recipient="cn-51",
            partition=partition,
            number=number,
            message=message,
            answers="",
            decided_ms=now_ms(),
            position=number,
        )
        await store.save_known(connection, [(partition, known)], are_new=True)
        await store.save_timers(connection, [(partition, timer)], [])
        await store.save_outputs(connection, [output])


@pytest.fixture
async def plans(connection: Connection, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plans]:
    beside = await connect(postgres_dsn, application_name="test plans", looks_up=True)
    yield Plans(connection, monkeypatch, large=LARGE, kept_by=beside)
    await beside.close()


async def test_what_a_batch_needs_is_looked_up_in_indexes(connection: Connection, plans: Plans) -> None:
    await store.load_known(connection, [(partition, ("cn-44", key)) for partition, key in KEYS])
    await store.load_timers(connection, KEYS)
    await store.load_messages(connection, [("cn-44", key) for _, key in KEYS])
    await Aggregates().load(connection, [(partition, AggregateKey(key.hex())) for partition, key in KEYS])

    known, timers, messages, aggregates = (plan.searched for plan in plans.take())
    assert {name.removeprefix("known_messages") for name in known} == {"_pkey"}
    assert timers == {"timers_pkey"}
    assert {name.removeprefix("outputs") for name in messages} == {"_id_idx"}
    assert aggregates == {"aggregates_pkey"}


async def test_cardholders_are_looked_up_in_indexes(connection: Connection, plans: Plans) -> None:
    await CardRegistry().load(connection, [(partition, holder_key((key * 2).hex())) for partition, key in KEYS])

    assert [plan.searched - {"card_code_systems_pkey"} for plan in plans.take()] == [
        {f"{table}_pkey"} for table in CARD_TABLES
    ]


async def test_cardholders_are_written_and_deleted_by_their_keys(connection: Connection, plans: Plans) -> None:
    registry, keys = CardRegistry(), [(partition, holder_key((key * 2).hex())) for partition, key in KEYS]
    replacing = [replacing_holder((key * 2).hex(), key) for _, key in KEYS]
    shorter = [
        dataclasses.replace(one, replacements=(dataclasses.replace(one.replacements[0], steps=()),))
        for one in replacing
    ]
    bare = [Cardholder(subject=one.subject) for one in replacing]

    async def save(before: Sequence[Cardholder | None], after: Sequence[Cardholder | None]) -> list[Plan]:
        async with connection.transaction():
            await registry.save(connection, dict(zip(keys, zip(before, after, strict=True), strict=True)))
        return plans.take()

    none = [None] * len(keys)
    holders, _, *rows = await save(none, replacing)
    assert [plan.arbiters for plan in (holders, *rows)] == [{f"{table}_pkey"} for table in CARD_TABLES]
    steps_gone, _ = await save(replacing, shorter)
    cards_gone, *replacements_gone, _ = await save(shorter, bare)
    (holders_gone,) = await save(bare, none)
    for plan in (steps_gone, holders_gone, cards_gone, *replacements_gone):
        # A replacement's id is of its own.
        assert plan.searched, plan
        assert plan.searched <= {*(f"{table}_pkey" for table in CARD_TABLES), "card_replacements_id"}, plan


async def test_what_a_batch_ends_is_looked_up_too(connection: Connection, plans: Plans) -> None:
    await store.save_timers(connection, [], KEYS)
    gone: dict[tuple[int, AggregateKey], tuple[bytes | None, bytes | None]] = {
        (partition, AggregateKey(key.hex())): (b"", None) for partition, key in KEYS
    }
    await Aggregates().save(connection, gone)

    assert [plan.searched for plan in plans.take()] == [{"timers_pkey"}, {"aggregates_pkey"}]
