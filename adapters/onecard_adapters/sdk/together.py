"""Calls that leave together: what waits is one submission, with one signature, one check and one append.

A typed call costs its two ends a gRPC call of its own; messages of one submission share one. Their answers come
through the inbox. Nothing is retried here: each caller decides by what became of its message.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from typing import Final

import grpc.aio

from onecard.exchange.v1 import message_pb2, service_pb2
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.sdk.answers import PendingCall
from onecard_adapters.sdk.departures import MANY, TICK_S, Departures
from onecard_adapters.sdk.gateways import Gateway, Gateways, brought
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, from_rejection

BATCHES_IN_FLIGHT_MAX: Final = 4
_TIMEOUT_S: Final = 20.0

_log = logging.getLogger(__name__)


def submission_bytes(outgoing: Outgoing) -> int:
    """What a message takes in a submission, at most."""
    return len(outgoing.header) + len(outgoing.payload) + limits.SIGNATURE_BLOCK_BYTES_MAX


async def submit(
    gateway: Gateway, messages: Sequence[tuple[Outgoing, bytes]], left_s: float
) -> Sequence[service_pb2.SubmitResult] | OneCardError | None:
    """Submit messages with their signature blocks: a result each, why all are refused, or None: nothing is known.

    `left_s`: when they left, by the loop's clock.
    """
    request = service_pb2.SubmitBatchRequest(
        messages=[
            message_pb2.SignedMessage(header=outgoing.header, payload=outgoing.payload, signature=block)
            for outgoing, block in messages
        ]
    )
    try:
        response: service_pb2.SubmitBatchResponse = await brought(
            gateway.submission.SubmitBatch(request, timeout=_TIMEOUT_S)
        )
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    gateway.appends.told(response.gathering_ms, response.journaling_ms, left_s, holding_ms=response.holding_ms)
    if len(response.results) != len(messages):
        _log.error("gateway %s gave %d results for %d messages", gateway.address, len(response.results), len(messages))
        return None
    return response.results


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """What became of a call's message: its receipt, not checked yet, or its refusal; with neither, nothing is known."""

    gateway: Gateway
    receipt: message_pb2.SignedReceipt | None = None
    refusal: OneCardError | None = None


_Waiting = tuple[PendingCall, asyncio.Future[Left]]


class Together:
    """Collects calls into submissions. One that comes after a pause leaves at once, unless the gateway gathers."""

    def __init__(self, gateways: Gateways, signing: AdaptiveSigning) -> None:
        self._gateways = gateways
        self._signing = signing
        self._waiting: list[_Waiting] = []
        self._departures = Departures()
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, pending: PendingCall) -> asyncio.Future[Left]:
        """Send with what else waits. Cancelled before it left, it does not leave."""
        future: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._departures.begin_waiting()
        self._waiting.append((pending, future))
        if len(self._waiting) == MANY:
            self._reschedule()
        else:
            self._schedule()
        return future

    def _schedule(self) -> None:
        if self._waiting and self._timer is None and len(self._under_way) < BATCHES_IN_FLIGHT_MAX:
            self._timer = asyncio.get_running_loop().call_later(self._next_in_s(), self._begin)

    def _reschedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._schedule()

    def _next_in_s(self) -> float:
        appends = self._gateways.current.appends
        return self._departures.next_in_s(appends, len(self._waiting), is_any_asked=bool(self._under_way))

    def _begin(self) -> None:
        self._timer = None
        if self._next_in_s() > TICK_S:
            self._schedule()
            return
        # Who gave up meanwhile takes no place.
        self._waiting = [(pending, future) for pending, future in self._waiting if not future.done()]
        if not self._waiting:
            return
        left_s = self._departures.leave()
        count = size_bytes = 0
        for pending, _ in self._waiting[: limits.SUBMIT_BATCH_COUNT_MAX]:
            size_bytes += submission_bytes(pending.outgoing)
            if count and size_bytes > limits.SUBMIT_BATCH_BYTES_MAX:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        task = asyncio.get_running_loop().create_task(self._send(batch, left_s))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        self._schedule()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._reschedule()  # It was told of the next append, or nobody will be.

    async def _send(self, batch: Sequence[_Waiting], left_s: float) -> None:
        try:
            blocks = await self._signing.sign_all([pending.outgoing.header for pending, _ in batch])
            leaving = [
                (pending, future, block)
                for (pending, future), block in zip(batch, blocks, strict=True)
                if not future.done()
            ]
            if not leaving:
                return
            for pending, _, _ in leaving:
                pending.may_be_known = True
            # Each of them found it connected when it came; if it is not any more, that is a failure like others.
            gateway = self._gateways.current
            signed = [(pending.outgoing, block) for pending, _, block in leaving]
            results = await submit(gateway, signed, left_s)
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for index, (_, future, _) in enumerate(leaving):
            if not future.done():
                future.set_result(_left(gateway, results, index))


def _left(gateway: Gateway, results: Sequence[service_pb2.SubmitResult] | OneCardError | None, index: int) -> Left:
    if results is None or isinstance(results, OneCardError):
        return Left(gateway, refusal=results)
    result = results[index]
    if result.WhichOneof("result") == "receipt":
        return Left(gateway, receipt=result.receipt)
    return Left(gateway, refusal=from_rejection(result.refusal))
