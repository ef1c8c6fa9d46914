"""What time appends goes on beside an append that hangs, as when a partition has no leader (rules 9 and 15)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from onecard_broker.directory.model import EMPTY_DIRECTORY
from onecard_broker.exchange.batch import OwnedPartition
from onecard_broker.exchange.upkeep import CONTROL_LEASE, Upkeep
from onecard_broker.log.port import Appended, AppendFailed, Record
from tests.support.exchange import eventually

pytest_plugins = ("tests.support.engines",)

LEADERLESS, LED = 0, 1


class HangingLog:
    """A log of which one partition has no leader; it counts what is appended to each."""

    def __init__(self) -> None:
        self.has_leader = asyncio.Event()
        self.begun: Counter[int] = Counter()
        self.appended: Counter[int] = Counter()
        self.refuses = False
        self.drops_what_is_old = asyncio.Event()

    async def append(self, records: Sequence[Record]) -> list[Appended]:
        partitions = {record.partition for record in records}
        self.begun.update(partitions)
        if LEADERLESS in partitions:
            await self.has_leader.wait()
        if self.refuses:
            raise AppendFailed([None] * len(records), "refused")
        self.appended.update(partitions)
        return []

    async def apply_retention(self) -> None:
        self.drops_what_is_old.set()
        await asyncio.Event().wait()


class Leases:
    """What the worker holds."""

    owned = frozenset({CONTROL_LEASE})


class History:
    """No control records yet."""

    newest_number = 0


class Ticker:
    """Counts its ticks."""

    def __init__(self) -> None:
        self.ticks = 0

    async def publish_and_tick(self) -> int:
        self.ticks += 1
        return 0


class Kept:
    """An upkeep of two idle partitions at work."""

    def __init__(self, dsn: str) -> None:
        self.log = HangingLog()
        self.leases = Leases()
        self.ticker = Ticker()
        partitions = {
            partition: OwnedPartition(
                partition=partition,
                log_epoch="epoch",
                position=0,
                now_ms=0,
                control_number=0,
                directory=EMPTY_DIRECTORY,
            )
            for partition in (LEADERLESS, LED)
        }
        self.upkeep = Upkeep(
            journal=cast(Any, self.log),
            dsn=dsn,
            leases=cast(Any, self.leases),
            history=cast(Any, History()),
            ticker=cast(Any, self.ticker),
            partitions=partitions,
        )


@pytest.fixture
async def kept(postgres_dsn: str) -> AsyncIterator[Kept]:
    running = Kept(postgres_dsn)
    running.upkeep.start()
    try:
        yield running
    finally:
        await running.upkeep.stop()


async def test_control_ticks_wait_for_no_partition_and_no_housekeeping(kept: Kept) -> None:
    await eventually(lambda: kept.log.begun[LEADERLESS] > 0)
    await eventually(kept.log.drops_what_is_old.is_set)
    before = kept.ticker.ticks

    # Both hang until the end of the test: a tick that waited for either would not come at all.
    await eventually(lambda: kept.ticker.ticks >= before + 3)

    assert kept.log.appended[LEADERLESS] == 0


async def test_an_idle_partition_ticks_while_another_ones_append_hangs(kept: Kept) -> None:
    await eventually(lambda: kept.log.begun[LEADERLESS] > 0)
    before = kept.log.appended[LED]

    await eventually(lambda: kept.log.appended[LED] >= before + 3)

    assert kept.log.begun[LEADERLESS] == 1, "ticks pile up before a partition that takes none"
    kept.log.has_leader.set()
    await eventually(lambda: kept.log.appended[LEADERLESS] >= 2)


async def test_a_partition_whose_append_failed_is_tried_again(kept: Kept) -> None:
    kept.log.refuses = True
    kept.log.has_leader.set()
    await eventually(lambda: kept.log.begun[LEADERLESS] >= 2)

    kept.log.refuses = False

    await eventually(lambda: kept.log.appended[LEADERLESS] > 0)


async def test_only_the_holder_of_the_lease_ticks_the_control_topic(kept: Kept) -> None:
    await eventually(lambda: kept.ticker.ticks > 0)
    kept.leases.owned = frozenset()
    before = kept.ticker.ticks

    partition_ticks = kept.log.appended[LED]
    await eventually(lambda: kept.log.appended[LED] >= partition_ticks + 4)

    assert kept.ticker.ticks == before
