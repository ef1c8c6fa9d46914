"""The caring end of the load: as many at once as told, until the time is over."""

from __future__ import annotations

import array
import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final

from onecard.medical.v1 import coverage_pb2_grpc, encounter_pb2_grpc, settlement_pb2_grpc
from onecard_adapters.load import messages
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.clock import now_ms

RECIPIENT: Final = "cn-51"
CALL_SECONDS: Final = 24.0
PREPARE_MS: Final = 60_000


class Sent:
    """What was sent and answered: how many messages, and the end and duration of each call or batch in ms."""

    def __init__(self) -> None:
        self.message_count = 0
        self.ended_ms = array.array("q")
        self.duration_ms = array.array("q")
        self.failures: list[str] = []
        self.stale_count = 0
        """Statuses that could not be told, being too old."""

    def note(self, begun_ms: int, message_count: int) -> None:
        """One call or batch ended well now."""
        ended_ms = now_ms()
        self.message_count += message_count
        self.ended_ms.append(ended_ms)
        self.duration_ms.append(ended_ms - begun_ms)


class Sender:
    """Sends one kind of load."""

    def __init__(self, exchange: Exchange, sent: Sent) -> None:
        channel = exchange.to(RECIPIENT)
        self._encounters = encounter_pb2_grpc.EncounterServiceStub(channel)
        self._coverage = coverage_pb2_grpc.CoverageServiceStub(channel)
        self._settlements = settlement_pb2_grpc.SettlementServiceStub(channel)
        self._sent = sent
        self._serials = itertools.count(1)
        self._stays: list[tuple[int, str]] = []

    async def prepare_stays(self, count: int, concurrency: int) -> None:
        """Register stays to be settled."""
        serials = iter(range(1, count + 1))
        enough_ms = now_ms() + PREPARE_MS

        async def register() -> None:
            for serial in serials:
                if now_ms() > enough_ms:
                    return
                response = await self._encounters.Register(messages.registration(serial), timeout=CALL_SECONDS)
                self._stays.append((serial, response.encounter.encounter_id))

        await asyncio.gather(*[register() for _ in range(concurrency)])

    async def run(self, kind: str, *, until_ms: int, concurrency: int, rate_per_s: float | None) -> None:
        """Send until the time; at the rate given, or as fast as the concurrency allows."""
        one = {"calls": self._call, "settlements": self._settlement}[kind]
        if rate_per_s is None:
            await asyncio.gather(*[self._repeat(one, until_ms) for _ in range(concurrency)])
        else:
            await self._at_rate(one, until_ms, rate_per_s)

    async def _repeat(self, one: Callable[[], Awaitable[None]], until_ms: int) -> None:
        while now_ms() < until_ms:
            await self._tried(one)

    async def _at_rate(self, one: Callable[[], Awaitable[None]], until_ms: int, rate_per_s: float) -> None:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        begun = loop.time()
        for index in itertools.count():
            delay = begun + index / rate_per_s - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            if now_ms() >= until_ms:
                break
            task = loop.create_task(self._tried(one))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def _tried(self, one: Callable[[], Awaitable[None]]) -> None:
        try:
            await one()
        except Exception as error:  # Counted and shown at the end: the load must go on.
            self._sent.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.1)

    async def _call(self) -> None:
        begun_ms = now_ms()
        await self._coverage.QueryCoverage(messages.coverage_query(next(self._serials)), timeout=CALL_SECONDS)
        self._sent.note(begun_ms, 1)

    async def _settlement(self) -> None:
        if not self._stays:
            raise RuntimeError("more settlements were made than stays prepared")
        serial, encounter_id = self._stays.pop()
        begun_ms = now_ms()
        await self._settlements.PreSettle(messages.pre_settlement(serial, encounter_id), timeout=CALL_SECONDS)
        self._sent.note(begun_ms, 1)
        begun_ms = now_ms()
        await self._settlements.Settle(messages.settlement(serial, encounter_id), timeout=CALL_SECONDS)
        self._sent.note(begun_ms, 1)
