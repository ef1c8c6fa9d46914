"""Publishes committed outputs: to the inboxes, and what is forwarded to the journal (rules 4 and 6).

In number order, from a watermark. A failed append is tried again from the first output that was not acknowledged; what
is published twice after a crash carries the same numbers and is dropped by its receivers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from onecard_broker.journal import delivery_record, forwarded_record, hub_tick_record, journal_partition
from onecard_broker.log.port import AppendFailed, Log, LogUnavailable, Record
from onecard_broker.records.exchange_store import Output
from onecard_protocol.value_class import value_class

log = logging.getLogger(__name__)

BACKLOG_COUNT_MAX: Final = 5_000
APPEND_COUNT_MAX: Final = 1_000
RETRY_SECONDS: Final = 0.2


@value_class(frozen=True, slots=True, kw_only=True)
class HubTick:
    """How far a partition of the hub's inbox is, to stand behind what was decided until then."""

    partition: int
    now_ms: int
    number: int


class Publisher:
    """Appends outputs to inboxes behind the commits, one append in flight."""

    def __init__(self, journal: Log) -> None:
        """`journal` is the log that the inboxes lie on."""
        self._log = journal
        self._backlog: deque[Output | HubTick] = deque()
        self._waiting = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._published: dict[tuple[str, int], int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish."""
        self._task = asyncio.create_task(self._run(), name="publisher")
        self._task.add_done_callback(self._let_everybody_see)

    async def stop(self) -> None:
        """Stop at once; what is not published stays in the outputs table and is published by the next owner."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def put(self, outputs: Sequence[Output | HubTick]) -> None:
        """Publish these behind what waits already; waits while the backlog is full.

        Raises what ended the publisher, if anything did: then nothing is published any more.
        """
        await self._room.wait()
        self._raise_what_ended_it()
        if outputs:
            self._backlog.extend(outputs)
            self._idle.clear()
            self._waiting.set()
            if len(self._backlog) >= BACKLOG_COUNT_MAX:
                self._room.clear()

    async def drained(self) -> None:
        """Wait until everything put so far is published; raises as `put` does."""
        await self._idle.wait()
        self._raise_what_ended_it()

    def take_published(self) -> dict[tuple[str, int], int]:
        """Watermarks reached since the last call, for the next transaction."""
        published, self._published = self._published, {}
        return published

    def give_back(self, published: dict[tuple[str, int], int]) -> None:
        """Return watermarks whose transaction was not committed."""
        for key, number in published.items():
            self._published[key] = max(number, self._published.get(key, 0))

    def _let_everybody_see(self, _: asyncio.Task[None]) -> None:
        self._room.set()
        self._idle.set()

    def _raise_what_ended_it(self) -> None:
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        while True:
            await self._waiting.wait()
            outputs = [self._backlog[index] for index in range(min(len(self._backlog), APPEND_COUNT_MAX))]
            acknowledged = await self._append(outputs)
            kept = [output for output, done in zip(outputs, acknowledged, strict=True) if not done]
            for output, done in zip(outputs, acknowledged, strict=True):
                self._backlog.popleft()
                if done and isinstance(output, Output):
                    self._published[(output.recipient, output.partition)] = output.number
            self._backlog.extendleft(reversed(kept))
            if len(self._backlog) < BACKLOG_COUNT_MAX:
                self._room.set()
            if not self._backlog:
                self._waiting.clear()
                self._idle.set()
            if kept:
                await asyncio.sleep(RETRY_SECONDS)

    async def _append(self, outputs: Sequence[Output | HubTick]) -> list[bool]:
        records = [_record(output) for output in outputs]
        try:
            await self._log.append(records)
        except AppendFailed as failure:
            log.warning("outputs not published, trying again: %s", failure.cause)
            return [result is not None for result in failure.results]
        except LogUnavailable as failure:
            log.warning("outputs not published, trying again: %s", failure)
            return [False] * len(records)
        return [True] * len(records)


def _record(output: Output | HubTick) -> Record:
    if isinstance(output, HubTick):
        return hub_tick_record(partition=output.partition, time_ms=output.now_ms, number=output.number)
    forwarded_to = journal_partition(output.recipient)
    if forwarded_to is None:
        return delivery_record(
            output.message,
            recipient=output.recipient,
            partition=output.partition,
            number=output.number,
            answers=output.answers,
            time_ms=output.decided_ms,
            pseudonym=output.subject,
        )
    # Published twice after a crash, it is a repeat by (sender, id), as one that its sender sends twice.
    return forwarded_record(
        output.message,
        partition=forwarded_to,
        pseudonym=output.subject,
        other_pseudonym=output.other_subject,
        question=output.answers,
        decided_ms=output.decided_ms,
    )
