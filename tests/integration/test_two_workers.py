"""Two workers never both write: the position's compare-and-set, shown with a worker that is paused in mid-batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import psycopg
import pytest

from onecard.exchange.v1 import message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_broker.exchange.leases import LeaseKeeper
from onecard_broker.exchange.worker import lease_names
from onecard_broker.journal import JOURNAL_TOPIC
from onecard_broker.log.port import Log
from onecard_broker.records import exchange_store, pool
from onecard_broker.records.exchange_store import OwnershipLost, PartitionRow
from onecard_broker.records.parking import list_held
from onecard_broker.records.pool import Connection, Cursor
from tests.support.exchange import Exchange, eventually, make_message

pytest_plugins = ("tests.support.engines",)

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> Exchange:
    """An exchange without a worker."""
    prepared = Exchange(await log_opener(), postgres_dsn)
    await prepared.prepare()
    return prepared


async def test_a_worker_that_wakes_after_losing_its_partitions_writes_nothing(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker stops before its transaction, the second takes over, the first goes on: one outcome each.

    The second has written to the sender and to the recipient, so that each delivery number of the first is taken: the
    first sees that it is not the owner, holds nobody's record, and lives on to take partitions again.
    """
    monkeypatch.setattr(pool, "_LOOKING_UP", "")  # A session that waits longer than a lease would be ended.
    real_advance, real_check = exchange_store.advance, exchange_store.check_owned
    paused, go_on = asyncio.Event(), asyncio.Event()
    losses: list[OwnershipLost] = []

    async def advance(connection: Connection, moves: Sequence[tuple[int, PartitionRow]]) -> Cursor:
        if asyncio.current_task() is first_task and has_messages(moves) and not go_on.is_set():
            paused.set()
            await go_on.wait()
        return await real_advance(connection, moves)

    async def check_owned(connection: Connection, positions: Mapping[int, int]) -> None:
        try:
            await real_check(connection, positions)
        except OwnershipLost as loss:
            losses.append(loss)
            raise

    def has_messages(moves: Sequence[tuple[int, PartitionRow]]) -> bool:
        return any(row.partition == 3 and row.position > 0 for _, row in moves)

    monkeypatch.setattr(exchange_store, "advance", advance)
    monkeypatch.setattr(exchange_store, "check_owned", check_owned)
    messages = [make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query()) for _ in range(20)]
    copy = make_message(
        sender="cn-44", recipient="cn-51", method=QUERY, payload=query("620100"), message_id=messages[0].header.id
    )
    await exchange.append([(3, "aa", message) for message in (*messages, copy)])

    first = exchange.new_worker("first")
    first_task = asyncio.create_task(first.run())
    await asyncio.wait_for(paused.wait(), 20)
    await take_all_leases_away(exchange.dsn, first)

    exchange.worker = second = exchange.new_worker("second")
    second_task = asyncio.create_task(second.run())
    await exchange.drained()
    go_on.set()
    await eventually(lambda: len(losses) == 1)

    delivered = [one.message.key for one in await exchange.inbox("cn-51")]
    assert delivered == [message.key for message in messages]
    assert [one.message.header.kind for one in await exchange.inbox("cn-44")] == [message_pb2.MESSAGE_KIND_REJECTION]
    async with await psycopg.AsyncConnection.connect(exchange.dsn) as connection:
        assert await list_held(connection) == []
    assert not first_task.done()
    for worker, task in ((first, first_task), (second, second_task)):
        worker.stop()
        await asyncio.wait_for(task, 20)


async def test_a_worker_that_hangs_within_its_transaction_locks_nobody_out(exchange: Exchange) -> None:
    """Stopped between its writes and its commit it holds the partition's row, until the server ends its session."""
    hanging = await pool.connect(exchange.dsn, application_name="test", looks_up=True)
    rows = await exchange_store.load_partitions(hanging, [3], exchange.log.epoch)
    await hanging.execute("BEGIN")
    await exchange_store.advance(hanging, [(rows[3].position, rows[3])])
    message = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "aa", message)])

    await exchange.start()
    await exchange.drained()
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [message.key]
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        await hanging.execute("COMMIT")
    await exchange.stop()
    await hanging.close()


