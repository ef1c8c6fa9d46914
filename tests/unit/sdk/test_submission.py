"""What the submission pump counts as the way to a gateway, and when answers leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.sdk import departures, submission
from onecard_adapters.sdk.departures import Appends
from onecard_adapters.sdk.submission import Submission
from tests.support.eventually import eventually


async def test_waiting_for_a_connection_is_no_part_of_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = asyncio.Event()
    left: list[float] = []

    async def ready() -> object:
        await connected.wait()
        return object()

    async def sign_all(headers: list[bytes]) -> list[bytes]:
        return []

    async def submit(gateway: object, messages: object, left_s: float) -> None:
        left.append(left_s)

    anything: Any = None
    gateways: Any = SimpleNamespace(ready=ready, failed=lambda gateway: None)
    pump = Submission(
        store=anything,
        sealer=anything,
        gateways=gateways,
        signing=SimpleNamespace(sign_all=sign_all),  # type: ignore[arg-type]
        verification=anything,
        clock=anything,
        writer=anything,
        making_count=lambda: 0,
    )
    monkeypatch.setattr(submission, "submit", submit)
    begun_s = asyncio.get_running_loop().time()
    submitting = asyncio.create_task(pump._submit_once([], begun_s))
    await asyncio.sleep(0.05)
    connected_s = asyncio.get_running_loop().time()
    connected.set()
    await submitting

    assert left[0] >= begun_s + 0.9 * (connected_s - begun_s)


class Pump(Submission):
    """One whose submissions are taken, and go nowhere."""

    def __init__(self, appends: Appends, *, making_count: Callable[[], int]) -> None:
        anything: Any = None
        gateways: Any = SimpleNamespace(current=SimpleNamespace(appends=appends))
        super().__init__(
            store=anything,
            sealer=anything,
            gateways=gateways,
            signing=anything,
            verification=anything,
            clock=anything,
            writer=anything,
            making_count=making_count,
        )
        self._is_more_stored = False
        self.left: list[list[Outgoing]] = []

    async def _submit(self, batch: list[Outgoing], left_s: float) -> None:
        self.left.append(batch)


def outgoing(number: int, kind: message_pb2.MessageKind) -> Outgoing:
    """A message of a kind."""
    return Outgoing(
        id=number.to_bytes(16),
        recipient="cn-44",
        method="",
        kind=kind,
        header=b"",
        payload=b"",
        subject=number.to_bytes(16),
    )


async def test_the_last_answer_that_was_in_the_making_takes_all_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "HELD_S_MAX", 3_600.0)
    making, appends = 2, Appends()
    appends.next_s, appends.holding_s = asyncio.get_running_loop().time() + 3_600.0, 0.015
    pump = Pump(appends, making_count=lambda: making)
    running = asyncio.create_task(pump.run())
    event = outgoing(1, message_pb2.MESSAGE_KIND_EVENT)
    pump.put(event)
    answers = [outgoing(number, message_pb2.MESSAGE_KIND_REPLY) for number in (2, 3)]
    pump.put(answers[0])
    for _ in range(10):
        await asyncio.sleep(0)
    assert not pump.left
    making = 0
    pump.put(answers[1])
    await eventually(lambda: bool(pump.left))
    assert pump.left == [[event, *answers]]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
