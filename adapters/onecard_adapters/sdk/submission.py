"""The submission pump: replies, reports, events and whatever else left its caller, from the outbox to the journal.

Messages of one subject leave in order: at most one unacknowledged batch holds messages of it (rule 5). The one retry
point of this hop; a retry sends the same headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.runtime.outbox import OutboxState, Outgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.departures import MANY, Departures
from onecard_adapters.sdk.gateways import Gateway, Gateways
from onecard_adapters.sdk.outgoing import Writer
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.together import BATCHES_IN_FLIGHT_MAX, submission_bytes, submit
from onecard_adapters.sdk.verification import Verification
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, from_rejection, policy, reason_name
from onecard_protocol.identifiers import id_text

HELD_COUNT_MAX: Final = 4_096
_BRIEF_COUNT_MAX: Final = 128
_NOTE_S: Final = 0.02
"""So long the note that the hub has messages waits for another transaction, which it shares then."""
_RETRY_FIRST_S: Final = 0.1
_RETRY_MOST_S: Final = 5.0
_RETRY_TOLD_MOST_S: Final = 60.0
"""A key that becomes valid in days says so; the directory may change before."""
_KEY_UNKNOWN: Final = errors_pb2.ERROR_REASON_KEY_UNKNOWN
"""Of a key of ours: a gateway may not have heard of a new one yet, and nothing is given up for that."""

_log = logging.getLogger(__name__)


class Submission:
    """Sends what is queued. Everything given to it is QUEUED in the outbox already."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        gateways: Gateways,
        signing: AdaptiveSigning,
        verification: Verification,
        clock: HubClock,
        writer: Writer,
        making_count: Callable[[], int],
        held_count_max: int = HELD_COUNT_MAX,
    ) -> None:
        """`making_count` tells how many answers are in the making."""
        self._store = store
        self._sealer = sealer
        self._gateways = gateways
        self._signing = signing
        self._verification = verification
        self._clock = clock
        self._writer = writer
        self._making_count = making_count
        self._held_count_max = held_count_max
        self._queue: deque[Outgoing] = deque()
        self._held: set[bytes] = set()
        self._busy_subjects: set[bytes] = set()
        # Queued rows may lie in the store that are not held: at the start, and after more came than are held at once.
        self._is_more_stored = True
        # What was put while stored rows are read, which are older; None while none are read.
        self._put_meanwhile: list[Outgoing] | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._look_again = asyncio.Event()
        self._departures = Departures()
        self._asked_count = 0
        """Submissions whose answer is awaited."""
        self._submitted = asyncio.Event()
        self._failures = 0
        self._paused_until_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known to wait."""
        return not self._held and not self._is_more_stored

    def put(self, outgoing: Outgoing) -> None:
        """Send it when its turn comes."""
        if outgoing.id in self._held:
            return
        if self._put_meanwhile is not None:
            self._put_meanwhile.append(outgoing)
        elif self._is_more_stored or len(self._held) >= self._held_count_max:
            self._is_more_stored = True
        else:
            if not self._queue:
                self._departures.begin_waiting()
            self._queue.append(outgoing)
            self._held.add(outgoing.id)
            if outgoing.is_answer or len(self._queue) >= MANY:
                self._look_again.set()
        self._changed.set()

    async def flush(self, grace_s: float) -> None:
        """Wait until what is held was submitted, for so long at most; the rest is sent after the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._held and not self._failures and self._gateways.is_connected:
                    self._submitted.clear()
                    await self._submitted.wait()

    async def run(self) -> None:
        """Send, for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self._is_more_stored and not self._queue:
                    await self._load()
                pause_s = max(self._paused_until_s - loop.time(), self._next_in_s())
                if pause_s > 0:
                    self._look_again.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):
                            await self._look_again.wait()
                    continue  # A batch may have failed meanwhile, or another append been told of.
                batch = self._next_batch() if len(self._in_flight) < BATCHES_IN_FLIGHT_MAX else []
                if batch:
                    task = loop.create_task(self._submit(batch, self._departures.leave()))
                    self._in_flight.add(task)
                    task.add_done_callback(self._ended)
                    continue
                self._changed.clear()
                if not (self._is_more_stored and not self._queue):
                    await self._changed.wait()
        finally:
            for task in self._in_flight:
                task.cancel()

    def _next_in_s(self) -> float:
        count = len(self._queue)
        # Of many it does not matter what they are.
        is_answering = count < MANY and any(outgoing.is_answer for outgoing in self._queue)
        return self._departures.next_in_s(
            self._gateways.current.appends,
            count,
            is_any_asked=self._asked_count > 0,
            making_count=self._making_count() if is_answering else None,
        )

    async def _load(self) -> None:
        held = frozenset(self._held)
        self._put_meanwhile = []
        loaded = await self._store.run(
            lambda connection: outbox.queued(connection, self._sealer, held, self._held_count_max)
        )
        for outgoing in loaded:
            if outgoing.id not in self._held:
                self._queue.append(outgoing)
                self._held.add(outgoing.id)
        self._is_more_stored = len(loaded) == self._held_count_max
        # Behind the rows, if it is not one of them: it was stored after they were read, or more is left than is held.
        put_meanwhile, self._put_meanwhile = self._put_meanwhile, None
        for outgoing in put_meanwhile:
            self.put(outgoing)

    def _next_batch(self) -> list[Outgoing]:
        """What may be sent now, in order; the rest stays in order."""
        batch: list[Outgoing] = []
        size_bytes = 0
        passed_over: deque[Outgoing] = deque()
        blocked = set(self._busy_subjects)
        while self._queue and len(batch) < limits.SUBMIT_BATCH_COUNT_MAX:
            outgoing = self._queue.popleft()
            message_bytes = submission_bytes(outgoing)
            if outgoing.subject in blocked or size_bytes + message_bytes > limits.SUBMIT_BATCH_BYTES_MAX:
                blocked.add(outgoing.subject)
                passed_over.append(outgoing)
                continue
            batch.append(outgoing)
            size_bytes += message_bytes
        self._queue.extendleft(reversed(passed_over))
        self._busy_subjects.update(outgoing.subject for outgoing in batch)
        return batch

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._submitted.set()
        if not task.cancelled() and task.exception() is not None:
            _log.error("a batch failed: %s", type(task.exception()).__name__)
        self._changed.set()

    async def _submit(self, batch: list[Outgoing], left_s: float) -> None:
        undone = batch
        try:
            undone = await self._submit_once(batch, left_s)
        except Exception:
            self._back_off(None)
            raise
        finally:
            self._busy_subjects.difference_update(outgoing.subject for outgoing in batch)
            self._queue.extendleft(reversed(undone))
            self._held.difference_update({outgoing.id for outgoing in batch} - {outgoing.id for outgoing in undone})

    async def _submit_once(self, batch: list[Outgoing], left_s: float) -> list[Outgoing]:
        """Submit; returns what must be sent again, in order."""
        blocks = await self._signing.sign_all([outgoing.header for outgoing in batch])
        loop = asyncio.get_running_loop()
        signed_s = loop.time()
        gateway = await self._gateways.ready()
        left_s += loop.time() - signed_s  # Waiting for a connection is no part of the way.
        self._asked_count += 1
        try:
            results = await submit(gateway, list(zip(batch, blocks, strict=True)), left_s)
        finally:
            self._asked_count -= 1
            self._look_again.set()  # It was told of the next append, or nobody will be.
        if results is None or isinstance(results, OneCardError):
            self._pause(gateway, results)
            return batch
        return await self._take_results(gateway, batch, results)

    def _pause(self, gateway: Gateway, refusal: OneCardError | None) -> None:
        self._gateways.failed(gateway)
        self._back_off(refusal)

    def _back_off(self, refusal: OneCardError | None) -> None:
        pause_s = backoff_s(self._failures, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S)
        self._failures += 1
        if refusal is not None:
            pause_s = max(pause_s, min(refusal.retry_after_ms / 1000, _RETRY_TOLD_MOST_S))
        self._paused_until_s = asyncio.get_running_loop().time() + pause_s

    async def _take_results(
        self, gateway: Gateway, batch: list[Outgoing], results: Sequence[service_pb2.SubmitResult]
    ) -> list[Outgoing]:
        accepted: list[Outgoing] = []
        again: list[Outgoing] = []
        refused: list[tuple[Outgoing, OneCardError]] = []
        checks = await asyncio.gather(
            *[
                self._verification.is_receipted(result.receipt, outgoing)
                for outgoing, result in zip(batch, results, strict=True)
                if result.WhichOneof("result") == "receipt"
            ]
        )
        receipted = iter(checks)
        retry_after_ms = 0
        is_key_unknown = False
        for outgoing, result in zip(batch, results, strict=True):
            if result.WhichOneof("result") == "receipt":
                (accepted if next(receipted) else again).append(outgoing)
            elif policy(result.refusal.reason).retryable or result.refusal.reason == _KEY_UNKNOWN:
                is_key_unknown = is_key_unknown or result.refusal.reason == _KEY_UNKNOWN
                retry_after_ms = max(retry_after_ms, result.refusal.retry_after_ms)
                again.append(outgoing)
            else:
                refused.append((outgoing, from_rejection(result.refusal)))
        if is_key_unknown:
            _log.error(
                "the hub does not know this adapter's key yet; what waits is sent again. If this goes on, have the key"
                " entered in the hub's directory / 枢纽目录中尚无本适配器的密钥，将自动重发；若持续出现，请登记该密钥"
            )
        if again:
            self._pause(gateway, OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY, retry_after_ms=retry_after_ms))
        else:
            self._failures = 0
        await self._note(accepted, refused)
        return again

    async def _note(self, accepted: list[Outgoing], refused: list[tuple[Outgoing, OneCardError]]) -> None:
        ask_ms = self._clock.now_ms() + limits.ADAPTER_ANSWER_MS
        for outgoing, error in refused:
            _log.error("%s to %s was refused for good: %s", id_text(outgoing.id), outgoing.recipient, error)
        # A request was in a caller's hands before it came here: it may have been sent, so its refusal tells nothing.
        unknown = [outgoing.id for outgoing, _ in refused if outgoing.is_request]
        final = [(outgoing.id, error) for outgoing, error in refused if not outgoing.is_request]
        reports = [self._report(outgoing, error) for outgoing, error in refused if outgoing.is_answer]

        def write(connection: sqlite3.Connection) -> None:
            outbox.accept(connection, [outgoing.id for outgoing in accepted] + unknown, ask_ms=ask_ms)
            for message_id, error in final:
                outbox.end(connection, message_id, error)
            for reference, report in reports:
                inbox.give_up(connection, reference.sender, reference.id)
                outbox.insert(connection, self._sealer, report, OutboxState.QUEUED)

        is_brief = len(accepted) + len(refused) <= _BRIEF_COUNT_MAX
        # What is queued may wait for the subjects of these.
        await self._store.insist(write, is_brief=is_brief, within_s=0 if self._queue else _NOTE_S)
        for _, report in reports:
            self.put(report)

    def _report(self, answer: Outgoing, error: OneCardError) -> tuple[message_pb2.RequestReference, Outgoing]:
        """What an answer answers that the hub does not take, and the report that nothing better comes (rule 13)."""
        reference = message_pb2.MessageHeader.FromString(answer.header).reply_to
        report = self._writer.delivery_report(
            errors_pb2.ERROR_REASON_PROCESSING_FAILED,
            f"the hub refused the answer: {reason_name(error.reason)}: {error.detail}",
            method=answer.method,
            reference=reference,
        )
        return reference, report
