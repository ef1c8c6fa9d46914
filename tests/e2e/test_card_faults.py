"""Cards through the death of processes: a replacement goes on, and no status is told that is older than its bound."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import grpc.aio
import pytest

from onecard.card.v1 import status_pb2, status_pb2_grpc, values_pb2
from onecard_adapters.load import card_messages
from onecard_adapters.load.events import card_changes, open_gateway, open_sender
from onecard_adapters.load.sending import Sent
from onecard_adapters.settings import load_adapter_settings
from onecard_protocol import limits
from onecard_protocol.explained import Text
from onecard_protocol.messages import to_ms
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.population import Population
from onecard_stubs.scenarios import card_replaced
from onecard_stubs.scenarios.accounts import mark, take_accounts
from onecard_stubs.scenarios.control import command, until
from onecard_stubs.scenarios.medical import choose_patient
from tests.e2e.test_kill_kafka_leader import journal_leaders

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ACTIVE = values_pb2.SOCIAL_STATE_ACTIVE
CARD_COUNT = 24
STEP_TRADE = "0912"
"""What Sichuan's core is asked for a step of a replacement by."""
STEP_MS = 6_000
"""Long enough to die in, and less than a call of a local system may take."""
STEP_CALLS = 100
"""More than are made."""
WATCH_S = 60.0


async def test_a_replacement_goes_on_through_the_death_of_every_process(tmp_path: Path) -> None:
    async with Country(CountryPlan(provinces=card_replaced.CARD_REPLACED.provinces), tmp_path) as country:
        running = country.running()
        person = choose_patient(Population())
        await command(running, "cn-51", "tell_all", {"identity_number": person.identity_number})
        old = person.card_number
        await card_replaced.verdict(running, person, old, is_usable=True)
        since = await mark(running)
        async with steps_slow(running) as step_begun:
            made = await command(running, "cn-51", "reissue", {"identity_number": person.identity_number})
            for name in ("worker-1", "adapter-cn-51"):
                await step_begun()
                await country.kill(name)
                await country.restart(name)
        for name in ("gateway-1", "adapter-bank-102"):
            await country.kill(name)
            await country.restart(name)
        await card_replaced.saga_in(running, person, "open")
        await command(running, "cn-51", "confirm_benefit_account", {"identity_number": person.identity_number})
        saga = await card_replaced.saga_in(running, person, "completed")

        assert [step["phase"] for step in saga["steps"]] == ["done"] * 6
        hanging = await command(running, "cn-51", "show_cards", {"identity_number": person.identity_number})
        assert hanging["electronic_card_on"] == hanging["medical_account_on"] == made["card_number"]
        assert "原卡失效" in (await card_replaced.verdict(running, person, old, is_usable=False))["reason"]
        accounts = await take_accounts(running, since, with_stories=False)
        assert (accounts.lost, accounts.doubled, accounts.unknown) == ((), (), ())


@contextlib.asynccontextmanager
async def steps_slow(running: RunningCountry) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Sichuan's core takes its time for each step until this is over; gives what waits until it begins another one.

    What is killed then is in its midst.
    """
    url = f"{running.stub_urls['cn-51']}/control/behaviour"
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.post(url, json={"trade": STEP_TRADE, "delay_ms": STEP_MS, "calls": STEP_CALLS})
        left = STEP_CALLS

        async def fewer_left() -> int | None:
            async with session.get(url) as response:
                now: int = (await response.json())[STEP_TRADE]["calls_left"]
            return now if now < left else None

        async def begun() -> None:
            nonlocal left
            left = await until(fewer_left, Text(en="the core was asked for no step", zh=""), seconds=90)

        yield begun
        await session.delete(url)


@pytest.mark.needs("java", "mvn")
async def test_no_status_is_older_than_its_bound_while_a_kafka_leader_is_replaced(tmp_path: Path) -> None:
    plan = CountryPlan(log="kafka", broker_count=3, runs_provinces=False)
    async with Country(plan, tmp_path) as country:
        settings = load_adapter_settings(country.adapter_config("cn-44"))
        sent = Sent()
        stream = card_changes(1, CARD_COUNT)
        async with (
            open_sender(settings, stream, sent, by_batch=True) as sender,
            open_gateway(settings) as (_, gateway),
        ):
            stub = status_pb2_grpc.CardStatusServiceStub(gateway.channel)
            await sender.submit(CARD_COUNT)
            await until(lambda: all_active(stub), Text(en="the cards are not known", zh=""), seconds=60)
            servers = country.kafka_servers
            assert servers is not None
            ((leader, led_count),) = (await asyncio.to_thread(journal_leaders, servers)).most_common(1)
            assert led_count > 1
            await country.kill(f"kafka-{leader}")
            losing = asyncio.create_task(sender.submit(CARD_COUNT))
            stale_count = await watch(stub)
            await losing
        assert sent.failures == []
        # Some partitions had no leader for longer than the bound: what is asserted of them could have failed.
        assert stale_count > 0


async def watch(stub: status_pb2_grpc.CardStatusServiceStub) -> int:
    """Ask until every card is lost; returns how many answers were stale. Fails for one older than the bound."""
    stale_count, lost = 0, set[int]()
    deadline = time.monotonic() + WATCH_S
    while len(lost) < CARD_COUNT:
        assert time.monotonic() < deadline, f"{len(lost)} of {CARD_COUNT} losses are known"
        asked_ms = now_ms()
        for serial, answer in enumerate(await ask(stub), start=1):
            if answer.freshness != status_pb2.FRESHNESS_FRESH:
                stale_count += 1
                assert not answer.cards
                continue
            assert to_ms(answer.as_of_time) >= asked_ms - limits.CARD_STALE_MS
            if answer.cards[0].social_state == values_pb2.SOCIAL_STATE_TEMPORARILY_LOST:
                lost.add(serial)
            else:
                assert serial not in lost, "a loss that was told is taken back"
        await asyncio.sleep(0.05)
    return stale_count


async def all_active(stub: status_pb2_grpc.CardStatusServiceStub) -> bool | None:
    """True once all cards are told to be in use."""
    answers = await ask(stub)
    are_known = bool(answers) and all(answer.cards for answer in answers)
    return True if are_known and all(answer.cards[0].social_state == ACTIVE for answer in answers) else None


async def ask(stub: status_pb2_grpc.CardStatusServiceStub) -> list[status_pb2.CardAnswer]:
    """The answers about all cards; none while the gateway cannot answer."""
    questions = [card_messages.question(serial) for serial in range(1, CARD_COUNT + 1)]
    request = status_pb2.BatchGetCardStatusRequest(questions=questions, purpose="benchmark")
    with contextlib.suppress(grpc.aio.AioRpcError):
        return list((await stub.BatchGetCardStatus(request, timeout=5)).answers)
    return []


def now_ms() -> int:
    """The clock that gateways and workers have too."""
    return time.time_ns() // 1_000_000
