"""Decisions are followed on both logs: outputs and ticks of the hub's inbox as workers write them."""

from __future__ import annotations

import asyncio
import contextlib

from onecard_broker.gateway.decisions import Decisions
from onecard_broker.journal import inbox_topic
from onecard_broker.log.port import Log, TopicSpec
from tests.support.gateway import eventually
from tests.support.hub_inbox import HubInbox
from tests.support.logs import PARTITION_COUNT

pytest_plugins = ("tests.support.engines",)

PERSON = "a" * 64
BEGUN_MS = 1_000_000


class Listener:
    def __init__(self) -> None:
        self.dropped: list[str] = []

    def drop(self, subject: str) -> None:
        self.dropped.append(subject)

    def clear(self) -> None:
        """Nothing is remembered here."""


async def tick(log: Log, inbox: HubInbox, now: list[int]) -> None:
    """What workers of all partitions write, four times a second."""
    while True:
        await log.append([inbox.tick(partition, now[0]) for partition in range(PARTITION_COUNT)])
        now[0] += 250
        await asyncio.sleep(0.05)


async def test_every_partition_becomes_known_and_an_output_is_heard_before_the_tick_behind_it(log: Log) -> None:
    await log.ensure_topics([TopicSpec(name=inbox_topic("cn-00"), partition_count=PARTITION_COUNT)])
    inbox, listener, now = HubInbox(), Listener(), [BEGUN_MS]
    decisions = Decisions(log, [listener])
    decisions.start()
    ticking = asyncio.create_task(tick(log, inbox, now))
    try:
        await eventually(lambda: len(decisions.known_ms) == PARTITION_COUNT)

        now[0] += 100_000
        await log.append([inbox.output(3, PERSON)])
        await eventually(lambda: decisions.known_ms[3] >= BEGUN_MS + 100_000)

        assert listener.dropped == [PERSON]
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        await decisions.stop()
