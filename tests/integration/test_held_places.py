"""Held records that are no message: timers and what cannot be read; and what PostgreSQL refuses (rule 14)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import psycopg
import pytest

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_broker.domain import conversation
from onecard_broker.domain.model import Effect, Inbound, KnownMessage, Origin, State
from onecard_broker.journal import JOURNAL_TOPIC, timer_record
from onecard_broker.log.port import Log, Record
from onecard_broker.records import exchange_store
from onecard_broker.records.parking import Held, list_held
from onecard_broker.records.pool import Connection
from onecard_protocol.clock import now_ms
from onecard_protocol.messages import Message
from tests.support.exchange import Exchange, eventually, make_message, running_exchange

pytest_plugins = ("tests.support.engines",)

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"
PERSONS = "510000199001019918", "510000199001019926"


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> AsyncIterator[Exchange]:
    """A running exchange on each log."""
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running


def query(number: str = PERSONS[0]) -> Message:
    """A coverage query about a synthetic person."""
    request = coverage_pb2.QueryCoverageRequest(insurance_area="510100")
    request.person.number = number
    return make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=request)


async def held(exchange: Exchange) -> list[Held]:
    async with await psycopg.AsyncConnection.connect(exchange.dsn, autocommit=True) as connection:
        return await list_held(connection)


async def dispose(exchange: Exchange, one: Held, disposition: control_pb2.Disposition) -> None:
    """An operator decides about what stands in the list."""
    decision = control_pb2.MessageDisposition(
        partition=one.partition, sender=one.sender, id=one.id, disposition=disposition, cause="test"
    )
    await exchange.change_directory(control_pb2.ControlRecord(dispose_message=decision))


async def test_a_timer_that_cannot_be_decided_waits_for_its_replay(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An UNKNOWN timer whose rule fails: neither is it lost nor does it come again by itself; replayed, it is told."""
    failures: list[Inbound] = []
    real = conversation.decide

    def decide(state: State, inbound: Inbound, at_ms: int) -> list[Effect]:
        if inbound.origin is Origin.TIMER and not failures:
            failures.append(inbound)
            raise RuntimeError("a rule fails")
        return real(state, inbound, at_ms)

    monkeypatch.setattr(conversation, "decide", decide)
    request = query()
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    await exchange.append_records([timer_record(await timer_of(exchange), partition=3, time_ms=now_ms())])
    await exchange.drained()
    assert len(failures) == 1

    (one,) = await held(exchange)
    assert (one.partition, one.cause, one.sender) == (3, "RuntimeError", "cn-00")
    await exchange.append([(3, "aa", behind := query())])
    await exchange.drained()
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [request.key, behind.key]
    assert await exchange.inbox("cn-44") == []

    await dispose(exchange, one, control_pb2.DISPOSITION_RELEASE)
    (released,) = await held(exchange)
    assert (released.id, released.cause) == (one.id, "released")
    await dispose(exchange, released, control_pb2.DISPOSITION_REPLAY)
    assert await held(exchange) == []
    (told,) = await exchange.inbox("cn-44")
    assert told.message.header.reply_to.id == request.header.id


async def test_a_timer_that_is_discarded_is_spent(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    real = conversation.decide

    def decide(state: State, inbound: Inbound, at_ms: int) -> list[Effect]:
        if inbound.origin is Origin.TIMER:
            raise RuntimeError("a rule fails")
        return real(state, inbound, at_ms)

    monkeypatch.setattr(conversation, "decide", decide)
    await exchange.append([(3, "aa", query())])
    await exchange.drained()
    await exchange.append_records([timer_record(await timer_of(exchange), partition=3, time_ms=now_ms())])
    await exchange.drained()
    (one,) = await held(exchange)
    await dispose(exchange, one, control_pb2.DISPOSITION_DISCARD)
    assert await held(exchange) == []
    assert await timers(exchange) == []
    assert await exchange.inbox("cn-44") == []


@pytest.mark.parametrize("disposition", [control_pb2.DISPOSITION_REPLAY, control_pb2.DISPOSITION_DISCARD])
async def test_a_record_that_cannot_be_read_stops_nobody_and_can_be_disposed_of(
    exchange: Exchange, disposition: control_pb2.Disposition
) -> None:
    """Two of them, each under its place; one that is still unreadable stays held when it is replayed."""
    nonsense = Record(topic=JOURNAL_TOPIC, partition=3, key=b"aa", value=b"", headers=(("ce_type", b"nonsense"),))
    await exchange.append_records([nonsense, nonsense])
    await exchange.append([(3, "aa", message := query())])
    await exchange.drained()
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [message.key]
    first, second = await held(exchange)
    assert first.id != second.id

    await dispose(exchange, first, disposition)
    left = [second.id] if disposition == control_pb2.DISPOSITION_DISCARD else [first.id, second.id]
    assert [one.id for one in await held(exchange)] == left


async def test_what_postgresql_refuses_is_found_by_halves_and_held(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 14: of a batch the one record that the database does not take; the others are decided, in their order."""
    messages = [query(PERSONS[index % 2]) for index in range(21)]
    offender = messages[11]
    real = exchange_store.save_known

    async def save_known(connection: Connection, rows: Sequence[tuple[int, KnownMessage]], *, are_new: bool) -> None:
        if any(known.key == offender.key and known.state != "held" for _, known in rows):
            await connection.execute("SELECT repeat('x', -1)::int")
        await real(connection, rows, are_new=are_new)

    monkeypatch.setattr(exchange_store, "save_known", save_known)
    await exchange.append([(3, "ab"[index % 2] * 2, message) for index, message in enumerate(messages)])
    await exchange.drained()

    (one,) = await held(exchange)
    behind = [message.key for index, message in enumerate(messages) if index > 11 and index % 2]
    assert (one.id, one.cause, one.waiting_count) == (offender.header.id, "InvalidTextRepresentation", len(behind))
    delivered = [one.message.key for one in await exchange.inbox("cn-51")]
    assert delivered == [message.key for message in messages if message.key not in {offender.key, *behind}]
    (notice,) = await exchange.inbox("cn-44")
    assert message_pb2.Notice.FromString(notice.message.payload).state == message_pb2.OPEN_STATE_HELD


async def timers(exchange: Exchange) -> list[bytes]:
    """The ids of all timers."""
    async with await psycopg.AsyncConnection.connect(exchange.dsn, autocommit=True) as connection:
        return [row[0] for row in await (await connection.execute("SELECT id FROM timers")).fetchall()]


async def timer_of(exchange: Exchange) -> bytes:
    """The timer of the one request."""
    await eventually(lambda: exchange.worker is not None)
    (one,) = await timers(exchange)
    return one
