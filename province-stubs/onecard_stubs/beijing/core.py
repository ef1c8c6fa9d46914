"""The card office as a process: its own work on its tables, and what people do there, under /control.

    POST /control/command/report_lost    {"identity_number": …, "is_formal": true, "release_after_s": 5}
    POST /control/command/report_found   set_status (aaz502), enable (ends_old), show
    POST /control/command/produce        {"identity_number": …, "kind": "2", "is_instant": true}
    POST /control/command/replace        the same, and enables the card that was made
    POST /control/command/confirm_benefit_account {"identity_number": …, "bank": "102"}: the agency changed it
    POST /control/command/open_batch     {"count": 20, "failures": 2}: an employer opens cards
    POST /control/command/hourly_batch   {"repeats": 3, "seed": 1}
    POST /control/command/disagree       {"card_number": …, "aac019": 3, "ckkstatus": "1"}

A card is named by identity_number (the person's newest) or card_number. What changes a card answers card_number and
committed_ms, the time right after the commit. Steps of replacements are worked off by themselves; the switches of the
trade "step-" and the step's name hold them up (down, delay_ms) or refuse them (wrong_code).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from onecard_stubs.beijing.columns_key import ColumnsKey
from onecard_stubs.beijing.office import CardOffice
from onecard_stubs.beijing.rows import PROVINCE_AREA
from onecard_stubs.beijing.tables import NEW, REISSUE
from onecard_stubs.population import Population
from onecard_stubs.serving import HOST, ServedSystem

HOLDERS: Final = 200
"""People who have a card from the start."""
RESERVE: Final = 1_000
"""People without a card, for whom one can be made."""
_WORK_S: Final = 0.2

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class BeijingCardOffice(ServedSystem):
    """One office on one database."""

    def __init__(self, database: str, key_file: Path, *, holders: int = HOLDERS, reserve: int = RESERVE) -> None:
        super().__init__()
        self.population = Population(PROVINCE_AREA, count=holders + reserve)
        self.office = CardOffice(database, ColumnsKey.load(key_file), self.population, holders=holders)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="card-office")
        self._working: asyncio.Task[None] | None = None

    async def start(self, host: str = HOST, port: int = 0) -> None:
        """Open the tables, listen, and work; OSError if the port is taken."""
        await self._run(self.office.open)
        await self._listen(
            host,
            port,
            {
                "report_lost": self.report_lost,
                "report_found": self.report_found,
                "set_status": self.set_status,
                "enable": self.enable,
                "produce": self.produce,
                "replace": self.replace,
                "confirm_benefit_account": self.confirm_benefit_account,
                "open_batch": self.open_batch,
                "hourly_batch": self.hourly_batch,
                "disagree": self.disagree,
                "show": self.show,
            },
        )
        self._working = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop; the tables stay."""
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
        await super().stop()
        await self._run(self.office.close)

    async def report_lost(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The hotline. is_formal: false ends by itself after release_after_s (ten days)."""
        return await self._run(
            lambda: self.office.report_lost(
                arguments,
                is_formal=bool(arguments.get("is_formal", False)),
                release_after_s=arguments.get("release_after_s"),
            )
        )

    async def report_found(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The hotline."""
        return await self._run(lambda: self.office.report_found(arguments))

    async def set_status(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Takes aaz502."""
        return await self._run(lambda: self.office.set_status(arguments, int(arguments["aaz502"])))

    async def enable(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Enable what was made; ends_old: the office itself cancels the former card."""
        return await self._run(lambda: self.office.enable(arguments, ends_old=bool(arguments.get("ends_old", False))))

    async def produce(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a card: kind 1 the first, 2 after a loss, 3 in exchange, 4 under the same number."""
        return await self._run(
            lambda: self.office.produce(
                str(arguments["identity_number"]),
                kind=str(arguments.get("kind", NEW)),
                is_instant=bool(arguments.get("is_instant", True)),
            )
        )

    async def replace(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a card that follows another and enable it at once."""
        made = await self.produce({"kind": REISSUE, **arguments})
        return {"row": made["row"], **await self.enable(arguments)}

    async def confirm_benefit_account(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The agency pays benefits to the new card's account from now on."""
        return await self._run(
            lambda: self.office.confirm_benefit_account(arguments, str(arguments.get("bank", "102")))
        )

    async def open_batch(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """An employer opens cards."""
        count, failures = int(arguments["count"]), int(arguments.get("failures", 0))
        return await self._run(lambda: self.office.open_batch(count, failures=failures))

    async def hourly_batch(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Rows of the last two hours, written anew."""
        repeats, seed = int(arguments.get("repeats", 1)), int(arguments.get("seed", 0))
        return await self._run(lambda: self.office.hourly_batch(repeats=repeats, seed=seed))

    async def disagree(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Statuses of bank and registry in the tables that the card's own contradicts."""
        aac019, ckkstatus = arguments.get("aac019"), arguments.get("ckkstatus")
        return await self._run(lambda: self.office.disagree(arguments, aac019=aac019, ckkstatus=ckkstatus))

    async def show(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """A person's cards; without a person, rows by table and the first holders' identity numbers."""
        if "identity_number" in arguments or "card_number" in arguments:
            return {"cards": await self._run(lambda: self.office.show(arguments))}
        holders = [person.identity_number for person in self.population.people[:10]]
        return {**await self._run(self.office.count), "holders": holders}

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _work(self) -> None:
        """Release what is due and work steps off, for ever."""
        while True:
            await self._run(self.office.release)
            for task in await self._run(self.office.open_steps):
                await self._work_off(task)
            await asyncio.sleep(_WORK_S)

    async def _work_off(self, task: Mapping[str, Any]) -> None:
        switches = self.behaviours.take(f"step-{task['step']}")
        if switches.down:
            return
        await asyncio.sleep(switches.delay_ms / 1_000)
        refused = "系统拒绝办理" if switches.wrong_code else None
        await self._run(lambda: self.office.end_step(task, refused=refused))
