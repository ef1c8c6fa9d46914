"""`onecard stub behave` switches a running local system, and only shows what is on where nothing is asked of it."""

import asyncio
import json
from typing import Any

from typer.testing import CliRunner

from onecard_stubs.commands import stub
from onecard_stubs.guangdong.core import GuangdongCore


async def behave(core: GuangdongCore, *options: str) -> Any:
    ended = await asyncio.to_thread(
        CliRunner().invoke, stub.app, ["behave", "--url", f"http://127.0.0.1:{core.port}", *options]
    )
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)


async def test_what_is_switched_on_is_shown_and_stays_on() -> None:
    core = GuangdongCore()
    await core.start()
    try:
        switched = await behave(core, "--lose-answer", "--calls", "2")
        assert (switched["*"]["lose_answer"], switched["*"]["calls_left"]) == (True, 2)

        assert await behave(core) == switched
        assert (await behave(core, "--trade", "*"))["*"]["lose_answer"] is False
        assert await behave(core, "--clear") == {}
    finally:
        await core.stop()