async def test_a_worker_that_hangs_while_it_renews_its_leases_locks_nobody_out(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row among the workers is locked: the others could neither renew their leases nor take its over."""
    keeper = LeaseKeeper(exchange.dsn, owner="hanging", names=lease_names(exchange.log.partition_count))
    await keeper.start()
    renewed, hangs = keeper._renewed, asyncio.Event()

    async def hang(connection: Connection) -> frozenset[str]:
        owned = await renewed(connection)
        hangs.set()
        await asyncio.Event().wait()
        return owned

    monkeypatch.setattr(keeper, "_renewed", hang)
    await asyncio.wait_for(hangs.wait(), 20)
    message = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "aa", message)])

    await exchange.start()
    await exchange.drained()
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [message.key]
    await exchange.stop()
    await keeper.stop()


async def test_workers_share_the_partitions_and_one_that_ends_gives_its_share_back(exchange: Exchange) -> None:
    """Four partitions each, then all eight for the one that is left; what comes meanwhile is delivered once."""
    first, second = exchange.new_worker("first"), exchange.new_worker("second")
    tasks = [asyncio.create_task(worker.run()) for worker in (first, second)]
    await eventually(lambda: first.owned_count > 0 and second.owned_count > 0)
    await eventually(lambda: first.owned_count + second.owned_count == exchange.log.partition_count)
    messages = [make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query()) for _ in range(40)]
    await exchange.append([(index % 8, "aa", message) for index, message in enumerate(messages)])
    first.stop()
    await tasks[0]
    await eventually(lambda: second.owned_count == exchange.log.partition_count)
    ends = {partition: end for partition, (_, end) in (await exchange.log.bounds(JOURNAL_TOPIC)).items()}
    await eventually(lambda: second.has_reached(ends))
    await second.published()
    delivered = {one.message.key for one in await exchange.inbox("cn-51")}
    assert delivered == {message.key for message in messages}
    second.stop()
    await tasks[1]


def query(area: str = "510100") -> coverage_pb2.QueryCoverageRequest:
    """A coverage query about a synthetic person."""
    request = coverage_pb2.QueryCoverageRequest(insurance_area=area)
    request.person.number = "510000199001019918"
    return request


async def take_all_leases_away(dsn: str, worker: object) -> None:
    """As if the worker had been stopped long enough for its leases to run out, with its renewals stopped too."""
    leases = worker._leases  # type: ignore[attr-defined]
    leases._task.cancel()
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("UPDATE leases SET expires_at = now() - interval '1 second'")
        await connection.execute("DELETE FROM workers")


async def test_a_worker_that_hangs_in_the_middle_of_its_statements_locks_nobody_out(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_TRANSACTION_MS_MAX", 500)
    hanging = await pool.connect(postgres_dsn, application_name="hanging", looks_up=True)
    other = await pool.connect(postgres_dsn, application_name="other")
    if hanging.info.server_version < pool._TRANSACTION_TIMEOUT_SINCE:
        pytest.skip("this PostgreSQL has no limit for a transaction")
    await other.execute("CREATE TABLE one_row (value integer)")
    await other.execute("INSERT INTO one_row VALUES (0)")
    await other.execute("SET lock_timeout = 200")
    # As psycopg sends them in a pipeline, but for the end that a worker which hangs never sends.
    hanging.pgconn.enter_pipeline_mode()
    for statement in (b"BEGIN", b"UPDATE one_row SET value = 1"):
        hanging.pgconn.send_query_params(statement, None)
    hanging.pgconn.send_flush_request()
    hanging.pgconn.flush()
    was_locked = is_written = False
    try:
        async with asyncio.timeout(20):
            while not (was_locked and is_written):
                try:
                    await other.execute("UPDATE one_row SET value = 2")
                    is_written = True
                except psycopg.errors.LockNotAvailable:
                    was_locked, is_written = True, False
    finally:
        hanging.pgconn.finish()
        await other.close()
