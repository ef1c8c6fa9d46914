"""Typed calls as a client of any language makes them: bytes as body, header and signature as metadata."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2

from onecard.exchange.v1 import message_pb2
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_status
from tests.support.messages import COVERAGE


def raw_method(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """The method as bytes in and bytes out."""
    return channel.unary_unary(method)


async def call(
    channel: grpc.aio.Channel, signed: message_pb2.SignedMessage, method: str = COVERAGE, seconds: float = 20.0
) -> tuple[bytes, dict[str, bytes]]:
    """A typed call as any client makes it: the payload as body, header and signature as metadata."""
    calling = raw_method(channel, method)(
        signed.payload,
        metadata=(("onecard-header-bin", signed.header), ("onecard-signature-bin", signed.signature)),
        timeout=seconds,
    )
    body = await calling
    return body, metadata_of(await calling.trailing_metadata())


def metadata_of(metadata: object) -> dict[str, bytes]:
    return {key: value for key, value in metadata or () if isinstance(value, bytes)}  # type: ignore[attr-defined]


async def refusal(
    channel: grpc.aio.Channel, signed: message_pb2.SignedMessage, method: str = COVERAGE, seconds: float = 20.0
) -> tuple[OneCardError, dict[str, bytes]]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(channel, signed, method, seconds)
    trailing = metadata_of(raised.value.trailing_metadata())
    return from_status(status_pb2.Status.FromString(trailing[STATUS_DETAILS_KEY])), trailing
