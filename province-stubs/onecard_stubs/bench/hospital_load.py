"""The load of a Guangdong hospital in its own interface: visits prepared first, then pre-settled and settled."""

from __future__ import annotations

import array
import asyncio
import itertools
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import aiohttp

from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.whole_files import write_whole
from onecard_stubs.guangdong.counter import Answer, FeeItem, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.population import Person, Population

INSURANCE_KIND: Final = "310"
PREPARE_MS: Final = 60_000
"""Preparing a visit costs more than settling it, so what is ready by then lasts through the measured time."""
_ITEMS: Final = (
    FeeItem(
        code="001109000010000-110900001", name="普通病房床位费", quantity=Decimal(3), price=Decimal("65"), returns=""
    ),
    FeeItem(
        code="XA00AAA000A001010000000",
        name="奥美拉唑肠溶胶囊",
        quantity=Decimal(14),
        price=Decimal("1.235"),
        returns="",
    ),
    FeeItem(code="002103000010000-210300001", name="CT平扫", quantity=Decimal(1), price=Decimal("245"), returns=""),
)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class HospitalLoad:
    """Prepares visits and settles them, several at once."""

    def __init__(self, hospital: Hospital, control_url: str) -> None:
        """`control_url` is the control API of Sichuan's core, which files for the patients."""
        self._hospital = hospital
        self._control_url = control_url
        self._stays: deque[Stay] = deque()
        self.ended_ms = array.array("q")
        self.duration_ms = array.array("q")
        self.failures: list[str] = []
        self.shortfall = ""
        """Says that there was no load until the end, where that is so."""
        self.settlement_ids: list[str] = []
        """Settlements that the hospital was told are done."""
        self.visits_in_doubt: list[str] = []
        """Visits whose settling the hospital was not told the end of."""

    async def prepare(self, count: int, concurrency: int) -> None:
        """Sign in, file for the patients, register visits and upload their fees."""
        _require(await self._hospital.sign_in())
        people = _patients()
        await self._file(people)
        for person in people:
            _require(await self._hospital.identify(person, insurance_area=person.active_enrolments[0].insurance_area))
        today = datetime.now(SHANGHAI).date()
        serials = iter(range(count))
        marker = _now_ms()
        enough_ms = marker + PREPARE_MS
        prepared: dict[int, Stay] = {}

        async def one() -> None:
            for serial in serials:
                if _now_ms() > enough_ms:
                    return
                person = people[serial % len(people)]
                prepared[serial] = await self._prepared(person, f"MZ{marker}{serial:06}", today)

        await asyncio.gather(*[one() for _ in range(concurrency)])
        # In turn: a patient settles one visit after the other as far as there are patients enough.
        self._stays.extend(prepared[serial] for serial in sorted(prepared))

    async def run(self, *, until_ms: int, concurrency: int, rate_per_s: float) -> None:
        """Pre-settle and settle until the time, at the rate given or as fast as the concurrency allows."""
        if rate_per_s:
            await self._at_rate(until_ms, rate_per_s)
        else:
            await asyncio.gather(*[self._repeat(until_ms) for _ in range(concurrency)])

    async def _repeat(self, until_ms: int) -> None:
        while _now_ms() < until_ms and (stay := self._next_stay(until_ms)) is not None:
            await self._settle(stay)

    async def _at_rate(self, until_ms: int, rate_per_s: float) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        tasks: set[asyncio.Task[None]] = set()
        for index in itertools.count():
            delay = begun + index / rate_per_s - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            if _now_ms() >= until_ms or (stay := self._next_stay(until_ms)) is None:
                break
            task = loop.create_task(self._settle(stay))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    def _next_stay(self, until_ms: int) -> Stay | None:
        if self._stays:
            return self._stays.popleft()
        if not self.shortfall:
            self.shortfall = f"the prepared stays ran out {(until_ms - _now_ms()) / 1000:.1f} s before the end"
        return None

    async def _settle(self, stay: Stay) -> None:
        begun_ms = _now_ms()
        is_asked = False
        try:
            _require(await self._hospital.pre_settle(stay))
            self._note_call(begun_ms)
            is_asked = True
            begun_ms = _now_ms()
            settled = _require(await self._hospital.settle(stay))
            settlement_id = str(settled.output["setlinfo"]["setl_id"])
        except Exception as error:  # Counted and shown at the end: the load must go on.
            self.failures.append(f"{type(error).__name__}: {error}")
            if is_asked:
                self.visits_in_doubt.append(stay.visit_id)
            await asyncio.sleep(0.1)
        else:
            self.settlement_ids.append(settlement_id)
            self._note_call(begun_ms)

    def _note_call(self, begun_ms: int) -> None:
        ended_ms = _now_ms()
        self.ended_ms.append(ended_ms)
        self.duration_ms.append(ended_ms - begun_ms)

    async def _file(self, people: Sequence[Person]) -> None:
        first_day = f"{datetime.now(SHANGHAI).date() - timedelta(days=30):%Y%m%d}"
        async with aiohttp.ClientSession() as session:
            for person in people:
                body = {
                    "identity_number": person.identity_number,
                    "destination_area": "440300",
                    "filing_type": "04",
                    "insurance_kind": INSURANCE_KIND,
                    "first_day": first_day,
                    "last_day": "",
                }
                url = f"{self._control_url}/control/command/file_outwards"
                async with session.post(url, json=body) as response:
                    answer = await response.json()
                    if not answer.get("told"):
                        raise RuntimeError(f"no filing was made: {answer}")

    async def _prepared(self, person: Person, number: str, day: date) -> Stay:
        area = person.active_enrolments[0].insurance_area
        answer, stay = await self._hospital.register(
            person, insurance_area=area, insurance_kind=INSURANCE_KIND, number=number, day=day
        )
        _require(answer)
        _require(await self._hospital.upload_fees(stay, _ITEMS, day=day))
        return stay


