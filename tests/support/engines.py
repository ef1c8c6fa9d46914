"""Engines for tests: one PostgreSQL and one Kafka a test session, fresh storage for each test.

A test module takes the fixtures with `pytest_plugins = ("tests.support.engines",)` and does not import this module,
which pytest must be the first to load; names to import are in tests/support/logs.py. Kafka tests are skipped where Java
or Maven is missing, saying how to get them, and fail instead where the environment variable CI is set.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.log.kafka import KafkaLog
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import Log
from onecard_broker.records.schema import migrate
from onecard_stubs.dev.kafka import KafkaCluster
from onecard_stubs.dev.postgres import EmbeddedPostgres
from tests.support.logs import IN_FLIGHT_BYTES_MAX, PARTITION_COUNT, TOPICS, LogOpener, require_kafka


def _run_apart(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run in a thread of its own: a fixture may be asked for while a test's event loop runs."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL server. It makes hundreds of databases, and no test takes the machine's power away."""
    server = EmbeddedPostgres(
        tmp_path_factory.mktemp("postgres") / "data", settings="fsync = off\nfull_page_writes = off\n"
    )
    _run_apart(server.start())
    try:
        yield server
    finally:
        _run_apart(server.stop())


@contextlib.contextmanager
def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(create)
    try:
        yield server.dsn(name)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def _migrated(postgres_server: EmbeddedPostgres) -> str:
    """A database with the hub's schema, for others to be copied from: migrating each took most of a second."""
    name = "migrated"
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(postgres_server.dsn(name))
    return name


@pytest.fixture
def postgres_dsn(postgres_server: EmbeddedPostgres, _migrated: str) -> Iterator[str]:
    """Address of a database of this test's own, with the hub's schema and nothing in it."""
    with _database(postgres_server, _migrated) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """Address of a database of this test's own in which nobody has made anything."""
    with _database(postgres_server, "template1") as dsn:
        yield dsn


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of the session's one broker; take topics of your own by a prefix."""
    require_kafka()
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"))
    _run_apart(cluster.start())
    try:
        yield cluster.bootstrap_servers
    finally:
        _run_apart(cluster.stop())


@pytest.fixture
def topic_prefix() -> str:
    """What tells this test's topics from all others on the shared broker."""
    return f"test-{secrets.token_hex(6)}."


@pytest.fixture(params=["embedded", "kafka"])
async def log_opener(request: pytest.FixtureRequest) -> AsyncIterator[LogOpener]:
    """Opens logs on the same storage, with small bounds; closes them after the test."""
    opened: list[Log] = []
    if request.param == "embedded":
        dsn: str = request.getfixturevalue("postgres_dsn")

        async def open_log() -> Log:
            log = await EmbeddedLog.open(dsn, partition_count=PARTITION_COUNT, in_flight_bytes_max=IN_FLIGHT_BYTES_MAX)
            opened.append(log)
            return log
    else:
        bootstrap_servers: str = request.getfixturevalue("kafka_bootstrap")
        prefix: str = request.getfixturevalue("topic_prefix")

        async def open_log() -> Log:
            log = await KafkaLog.open(
                KafkaSettings(
                    bootstrap_servers=bootstrap_servers,
                    topic_prefix=prefix,
                    replication_factor=1,
                    min_insync_replicas=1,
                    in_flight_bytes_max=IN_FLIGHT_BYTES_MAX,
                ),
                partition_count=PARTITION_COUNT,
            )
            opened.append(log)
            return log

    try:
        yield open_log
    finally:
        for log in opened:
            await log.close()


@pytest.fixture
async def log(log_opener: LogOpener) -> Log:
    """An open log with `TOPICS`, once on each engine."""
    log = await log_opener()
    await log.ensure_topics(TOPICS)
    return log
