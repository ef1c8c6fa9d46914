"""Reads: answered by a gateway over mTLS, unsigned and without effect, so that asking again does no harm.

The one retry point of this hop: what one gateway does not answer is asked at the other one.
"""

from __future__ import annotations

import asyncio
from typing import Final

import grpc.aio

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.sdk.failures import CallFailed
from onecard_adapters.sdk.gateways import Gateway, Gateways, brought
from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.methods import Method

_RETRY_FIRST_S: Final = 0.02
_RETRY_MOST_S: Final = 0.5
_WORTH_RETRYING: Final = frozenset(
    {
        errors_pb2.ERROR_REASON_HUB_NOT_READY,
        errors_pb2.ERROR_REASON_QUOTA_EXCEEDED,
        errors_pb2.ERROR_REASON_INTERNAL,
    }
)


class Reads:
    """Calls methods of kind read."""

    def __init__(self, gateways: Gateways) -> None:
        """`gateways` is shared with all other traffic."""
        self._gateways = gateways

    async def read(self, method: Method, recipient: str, payload: bytes, *, timeout_s: float | None) -> bytes:
        """The answer's payload. Raises CallFailed: with the gateway's refusal, or HUB_NOT_READY when none answers."""
        if recipient != HUB:
            raise CallFailed(errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED, f"{method.name} is read at {HUB}")
        refusal: OneCardError | None = None
        attempt = 0
        try:
            async with asyncio.timeout(limits.READ_MS_MAX / 1000 if timeout_s is None else timeout_s) as bound:
                while True:
                    gateway = await self._gateways.ready()
                    outcome = await self._attempt(gateway, method, payload, bound.when())
                    if isinstance(outcome, bytes):
                        return outcome
                    refusal = outcome
                    self._gateways.failed(gateway)
                    await asyncio.sleep(backoff_s(attempt, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S))
                    attempt += 1
        except TimeoutError:
            if refusal is not None:
                raise CallFailed.by_error(refusal) from None
            raise CallFailed(errors_pb2.ERROR_REASON_HUB_NOT_READY, "no gateway answered in time") from None

    async def _attempt(
        self, gateway: Gateway, method: Method, payload: bytes, deadline_s: float | None
    ) -> bytes | OneCardError | None:
        """The answer; or what to tell if asking again does not help, None where the gateway said nothing."""
        left_s = None if deadline_s is None else max(deadline_s - asyncio.get_running_loop().time(), 0.001)
        try:
            return await brought(gateway.call(method.name)(payload, timeout=left_s))
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            if refusal is not None and refusal.reason not in _WORTH_RETRYING:
                raise CallFailed.by_error(refusal) from None
            return refusal
