"""How a gateway knows what was decided, and up to when: from outputs and ticks in the hub's own inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest

from onecard_broker.gateway import decisions as decisions_module
from onecard_broker.gateway.decisions import Decisions
from onecard_broker.log.port import Log
from tests.support.gateway import eventually
from tests.support.hub_inbox import HubInbox, MemoryLog

PERSON, OTHER = "a" * 64, "b" * 64


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def drop(self, subject: str) -> None:
        self.heard.append(subject)

    def clear(self) -> None:
        self.heard.append("clear")


class Country:
    def __init__(self) -> None:
        self.log = MemoryLog(2)
        self.inbox = HubInbox()
        self.listener = Listener()
        self.decisions = Decisions(cast(Log, self.log), [self.listener])

    async def start(self) -> None:
        self.decisions.start()
        await eventually(lambda: self.log.opened_count)

    async def known(self, partition: int, at_ms: int) -> None:
        await eventually(lambda: self.decisions.known_ms.get(partition) == at_ms)


@pytest.fixture
async def country(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Country]:
    monkeypatch.setattr(decisions_module, "_RETRY_SECONDS", 0.01)
    made = Country()
    yield made
    await made.decisions.stop()


async def test_nothing_is_known_of_a_partition_before_its_first_tick(country: Country) -> None:
    await country.start()
    await country.log.append(country.inbox.tick(0, 1_000))
    await country.known(0, 1_000)

    assert country.decisions.known_ms == {0: 1_000}


async def test_what_stood_in_the_inbox_before_tells_nothing(country: Country) -> None:
    await country.log.append(country.inbox.tick(1, 900))
    await country.start()
    await country.log.append(country.inbox.tick(0, 1_000))
    await country.known(0, 1_000)

    assert country.decisions.known_ms == {0: 1_000}


async def test_an_output_tells_of_whom_it_is_before_the_tick_behind_it_counts(country: Country) -> None:
    await country.start()
    await country.log.append(
        country.inbox.output(0, PERSON), country.inbox.output(0, ""), country.inbox.output(1, OTHER)
    )
    await country.log.append(country.inbox.tick(0, 1_000))
    await country.known(0, 1_000)

    assert country.listener.heard == [PERSON, OTHER]


async def test_time_never_goes_back_in_a_partition(country: Country) -> None:
    await country.start()
    await country.log.append(country.inbox.tick(0, 1_000), country.inbox.tick(0, 900), country.inbox.tick(1, 1))
    await country.known(1, 1)

    assert country.decisions.known_ms[0] == 1_000


@pytest.mark.parametrize("lost", ["between two outputs", "before a tick"])
async def test_an_output_that_is_missing_clears_everything(country: Country, lost: str) -> None:
    await country.start()
    await country.log.append(country.inbox.output(0, PERSON), country.inbox.tick(0, 1_000))
    record = country.inbox.output(0, OTHER, skipped=1) if lost == "between two outputs" else None
    await country.log.append(*[record] if record else [], country.inbox.tick(0, 2_000, lost=0 if record else 1))
    await country.known(0, 2_000)

    assert country.listener.heard == [PERSON, "clear", *([OTHER] if record else [])]


async def test_outputs_that_are_published_again_clear_nothing(country: Country) -> None:
    await country.start()
    first, second = country.inbox.output(0, PERSON), country.inbox.output(0, OTHER)
    await country.log.append(first, second, first, second, country.inbox.output(0, OTHER), country.inbox.tick(0, 1_000))
    await country.known(0, 1_000)

    assert country.listener.heard == [PERSON, OTHER, PERSON, OTHER, OTHER]


async def test_a_tick_of_an_owner_that_was_followed_by_another_tells_nothing(country: Country) -> None:
    await country.start()
    late = country.inbox.tick(0, 5_000)
    await country.log.append(country.inbox.output(0, PERSON), country.inbox.tick(0, 1_000), late)
    await country.log.append(country.inbox.tick(1, 1))
    await country.known(1, 1)

    assert country.decisions.known_ms[0] == 1_000


async def test_while_the_inbox_cannot_be_read_nothing_is_known_and_nothing_remembered(country: Country) -> None:
    await country.start()
    await country.log.append(country.inbox.tick(0, 1_000))
    await country.known(0, 1_000)

    country.log.is_down = True
    await eventually(lambda: not country.decisions.known_ms)
    assert "clear" in country.listener.heard

    country.log.is_down = False
    await eventually(lambda: country.log.opened_count == 2)
    await country.log.append(country.inbox.tick(0, 2_000))
    await country.known(0, 2_000)


async def test_a_record_that_no_worker_wrote_ends_all_knowledge(country: Country) -> None:
    await country.start()
    await country.log.append(country.inbox.tick(0, 1_000))
    await country.known(0, 1_000)
    tick = country.inbox.tick(0, 2_000)
    broken = [(name, b"x" if name == "ce_number" else value) for name, value in tick.headers]
    object.__setattr__(tick, "headers", tuple(broken))
    await country.log.append(tick)

    await eventually(lambda: not country.decisions.known_ms)
