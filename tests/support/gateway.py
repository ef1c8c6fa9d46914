"""A hub for tests: worker and gateways in this process on the embedded log, and clients that speak plain gRPC to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message as ProtoMessage
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from onecard.exchange.v1 import control_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_broker.directory.follower import DirectoryFollower
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.exchange.worker import ExchangeWorker
from onecard_broker.gateway.card_rows import CardRows
from onecard_broker.gateway.readiness import ClockWatch
from onecard_broker.gateway.server import Gateway
from onecard_broker.gateway.store import GatewayStore
from onecard_broker.journal import topics
from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.schema import ensure_days
from onecard_broker.settings import GatewaySettings, TlsSettings
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_status, reason_name
from onecard_protocol.messages import Message, from_wire, reference_to
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.certificates import Authority
from tests.support.directories import MEDICAL, NETWORK, certificate_name, country, new_signer, numbered
from tests.support.messages import make_signed

PARTICIPANTS = ("cn-00", "cn-44", "cn-51", "cn-33")
METHODS = MethodRegistry.load()
PARTITION_COUNT = 4


@dataclasses.dataclass
class Hub:
    """What a test reaches of a running hub."""

    log: EmbeddedLog
    dsn: str
    authority: Authority
    signers: dict[str, EngineSigner]
    worker: ExchangeWorker
    gateways: list[Gateway] = dataclasses.field(default_factory=list)
    _closing: contextlib.AsyncExitStack = dataclasses.field(default_factory=contextlib.AsyncExitStack)

    async def add_gateway(self, listen: str = "127.0.0.1:0", clock_ms: Callable[[], int] = now_ms) -> Gateway:
        """Start one more gateway and wait until it admits."""
        gateway = await self.start_gateway(listen, clock_ms)
        async with self.channel("cn-44", len(self.gateways) - 1) as channel:
            await until_serving(channel)
        return gateway

    async def start_gateway(self, listen: str = "127.0.0.1:0", clock_ms: Callable[[], int] = now_ms) -> Gateway:
        """Start one more gateway, with a log of its own as in a process of its own; it may not admit yet."""
        log = await EmbeddedLog.open(self.dsn, partition_count=PARTITION_COUNT)
        self._closing.push_async_callback(log.close)
        files = self.authority.issue("gateway.onecard.test")
        database = LiveConnection(self.dsn, application_name="test gateway")
        self._closing.push_async_callback(database.close)
        cards = LiveConnection(self.dsn, application_name="test gateway cards")
        self._closing.push_async_callback(cards.close)
        history, clock, verifier = DirectoryStore(database), ClockWatch(), BlockVerifier(native_engine())
        hub = self.signers["cn-00"]
        gateway = Gateway(
            GatewaySettings(
                listen=listen,
                tls=TlsSettings(
                    certificate_file=files.certificate_file,
                    private_key_file=files.private_key_file,
                    client_authority_file=files.authority_file,
                ),
            ),
            network=NETWORK,
            journal=log,
            directory=DirectoryFollower(
                log,
                history,
                network=NETWORK,
                hub_keys={hub.key_id: hub.public_key},
                verifier=verifier,
                clock_ms=clock_ms,
                listeners=(clock.note_tick,),
            ),
            history=history,
            clock=clock,
            methods=METHODS,
            signer=hub,
            verifier=verifier,
            store=GatewayStore(database),
            cardholders=CardRows(cards),
            subject_key=bytes(32),
            clock_ms=clock_ms,
        )
        await gateway.start()
        self._closing.push_async_callback(gateway.stop)
        self.gateways.append(gateway)
        return gateway

    @contextlib.asynccontextmanager
    async def channel(self, participant: str, gateway: int = 0) -> AsyncIterator[grpc.aio.Channel]:
        """A client's connection to a gateway, with the participant's certificate."""
        credentials = self.authority.issue(certificate_name(participant)).channel_credentials()
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.gateways[gateway].port}", credentials) as channel:
            yield channel

    async def submit(
        self, participant: str, *messages: message_pb2.SignedMessage, gateway: int = 0
    ) -> list[service_pb2.SubmitResult]:
        """Submit messages over a connection of their own."""
        async with self.channel(participant, gateway) as channel:
            response = await service_pb2_grpc.SubmissionServiceStub(channel).SubmitBatch(
                service_pb2.SubmitBatchRequest(messages=messages)
            )
        return list(response.results)

    @contextlib.asynccontextmanager
    async def receiver(
        self, participant: str, *, inbox_of: str = "", cursor: bytes = b"", credit_count: int = 100
    ) -> AsyncIterator[Receiver]:
        """A delivery, once the hub has answered that it is open or why it is not."""
        opening = service_pb2.DeliveryOpening(
            participant=inbox_of or participant, cursor=cursor, credit_count=credit_count
        )
        async with self.channel(participant) as channel:
            receiver = Receiver(self, participant, channel, opening)
            await receiver.opened.wait()
            try:
                yield receiver
            finally:
                await receiver.close()


class Receiver:
    """Takes an inbox over Deliver and keeps everything that came; answers if it was told how."""

    def __init__(
        self, hub: Hub, participant: str, channel: grpc.aio.Channel, opening: service_pb2.DeliveryOpening
    ) -> None:
        self._hub = hub
        self._participant = participant
        self.opened = asyncio.Event()
        self.log_epoch = ""
        self.deliveries: list[service_pb2.Delivery] = []
        self.ticks: list[service_pb2.DeliveryTick] = []
        self.cursor = b""
        self.answer: Callable[[Message], tuple[message_pb2.MessageKind, ProtoMessage] | None] | None = None
        self.error: grpc.aio.AioRpcError | None = None
        self.call = service_pb2_grpc.DeliveryServiceStub(channel).Deliver()
        self._opening = opening
        self._task = asyncio.create_task(self._run())

    async def write(self, **request: Any) -> None:
        """Say something on the stream."""
        await self.call.write(service_pb2.DeliverRequest(**request))

    async def messages(self, count: int) -> list[Message]:
        """The first messages, as soon as so many came."""
        await eventually(lambda: len(self.deliveries) >= count)
        return [from_wire(delivery.message) for delivery in self.deliveries[:count]]

    async def close(self) -> None:
        """End the stream."""
        self.call.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self.write(opening=self._opening)
            async for response in self.call:
                match response.WhichOneof("response"):
                    case "opened":
                        self.log_epoch = response.opened.log_epoch
                        self.opened.set()
                    case "tick":
                        self.ticks.append(response.tick)
                    case "batch":
                        self.deliveries += response.batch.deliveries
                        self.cursor = response.batch.cursor
                        for delivery in response.batch.deliveries:
                            await self.respond(delivery)
        except grpc.aio.AioRpcError as error:
            self.error = error
        finally:
            self.opened.set()

    async def respond(self, delivery: service_pb2.Delivery) -> None:
        """Answer a delivered request, if `answer` is set and has an answer for it."""
        message = from_wire(delivery.message)
        if self.answer is None or message.header.kind != message_pb2.MESSAGE_KIND_REQUEST:
            return
        answer = self.answer(message)
        if answer is None:
            return
        kind, payload = answer
        signed = make_signed(
            self._hub.signers[self._participant],
            payload,
            now_ms=now_ms(),
            sender=self._participant,
            recipient=message.header.sender,
            method=message.header.method,
            kind=kind,
            reply_to=reference_to(message, log_epoch=self.log_epoch, partition=delivery.partition),
        )
        results = await self._hub.submit(self._participant, signed)
        assert results[0].HasField("receipt"), results[0]


@contextlib.asynccontextmanager
async def running_hub(
    dsn: str,
    directory: Path,
    *,
    participants: Sequence[str] = PARTICIPANTS,
    patterns: tuple[str, ...] = (MEDICAL,),
    changes: Sequence[control_pb2.ControlRecord] = (),
) -> AsyncIterator[Hub]:
    """A hub with one worker and one gateway; the directory lets all but the hub send and receive the patterns.

    `changes` are made to it before the hub starts.
    """
    await asyncio.to_thread(ensure_days, dsn, now_ms())
    log = await EmbeddedLog.open(dsn, partition_count=PARTITION_COUNT)
    await log.ensure_topics(topics(PARTITION_COUNT))
    signers = {participant: new_signer(f"{participant}-1") for participant in participants}
    database = LiveConnection(dsn, application_name="test directory")
    records = numbered(*country(signers, patterns), *changes)
    await DirectoryStore(database).append(records, signers["cn-00"], network=NETWORK, now_ms=now_ms())
    await database.close()
    worker = ExchangeWorker(
        journal=log,
        dsn=dsn,
        owner="worker-1",
        network=NETWORK,
        methods=METHODS,
        signer=signers["cn-00"],
        verifier=BlockVerifier(native_engine()),
    )
    hub = Hub(log, dsn, Authority(directory), signers, worker)
    working = asyncio.create_task(worker.run())
    try:
        await hub.add_gateway()
        yield hub
    finally:
        await hub._closing.aclose()
        worker.stop()
        await working
        await log.close()


async def until_serving(channel: grpc.aio.Channel) -> None:
    """Wait until the gateway's health says that it admits."""

    async def is_serving() -> bool:
        response = await health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest()
        )
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    await eventually_async(is_serving)


async def eventually(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until the condition holds."""

    async def holds() -> bool:
        return bool(condition())

    await eventually_async(holds, timeout_s)


async def eventually_async(condition: Callable[[], Awaitable[bool]], timeout_s: float = 30.0) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for lies behind the wire
            await asyncio.sleep(0.02)


def refusal_of(error: grpc.aio.AioRpcError) -> OneCardError:
    """The catalogue's error in a failed call."""
    details = dict(error.trailing_metadata() or ())[STATUS_DETAILS_KEY]
    assert isinstance(details, bytes)
    return from_status(status_pb2.Status.FromString(details))


def reasons(results: list[service_pb2.SubmitResult]) -> list[str]:
    """RECEIPT, or the reason, for each message of a batch."""
    return [reason_name(result.refusal.reason) if result.HasField("refusal") else "RECEIPT" for result in results]


async def change_directory(hub: Hub, *records: control_pb2.ControlRecord) -> None:
    database = LiveConnection(hub.dsn, application_name="test")
    try:
        store = DirectoryStore(database)
        version = (await store.load()).version
        await store.append(
            numbered(*records, first=version + 1), hub.signers["cn-00"], network=NETWORK, now_ms=now_ms()
        )
    finally:
        await database.close()
