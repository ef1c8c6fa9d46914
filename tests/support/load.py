"""A steady load of medical flows by one hospital in Guangdong, whose cashiers do not give up.

What a cashier's program does with the answers is fixed here, as their interface asks it of them: without an answer, or
with one that says "query or reverse", the very same bytes go out again; what was refused because the other side could
not be reached in time is done anew. Every trade is kept with all that became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import aiohttp

from onecard_protocol.errors import policy, reason_from_name
from onecard_stubs.behaviour import Switches
from onecard_stubs.dev.country import Country
from onecard_stubs.guangdong.counter import Answer, FeeItem, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.population import Person, Population

PLACE_OF_CARE: Final = "cn-44"
INSURED: Final = "cn-51"
INSURANCE_KIND: Final = "310"
SETTLE: Final = "2304"
CANCEL: Final = "2305"
REVERSE: Final = "2601"

IN_DOUBT: Final = -1
REFUSED: Final = -2
_REASON: Final = re.compile(r"^\[([A-Z_]+)\]")
# It was not done and never will be under this number: a cashier does it anew.
_NOT_DONE: Final = frozenset({"EXPIRED", "NOT_EXECUTED", "NEVER_EXECUTED", "OUTCOME_ALREADY_TOLD", "REVERSED"})
_REPEAT_S: Final = 0.5
_REST_S: Final = 0.3
_ENDING_S: Final = 240
"""Longer than a cashier's patience with two trades."""
_ITEMS: Final = (
    FeeItem(code="001109000010000-110900001", name="普通病房床位费", quantity=Decimal("3"), price=Decimal("65")),
    FeeItem(code="XB01AAA000A001010000000", name="低分子肝素注射液", quantity=Decimal("2"), price=Decimal("38.4")),
    FeeItem(code="002103000010000-210300001", name="CT平扫", quantity=Decimal("1"), price=Decimal("245")),
)


@dataclass(slots=True, kw_only=True)
class Trade:
    """One request of the hospital, known by its msgid, and every answer to its bytes."""

    infno: str
    msgid: str
    body: bytes = field(repr=False)
    visit_id: str
    omsgid: str
    """msgid of the trade that a 2601 reverses."""
    answers: list[Answer] = field(default_factory=list)
    unanswered_count: int = 0
    """How often the connection broke, or no answer came that can be read."""

    @property
    def outcome(self) -> Answer | None:
        """The answer that ended it; None while it is in doubt."""
        return next((answer for answer in self.answers if answer.code != IN_DOUBT), None)

    @property
    def is_done(self) -> bool:
        """Whether the hospital was told that it was done."""
        return self.outcome is not None and self.outcome.is_success

    @property
    def settlement_id(self) -> str:
        """setl_id of the settlement or red record that it was answered with."""
        assert self.outcome is not None
        return str(self.outcome.output["setlinfo"]["setl_id"])


def reason_of(answer: Answer) -> str:
    """Name of the reason that a failure's text begins with."""
    found = _REASON.match(answer.text)
    return found.group(1) if found else ""


