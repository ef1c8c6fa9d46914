"""The gateway: one grpc.aio server with all services, its start, its draining and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from onecard.exchange.v1 import errors_pb2, service_pb2, service_pb2_grpc
from onecard_broker.admission.subject import Subjects
from onecard_broker.directory.follower import ControlHistory, DirectoryFollower
from onecard_broker.directory.model import Directory
from onecard_broker.gateway import card_reads
from onecard_broker.gateway.admitting import Admitting
from onecard_broker.gateway.answers_due import AnswersDue
from onecard_broker.gateway.call_bounds import CallBounds
from onecard_broker.gateway.card_cache import CardCache, CardholderReader
from onecard_broker.gateway.decisions import Decisions
from onecard_broker.gateway.delivery import Delivery
from onecard_broker.gateway.directory_service import DirectoryReading
from onecard_broker.gateway.inbox_follower import InboxFollowers
from onecard_broker.gateway.journaling import Journaling
from onecard_broker.gateway.micro_batches import SIGNATURES_AT_ONCE
from onecard_broker.gateway.readiness import ClockWatch, Readiness
from onecard_broker.gateway.reads import Reads
from onecard_broker.gateway.recipients import Recipients
from onecard_broker.gateway.refusals import Refusals
from onecard_broker.gateway.store import GatewayStore
from onecard_broker.gateway.submission import Submission
from onecard_broker.gateway.typed_calls import TypedCalls
from onecard_broker.gateway.watermarks import Watermarks
from onecard_broker.log.port import Log
from onecard_broker.settings import GatewaySettings, TlsSettings
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.tls_files import read_tls_files

log = logging.getLogger(__name__)

METADATA_BYTES_MAX: Final = 16_384
HEALTH_SECONDS: Final = 0.1
STREAM_END_SECONDS: Final = 2.0
_MESSAGE_OVERHEAD_BYTES: Final = 64 * 1_024


class Gateway:
    """A gateway. `start`, then `drain` and `stop`; nothing is opened before `start`."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        network: str,
        journal: Log,
        directory: DirectoryFollower,
        history: ControlHistory,
        clock: ClockWatch,
        methods: MethodRegistry,
        signer: Signer,
        verifier: BlockVerifier,
        store: GatewayStore,
        cardholders: CardholderReader,
        subject_key: bytes,
        clock_ms: Callable[[], int],
    ) -> None:
        """`clock` is the one that the directory's follower tells of ticks; log and database stay the caller's."""
        self._settings = settings
        self._methods = methods
        self._directory = directory
        self.stats: Counter[str] = Counter()
        """Counts since the start: admitted, refused by reason, completed calls."""
        self._executor = ThreadPoolExecutor(SIGNATURES_AT_ONCE * 2, thread_name_prefix="signatures")
        self._readiness = Readiness(directory, clock)
        self._recipients = Recipients(store, clock_ms=clock_ms)
        self._watermarks = Watermarks(store)
        self._followers = InboxFollowers(journal, self.stats)
        subjects = Subjects(subject_key, journal.partition_count)
        answers_due = AnswersDue(journal, methods)
        refusals = Refusals(methods, lambda: directory.directory, self.stats)
        admitting = Admitting(
            journal=journal,
            directory=lambda: directory.directory,
            methods=methods,
            network=network,
            subjects=subjects,
            verifier=verifier,
            readiness=self._readiness,
            clock_ms=clock_ms,
            is_reading=self._recipients.is_reading,
            code_systems=store,
            executor=self._executor,
            refusals=refusals,
        )
        journaling = Journaling(
            journal=journal,
            signer=signer,
            readiness=self._readiness,
            clock=clock,
            clock_ms=clock_ms,
            answers_due=answers_due,
            executor=self._executor,
            refusals=refusals,
            stats=self.stats,
        )
        self.journal = journal
        """The log that it appends to."""
        self.submission = Submission(admitting, journaling, refusals, self._followers, lambda: directory.directory)
        self._typed_calls = TypedCalls(admitting, journaling, refusals, self._followers, methods)
        self._cards = CardCache(cardholders, subjects, self.stats)
        self._decisions = Decisions(journal, [self._cards])
        self._reads = Reads(
            {card_reads.PACKAGE: card_reads.CardReads(self._cards, self._decisions, subjects, clock_ms=clock_ms)},
            methods,
            directory=lambda: directory.directory,
            readiness=self._readiness,
            stats=self.stats,
        )
        self._delivery = Delivery(
            journal,
            store,
            self._recipients,
            self._watermarks,
            answers_due,
            lambda: directory.directory,
            clock_ms=clock_ms,
        )
        self._directory_reading = DirectoryReading(directory, history, clock_ms=clock_ms)
        self._health = health_aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._health_task: asyncio.Task[None] | None = None
        self.port = 0
        """The port that it listens on, after `start`."""

    @property
    def directory(self) -> Directory:
        """The directory that messages are admitted by."""
        return self._directory.directory

    @property
    def held_count(self) -> int:
        """Typed calls and questions that wait for their answers."""
        return self._followers.held_count

    async def start(self) -> None:
        """Follow the directory, bind, and serve.

        Raises OneCardError CONFIGURATION_INVALID for certificates that cannot be read or an address that is taken.
        """
        credentials = server_credentials(self._settings.tls)
        server = grpc.aio.server(options=_options(), maximum_concurrent_rpcs=limits.CALLS_COUNT_MAX)
        bounded: Any = CallBounds(server)
        service_pb2_grpc.add_SubmissionServiceServicer_to_server(self.submission, bounded)
        service_pb2_grpc.add_DeliveryServiceServicer_to_server(self._delivery, bounded)
        service_pb2_grpc.add_DirectoryServiceServicer_to_server(self._directory_reading, bounded)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, bounded)
        exchange = [service.full_name for service in service_pb2.DESCRIPTOR.services_by_name.values()]
        names = [*exchange, *self._methods.services(), health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflection.aio.ReflectionServicer(names), bounded
        )
        bounded.add_generic_rpc_handlers(self._reads.generic_handlers())
        bounded.add_generic_rpc_handlers(self._typed_calls.generic_handlers())
        try:
            self.port = server.add_secure_port(self._settings.listen, credentials)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                f"cannot listen on {self._settings.listen}: the port is taken or the address is not this machine's;"
                " end the other program or set gateway.listen to another port"
                " / 无法监听：端口被占用或地址不属于本机，请停止占用程序或改用其他端口",
            )
        await self._directory.start()
        await self._recipients.start()
        self._watermarks.start()
        self._decisions.start()
        # A new health service says SERVING of the whole; the first tick of the control topic is still to come.
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        self._server = server
        self._health_task = asyncio.create_task(self._report_health(), name="health")
        log.info("gateway serves on %s:%d", self._settings.listen.rpartition(":")[0], self.port)

    async def drain(self) -> None:
        """Admit no further requests and events, and wait for the calls that are held to end.

        Answers are still admitted and delivered meanwhile, because held calls wait for them.
        """
        self._readiness.is_draining = True
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        if not await self._followers.wait_until_none_held(limits.TYPED_CALL_MS / 1000):
            log.warning("%d calls were still held at the end of draining", self._followers.held_count)

    async def stop(self) -> None:
        """End the streams and the server. What is under way gets a short grace."""
        self._delivery.close()
        self._directory_reading.close()
        if self._health_task is not None:
            self._health_task.cancel()
            await asyncio.gather(self._health_task, return_exceptions=True)
        if self._server is not None:
            await self._server.stop(STREAM_END_SECONDS)
        await self._followers.stop()
        await self._decisions.stop()
        await self._cards.stop()
        await self._watermarks.stop()
        with contextlib.suppress(Exception):  # The last times of reading are a courtesy to the other gateways.
            await self._recipients.exchange()
        await self._recipients.stop()
        await self._directory.stop()
        self._executor.shutdown(wait=True)

    async def _report_health(self) -> None:
        was = None
        while True:
            obstacle = "draining" if self._readiness.is_draining else self._readiness.obstacle()
            if obstacle != was or was is None:
                status = (
                    health_pb2.HealthCheckResponse.SERVING
                    if obstacle is None
                    else health_pb2.HealthCheckResponse.NOT_SERVING
                )
                await self._set_health(status)
                if obstacle is not None:
                    log.warning("gateway admits nothing: %s", obstacle)
                elif was is not None:
                    log.info("gateway admits again")
                was = obstacle
            await asyncio.sleep(HEALTH_SECONDS)

    async def _set_health(self, status: Any) -> None:
        names = [service.full_name for service in service_pb2.DESCRIPTOR.services_by_name.values()]
        for name in ("", *names, *self._methods.services()):
            await self._health.set(name, status)


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """mTLS: our certificate, and clients only with certificates of the authority given.

    Raises OneCardError CONFIGURATION_INVALID (`read_tls_files`).
    """
    certificate, private_key, authority = read_tls_files(
        certificate=tls.certificate_file, private_key=tls.private_key_file, authority=tls.client_authority_file
    )
    return grpc.ssl_server_credentials(
        [(private_key, certificate)], root_certificates=authority, require_client_auth=True
    )


def _options() -> list[tuple[str, Any]]:
    message_bytes_max = limits.SUBMIT_BATCH_BYTES_MAX + _MESSAGE_OVERHEAD_BYTES
    return [
        ("grpc.so_reuseport", 0),  # Otherwise a second gateway binds a taken port without an error.
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_send_message_length", message_bytes_max),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", limits.CALLS_PER_CERTIFICATE_COUNT_MAX),
        ("grpc.max_allowed_incoming_connections", limits.CONNECTIONS_COUNT_MAX),
        ("grpc.server_handshake_timeout_ms", limits.HANDSHAKE_MS_MAX),
        # Otherwise the windows of streams that nobody reads yet grow to what the line carries, megabytes each.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
