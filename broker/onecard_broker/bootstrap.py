"""The composition root of the hub: the one place that knows every concrete class (conventions.md).

Each part is imported where it is put together: a command that needs one of them starts without the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from onecard.exchange.v1 import errors_pb2
from onecard_broker.admission.subject import SUBJECT_KEY_BYTES
from onecard_broker.journal import topics
from onecard_broker.log.port import Log
from onecard_broker.settings import EmbeddedLogSettings, HubSettings
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import KeyFile, find_passphrase, load_signer, read_key_file, read_private_file
from onecard_protocol.signatures.signer import EngineSigner

if TYPE_CHECKING:
    from onecard_broker.exchange.worker import ExchangeWorker
    from onecard_broker.gateway.server import Gateway

log = logging.getLogger(__name__)


async def open_log(settings: HubSettings, *, gathers: bool = False) -> Log:
    """The log that the configuration names; with Kafka it `gathers` where many callers append one by one.

    Raises OneCardError CONFIGURATION_INVALID where its journal was made with another number of partitions: persons
    would move to other partitions, where nothing is known of them.
    """
    journal = await _open_unchecked(settings, gathers=gathers)
    made = journal.made_partition_count
    if made is not None and made != journal.partition_count:
        await journal.close()
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"the log's journal has {made} partitions, log.partition_count is {journal.partition_count}: the number is"
            f" fixed for the life of a journal; set log.partition_count to {made}, or name the right log"
            f" / 日志的分区数为 {made}，与配置不符；分区数在日志存续期间不可更改，请将 log.partition_count 改为 {made}",
        )
    return journal


async def _open_unchecked(settings: HubSettings, *, gathers: bool = False) -> Log:
    if isinstance(settings.log, EmbeddedLogSettings):
        from onecard_broker.log.embedded import EmbeddedLog

        return await EmbeddedLog.open(settings.database, partition_count=settings.log.partition_count)
    from onecard_broker.log.kafka import KafkaLog

    return await KafkaLog.open(settings.log.kafka, partition_count=settings.log.partition_count, gathers=gathers)


def hub_key_file(settings: HubSettings) -> KeyFile:
    """The hub's key file. Raises OneCardError CONFIGURATION_INVALID for another participant's.

    By another's key a hub would follow no directory, and its worker would take partitions before it found out.
    """
    file = settings.signing_key.file
    key_file = read_key_file(file)
    if key_file.participant != HUB:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"{file} is a key of {key_file.participant}; signing_key must be the hub's ({HUB})"
            f" / 该文件是 {key_file.participant} 的密钥，signing_key 须为枢纽（{HUB}）的密钥",
        )
    return key_file


def hub_signer(settings: HubSettings) -> EngineSigner:
    """The hub's signer, on the native engine or not at all."""
    hub_key_file(settings)
    passphrase = find_passphrase(settings.signing_key.passphrase_file, os.environ)
    if passphrase is None:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            "no passphrase for the signing key: set signing_key.passphrase_file or ONECARD_KEY_PASSPHRASE"
            " / 缺少签名密钥的口令：请设置 signing_key.passphrase_file 或 ONECARD_KEY_PASSPHRASE",
        )
    return load_signer(settings.signing_key.file, passphrase, native_engine())


def prepare_database(settings: HubSettings) -> list[str]:
    """Migrate the database and make today's partitions; returns the names of the migrations applied."""
    from onecard_broker.records.schema import ensure_days, migrate

    applied = migrate(settings.database)
    ensure_days(settings.database, now_ms())
    return applied


async def prepare_topics(settings: HubSettings) -> list[str]:
    """Create the topics that are missing and check the others; returns their names."""
    # What differs is told by its topics, each by name.
    journal = await _open_unchecked(settings)
    try:
        wanted = topics(journal.partition_count)
        await journal.ensure_topics(wanted)
        return [topic.name for topic in wanted]
    finally:
        await journal.close()


@contextlib.asynccontextmanager
async def worker(settings: HubSettings) -> AsyncIterator[ExchangeWorker]:
    """A worker with its log, ready to run."""
    from onecard_broker.exchange.worker import ExchangeWorker
    from onecard_broker.records.schema import check

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
            verifier=BlockVerifier(native_engine()),
        )
    finally:
        await journal.close()


