"""A worker on a real log and a real PostgreSQL, without gateways: tests write the journal and read the inboxes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Sequence

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.exchange.worker import ExchangeWorker
from onecard_broker.journal import CONTROL_TOPIC, JOURNAL_TOPIC, inbox_topic, message_record
from onecard_broker.journal import topics as hub_topics
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import Log, Record
from onecard_broker.operations.audit import audit
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.pool import connect
from onecard_broker.records.schema import ensure_days
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import (
    MESSAGE_CONTEXT,
    Message,
    build_header,
    reference_to,
    trusted_message,
)
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, sign_one
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner

NETWORK = "test-worker"
METHODS = MethodRegistry.load()
ENGINE = native_engine()
RECIPIENTS = (HUB, "cn-11", "cn-33", "cn-44", "cn-45", "cn-51", "bank-102", "bank-105")
"""Who has an inbox here. One for each province of the country would cost Kafka seconds of computing a test."""


def new_signer(key_id: str) -> EngineSigner:
    """A signer with a fresh key."""
    return EngineSigner(ENGINE, key_id, ENGINE.generate_private_key())


def make_message(
    *,
    sender: str,
    recipient: str,
    method: str,
    payload: ProtoMessage,
    kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_REQUEST,
    reply_to: message_pb2.RequestReference | None = None,
    created_ms: int | None = None,
    message_id: bytes | None = None,
    signer: EngineSigner | None = None,
) -> Message:
    """A message as an adapter would send it; signed if a signer is given."""
    created = now_ms() if created_ms is None else created_ms
    policy = METHODS[method].policy
    carries = policy.carries_execute_before and kind == message_pb2.MESSAGE_KIND_REQUEST
    content = payload.SerializeToString(deterministic=True)
    header = build_header(
        network=NETWORK,
        sender=sender,
        recipient=recipient,
        method=method,
        kind=kind,
        message_id=message_id or new_message_id(created),
        payload=content,
        execute_before_ms=created + policy.longest_duration_ms if carries else None,
        reply_to=reply_to,
    )
    signature = b"" if signer is None else sign_one(signer, MESSAGE_CONTEXT, header)
    return trusted_message(header, content, signature)


@dataclasses.dataclass(frozen=True, slots=True)
class Delivered:
    """A message in an inbox."""

    partition: int
    number: int
    answers: str
    message: Message


class Exchange:
    """One journal with its worker."""

    def __init__(self, log: Log, dsn: str) -> None:
        self.log = log
        self.dsn = dsn
        self.signer = new_signer("hub-key")
        self.worker: ExchangeWorker | None = None
        self._task: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Schema and topics."""
        await asyncio.to_thread(ensure_days, self.dsn, now_ms())
        wanted = {JOURNAL_TOPIC, CONTROL_TOPIC, *map(inbox_topic, RECIPIENTS)}
        await self.log.ensure_topics([one for one in hub_topics(self.log.partition_count) if one.name in wanted])

    def new_worker(self, owner: str) -> ExchangeWorker:
        """A worker on this journal, not yet running."""
        return ExchangeWorker(
            journal=self.log,
            dsn=self.dsn,
            owner=owner,
            network=NETWORK,
            methods=METHODS,
            signer=self.signer,
            verifier=BlockVerifier(ENGINE),
        )

    async def start(self) -> None:
        """Run a worker."""
        self.worker = self.new_worker("worker-1")
        self._task = asyncio.create_task(self.worker.run())

    async def stop(self) -> None:
        """Stop the worker."""
        if self.worker is not None and self._task is not None:
            self.worker.stop()
            await self._task

    async def change_directory(self, *changes: control_pb2.ControlRecord) -> int:
        """Make the next control records and wait until they are in force everywhere; returns the newest number."""
        database = LiveConnection(self.dsn, application_name="test")
        try:
            directory = DirectoryStore(database)
            version = (await directory.load()).version
            for number, change in enumerate(changes, version + 1):
                change.number = number
            await directory.append(changes, self.signer, network=NETWORK, now_ms=now_ms())
        finally:
            await database.close()
        await self.control_reached(version + len(changes))
        return version + len(changes)

    async def append(self, messages: Sequence[tuple[int, str, Message]]) -> None:
        """Append admitted messages as (partition, pseudonym, message)."""
        admitted = now_ms()
        await self.log.append(
            [
                message_record(
                    message, partition=partition, pseudonym=pseudonym, admitted_ms=admitted, directory_version=0
                )
                for partition, pseudonym, message in messages
            ]
        )

    async def append_records(self, records: Sequence[Record]) -> None:
        """Append any records."""
        await self.log.append(records)

    async def inbox(self, participant: str) -> list[Delivered]:
        """Everything in an inbox so far, repeats of a number left out as a receiver would."""
        topic = inbox_topic(participant)
        bounds = await self.log.bounds(topic)
        reader = self.log.open_reader(topic, {partition: start for partition, (start, _) in bounds.items()})
        seen: dict[int, int] = {}
        delivered: list[Delivered] = []
        try:
            left = sum(end - start for start, end in bounds.values())
            while left > 0:
                records = await reader.read(1_000, 16 * 1024 * 1024, 1_000)
                left -= len(records)
                for record in records:
                    event = decode(record)
                    number = int(event.extensions["number"])
                    last = seen.get(record.partition, 0)
                    assert number <= last + 1, f"gap before {number} in {topic}/{record.partition}"
                    if number == last + 1:
                        seen[record.partition] = number
                        delivered.append(
                            Delivered(
                                record.partition,
                                number,
                                event.extensions.get("answers", ""),
                                trusted_message(event.header, event.data, event.signature),
                            )
                        )
        finally:
            await reader.close()
        return delivered

    async def answer(
        self,
        delivered: Delivered,
        payload: ProtoMessage,
        kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_REPLY,
    ) -> Message:
        """The answer of a request's recipient, appended to the partition that it was delivered from."""
        request = delivered.message
        reply = make_message(
            sender=request.header.recipient,
            recipient=request.header.sender,
            method=request.header.method,
            payload=payload,
            kind=kind,
            reply_to=reference_to(request, log_epoch=self.log.epoch, partition=delivered.partition),
        )
        await self.append([(delivered.partition, "", reply)])
        return reply

    async def control_reached(self, number: int) -> None:
        """Wait until a control record is in force in every partition, and what followed from it is published."""
        await eventually(lambda: self.worker is not None and self.worker.has_applied(number))
        await self.drained()

    async def drained(self) -> None:
        """Wait until the worker has decided everything that is in the journal now, and published it."""
        ends = {partition: end for partition, (_, end) in (await self.log.bounds(JOURNAL_TOPIC)).items()}
        assert self.worker is not None
        await eventually(lambda: self.worker is not None and self.worker.has_reached(ends))
        await self.worker.published()


async def assert_nothing_is_lost_or_doubled(log: Log, dsn: str) -> None:
    """By the account of all messages."""
    async with await connect(dsn, application_name="test") as connection:
        window = LogWindow(log)
        try:
            found = await audit(connection, window)
        finally:
            await window.close()
    assert (found.undecided, found.without_outcome, found.missing_numbers) == ((), (), ())
    assert (found.delivered_twice, found.answered_twice) == ((), ())


async def eventually(condition: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    """Wait until the condition holds; fails after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running_exchange(log: Log, dsn: str) -> AsyncIterator[Exchange]:
    """An exchange with one worker at work."""
    exchange = Exchange(log, dsn)
    await exchange.prepare()
    await exchange.start()
    try:
        yield exchange
    finally:
        await exchange.stop()