def _patients() -> list[Person]:
    return [
        person
        for person in Population()
        if person.active_enrolments
        and person.active_enrolments[0].insurance_kind == INSURANCE_KIND
        and person.active_enrolments[0].account_balance_fen > 0
    ]


def _require(answer: Answer) -> Answer:
    if not answer.is_success:
        raise RuntimeError(f"refused: {answer.text}")
    return answer


async def hospital_load(
    *,
    adapter_url: str,
    control_url: str,
    stay_count: int,
    concurrency: int,
    seconds: float,
    warm_up_seconds: float,
    rate_per_s: float,
    report: Path,
) -> int:
    """Prepare and settle, then write the figures; returns how many settlements failed."""
    hospital = Hospital(adapter_url)
    load = HospitalLoad(hospital, control_url)
    try:
        await load.prepare(stay_count, concurrency)
        begun_ms = _now_ms() + round(warm_up_seconds * 1000)
        until_ms = begun_ms + round(seconds * 1000)
        print("ready", begun_ms, until_ms, flush=True)
        await load.run(until_ms=until_ms, concurrency=concurrency, rate_per_s=rate_per_s)
    finally:
        await hospital.close()
    write_whole(report, json.dumps(_figures(load, begun_ms, until_ms)))
    return len(load.failures) + bool(load.shortfall)


def _figures(load: HospitalLoad, begun_ms: int, until_ms: int) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "messages": len(load.ended_ms),
        "ended_ms": load.ended_ms.tolist(),
        "duration_ms": load.duration_ms.tolist(),
        "settlement_ids": load.settlement_ids,
        "visits_in_doubt": load.visits_in_doubt,
        "failures": len(load.failures) + bool(load.shortfall),
        "failure_examples": [*filter(None, [load.shortfall]), *sorted(set(load.failures))][:3],
        "begun_ms": begun_ms,
        "until_ms": until_ms,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak_bytes / 1e6,
    }
