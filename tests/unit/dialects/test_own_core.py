"""What the own core may have got is sent again only where its profile says that it knows a number again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.in_part import AskedBefore
from onecard_adapters.dialects.own_core import OwnCoreCalls, OwnCoreRecovery
from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from tests.support.infno_country import open_memory

MESSAGE_ID = bytes(range(16))


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[EdgeMemory]:
    async with open_memory(tmp_path / "care.db") as opened:
        yield opened


class Core:
    """Answers as it is told, and counts."""

    def __init__(self, *outcomes: str | BaseException) -> None:
        self.outcomes = list(outcomes)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def calls(memory: EdgeMemory, recovery: OwnCoreRecovery = "none") -> OwnCoreCalls[str]:
    return OwnCoreCalls(memory, recovery, write=str, read=str)


async def transaction(memory: EdgeMemory) -> Transaction:
    """As each request of the hospital finds it."""
    return await memory.remember_transaction("H1", "1", bytes(32), MESSAGE_ID, "method", "encounter", {})


async def ask(memory: EdgeMemory, core: Core, recovery: OwnCoreRecovery = "none") -> str:
    return await calls(memory, recovery).ask("2401", "1", await transaction(memory), core)


async def test_what_a_crash_cut_off_is_never_sent_again_under_its_number(tmp_path: Path) -> None:
    core = Core(asyncio.CancelledError(), "never")
    async with open_memory(tmp_path / "crash.db") as memory:
        with pytest.raises(asyncio.CancelledError):
            await ask(memory, core)
    async with open_memory(tmp_path / "crash.db") as memory:
        for _ in range(2):
            with pytest.raises(AskedBefore, match="2401 may have reached the own core"):
                await ask(memory, core)
    assert core.count == 1


async def test_the_mark_is_durable_before_the_core_is_asked(memory: EdgeMemory) -> None:
    seen: list[dict[str, str]] = []

    async def look() -> str:
        seen.append(dict((await transaction(memory)).attributes))
        return "done"

    await calls(memory).ask("2401", "1", await transaction(memory), look)
    assert seen == [{"asked 2401 1": "?"}]


async def test_an_answer_that_is_missing_leaves_it_in_doubt(memory: EdgeMemory) -> None:
    core = Core(OutcomeInDoubt("no answer"), "never")
    for _ in range(2):
        with pytest.raises(AskedBefore):
            await ask(memory, core)
    assert core.count == 1


async def test_what_the_core_did_not_do_is_asked_again_and_what_it_answered_is_kept(memory: EdgeMemory) -> None:
    core = Core(OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN), "visit 7", "another visit")
    with pytest.raises(OneCardError) as refused:
        await ask(memory, core)
    assert refused.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
    assert [await ask(memory, core) for _ in range(3)] == ["visit 7"] * 3
    assert core.count == 2


async def test_a_core_that_knows_a_number_again_is_asked_again(memory: EdgeMemory) -> None:
    core = Core(asyncio.CancelledError(), OutcomeInDoubt("no answer"), "as before")
    for error in (asyncio.CancelledError, OutcomeInDoubt):
        with pytest.raises(error):
            await ask(memory, core, "repeat")
    assert await ask(memory, core, "repeat") == "as before"
    assert (await transaction(memory)).attributes == {}
