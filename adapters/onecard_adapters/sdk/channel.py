"""The channel that generated stubs call: each call is a message over the exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from google.protobuf.message import Message as ProtoMessage

from onecard_protocol.tracing import TRACEPARENT, is_traceparent

Metadata = tuple[tuple[str, str | bytes], ...]
_TRACEPARENT = "traceparent"


class Send(Protocol):
    """Sends a payload by a method and returns the reply's payload."""

    def __call__(
        self,
        method: str,
        recipient: str,
        request: ProtoMessage,
        payload: bytes,
        *,
        message_id: bytes | None,
        timeout_s: float | None,
        traceparent: str,
    ) -> Awaitable[bytes]:
        """See the class."""


class ExchangeChannel:
    """What `Exchange.to` gives: a channel to one recipient, of which stubs use `unary_unary` only."""

    def __init__(self, send: Send, recipient: str, message_id: bytes | None) -> None:
        self._send = send
        self._recipient = recipient
        self._message_id = message_id

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        _registered_method: bool = False,
    ) -> Callable[..., Awaitable[Any]]:
        """The method as an awaitable callable, as generated stubs ask for it."""

        async def call(
            request: ProtoMessage,
            *,
            timeout: float | None = None,  # noqa: ASYNC109 - the shape of gRPC's multi-callables
            metadata: Metadata | None = None,
            **_: object,
        ) -> Any:
            traceparent = next((value for key, value in metadata or () if key == _TRACEPARENT), TRACEPARENT.get())
            payload = await self._send(
                method,
                self._recipient,
                request,
                request_serializer(request),
                message_id=self._message_id,
                timeout_s=timeout,
                traceparent=traceparent if isinstance(traceparent, str) and is_traceparent(traceparent) else "",
            )
            return response_deserializer(payload)

        return call
