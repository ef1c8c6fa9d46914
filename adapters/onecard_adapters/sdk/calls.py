"""The call out: one message, one outcome, at whichever gateway.

A few calls are typed calls, each by its own name; of many that wait, those that are ready leave together, and their
answers come through the inbox.

The one retry point of this hop. The header is fixed when the message is made and durable before it is sent; a retry
sends the same message. What may have been sent and has no answer is OUTCOME_UNKNOWN, never failed (rules 3 and 10).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, TypeVar

import grpc.aio

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime import outbox
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.runtime.outbox import OutboxState, Outgoing, StoredOutgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.answers import PendingCall, Waiting, check_binding
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.failures import CallFailed
from onecard_adapters.sdk.gateways import Gateway, Gateways, brought
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.together import Together
from onecard_adapters.sdk.verification import Verification
from onecard_adapters.sdk.wire import Metadata, call_metadata, receipt_of, refusal_of, rejection_of, reply_of
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, policy, reason_name
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message

_RETRY_FIRST_S: Final = 0.05
_RETRY_MOST_S: Final = 1.0
# How often a call looks whether the inbox can still bring its answer soon.
_LOOK_S: Final = 5.0
# Refused before it was journaled, by a gateway that may take it a moment later, or whose neighbour may.
_WORTH_RETRYING: Final = frozenset({errors_pb2.ERROR_REASON_HUB_NOT_READY, errors_pb2.ERROR_REASON_QUOTA_EXCEEDED})
# The gateway does not know what became of it.
_NOTHING_KNOWN: Final = frozenset({errors_pb2.ERROR_REASON_INTERNAL})

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class Calls:
    """Makes calls."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        gateways: Gateways,
        signing: AdaptiveSigning,
        verification: Verification,
        waiting: Waiting,
        clock: HubClock,
        submit: Callable[[Outgoing], None],
        ask: Callable[[StoredOutgoing], Awaitable[Message | None]],
        is_delivered: Callable[[], bool],
        typed_count_max: int,
    ) -> None:
        """`submit` hands a queued message to the submission pump; `ask` is GetOutcome. While no more than
        `typed_count_max` calls wait, or the inbox `is_delivered` late or not at all, calls are typed calls."""
        self._store = store
        self._sealer = sealer
        self._gateways = gateways
        self._signing = signing
        self._verification = verification
        self._waiting = waiting
        self._clock = clock
        self._submit = submit
        self._ask = ask
        self._is_delivered = is_delivered
        self._typed_count_max = typed_count_max
        self._together = Together(gateways, signing)
        self._leaving: set[asyncio.Task[object]] = set()

    async def call(self, outgoing: Outgoing, *, timeout_s: float, is_durable: bool) -> Message:
        """Send a new request and return its verified reply.

        Raises CallFailed: with the rejection's reason; EXPIRED if it was never sent in time; OUTCOME_UNKNOWN.
        """
        pending = PendingCall(outgoing, asyncio.get_running_loop().create_future(), is_durable)
        return await self._wait(pending, timeout_s, self._send_new)

    async def resume(self, stored: StoredOutgoing, *, timeout_s: float) -> Message:
        """The outcome of a request that the outbox holds: the stored one, or what can still be learnt of it.

        What was refused before it was journaled, for a cause that passes, is sent again while its time lasts.
        """
        if stored.answer is not None:
            return _reply(stored.answer)
        loop = asyncio.get_running_loop()
        if stored.state is OutboxState.ENDED:
            execute_before_ms = stored.outgoing.execute_before_ms
            if not policy(stored.reason).retryable:
                raise CallFailed(stored.reason, "as told before")
            if execute_before_ms is not None and self._clock.now_ms() >= execute_before_ms:
                raise CallFailed(errors_pb2.ERROR_REASON_EXPIRED, f"refused with {reason_name(stored.reason)} before")
            refused = PendingCall(stored.outgoing, loop.create_future(), True)
            return await self._wait(refused, timeout_s, self._send_ended)
        pending = PendingCall(stored.outgoing, loop.create_future(), True, may_be_known=True)
        if stored.outgoing.execute_before_ms is None:
            return await self._wait(pending, timeout_s, self._stay)
        if self._clock.now_ms() < stored.outgoing.execute_before_ms:
            return await self._wait(pending, timeout_s, self._send)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._ask(stored)
        except TimeoutError:
            answer = None
        if answer is None:
            raise CallFailed(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "asked, and not known yet")
        return _reply(answer)

    async def join(self, pending: PendingCall, *, timeout_s: float) -> Message:
        """Wait with another caller for the outcome of the same request."""
        try:
            async with asyncio.timeout(timeout_s):
                return _reply(await asyncio.shield(pending.answer))
        except TimeoutError:
            raise CallFailed(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "no answer in time") from None

    async def close(self) -> None:
        """Wait until what ended calls still had to check and to write is done."""
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _wait(
        self,
        pending: PendingCall,
        timeout_s: float,
        send: Callable[[PendingCall, float], Coroutine[object, object, None]],
    ) -> Message:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        self._waiting.add(pending)
        sending = loop.create_task(send(pending, deadline_s))
        sending.add_done_callback(lambda task: _end_of_sending(pending, task))
        try:
            async with asyncio.timeout_at(deadline_s):
                return _reply(await asyncio.shield(pending.answer))
        except TimeoutError:
            raise self._unanswered(pending) from None
        finally:
            sending.cancel()
            self._waiting.remove(pending)
            pending.fail(CallFailed(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "its caller no longer waits"))
            if pending.is_durable and isinstance(pending.answer.exception(), CallFailed):
                self._go_on(self._leave(pending))

    def _go_on(self, work: Coroutine[object, object, object]) -> None:
        """Do what no caller waits for."""
        leaving = asyncio.get_running_loop().create_task(work)
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _unanswered(self, pending: PendingCall) -> CallFailed:
        if pending.outgoing.execute_before_ms is None:
            failure = CallFailed(
                errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "no answer in time; it stays in the outbox until it has one"
            )
        elif pending.may_be_known:
            failure = CallFailed(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "no answer in time")
        else:
            failure = CallFailed(errors_pb2.ERROR_REASON_EXPIRED, "no gateway could be reached in time")
        pending.fail(failure)
        return failure

    async def _leave(self, pending: PendingCall) -> None:
        """Write what is still owed for a durable request that has no answer."""
        outgoing = pending.outgoing
        failure = pending.answer.exception()
        if isinstance(failure, CallFailed) and failure.reason != errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN:
            if failure.answer is None:
                await self._store.run(lambda connection: outbox.end(connection, outgoing.id, failure))
            return
        if outgoing.execute_before_ms is not None:
            return  # The row is asked about when its time comes.
        queued = await self._store.run(lambda connection: outbox.queue_again(connection, self._sealer, outgoing.id))
        if queued is not None:
            self._submit(queued)

    async def _send_new(self, pending: PendingCall, deadline_s: float) -> None:
        outgoing = pending.outgoing
        signing = None if self._leaves_together() else self._signing.sign(outgoing.header)
        if pending.is_durable:
            ask_ms = self._clock.now_ms() + limits.ADAPTER_ANSWER_MS
            await self._store.run(
                lambda connection: outbox.insert(
                    connection, self._sealer, outgoing, OutboxState.CALLED, next_attempt_ms=ask_ms
                ),
                is_brief=True,
            )
        await self._send(pending, deadline_s, signing)

    async def _send_ended(self, pending: PendingCall, deadline_s: float) -> None:
        outgoing = pending.outgoing
        ask_ms = self._clock.now_ms() + limits.ADAPTER_ANSWER_MS
        await self._store.run(lambda connection: outbox.call_again(connection, self._sealer, outgoing, ask_ms=ask_ms))
        await self._send(pending, deadline_s)

    async def _stay(self, pending: PendingCall, deadline_s: float) -> None:
        """The submission pump has it; only wait."""

    def _leaves_together(self) -> bool:
        return len(self._waiting) > self._typed_count_max and self._is_delivered()

    async def _send(
        self, pending: PendingCall, deadline_s: float, signing: asyncio.Future[bytes] | None = None
    ) -> None:
        """Try until there is an outcome or no sense in trying; the answer may come through the inbox meanwhile."""
        attempt = 0
        while not pending.answer.done():
            gateway = await self._ready(pending)
            if gateway is None:
                return
            if self._leaves_together():
                pause_s = await self._attempt_together(pending)
            else:
                signing = signing or self._signing.sign(pending.outgoing.header)
                pause_s = await self._attempt(pending, gateway, await signing, deadline_s)
            if pause_s is None:
                return
            await asyncio.sleep(max(pause_s, backoff_s(attempt, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S)))
            attempt += 1

    async def _ready(self, pending: PendingCall) -> Gateway | None:
        """A connected gateway; None if execute_before passed, which a request that was never sent is told at once."""
        execute_before_ms = pending.outgoing.execute_before_ms
        if self._gateways.is_connected and (execute_before_ms is None or self._clock.now_ms() < execute_before_ms):
            return self._gateways.current
        return await self._in_time(pending, self._gateways.ready)

    async def _in_time(self, pending: PendingCall, work: Callable[[], Awaitable[_Result]]) -> _Result | None:
        """What the work brings; None if execute_before passed, which a request that was never sent is told at once."""
        execute_before_ms = pending.outgoing.execute_before_ms
        if execute_before_ms is None:
            return await work()
        left_ms = execute_before_ms - self._clock.now_ms()
        if left_ms > 0:
            try:
                async with asyncio.timeout(left_ms / 1000):
                    return await work()
            except TimeoutError:
                pass
        if not pending.may_be_known:
            pending.fail(CallFailed(errors_pb2.ERROR_REASON_EXPIRED, "no gateway could be reached in time"))
        return None

    async def _attempt(
        self, pending: PendingCall, gateway: Gateway, signature: bytes, deadline_s: float
    ) -> float | None:
        """A typed call at one gateway: None if it brought an outcome or retrying has no sense, else a pause in s."""
        outgoing = pending.outgoing
        was_known, pending.may_be_known = pending.may_be_known, True
        call = gateway.call(outgoing.method)(
            outgoing.payload,
            timeout=max(deadline_s - asyncio.get_running_loop().time(), 0.001),
            metadata=call_metadata(outgoing.header, signature),
        )
        try:
            payload = await brought(call)
            trailing = await call.trailing_metadata()
            answer = reply_of(payload, trailing)
        except grpc.aio.AioRpcError as error:
            return await self._refused(pending, gateway, error, was_known=was_known)
        except OneCardError as error:
            _log_bad_answer(outgoing, error)
            return None
        await self._complete(pending, answer, trailing)
        return None

    async def _attempt_together(self, pending: PendingCall) -> float | None:
        """As `_attempt`, in one submission with others. An outcome is not brought by it: while the inbox may bring it,
        it is waited for, and then the same message is sent again."""
        was_known = pending.may_be_known
        left = await self._in_time(pending, lambda: self._together.submit(pending))
        if left is None:
            return None
        if left.receipt is None:
            return self._after(pending, left.gateway, left.refusal, was_known=was_known)
        self._go_on(self._verification.is_receipted(left.receipt, pending.outgoing))
        await asyncio.sleep(_LOOK_S)
        while self._is_delivered():  # noqa: ASYNC110 - nobody tells, and few calls last so long.
            await asyncio.sleep(_LOOK_S)
        return 0.0

    async def _refused(
        self, pending: PendingCall, gateway: Gateway, error: grpc.aio.AioRpcError, *, was_known: bool
    ) -> float | None:
        trailing = error.trailing_metadata() or ()
        try:
            rejection = rejection_of(trailing)
        except OneCardError as malformed:
            _log_bad_answer(pending.outgoing, malformed)
            return None
        if rejection is not None:
            await self._complete(pending, rejection, trailing)
            return None
        receipt = receipt_of(trailing)
        if receipt is not None and await self._verification.is_receipted(receipt, pending.outgoing):
            was_known = True  # It is in the journal, so its signed answer comes through the inbox.
        return self._after(pending, gateway, refusal_of(error), was_known=was_known)

    def _after(
        self, pending: PendingCall, gateway: Gateway, refusal: OneCardError | None, *, was_known: bool
    ) -> float | None:
        """What a refusal means, None for silence, of a message that may have been in the journal before or not."""
        if refusal is None or refusal.reason in _NOTHING_KNOWN:
            self._gateways.failed(gateway)
            return 0.0
        if refusal.reason in _WORTH_RETRYING:
            pending.may_be_known = was_known
            self._gateways.failed(gateway)
            return refusal.retry_after_ms / 1000
        if refusal.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN:
            pending.fail(CallFailed.by_error(refusal))
        elif not was_known:
            pending.may_be_known = False
            pending.fail(CallFailed.by_error(refusal))
        elif policy(refusal.reason).retryable:
            return refusal.retry_after_ms / 1000
        # A refusal of what was sent before tells nothing (rule 3): its answer may come through the inbox.
        return None

    async def _complete(self, pending: PendingCall, answer: Message, trailing: Metadata) -> None:
        """Give the answer if it is bound to the request and verifies; else the inbox may still bring a good one.

        The answer counts by its own signature: a receipt that is wrong is logged, and no caller waits for its check.
        """
        outgoing = pending.outgoing
        receipt = receipt_of(trailing) or message_pb2.SignedReceipt()
        self._go_on(self._verification.is_receipted(receipt, outgoing))
        try:
            check_binding(outgoing.header, outgoing.recipient, outgoing.method, answer)
            await self._verification.check(answer)
        except OneCardError as error:
            _log_bad_answer(outgoing, error)
            return
        pending.complete(answer)


def _reply(answer: Message) -> Message:
    if answer.header.kind == message_pb2.MESSAGE_KIND_REPLY:
        return answer
    raise CallFailed.by_rejection(answer)


def _end_of_sending(pending: PendingCall, task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        return
    if isinstance(error, OneCardError) and not pending.may_be_known:
        pending.fail(CallFailed.by_error(error))
        return
    _log.error("sending %s failed: %s", id_text(pending.outgoing.id), type(error).__name__)
    reason = errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN if pending.may_be_known else errors_pb2.ERROR_REASON_INTERNAL
    pending.fail(CallFailed(reason, "the adapter failed while it sent; its log tells more"))


def _log_bad_answer(outgoing: Outgoing, error: OneCardError) -> None:
    _log.error(
        "an answer to %s from %s was not taken: %s", id_text(outgoing.id), outgoing.recipient, reason_name(error.reason)
    )
