"""The hub away in the middle of a settlement, the core silent or too slow: in doubt for a while, then one outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from onecard_adapters.runtime.processing import ATTEMPTS_MAX
from onecard_broker.domain.settlement_states import Phase
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB
from onecard_stubs.behaviour import Switches
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from tests.support.eventually import eventually
from tests.support.load import IN_DOUBT, REFUSED, REVERSE, SETTLE, Trade, Ward, patients, reason_of
from tests.support.reckoning import everything_agrees, local_id_of, phases_by_msgid, read_encounters

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("killing"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def country(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Country]:
    directory: Path = tmp_path_factory.mktemp("country")
    async with Country(CountryPlan(), directory) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(country: Country) -> AsyncIterator[Ward]:
    async with Ward(country) as made:
        yield made


async def test_what_could_not_be_sent_in_time_is_expired_and_may_be_done_anew(country: Country, ward: Ward) -> None:
    stay = await ward.ready_to_settle(await ward.receive(patients(1)[0]))
    told = said(country, "adapter-cn-44", "was interrupted")
    await country.kill("gateway-1")
    await eventually(lambda: said(country, "adapter-cn-44", "was interrupted") > told)

    refused = await ward.hospital.settle(stay)
    (trade,) = [trade for trade in ward.hospital.of(SETTLE) if trade.visit_id == stay.visit_id]
    again = await ward.hospital.attempt(trade)

    # Nothing was sent, so it is no doubt: the cashier may take cash, or settle anew.
    assert again is not None
    assert [(answer.code, reason_of(answer)) for answer in (refused, again)] == [(REFUSED, "EXPIRED")] * 2
    await country.restart("gateway-1")
    assert (await ward.settle(stay)).is_success
    await everything_agrees(country, ward)


async def test_what_was_sent_is_in_doubt_until_the_hub_returns_then_found_out_or_undone(
    country: Country, ward: Ward
) -> None:
    found, undone = [await ward.ready_to_settle(await ward.receive(person)) for person in patients(2, start=1)]
    standing = await ward.standing_count()
    await ward.core.behave("0304", Switches(lose_answer=True), calls=2)
    settling = [asyncio.create_task(ward.hospital.settle(stay)) for stay in (found, undone)]
    while await ward.standing_count() < standing + 2:  # noqa: ASYNC110 - it is the core that changes
        await asyncio.sleep(0.02)
    await country.kill("gateway-1")
    of_found, of_undone = [only_settlement(ward, stay.visit_id) for stay in (found, undone)]

    # The core settled; its adapter does nothing without hub time; the hub's timer fires, and the cashiers are told to
    # query or to reverse.
    await eventually(lambda: bool(of_found.answers and of_undone.answers), timeout_s=60)
    assert {answer.code for trade in (of_found, of_undone) for answer in trade.answers} == {IN_DOUBT}
    await until(lambda phases: phases[of_found.msgid] is phases[of_undone.msgid] is Phase.UNKNOWN, country)

    # One cashier reverses, which waits in the outbox; the other goes on asking under the same msgid.
    reversing = asyncio.create_task(ward.hospital.reverse(undone, of_undone.msgid, SETTLE))
    await eventually(lambda: len(ward.hospital.of(REVERSE)) == 1)
    await country.restart("gateway-1")

    reversed_ = await reversing
    settled, told = await asyncio.gather(*settling)
    assert reversed_.output["result"]["reversal_result"] == "REVERSED"
    assert settled.is_success
    # The settlement was found out first and undone then, or the other way round: the journal's order decides.
    assert told.is_success or reason_of(told) == "REVERSED"
    await everything_agrees(country, ward)
    phases = await phases_by_msgid(country)
    assert (phases[of_found.msgid], phases[of_undone.msgid]) == (Phase.STANDING, Phase.REVERSED)


async def test_what_the_insured_province_gives_up_on_is_found_out_by_the_hubs_own_query(
    country: Country, ward: Ward
) -> None:
    stay = await ward.ready_to_settle(await ward.receive(patients(1, start=5)[0]))
    given_up = said(country, "adapter-cn-51", "gave up on")
    # The core settles and says nothing, and cannot be asked as often as its adapter asks.
    await ward.core.behave("0304", Switches(lose_answer=True), calls=1)
    await ward.core.behave("0708", Switches(down=True), calls=ATTEMPTS_MAX - 1)

    assert (await ward.settle(stay)).is_success

    assert said(country, "adapter-cn-51", "gave up on") == given_up + 1
    # The province's answer names the query; the reply to the settlement is the hub's.
    assert await answered_by(country, only_settlement(ward, stay.visit_id)) == HUB
    await everything_agrees(country, ward)


async def test_a_settlement_that_the_core_begins_too_late_is_closed_before_it_is_told_as_not_done(
    country: Country, ward: Ward
) -> None:
    stay = await ward.ready_to_settle(await ward.receive(patients(1, start=3)[0]))
    standing = await ward.standing_count()
    too_late_ms = limits.LOCAL_CALL_MS + 3_000
    await ward.core.behave("0304", Switches(delay_ms=too_late_ms), calls=1)

    refused = await ward.hospital.settle(stay)
    told = time.monotonic()
    assert (refused.code, reason_of(refused)) == (REFUSED, "NOT_EXECUTED")
    # The core comes to it after this, and finds its number closed.
    while time.monotonic() < told + (too_late_ms - limits.LOCAL_CALL_MS) / 1000 + 1:
        assert await ward.standing_count() == standing
        await asyncio.sleep(0.2)

    assert (await ward.settle(stay)).is_success
    assert await ward.standing_count() == standing + 1
    await everything_agrees(country, ward)


async def test_a_core_that_does_a_settlement_twice_settles_once(country: Country, ward: Ward) -> None:
    stay = await ward.ready_to_settle(await ward.receive(patients(1, start=4)[0]))
    standing = await ward.standing_count()
    await ward.core.behave("0304", Switches(duplicate=True), calls=1)

    assert (await ward.settle(stay)).is_success

    assert await ward.standing_count() == standing + 1
    await everything_agrees(country, ward)


def said(country: Country, process: str, text: str) -> int:
    """How often a process said something in its log."""
    return (country.directory / f"{process}.log").read_text(encoding="utf-8").count(text)


def only_settlement(ward: Ward, visit_id: str) -> Trade:
    """The one 2304 of a stay."""
    (trade,) = [trade for trade in ward.hospital.of(SETTLE) if trade.visit_id == visit_id]
    return trade


async def answered_by(country: Country, trade: Trade) -> str:
    """Who signed the reply to a settlement."""
    ((transaction,),) = [
        [found for found in encounter.transactions if local_id_of(found) == trade.msgid]
        for encounter in await read_encounters(country)
        if encounter.visit_id == trade.visit_id
    ]
    assert transaction.answer is not None
    return transaction.answer[0]


async def until(holds: Callable[[dict[str, Phase]], bool], country: Country, *, timeout_s: float = 60) -> None:
    """Wait until the hub's states are so."""
    async with asyncio.timeout(timeout_s):
        while not holds(await phases_by_msgid(country)):  # noqa: ASYNC110 - it is the hub that changes
            await asyncio.sleep(0.2)
