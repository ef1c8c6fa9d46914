"""What the submission pump counts as the way to a gateway."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from onecard_adapters.sdk import submission
from onecard_adapters.sdk.submission import Submission


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
    )
    monkeypatch.setattr(submission, "submit", submit)
    begun_s = asyncio.get_running_loop().time()
    submitting = asyncio.create_task(pump._submit_once([], begun_s))
    await asyncio.sleep(0.05)
    connected_s = asyncio.get_running_loop().time()
    connected.set()
    await submitting

    assert left[0] >= begun_s + 0.9 * (connected_s - begun_s)
