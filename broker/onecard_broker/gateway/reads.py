"""Methods of kind read, by their own names: authorised by the certificate, answered at the gateway, never journaled.

What each business answers is its own reader's (`PackageReader`). Here stands what all share: who asks and whether it
may, sizes and content, how many at once and for how long, and the access log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import Message as ProtoMessage
from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2
from onecard_broker.admission.rights import may_send
from onecard_broker.admission.rules import parse_bytes
from onecard_broker.directory.model import Directory
from onecard_broker.domain.checks import check as check_business
from onecard_broker.gateway.access_log import log_access, log_refused_access
from onecard_broker.gateway.readiness import Readiness
from onecard_broker.gateway.serving import (
    RawHandler,
    certificate_names,
    check_known,
    raw_handlers,
    refusal_of,
    refuse_call,
)
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.methods import Method, MethodRegistry
from onecard_protocol.value_class import value_class

_REMEMBERED_CERTIFICATES: Final = 1_024


@value_class(frozen=True, slots=True)
class ReadAnswer:
    """What a reader answers, and what the access log keeps of it."""

    content: bytes
    """The answer's payload."""
    access: dict[str, Any]
    """What was asked for and about whom, by pseudonym; how it was answered. No numbers, no names."""


class PackageReader(Protocol):
    """Answers the read methods of one business."""

    async def read(self, method: Method, payload: ProtoMessage) -> ReadAnswer:
        """Answer a question that may be asked. Raises OneCardError; psycopg.Error where the database is away."""
        ...


class Reads:
    """Generic handlers for the read methods of the registry."""

    def __init__(
        self,
        readers: Mapping[str, PackageReader],
        methods: MethodRegistry,
        *,
        directory: Callable[[], Directory],
        readiness: Readiness,
        stats: Counter[str],
    ) -> None:
        """`readers` by package. Raises ValueError for a read method whose package has none."""
        self._readers = dict(readers)
        self._methods = [method for method in methods.values() if method.is_read]
        missing = {method.package for method in self._methods} - self._readers.keys()
        if missing:
            raise ValueError(f"nobody answers the reads of {', '.join(sorted(missing))}")
        self._directory = directory
        self._readiness = readiness
        self._stats = stats
        self._under_way: Counter[str] = Counter()
        self._participants: tuple[int, dict[frozenset[str], str]] = (-1, {})

    def generic_handlers(self) -> list[grpc.GenericRpcHandler]:
        """One handler for each service with reads, over bodies as the bytes they are."""
        return raw_handlers({method.name: self._handler(method) for method in self._methods})

    def _handler(self, method: Method) -> RawHandler:
        async def call(request: bytes, context: ServicerContext[bytes, bytes]) -> bytes:
            participant = ""
            try:
                participant = self._participant(certificate_names(context))
                with self._place(participant):
                    answer = await self._read(method, participant, request, context.time_remaining())
            except Exception as error:
                refusal = refusal_of(method.name, error)
                self._stats[f"refused_{reason_name(refusal.reason)}"] += 1
                log_refused_access(participant, method.name, reason_name(refusal.reason))
                await refuse_call(context, refusal)
            self._stats["reads"] += 1
            log_access(participant, method.name, answer.access)
            return answer.content

        return call

    async def _read(self, method: Method, participant: str, request: bytes, remaining_s: float | None) -> ReadAnswer:
        self._readiness.check_reading()
        if not may_send(participant, method, self._directory()):
            raise OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED, f"{participant}, {method.name}")
        if len(request) > method.policy.payload_bytes_max:
            raise OneCardError(
                errors_pb2.ERROR_REASON_PAYLOAD_TOO_LARGE,
                f"{len(request)} bytes, the method allows {method.policy.payload_bytes_max}",
            )
        payload = parse_bytes(request, method.input_class)
        check_business(method, payload)
        limit_s = limits.READ_MS_MAX / 1000
        try:
            async with asyncio.timeout(limit_s if remaining_s is None else min(limit_s, remaining_s)):
                return await self._readers[method.package].read(method, payload)
        except TimeoutError:
            raise OneCardError(
                errors_pb2.ERROR_REASON_HUB_NOT_READY, "the rows were not read in time", retry_after_ms=limits.TICK_MS
            ) from None

    def _participant(self, names: frozenset[str]) -> str:
        """Whose certificate it is; remembered while the directory stands, because each read asks for it."""
        directory = self._directory()
        version, known = self._participants
        if version != directory.version or len(known) > _REMEMBERED_CERTIFICATES:
            known = {}
            self._participants = directory.version, known
        participant = known.get(names)
        if participant is None:
            participant = known[names] = check_known(names, directory)
        return participant

    @contextlib.contextmanager
    def _place(self, participant: str) -> Iterator[None]:
        if self._under_way[participant] >= limits.READS_PER_PARTICIPANT_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, "too many reads under way", retry_after_ms=limits.TICK_MS
            )
        self._under_way[participant] += 1
        try:
            yield
        finally:
            self._under_way[participant] -= 1
