"""kill -9 and worse of each process of a country in mid-flow: nothing is lost, nothing doubled.

On the embedded log; of the gateway and the worker, which write to the log, on Kafka too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from onecard_protocol import limits
from onecard_stubs.behaviour import Switches
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from tests.support.load import IN_DOUBT, SETTLE, Ward, flows_go_on, patients, steady_load
from tests.support.reckoning import everything_agrees

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("killing"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

_PATIENT_COUNT = 4
# Long enough that the kill meets calls which the core has begun and not answered.
_SLOW_SETTLEMENT = Switches(delay_ms=1_500)


_EMBEDDED = pytest.mark.parametrize("country", ["embedded"], indirect=True, scope="module")
_EACH_LOG = pytest.mark.parametrize(
    "country",
    ["embedded", pytest.param("kafka", marks=pytest.mark.needs("java", "mvn"))],
    indirect=True,
    scope="module",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def country(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Country]:
    """One country of each log for all faults: each leaves it whole, or the next test shows that it did not."""
    directory: Path = tmp_path_factory.mktemp("country")
    async with Country(CountryPlan(log=request.param, gateway_count=2, worker_count=2), directory) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(country: Country) -> AsyncIterator[Ward]:
    """The hospital, with all that it did in all tests of this module."""
    async with Ward(country) as made:
        yield made


@_EACH_LOG
async def test_a_killed_gateway_costs_its_callers_nothing_but_time(country: Country, ward: Ward) -> None:
    known = set(ward.hospital.trades)
    async with steady_load(ward, patients(_PATIENT_COUNT)):
        await flows_go_on(ward, 2)
        # One of the two holds the calls of Guangdong; whoever it is, it dies in the middle of a settlement.
        for name in ("gateway-1", "gateway-2"):
            await ward.core.behave("0304", _SLOW_SETTLEMENT)
            await flows_go_on(ward, 1)
            await country.kill(name)
            await ward.core.behave_well()
            await flows_go_on(ward, 3)
            await country.restart(name)

    await everything_agrees(country, ward)
    settled = [trade for trade in ward.hospital.of(SETTLE) if trade.msgid not in known]
    assert all(answer.code != IN_DOUBT for trade in settled for answer in trade.answers)


@_EACH_LOG
async def test_a_killed_worker_is_replaced_when_its_leases_run_out(country: Country, ward: Ward) -> None:
    async with steady_load(ward, patients(_PATIENT_COUNT)):
        await flows_go_on(ward, 2)
        await country.kill("worker-1")
        await flows_go_on(ward, 4)
        await country.restart("worker-1")
        await flows_go_on(ward, 2)

    await everything_agrees(country, ward)


@_EMBEDDED
async def test_a_worker_that_hangs_beyond_its_leases_decides_nothing_when_it_goes_on(
    country: Country, ward: Ward
) -> None:
    async with steady_load(ward, patients(_PATIENT_COUNT)):
        await flows_go_on(ward, 2)
        country.pause("worker-2")
        # All patients' partitions go on, so the leases were taken over: what it decides now would be a second time.
        await flows_go_on(ward, 2 * _PATIENT_COUNT, timeout_s=90 + limits.LEASE_MS / 1000)
        country.resume("worker-2")
        await flows_go_on(ward, 4)

    await everything_agrees(country, ward)


@_EMBEDDED
@pytest.mark.parametrize("province", ["cn-44", "cn-51"])
async def test_a_killed_adapter_goes_on_where_it_was(country: Country, ward: Ward, province: str) -> None:
    async with steady_load(ward, patients(_PATIENT_COUNT)):
        await flows_go_on(ward, 2)
        await ward.core.behave("0304", _SLOW_SETTLEMENT)
        await flows_go_on(ward, 1)
        await country.kill(f"adapter-{province}")
        await ward.core.behave_well()
        await country.restart(f"adapter-{province}")
        await flows_go_on(ward, 4)

    await everything_agrees(country, ward)


@_EMBEDDED
async def test_a_database_that_crashes_is_taken_up_again(country: Country, ward: Ward) -> None:
    async with steady_load(ward, patients(_PATIENT_COUNT)):
        await flows_go_on(ward, 2)
        await country.kill("postgres")
        await country.restart("postgres")
        await flows_go_on(ward, 4)

    await everything_agrees(country, ward)