@contextlib.asynccontextmanager
async def gateway(settings: HubSettings) -> AsyncIterator[Gateway]:
    """A gateway with its log and database, ready to start."""
    from onecard_broker.directory.follower import DirectoryFollower
    from onecard_broker.directory.store import DirectoryStore
    from onecard_broker.gateway.access_log import write_access_log
    from onecard_broker.gateway.card_rows import CardRows
    from onecard_broker.gateway.readiness import ClockWatch
    from onecard_broker.gateway.server import Gateway
    from onecard_broker.gateway.store import GatewayStore
    from onecard_broker.records.live_connection import LiveConnection
    from onecard_broker.records.schema import check

    signer = hub_signer(settings)
    subject_key = read_subject_key(settings.subject_key_file)
    await asyncio.to_thread(check, settings.database)
    journal = await open_log(settings, gathers=True)
    write_access_log(settings.gateway.access_log_file)
    database = LiveConnection(settings.database, application_name="onecard gateway")
    # Of its own, so that rows of cards never wait behind what the gateway asks for once a second.
    cards = LiveConnection(settings.database, application_name="onecard gateway cards", looks_up=True)
    try:
        history = DirectoryStore(database)
        clock = ClockWatch()
        verifier = BlockVerifier(native_engine())
        directory = DirectoryFollower(
            journal,
            history,
            network=settings.network,
            hub_keys={signer.key_id: signer.public_key},
            verifier=verifier,
            clock_ms=now_ms,
            listeners=(clock.note_tick,),
        )
        yield Gateway(
            settings.gateway,
            network=settings.network,
            journal=journal,
            directory=directory,
            history=history,
            clock=clock,
            methods=MethodRegistry.load(),
            signer=signer,
            verifier=verifier,
            store=GatewayStore(database),
            cardholders=CardRows(cards),
            subject_key=subject_key,
            clock_ms=now_ms,
        )
    finally:
        await cards.close()
        await database.close()
        await journal.close()


def read_subject_key(file: Path) -> bytes:
    """The key of pseudonyms: 64 hex digits in a file of mode 0600. Raises OneCardError CONFIGURATION_INVALID."""
    try:
        key = bytes.fromhex(read_private_file(file, "the subject key").decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != SUBJECT_KEY_BYTES:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"the subject key {file} is not {SUBJECT_KEY_BYTES * 2} hex digits; `onecard hub subject-key` makes one"
            f" / 应为 {SUBJECT_KEY_BYTES * 2} 位十六进制，可用 `onecard hub subject-key` 生成",
        )
    return key


def create_subject_key(file: Path) -> None:
    """Write a new key of pseudonyms to a new file. Raises OneCardError CONFIGURATION_INVALID if it exists."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, f"{file} cannot be made: {error.strerror} / 无法创建"
        ) from None
    with open(descriptor, "w", encoding="ascii") as opened:
        opened.write(secrets.token_hex(SUBJECT_KEY_BYTES) + "\n")


async def run_gateway(settings: HubSettings) -> None:
    """Run a gateway until SIGTERM or SIGINT, then drain it."""
    async with gateway(settings) as server:
        stopping = _stop_signal()
        await server.start()
        try:
            await stopping.wait()
            await server.drain()
        finally:
            await server.stop()


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def run_all(settings: HubSettings) -> None:
    """Run a gateway and a worker in one process until SIGTERM or SIGINT."""
    async with gateway(settings) as server, worker(settings) as exchange:
        stopping = _stop_signal()
        working = asyncio.create_task(exchange.run(), name="worker")
        await server.start()
        try:
            await asyncio.wait({asyncio.create_task(stopping.wait()), working}, return_when=asyncio.FIRST_COMPLETED)
            await server.drain()
        finally:
            await server.stop()
            exchange.stop()
            await working


async def run_worker(settings: HubSettings) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    async with worker(settings) as exchange:
        stopping = _stop_signal()
        log.info("worker %d runs on the %s log", os.getpid(), settings.log.kind)
        working = asyncio.create_task(exchange.run(), name="worker")
        await asyncio.wait({asyncio.create_task(stopping.wait()), working}, return_when=asyncio.FIRST_COMPLETED)
        exchange.stop()
        await working
