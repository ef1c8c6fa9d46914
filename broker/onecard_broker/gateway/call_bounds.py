"""How much of a gateway the holder of one certificate takes at once: calls, streams, and bodies that are being read.

gRPC reads the body of a unary call before it asks the handler, up to the largest batch on every open stream. So each
unary handler is served as one that reads its one message itself, which is the same to the caller: who calls is known
before the body comes, and what has no place yet waits in HTTP/2's window. docs/admission.md states the worst case.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2
from onecard_broker.gateway.serving import certificate_names, refuse_early
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "ServicerContext[Any, Any]"
Names = frozenset[str]
BODY_SECONDS: Final = limits.CALL_BODY_MS_MAX / 1000


class CallBounds:
    """The places of one gateway. Stands before a server where handlers are added to it."""

    def __init__(self, server: grpc.aio.Server) -> None:
        """Every handler that is added here serves within the bounds."""
        self._server = server
        self._calls: Counter[Names] = Counter()
        self._streams: Counter[Names] = Counter()
        self._bodies: dict[Names, asyncio.Semaphore] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add handlers to the server."""
        self._server.add_generic_rpc_handlers([_Bounded(handler, self) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """The same handlers again, by another way that this server does not use."""

    def bounded(self, handler: Handler) -> Handler:
        """The handler, in its own form towards the caller."""
        serializers = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            method = handler.stream_stream or handler.stream_unary
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.response_streaming
                else grpc.stream_unary_rpc_method_handler
            )
            return make(
                self._generator(method) if inspect.isasyncgenfunction(method) else self._stream(method), *serializers
            )
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._unary(handler.unary_stream, self._streams, limits.STREAMS_PER_CERTIFICATE_COUNT_MAX), *serializers
            )
        return grpc.stream_unary_rpc_method_handler(
            self._unary(handler.unary_unary, self._calls, limits.CALLS_PER_CERTIFICATE_COUNT_MAX), *serializers
        )

    def _unary(self, method: Any, under_way: Counter[Names], count_max: int) -> Any:
        async def serve(_: AsyncIterator[Any], context: Context) -> Any:
            names = certificate_names(context)
            try:
                with _place(under_way, names, count_max):
                    return await method(await self._body(context, names), context)
            except _NoPlace as error:
                await refuse_early(context, error)

        return serve

    def _stream(self, method: Any) -> Any:
        async def serve(requests: AsyncIterator[Any], context: Context) -> Any:
            try:
                with _place(self._streams, certificate_names(context), limits.STREAMS_PER_CERTIFICATE_COUNT_MAX):
                    return await method(requests, context)
            except _NoPlace as error:
                await refuse_early(context, error)

        return serve

    def _generator(self, method: Any) -> Any:
        async def serve(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            try:
                with _place(self._streams, certificate_names(context), limits.STREAMS_PER_CERTIFICATE_COUNT_MAX):
                    async for response in method(requests, context):
                        yield response
            except _NoPlace as error:
                await refuse_early(context, error)

        return serve

    async def _body(self, context: Context, names: Names) -> Any:
        """The one message of a unary call; raises _NoPlace."""
        places = self._bodies.get(names)
        if places is None:
            places = self._bodies[names] = asyncio.Semaphore(limits.BODIES_READ_PER_CERTIFICATE_COUNT_MAX)
        try:
            async with asyncio.timeout(BODY_SECONDS), places:
                body = await context.read()
        except TimeoutError:
            raise _NoPlace(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED,
                f"the call's body was not read in {limits.CALL_BODY_MS_MAX} ms",
                retry_after_ms=limits.TICK_MS,
            ) from None
        except DecodeError:
            raise _NoPlace(errors_pb2.ERROR_REASON_MALFORMED, "the call's body is not of the method's type") from None
        if body is grpc.aio.EOF:
            raise _NoPlace(errors_pb2.ERROR_REASON_MALFORMED, "the call has no body")
        return body


class _NoPlace(OneCardError):
    """A call that is refused before its handler is asked."""


class _Bounded(grpc.GenericRpcHandler):
    """A generic handler whose methods serve within the bounds; each is wrapped once."""

    def __init__(self, inner: grpc.GenericRpcHandler, bounds: CallBounds) -> None:
        self._inner = inner
        self._bounds = bounds
        self._wrapped: dict[int, tuple[Handler, Handler]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        handler = self._inner.service(handler_call_details)
        if handler is None:
            return None
        # Kept with its original, whose id stays its own therefore.
        known = self._wrapped.get(id(handler))
        if known is None:
            known = self._wrapped[id(handler)] = (handler, self._bounds.bounded(handler))
        return known[1]


@contextlib.contextmanager
def _place(under_way: Counter[Names], names: Names, count_max: int) -> Iterator[None]:
    if under_way[names] >= count_max:
        raise _NoPlace(
            errors_pb2.ERROR_REASON_QUOTA_EXCEEDED,
            f"{count_max} calls of this certificate are under way",
            retry_after_ms=limits.TICK_MS,
        )
    under_way[names] += 1
    try:
        yield
    finally:
        under_way[names] -= 1
        if not under_way[names]:
            del under_way[names]
