"""A whole country for tests: the program `onecard` as a person calls it, and a country that stays up."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from onecard_broker.bootstrap import open_log
from onecard_broker.log.port import LoggedRecord
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.settings import load_hub_settings
from onecard_stubs.dev.postgres import EmbeddedPostgres
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.population import Population

PROGRAM = (sys.executable, "-m", "onecard_protocol.cli")
START_SECONDS = 180


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that ended."""

    code: int
    output: str
    errors: str

    def json(self) -> Any:
        """What it printed, which must be one JSON value and nothing else."""
        return json.loads(self.output)


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a person with an English locale and no settings of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONECARD_")}
    return kept | {"LC_ALL": "C", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | dict(changes or {})


def onecard(
    *arguments: str, changes: Mapping[str, str] | None = None, seconds: float = START_SECONDS, typed: str = ""
) -> Finished:
    """Run a command of the program to its end; `changes` go into its environment, a line is typed where nobody sees."""
    ended = subprocess.run(
        [*PROGRAM, *arguments],
        input=f"{typed}\n" if typed else "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
        env=environment(changes),
    )
    return Finished(code=ended.returncode, output=ended.stdout, errors=ended.stderr)


def country_with(directory: Path, *provinces: str) -> RunningCountry:
    """What a country of these provinces says of itself, which none of them carries out; it runs as long as we do."""
    return RunningCountry(
        directory=directory,
        log="embedded",
        hub_config=directory / "hub.yaml",
        places={},
        adapter_urls={},
        stub_urls=dict.fromkeys(provinces, "http://127.0.0.1:9"),
        adapter_stores={},
    )


@contextlib.contextmanager
def country_up(directory: Path, *options: str) -> Iterator[tuple[RunningCountry, subprocess.Popen[str]]]:
    """`onecard dev up` in a directory until the block ends; fails with what it printed if it does not come up."""
    printed = directory.with_suffix(".printed")
    with printed.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*PROGRAM, "dev", "up", "--directory", str(directory), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            env=environment(),
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (directory / "country.json").exists():
            assert process.poll() is None, printed.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, printed.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield RunningCountry.load(directory), process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextlib.contextmanager
def database_again(country: RunningCountry) -> Iterator[dict[str, str]]:
    """The database of a country that has ended, until the block ends; gives the variables by which commands find it."""
    postgres = EmbeddedPostgres(country.directory / "postgres")
    asyncio.run(postgres.start())
    try:
        yield {"ONECARD_DATABASE": postgres.dsn()}
    finally:
        asyncio.run(postgres.stop())


def personal_numbers() -> frozenset[str]:
    """Every number of the synthetic people that may stand in no log, key, header or error."""
    people = Population()
    return frozenset(
        number
        for person in (*people, *people.rare_named)
        for number in (
            person.identity_number,
            person.personal_number,
            person.card_number,
            person.bank_card_number,
            person.telephone,
        )
    )


def numbers_of(*areas: str) -> frozenset[str]:
    """The numbers of the people of the card offices of these areas."""
    people = [person for area in areas for person in Population(area)]
    return frozenset(
        number for person in people for number in (person.identity_number, person.card_number, person.bank_card_number)
    )


def numbers_in(content: bytes, numbers: frozenset[str]) -> list[str]:
    """Which of the numbers stand in the bytes, masked so that no report shows one."""
    return [f"{number[:3]}…{number[-2:]}" for number in numbers if number.encode() in content]


async def records_of(hub_config: Path, *topics: str) -> list[LoggedRecord]:
    """Everything in the topics."""
    log = await open_log(load_hub_settings(hub_config))
    window = LogWindow(log)
    try:
        return [record for topic in topics async for record in window.topic(topic)]
    finally:
        await window.close()
        await log.close()


def processes_of(directory: Path) -> list[psutil.Process]:
    """Processes that name the directory on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(directory) in line and process.info["pid"] != os.getpid():
            found.append(process)
    return found
