"""An adapter whose disk is full: what comes in waits for room, and nothing ends by it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceStub
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime import store as store_module
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.identifiers import new_message_id
from tests.integration.test_sdk_calls import IN_VAIN_S
from tests.support.eventually import eventually
from tests.support.sdk_country import Country, Insured, country, settle_request
from tests.support.sdk_messages import settlement


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        made.hub.add_participant("cn-44")
        made.hub.add_participant("cn-51")
        yield made


@pytest.fixture
def refuse_first(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str], list[int]]:
    """Makes the disk refuse an operation three times; the list holds how often it still will."""
    monkeypatch.setattr(store_module, "_INSIST_FIRST_S", 0.01)

    def install(module: ModuleType, operation: str) -> list[int]:
        real, left = getattr(module, operation), [3]

        def refuse(*arguments: Any, **named: Any) -> Any:
            if left[0]:
                left[0] -= 1
                raise sqlite3.OperationalError("database or disk is full")
            return real(*arguments, **named)

        monkeypatch.setattr(module, operation, refuse)
        return left

    return install


async def test_a_delivery_waits_for_room_on_the_disk(
    one: Country, refuse_first: Callable[[ModuleType, str], list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    insured = Insured()
    async with one.province("cn-51", insured) as exchange:
        left = refuse_first(inbox, "advance")
        known = one.hub.admit(settlement(one, "a"))
        await eventually(lambda: not left[0])
        failed = asyncio.create_task(exchange.wait_failed())
        await eventually(lambda: failed.done() or one.hub.known[known.key].outcome is not None)
        assert not failed.done(), failed.result()
        failed.cancel()

    assert insured.settled == ["a"]
    assert "cannot be written (database or disk is full)" in caplog.text


@pytest.mark.parametrize("operation", ["ask_again", "answer"])
async def test_what_is_learnt_of_an_overdue_request_waits_for_room_on_the_disk(
    one: Country, refuse_first: Callable[[ModuleType, str], list[int]], operation: str
) -> None:
    one.hub.faults.answers_by_call = one.hub.faults.answers_by_inbox = False
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-44") as care, contextlib.AsyncExitStack() as insured:
        if operation == "answer":
            await insured.enter_async_context(one.province("cn-51", Insured()))
        stub = SettlementServiceStub(care.to("cn-51", message_id=message_id))
        with pytest.raises(CallFailed):
            await stub.Settle(settle_request(), timeout=IN_VAIN_S)
        left = refuse_first(outbox, operation)
        failed = asyncio.create_task(care.wait_failed())
        # 27 s after its making the question is due.
        one.hub.faults.clock_offset_ms = 30_000
        await eventually(lambda: failed.done() or not left[0])
        await care.store.run(lambda _: None)  # Behind what was refused.
        assert not failed.done(), failed.result()
        failed.cancel()
