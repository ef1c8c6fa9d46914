"""A command that a drill runs ends with the drill."""

from __future__ import annotations

import asyncio
import sys

import psutil
import pytest

from onecard_stubs.dev import processes
from tests.support.eventually import eventually


async def test_a_command_tells_what_it_printed() -> None:
    code, output, errors = await processes.run_program("--version")

    assert (code, errors) == (0, b"")
    assert output.startswith(b"onecard ")


async def test_a_command_ends_with_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PROGRAM", (sys.executable, "-c", "import signal; signal.pause()", "waits"))
    waiting = asyncio.create_task(processes.run_program())

    def commands() -> list[psutil.Process]:
        return [one for one in psutil.Process().children() if one.cmdline()[-1:] == ["waits"]]

    await eventually(lambda: bool(commands()))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert commands() == []
