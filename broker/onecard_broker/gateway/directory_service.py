"""DirectoryService: the directory's control records as a stream, and the directory as a list."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_broker.directory.follower import ControlHistory, DirectoryFollower
from onecard_broker.directory.to_proto import listing
from onecard_broker.gateway.bounded_writes import BoundedWrites
from onecard_broker.gateway.serving import StandingRight, certificate_names, check_known, serve, serve_stream
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import timestamp

WATCH_METHOD: Final = "/onecard.exchange.v1.DirectoryService/WatchDirectory"
LIST_METHOD: Final = "/onecard.exchange.v1.DirectoryService/ListParticipants"


class DirectoryReading(service_pb2_grpc.DirectoryServiceServicer):
    """The servicer; every participant may read."""

    def __init__(self, follower: DirectoryFollower, history: ControlHistory, *, clock_ms: Callable[[], int]) -> None:
        """`history` has every record that the follower has seen; `clock_ms` gives hub time."""
        self._follower = follower
        self._history = history
        self._clock_ms = clock_ms
        self._watches: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams."""
        self._closing.set()

    async def ListParticipants(  # noqa: N802
        self,
        request: service_pb2.ListParticipantsRequest,
        context: ServicerContext[Any, Any],
    ) -> service_pb2.ListParticipantsResponse:
        """All participants, keys and revocations."""

        async def list_them() -> service_pb2.ListParticipantsResponse:
            check_known(certificate_names(context), self._follower.directory)
            return listing(self._follower.directory)

        return await serve(context, LIST_METHOD, list_them)

    async def WatchDirectory(  # noqa: N802
        self,
        request: service_pb2.WatchDirectoryRequest,
        context: ServicerContext[Any, Any],
    ) -> None:
        """Control records from a number on, then each new one, with a tick each second."""
        writes = BoundedWrites(context)
        await serve_stream(context, WATCH_METHOD, writes, self._watch(request, context, writes))

    async def _watch(
        self, request: service_pb2.WatchDirectoryRequest, context: ServicerContext[Any, Any], writes: BoundedWrites
    ) -> AsyncGenerator[service_pb2.WatchDirectoryResponse, None]:
        names = certificate_names(context)
        participant = check_known(names, self._follower.directory)
        right = StandingRight(participant, names, lambda: self._follower.directory)
        if request.first_number < 1:
            raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "numbers begin at 1")
        if self._watches[participant] >= limits.WATCHES_PER_PARTICIPANT_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, "too many watches", retry_after_ms=limits.TICK_MS
            )
        self._watches[participant] += 1
        sent = request.first_number - 1
        try:
            while not self._closing.is_set():
                version = self._follower.directory.version
                while sent < version and (page := await self._history.records(sent + 1)):
                    # The history may be ahead of what is in force here.
                    for message in page[: version - sent]:
                        sent += 1
                        right.check()
                        yield self._response(message.to_wire())
                # A directory that nobody confirms must look stale to adapters too.
                right.check()
                if self._follower.is_fresh:
                    yield self._response(None)
                await self._follower.wait_for_change(max(sent, version), limits.TICK_MS)
        finally:
            writes.when_free(lambda: self._watches.subtract((participant,)))

    def _response(self, record: message_pb2.SignedMessage | None) -> service_pb2.WatchDirectoryResponse:
        return service_pb2.WatchDirectoryResponse(
            record=record,
            newest_number=self._follower.directory.version,
            hub_time=timestamp(self._clock_ms()),
        )
