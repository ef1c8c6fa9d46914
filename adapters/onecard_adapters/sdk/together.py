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
from onecard_adapters.sdk.gateways import Gateway, Gateways, brought
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, from_rejection

BATCHES_IN_FLIGHT_MAX: Final = 4
BATCH_PAUSE_S: Final = 0.01
"""Submissions begin at least so far apart: more messages share a call, a signature, an append."""
_TIMEOUT_S: Final = 20.0
HELD_S_MAX: Final = 0.2
"""Nothing is held longer, whatever gateways tell."""
_DEPARTURES_S: Final = (0.012, 0.006)
"""Submissions leave so long before the gateway appends what it gathers: one that arrives in time also when its way
takes longer than usual, and one with what came too late for it, in time if all goes well."""
_TOO_LATE_S: Final = 0.004
"""What leaves later than this before an append misses it."""
_TELLING_S: Final = 0.02
"""So long after an append, mostly, those who took part in it have been told of the next one."""
_TICK_S: Final = 0.001
"""What is due so soon is due."""
MANY: Final = 64
"""So many messages wait for nobody."""

_log = logging.getLogger(__name__)


def submission_bytes(outgoing: Outgoing) -> int:
    """What a message takes in a submission, at most."""
    return len(outgoing.header) + len(outgoing.payload) + limits.SIGNATURE_BLOCK_BYTES_MAX


def leaves_in_s(
    gateway: Gateway, begun_s: float, *, waiting_count: int, waiting_since_s: float, is_any_asked: bool
) -> float:
    """How long from now the next submission waits, after one that began at `begun_s`; look again then.

    `is_any_asked`: whether a submission is under way, whose answer will tell of the next append.

    A gateway that gathers appends all that came meanwhile at once: what leaves shortly before that is in the journal as
    soon as if it had left by itself, and shares a call, a signature and a check.
    """
    now_s = asyncio.get_running_loop().time()
    if waiting_count < MANY and now_s - waiting_since_s < HELD_S_MAX:
        until_s = gateway.gathers_until_s
        for before_s in _DEPARTURES_S:
            departs_s = until_s - before_s
            if now_s < departs_s:
                return departs_s - now_s
            if begun_s < departs_s - _TICK_S and now_s < until_s - _TOO_LATE_S:
                return 0.0
        if is_any_asked and now_s < until_s + _TELLING_S:
            return until_s + _TELLING_S - now_s
    return max(begun_s + BATCH_PAUSE_S - now_s, 0.0)


async def submit(
    gateway: Gateway, messages: Sequence[tuple[Outgoing, bytes]]
) -> Sequence[service_pb2.SubmitResult] | OneCardError | None:
    """Submit messages with their signature blocks: a result each, why all are refused, or None: nothing is known."""
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
    # 0 says that it does not gather; any time before says it as well.
    gathering_s = min(response.gathering_ms / 1_000, HELD_S_MAX) or float("-inf")
    gateway.gathers_until_s = asyncio.get_running_loop().time() + gathering_s
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
        self._waiting_since_s = 0.0
        self._under_way: set[asyncio.Task[None]] = set()
        self._begun_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, pending: PendingCall) -> asyncio.Future[Left]:
        """Send with what else waits. Cancelled before it left, it does not leave."""
        future: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._waiting_since_s = asyncio.get_running_loop().time()
        self._waiting.append((pending, future))
        if len(self._waiting) == MANY:
            self._reschedule()
        else:
            self._schedule()
        return future

    def _schedule(self) -> None:
        if self._waiting and self._timer is None and len(self._under_way) < BATCHES_IN_FLIGHT_MAX:
            self._timer = asyncio.get_running_loop().call_later(self._leaves_in_s(), self._begin)

    def _reschedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._schedule()

    def _leaves_in_s(self) -> float:
        return leaves_in_s(
            self._gateways.current,
            self._begun_s,
            waiting_count=len(self._waiting),
            waiting_since_s=self._waiting_since_s,
            is_any_asked=bool(self._under_way),
        )

    def _begin(self) -> None:
        self._timer = None
        if self._leaves_in_s() > _TICK_S:
            self._schedule()
            return
        # Who gave up meanwhile takes no place.
        self._waiting = [(pending, future) for pending, future in self._waiting if not future.done()]
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._begun_s = loop.time()
        count = size_bytes = 0
        for pending, _ in self._waiting[: limits.SUBMIT_BATCH_COUNT_MAX]:
            size_bytes += submission_bytes(pending.outgoing)
            if count and size_bytes > limits.SUBMIT_BATCH_BYTES_MAX:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_since_s = self._begun_s
        task = loop.create_task(self._send(batch))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        self._schedule()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._reschedule()  # It was told of the next append, or nobody will be.

    async def _send(self, batch: Sequence[_Waiting]) -> None:
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
            results = await submit(gateway, [(pending.outgoing, block) for pending, _, block in leaving])
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
