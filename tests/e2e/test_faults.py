"""What a cashier sees, and what becomes of the money, when local systems and the hub fail in the middle of a stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.guangdong.counter import FeeItem, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.population import Population
from onecard_stubs.scenarios.accounts import Mark, mark, take_accounts
from onecard_stubs.scenarios.medical import choose_patient

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("killing"),
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

TODAY = datetime.now(SHANGHAI).date()
ITEM = FeeItem(code="XA00AAA000A001010000000", name="奥美拉唑肠溶胶囊", quantity=Decimal(100), price=Decimal("31.50"))


class Counter:
    """The hospital's counter and the operators of Sichuan's core; each stay is another patient's."""

    def __init__(self, country: Country) -> None:
        self.country = country
        self.hospital = Hospital(country.adapter_urls["cn-44"])
        self._core = country.running().stub_urls["cn-51"]
        self._patients = 0

    async def core(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self._core}/control/{path}", json=body) as response,
        ):
            answer: dict[str, Any] = await response.json()
            return answer

    async def file(self) -> dict[str, Any]:
        """Sichuan's core files for the next patient and tells Guangdong."""
        self._patients += 1
        return await self.core(
            "POST",
            "command/file_outwards",
            {
                "identity_number": self.patient.identity_number,
                "destination_area": "440300",
                "filing_type": "04",
                "insurance_kind": "310",
                "first_day": f"{TODAY - timedelta(days=30):%Y%m%d}",
            },
        )

    @property
    def patient(self) -> Any:
        return choose_patient(Population(), self._patients)

    async def ready_to_settle(self) -> Stay:
        """The next patient's stay up to discharge."""
        assert (await self.file())["told"]
        area = self.patient.active_enrolments[0].insurance_area
        day = TODAY - timedelta(days=5)
        assert (await self.hospital.sign_in()).is_success
        identified = await self.hospital.identify(self.patient, insurance_area=area)
        assert identified.is_success, identified.text
        admitted, stay = await self.hospital.admit(
            self.patient, insurance_area=area, insurance_kind="310", number=f"F{time.time_ns()}", day=day
        )
        assert admitted.is_success, admitted.text
        for answer in (
            await self.hospital.upload_fees(stay, [ITEM], day=day),
            await self.hospital.pre_settle(stay),
            await self.hospital.discharge(stay, day=TODAY),
        ):
            assert answer.is_success, answer.text
        return stay

    async def until_sichuan_reads(self) -> None:
        """After a gateway was away, a province counts as offline until its adapter is connected again."""
        person = choose_patient(Population(), 0)
        area = person.active_enrolments[0].insurance_area
        assert (await self.hospital.sign_in()).is_success
        async with asyncio.timeout(60):
            # It is the adapter of another process that connects.
            while "RECIPIENT_OFFLINE" in (await self.hospital.identify(person, insurance_area=area)).text:  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def standing(self) -> int:
        return int((await self.core("POST", "command/describe"))["settlements_standing"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Counter]:
    directory: Path = tmp_path_factory.mktemp("faults") / "country"
    async with Country(CountryPlan(), directory) as country:
        found = Counter(country)
        yield found
        await found.hospital.close()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _all_are_connected(counter: Counter) -> None:
    await counter.until_sichuan_reads()


async def accounts_are_whole(counter: Counter, since: Mark) -> None:
    accounts = await take_accounts(counter.country.running(), since)
    assert (accounts.lost, accounts.doubled, accounts.unknown) == ((), (), ())


def now_ms() -> int:
    return int(time.time() * 1000)


async def test_an_answer_lost_after_the_core_settled_still_settles_once(counter: Counter) -> None:
    since, before = await mark(counter.country.running()), await counter.standing()
    stay = await counter.ready_to_settle()
    await counter.core("POST", "behaviour", {"trade": "0304", "lose_answer": True, "calls": 1})
    settled = await counter.hospital.settle(stay)
    assert settled.is_success, settled.text
    assert await counter.standing() == before + 1
    await accounts_are_whole(counter, since)


async def test_the_same_bytes_sent_twice_settle_once_and_get_one_answer(counter: Counter) -> None:
    since, before = await mark(counter.country.running()), await counter.standing()
    stay = await counter.ready_to_settle()
    content = {"data": counter.hospital.bill(stay)}
    request = counter.hospital.message("2304", content, insurance_area=stay.insurance_area)
    first, second = await counter.hospital.send(request), await counter.hospital.send(request)
    assert first.is_success, first.text
    assert first.output["setlinfo"] == second.output["setlinfo"]
    assert await counter.standing() == before + 1
    await accounts_are_whole(counter, since)


async def test_a_core_that_is_down_executes_nothing_and_the_cashier_is_told(counter: Counter) -> None:
    since = await mark(counter.country.running())
    stay = await counter.ready_to_settle()
    await counter.country.kill("stub-sichuan")
    refused = await counter.hospital.settle(stay)
    assert not refused.is_success
    assert refused.text
    await counter.country.restart("stub-sichuan")
    # The stub keeps what it holds in memory only, so nothing can stand but what was settled behind our back.
    assert await counter.standing() == 0
    accounts = await take_accounts(counter.country.running(), since)
    assert (accounts.lost, accounts.doubled, accounts.unknown) == ((), (), ())
    assert len(accounts.rejected) == 1


async def test_an_event_told_while_the_hub_is_down_arrives_when_it_returns(counter: Counter) -> None:
    since = await mark(counter.country.running())
    await counter.country.kill("gateway-1")
    told = await counter.file()
    assert told["told"], told
    await counter.country.restart("gateway-1")
    accounts = await take_accounts(counter.country.running(), since)
    assert (accounts.lost, accounts.doubled, accounts.unknown) == ((), (), ())
    (story,) = accounts.stories
    assert story["method"].endswith("/ReportFiling")
    assert [delivered["recipient"] for delivered in story["deliveries"]] == ["cn-44"]


async def test_while_the_hub_is_down_the_cashier_gets_a_clear_answer_and_later_the_settlement(counter: Counter) -> None:
    since = await mark(counter.country.running())
    stay = await counter.ready_to_settle()
    before = await counter.standing()
    await counter.country.kill("gateway-1")
    unanswered = await counter.hospital.settle(stay)
    assert not unanswered.is_success
    assert unanswered.text
    await counter.country.restart("gateway-1")
    await counter.until_sichuan_reads()
    settled = await counter.hospital.settle(stay)
    assert settled.is_success, settled.text
    assert await counter.standing() == before + 1
    await accounts_are_whole(counter, since)