class SteadfastHospital(Hospital):
    """Repeats the same bytes until there is an outcome, and keeps every trade."""

    def __init__(self, url: str, *, patience_s: float = 90) -> None:
        super().__init__(url)
        self._patience_s = patience_s
        self.trades: dict[str, Trade] = {}

    async def send(self, body: bytes) -> Answer:
        """The outcome; after the patience the last answer that there was, which may be in doubt."""
        trade = self._noted(body)
        deadline = asyncio.get_running_loop().time() + self._patience_s
        while True:
            answer = await self.attempt(trade)
            if answer is not None and answer.code != IN_DOUBT:
                return answer
            if asyncio.get_running_loop().time() > deadline:
                return answer or Answer(code=IN_DOUBT, text="no answer", output={}, body=b"")
            await asyncio.sleep(_REPEAT_S)

    async def attempt(self, trade: Trade) -> Answer | None:
        """Send the trade's bytes once; None if no answer came that can be read."""
        try:
            answer = await super().send(trade.body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            trade.unanswered_count += 1
            return None
        trade.answers.append(answer)
        return answer

    def of(self, infno: str) -> list[Trade]:
        """The trades of a number, oldest first."""
        return [trade for trade in self.trades.values() if trade.infno == infno]

    def _noted(self, body: bytes) -> Trade:
        message = json.loads(body)
        content = message["input"]
        data = content.get("data") or {}
        trade = Trade(
            infno=message["infno"],
            msgid=message["msgid"],
            body=body,
            visit_id=data.get("mdtrt_id", ""),
            omsgid=data.get("omsgid", ""),
        )
        return self.trades.setdefault(trade.msgid, trade)


class Ward:
    """The patients of a test: each another insured person of Sichuan, filed and identified, with one stay or more."""

    def __init__(self, country: Country, *, patience_s: float = 90) -> None:
        running = country.running()
        self.hospital = SteadfastHospital(running.adapter_urls[PLACE_OF_CARE], patience_s=patience_s)
        self.core = LocalSystem(running.stub_urls[INSURED])
        self.people: list[Person] = []
        self.failures: list[str] = []
        """Answers that no cashier can go on from."""
        self.finished_count = 0
        self._today = datetime.now(UTC).date()
        self._numbers = itertools.count(1)
        self._prefix = f"ZY{datetime.now(UTC):%H%M%S%f}"

    async def __aenter__(self) -> Ward:
        """Sign in."""
        assert (await self.hospital.sign_in()).is_success
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.hospital.close()
        await self.core.close()

    async def receive(self, person: Person) -> Person:
        """Have Sichuan file for a person and identify the person at the counter; once for each person."""
        if person in self.people:
            return person
        await self.core.command(
            "file_outwards",
            identity_number=person.identity_number,
            destination_area="440300",
            filing_type="04",
            insurance_kind=INSURANCE_KIND,
            first_day=f"{self._today - timedelta(days=30):%Y%m%d}",
            last_day="",
        )
        await self.until_done(lambda: self.hospital.identify(person, insurance_area=area_of(person)), "1101")
        self.people.append(person)
        return person

    async def admit(self, person: Person) -> Stay:
        """Admission and fee lines."""
        day = self._today - timedelta(days=10)
        while True:
            answer, stay = await self.hospital.admit(
                person,
                insurance_area=area_of(person),
                insurance_kind=INSURANCE_KIND,
                number=f"{self._prefix}{next(self._numbers)}",
                day=day,
            )
            if self._is_done("2401", answer):
                break
            await asyncio.sleep(_REPEAT_S)
        await self.until_done(lambda: self.hospital.upload_fees(stay, _ITEMS, day=day + timedelta(days=1)), "2301")
        return stay

    async def ready_to_settle(self, person: Person) -> Stay:
        """A stay up to its discharge."""
        stay = await self.admit(person)
        await self.until_done(lambda: self.hospital.pre_settle(stay), "2303")
        await self.until_done(lambda: self.hospital.discharge(stay, day=self._today - timedelta(days=2)), "2402")
        return stay

    async def settle(self, stay: Stay) -> Answer:
        """The settlement of a stay."""
        return await self.until_done(lambda: self.hospital.settle(stay), SETTLE)

    async def cancel(self, stay: Stay, settled: Answer) -> Answer:
        """The cancellation of a settlement."""
        settlement_id = str(settled.output["setlinfo"]["setl_id"])
        return await self.until_done(lambda: self.hospital.cancel(stay, settlement_id), CANCEL)

    async def standing_count(self) -> int:
        """How many settlements stand in Sichuan's core."""
        return int((await self.core.command("describe"))["settlements_standing"])

    async def until_done(self, trade: Callable[[], Awaitable[Answer]], infno: str) -> Answer:
        """Do a trade, anew where it was not done in time; raises LoadFailed for what cannot be gone on from."""
        while True:
            answer = await trade()
            if self._is_done(infno, answer):
                return answer
            await asyncio.sleep(_REPEAT_S)

    def _is_done(self, infno: str, answer: Answer) -> bool:
        if answer.is_success:
            return True
        reason = reason_of(answer)
        if answer.code == REFUSED and (reason in _NOT_DONE or policy(reason_from_name(reason)).retryable):
            return False
        self.failures.append(f"{infno}: {answer.code} {answer.text}")
        raise LoadFailed(self.failures[-1])


class LoadFailed(Exception):
    """A trade ended in a way that a cashier cannot go on from."""


class LocalSystem:
    """The control interface of a local system."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/control"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40))

    async def command(self, name: str, **arguments: str) -> dict[str, Any]:
        """What the local system's operator can do."""
        async with self._session.post(f"{self._url}/command/{name}", json=arguments) as response:
            answer: dict[str, Any] = await response.json()
        assert "error" not in answer, answer
        return answer

    async def behave(self, trade: str, switches: Switches, *, calls: int | None = None) -> None:
        """Switch how a trade misbehaves, for so many calls or until changed."""
        chosen = {name: getattr(switches, name) for name in Switches.__dataclass_fields__}
        body = {**chosen, "trade": trade, **({} if calls is None else {"calls": calls})}
        async with self._session.post(f"{self._url}/behaviour", json=body) as response:
            assert response.status == 200, await response.text()

    async def behave_well(self) -> None:
        """All switches off."""
        async with self._session.delete(f"{self._url}/behaviour") as response:
            assert response.status == 200, await response.text()

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()


def patients(count: int, *, start: int = 0) -> list[Person]:
    """People of Sichuan who are employees in insurance, so that every flow is alike."""
    fitting = [
        person
        for person in Population()
        if len(person.active_enrolments) == 1 and person.active_enrolments[0].insurance_kind == INSURANCE_KIND
    ]
    return fitting[start : start + count]


def area_of(person: Person) -> str:
    """Where the person is insured."""
    return person.active_enrolments[0].insurance_area


@contextlib.asynccontextmanager
async def steady_load(ward: Ward, people: Sequence[Person]) -> AsyncIterator[None]:
    """One stay after another for each of the people, until the block ends; stays that were begun are finished.

    Every third settlement is cancelled. At the end a flow that could not be gone on with fails the test.
    """
    ending = asyncio.Event()

    async def one_patient(person: Person) -> None:
        await ward.receive(person)
        for turn in itertools.count(hash(person.personal_number) % 3):
            if ending.is_set():
                return
            stay = await ward.ready_to_settle(person)
            settled = await ward.settle(stay)
            if turn % 3 == 0:
                await ward.cancel(stay, settled)
            ward.finished_count += 1
            # The machine also starts again what was killed.
            await asyncio.sleep(_REST_S)

    tasks = [asyncio.create_task(one_patient(person)) for person in people]
    try:
        yield
    finally:
        ending.set()
        _, unfinished = await asyncio.wait(tasks, timeout=_ENDING_S)
        for task in unfinished:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        newest = [f"{trade.infno}: {trade.answers[-1:]}" for trade in list(ward.hospital.trades.values())[-8:]]
        assert not unfinished, f"{len(unfinished)} stays found no end; the newest trades: {newest}"
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def flows_go_on(ward: Ward, count: int, *, timeout_s: float = 120) -> None:
    """Wait until so many more stays are finished: the fault is over, or has not begun to matter."""
    goal = ward.finished_count + count
    async with asyncio.timeout(timeout_s):
        while ward.finished_count < goal:
            assert not ward.failures, ward.failures
            await asyncio.sleep(0.05)
