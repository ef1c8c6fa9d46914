"""The go command in docs/examples/go, and programs run as a person runs them."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "go"
RUN_SECONDS = 240
BUILD_SECONDS = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """What a program left behind."""

    code: int
    output: str
    errors: str


def go(*arguments: str) -> str:
    """Run the go command in the example's folder; returns what it printed, and fails the test with it if it fails."""
    ended = subprocess.run(
        ["go", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


async def run(*command: str | Path, directory: Path | None = None, environment: dict[str, str] | None = None) -> Ended:
    """Run a program to its end while the event loop goes on."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=directory,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, output.decode(), errors.decode())
