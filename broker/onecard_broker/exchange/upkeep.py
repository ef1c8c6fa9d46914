"""What time appends to the journal: due timers, ticks of idle partitions, copies of control records (rules 9 and 15).

All of it is safe to append twice: a spent timer, a repeated number and an old tick do nothing. No partition waits for
another one's append, and the control topic's ticks, without which every gateway stops admitting, wait for none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import psycopg

from onecard_broker.directory.publication import ControlTicker
from onecard_broker.exchange.batch import OwnedPartition
from onecard_broker.exchange.control_history import ControlHistory
from onecard_broker.exchange.leases import LeaseKeeper
from onecard_broker.journal import (
    JOURNAL_TOPIC,
    control_record,
    tick_record,
    timer_record,
)
from onecard_broker.log.port import Log, LogError, LoggedRecord, Record
from onecard_broker.records import exchange_store as store
from onecard_broker.records.pool import Connection, connect
from onecard_broker.records.schema import ensure_days
from onecard_protocol import limits
from onecard_protocol.clock import now_ms

log = logging.getLogger(__name__)

CONTROL_LEASE: Final = "control"
STEP_SECONDS: Final = 0.1
TIMERS_SECONDS: Final = 0.25
REPEAT_SECONDS: Final = 10.0
DUE_COUNT_MAX: Final = 500
DAYS_SECONDS: Final = 3_600.0
RETRY_SECONDS: Final = 0.5


class Upkeep:
    """Runs beside one worker and appends for the partitions that the worker owns."""

    def __init__(
        self,
        *,
        journal: Log,
        dsn: str,
        leases: LeaseKeeper,
        history: ControlHistory,
        ticker: ControlTicker,
        partitions: Mapping[int, OwnedPartition],
    ) -> None:
        """`partitions` is the worker's own view, read here at each step."""
        self._log = journal
        self._dsn = dsn
        self._leases = leases
        self._history = history
        self._ticker = ticker
        self._partitions = partitions
        self._last_seen: dict[int, float] = {}
        self._timers_sent: dict[tuple[int, bytes], float] = {}
        self._control_sent: dict[int, tuple[int, float]] = {}
        self._ticked = 0.0
        self._timers_read = 0.0
        self._days_ensured = -DAYS_SECONDS
        self._connection: Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._appending: dict[int, asyncio.Task[None]] = {}
        """By partition, the append that is under way; until it ends nothing more is made for the partition."""

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._repeat(step), name=f"upkeep: {name}")
            for name, step in (
                ("partitions", self._step),
                ("control ticks", self._tick_control),
                ("housekeeping", self._keep_house),
            )
        ]

    async def stop(self) -> None:
        """Stop; what is due is appended by the next owner."""
        tasks = [*self._tasks, *self._appending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    def saw(self, records: Sequence[LoggedRecord]) -> None:
        """Note that partitions are not idle."""
        now = time.monotonic()
        for record in records:
            self._last_seen[record.partition] = now

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(STEP_SECONDS)
            try:
                await step()
            except (psycopg.Error, LogError) as error:
                log.warning("upkeep waits for database or log: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # A fault of ours in one step must not end the others, or timers stop without a word.
                log.exception("a step of upkeep failed")
                await asyncio.sleep(RETRY_SECONDS)

    async def _tick_control(self) -> None:
        now = time.monotonic()
        if CONTROL_LEASE in self._leases.owned and now - self._ticked >= limits.TICK_MS / 1000:
            self._ticked = now
            await self._ticker.publish_and_tick()

    async def _keep_house(self) -> None:
        now = time.monotonic()
        if CONTROL_LEASE in self._leases.owned and now - self._days_ensured >= DAYS_SECONDS:
            await asyncio.to_thread(ensure_days, self._dsn, now_ms())
            self._days_ensured = now
            await self._log.apply_retention()

    async def _step(self) -> None:
        now = time.monotonic()
        free = {partition: owned for partition, owned in self._partitions.items() if partition not in self._appending}
        records = self._control_copies(now, free) + self._ticks(now, free)
        if now - self._timers_read >= TIMERS_SECONDS:
            self._timers_read = now
            records += await self._due_timers(now, free)
        by_partition: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        for partition, due in by_partition.items():
            self._appending[partition] = asyncio.create_task(self._append(partition, due))

    async def _append(self, partition: int, records: Sequence[Record]) -> None:
        try:
            await self._log.append(records)
        except LogError as error:
            log.warning("upkeep of partition %d waits for the log: %s", partition, type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            del self._appending[partition]

    def _control_copies(self, now: float, partitions: Mapping[int, OwnedPartition]) -> list[Record]:
        records: list[Record] = []
        newest = self._history.newest_number
        for partition, owned in partitions.items():
            applied = owned.control_number
            sent, sent_at = self._control_sent.get(partition, (applied, now))
            if sent > applied and now - sent_at > REPEAT_SECONDS:
                sent = applied  # Lost or overtaken by another owner: a repeated number does nothing.
            sent = max(sent, applied)
            for number in range(sent + 1, newest + 1):
                records.append(
                    control_record(
                        self._history.message(number),
                        number,
                        topic=JOURNAL_TOPIC,
                        partition=partition,
                        time_ms=now_ms(),
                    )
                )
            if newest > sent:
                self._control_sent[partition] = (newest, now)
        return records

    async def _due_timers(self, now: float, partitions: Mapping[int, OwnedPartition]) -> list[Record]:
        now_by_partition = {partition: owned.now_ms for partition, owned in partitions.items()}
        if not now_by_partition:
            return []
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._dsn, application_name="onecard upkeep", looks_up=True)
        try:
            due = await store.due_timers(self._connection, now_by_partition, DUE_COUNT_MAX)
        except psycopg.Error:
            await self._connection.close()
            raise
        keys = {(partition, timer.id) for partition, timer in due}
        self._timers_sent = {
            key: sent for key, sent in self._timers_sent.items() if key in keys or key[0] in self._appending
        }
        records = []
        for partition, timer in due:
            if now - self._timers_sent.get((partition, timer.id), -REPEAT_SECONDS) >= REPEAT_SECONDS:
                self._timers_sent[(partition, timer.id)] = now
                records.append(timer_record(timer.id, partition=partition, time_ms=now_ms()))
        return records

    def _ticks(self, now: float, partitions: Mapping[int, OwnedPartition]) -> list[Record]:
        """Ticks of idle partitions, appended together: when one is due, those that will be due soon go with it."""
        idle = {partition: now - self._last_seen.get(partition, 0.0) for partition in partitions}
        due_s = limits.PARTITION_IDLE_TICK_MS / 1000
        if max(idle.values(), default=0.0) < due_s:
            return []
        soon = [partition for partition, idle_s in idle.items() if idle_s >= due_s / 2]
        self._last_seen.update(dict.fromkeys(soon, now))
        return [tick_record(partition=partition, time_ms=now_ms()) for partition in soon]
