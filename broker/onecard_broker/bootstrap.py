"""The composition root of the hub: the one place that knows every concrete class (conventions.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator

from onecard.exchange.v1 import errors_pb2
from onecard_broker.exchange.records import topics
from onecard_broker.exchange.worker import ExchangeWorker
from onecard_broker.log.port import Log
from onecard_broker.records.schema import check, ensure_days, migrate
from onecard_broker.settings import EmbeddedLogSettings, HubSettings
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import find_passphrase, load_signer
from onecard_protocol.signatures.signer import EngineSigner

log = logging.getLogger(__name__)


async def open_log(settings: HubSettings) -> Log:
    """The log that the configuration names."""
    if isinstance(settings.log, EmbeddedLogSettings):
        from onecard_broker.log.embedded import EmbeddedLog

        return await EmbeddedLog.open(settings.database, partition_count=settings.log.partition_count)
    from onecard_broker.log.kafka import KafkaLog

    return await KafkaLog.open(settings.log.kafka, partition_count=settings.log.partition_count)


def hub_signer(settings: HubSettings) -> EngineSigner:
    """The hub's signer, on the native engine or not at all."""
    passphrase = find_passphrase(settings.signing_key.passphrase_file, os.environ)
    if passphrase is None:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            "no passphrase for the signing key: set signing_key.passphrase_file or ONECARD_KEY_PASSPHRASE",
        )
    return load_signer(settings.signing_key.file, passphrase, native_engine())


def prepare_database(settings: HubSettings) -> list[str]:
    """Migrate the database and make today's partitions; returns the names of the migrations applied."""
    applied = migrate(settings.database)
    ensure_days(settings.database, now_ms())
    return applied


async def prepare_topics(settings: HubSettings) -> list[str]:
    """Create the topics that are missing and check the others; returns their names."""
    journal = await open_log(settings)
    try:
        wanted = topics(journal.partition_count)
        await journal.ensure_topics(wanted)
        return [topic.name for topic in wanted]
    finally:
        await journal.close()


@contextlib.asynccontextmanager
async def worker(settings: HubSettings) -> AsyncIterator[ExchangeWorker]:
    """A worker with its log, ready to run."""
    signer = hub_signer(settings)
    await asyncio.to_thread(check, settings.database)
    journal = await open_log(settings)
    try:
        yield ExchangeWorker(
            journal=journal,
            dsn=settings.database,
            owner=f"{socket.gethostname()}-{os.getpid()}",
            network=settings.network,
            methods=MethodRegistry.load(),
            signer=signer,
        )
    finally:
        await journal.close()


async def run_worker(settings: HubSettings) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    async with worker(settings) as exchange:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, exchange.stop)
        log.info("worker %d runs on the %s log", os.getpid(), settings.log.kind)
        await exchange.run()
