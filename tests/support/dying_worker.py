"""A worker process that kills itself (SIGKILL) once at each point of each transaction that changes a replacement.

The worker is the product's. A process that has loaded everything forks a new one whenever one has died: some 70 of them
start in the time in which a dozen programs would. Each has the dead one's name, so its leases need not run out first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, Final

from onecard_broker.domain.card_state import Cardholder, Replacement
from onecard_broker.domain.replacement_states import ReplacementPhase, StepPhase
from onecard_broker.exchange.decider import Decider
from onecard_broker.exchange.worker import ExchangeWorker
from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.records import exchange_store
from onecard_broker.records.card_registry import CardRegistry
from onecard_protocol import limits
from tests.support.eventually import eventually
from tests.support.exchange import Exchange, new_signer
from tests.support.logs import IN_FLIGHT_BYTES_MAX, PARTITION_COUNT

BEFORE: Final = "before the commit"
BEHIND: Final = "behind it"
PUBLISHED: Final = "behind the publishing of its outputs"
POINTS: Final = (BEFORE, BEHIND, PUBLISHED)
_HOUR_MS: Final = 3_600_000
_REPOSITORY: Final = Path(__file__).resolve().parents[2]


def state_name(replacement: Replacement) -> str:
    """Where the whole and its steps stand, each with how often it was asked for: "running: done asked1 - - - -"."""
    steps = [
        "-" if step.phase == StepPhase.WAITING else f"{step.phase}{len(step.asked_ids) or ''}"
        for step in replacement.steps
    ]
    return f"{replacement.phase}{', alarmed' * replacement.is_alarmed}: {' '.join(steps)}"


class Deaths:
    """The file of the deaths that were died, in order, as (point, state)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.touch()

    def all(self) -> list[tuple[str, str]]:
        """Every death so far."""
        return [tuple(json.loads(line)) for line in self._file.read_text(encoding="utf-8").splitlines()]

    def die(self, point: str, state: str) -> None:
        """kill -9, unless that was died before."""
        if (point, state) not in self.all():
            with self._file.open("a", encoding="utf-8") as deaths:
                deaths.write(json.dumps([point, state]) + "\n")
            os.kill(os.getpid(), signal.SIGKILL)


class DyingWorker:
    """The worker as a test has it: there is another one whenever it has died by itself."""

    def __init__(self, directory: Path, dsn: str, *, phases: Collection[ReplacementPhase]) -> None:
        """It dies of what leads to one of the `phases`."""
        file = directory / "deaths"
        self._deaths = Deaths(file)
        configuration = {"dsn": dsn, "deaths": str(file), "phases": list(phases)}
        self._environment = {**os.environ, "DYING_WORKER": json.dumps(configuration)}
        self._process: asyncio.subprocess.Process | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Alive, or about to be again."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.dying_worker"),
            env=self._environment,
            cwd=_REPOSITORY,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def survived(self, state: str) -> None:
        """Wait until it has died at every point of a state, of which nothing else is left to do."""
        wanted = {(point, state) for point in POINTS}
        await eventually(lambda: self._has_failed or wanted <= set(self._deaths.all()))
        assert not self._has_failed, "the worker ended otherwise than by its own hand"

    def died_of(self) -> list[tuple[str, str]]:
        """(point, state) of each death, in order."""
        return self._deaths.all()

    @property
    def _has_failed(self) -> bool:
        return self._process is None or self._process.returncode is not None


def _watch(deaths: Deaths, phases: Collection[str]) -> None:
    """Die in the transaction that writes a new state, behind its commit, and when its outputs are published."""
    save, check_advanced = CardRegistry.save, exchange_store.check_advanced
    process, take_partitions = Decider.process, ExchangeWorker._take_partitions
    under_way: list[str] = []

    async def watched_save(self: CardRegistry, connection: Any, changes: Any) -> None:
        await save(self, connection, changes)
        for before, after in changes.values():
            under_way.extend(_new_states(before, after, phases))

    def dying_before(*arguments: Any) -> None:
        check_advanced(*arguments)
        for state in under_way:
            deaths.die(BEFORE, state)

    async def dying_behind(*arguments: Any) -> Any:
        under_way.clear()
        outputs = await process(*arguments)
        for state in under_way:
            deaths.die(BEHIND, state)
        return outputs

    async def dying_published(self: ExchangeWorker) -> None:
        await take_partitions(self)
        for point, state in deaths.all()[-1:]:
            if point == BEHIND:
                await self.published()
                deaths.die(PUBLISHED, state)

    CardRegistry.save = watched_save  # type: ignore[method-assign]
    exchange_store.check_advanced = dying_before  # type: ignore[assignment]
    Decider.process = dying_behind  # type: ignore[method-assign, assignment]
    ExchangeWorker._take_partitions = dying_published  # type: ignore[method-assign]


def _new_states(before: Cardholder | None, after: Cardholder, phases: Collection[str]) -> list[str]:
    known = before.replacements if before else ()
    return [state_name(one) for one in after.replacements if one not in known and one.phase in phases]


async def _live(dsn: str, signer: Any) -> None:
    log = await EmbeddedLog.open(dsn, partition_count=PARTITION_COUNT, in_flight_bytes_max=IN_FLIGHT_BYTES_MAX)
    exchange = Exchange(log, dsn)
    exchange.signer = signer
    await exchange.new_worker("worker-1").run()


def main() -> None:
    """Have a worker live, and another one when it has killed itself; any other end ends this."""
    configuration = json.loads(os.environ["DYING_WORKER"])
    deaths = Deaths(Path(configuration["deaths"]))
    # Nothing is due while the test does nothing: it has the time pass.
    vars(limits).update(REPLACEMENT_RETRY_DELAYS_MS=(_HOUR_MS,), UNKNOWN_TIMER_MS=_HOUR_MS)
    _watch(deaths, configuration["phases"])
    signer = new_signer("hub-key")
    while True:
        death_count = len(deaths.all())
        process_id = os.fork()
        if process_id == 0:
            sys.exit(asyncio.run(_live(configuration["dsn"], signer)))
        _, status = os.waitpid(process_id, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL or len(deaths.all()) != death_count + 1:
            sys.exit(f"the worker ended with {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
