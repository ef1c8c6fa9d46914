"""The replacement saga through the real worker, which dies at every record: before its commit, and again behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest

from onecard.card.v1 import replacement_pb2
from onecard.exchange.v1 import message_pb2
from onecard_broker.domain.card_replacement import step_of
from onecard_broker.domain.card_state import Cardholder, holder_key
from onecard_broker.domain.replacement_states import ReplacementPhase, StepPhase
from onecard_broker.exchange.decider import Decider
from onecard_broker.journal import partition_of_pseudonym
from onecard_broker.log.port import Log
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.messages import Message
from tests.support.domain import parse
from tests.support.exchange import Delivered, Exchange, eventually, make_message, running_exchange
from tests.support.holders import BEIJING, CARRY_OUT, GUANGXI, NEW, OLD, SICHUAN, SyntheticHolder, step_name

pytest_plugins = ("tests.support.engines",)

pytestmark = pytest.mark.parametrize("log_opener", ["embedded"], indirect=True)

HOLDER = SyntheticHolder()
IN_ORDER = [
    "OLD_SUPERSEDED",
    "ELECTRONIC_CARD_REBOUND",
    "BENEFIT_ACCOUNT_CHANGED",
    "CREDENTIAL_FOLLOWED",
    "MEDICAL_ACCOUNT_MOVED",
]


class Lives:
    """What the worker has died of so far."""

    def __init__(self) -> None:
        self.deaths: dict[tuple[int, int], int] = {}
        """By (partition, position) of a message's record."""
        self.settled_count = 0
        """Messages that were waited for."""

    @property
    def survived_count(self) -> int:
        """Messages at which the worker has died twice, and lives again."""
        return list(self.deaths.values()).count(2)


LIVES = Lives()


class Died(psycopg.OperationalError):
    """The worker's process ends here; what it had in memory is lost with the connection."""


@pytest.fixture
async def exchange(
    log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Exchange]:
    """An exchange whose worker dies twice at every record of a message, each time at another side of the commit."""
    process = Decider.process
    LIVES.deaths.clear()
    LIVES.settled_count = 0

    async def dying(self: Decider, connection: Any, records: Any, *rest: Any) -> Any:
        positions = [(record.partition, record.position) for record in records]
        messages = [place for place, record in zip(positions, records, strict=True) if _is_message(record)]
        fresh = [place for place in messages if LIVES.deaths.get(place, 0) == 0]
        for place in fresh:
            LIVES.deaths[place] = 1
        if fresh:
            async with connection.transaction():
                await process(self, connection, records, *rest)
                raise Died("before the commit")
        second = [place for place in messages if LIVES.deaths[place] == 1]
        for place in second:
            LIVES.deaths[place] = 2
        outputs = await process(self, connection, records, *rest)
        if second:
            raise Died("behind the commit, before anything was published")
        return outputs

    monkeypatch.setattr(Decider, "process", dying)
    monkeypatch.setattr("onecard_broker.exchange.worker.RETRY_SECONDS", 0.01)
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running
    assert set(LIVES.deaths.values()) == {2}
    assert len(LIVES.deaths) >= len(IN_ORDER)


def _is_message(record: Any) -> bool:
    return dict(record.headers).get("ce_type") == b"onecard.message.v1"


def _event(message: Message) -> Message:
    """The same report with a header of now."""
    return make_message(
        sender=message.header.sender,
        recipient=HUB,
        method=message.header.method,
        kind=message.header.kind,
        payload=parse(message),
    )


async def _tell(exchange: Exchange, message: Message) -> None:
    partition = partition_of_pseudonym(HOLDER.subject, exchange.log.partition_count)
    await exchange.append([(partition, HOLDER.subject, _event(message))])
    await _settled(exchange)


async def _holder(exchange: Exchange) -> Cardholder:
    key = partition_of_pseudonym(HOLDER.subject, exchange.log.partition_count), holder_key(HOLDER.subject)
    async with await connect(exchange.dsn, application_name="test") as connection:
        return (await CardRegistry().load(connection, [key]))[key]


async def _asked(exchange: Exchange) -> list[Delivered]:
    """What the provinces were asked for, in the order of their numbers."""
    return [
        delivered
        for participant in (BEIJING, GUANGXI, SICHUAN)
        for delivered in await exchange.inbox(participant)
        if delivered.message.header.method == CARRY_OUT
        and delivered.message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
    ]


async def _settled(exchange: Exchange) -> None:
    """Wait until the worker has died twice at one more message, and what the saga asked for has come out."""
    LIVES.settled_count += 1
    await eventually(lambda: LIVES.survived_count == LIVES.settled_count)
    async with asyncio.timeout(60):
        while True:
            await exchange.drained()
            replacements = (await _holder(exchange)).replacements
            ids = {asked for replacement in replacements for step in replacement.steps for asked in step.asked_ids}
            if ids <= {one.message.header.id for one in await _asked(exchange)}:
                return


async def _answer_all(exchange: Exchange) -> list[str]:
    """Answer every request once, one after the other, until none is left; returns the steps in that order."""
    answered: dict[bytes, str] = {}
    while True:
        new = [one for one in await _asked(exchange) if one.message.header.id not in answered]
        if not new:
            return list(answered.values())
        answered[new[0].message.header.id] = step_name(new[0].message)
        await exchange.answer(new[0], replacement_pb2.CarryOutStepResponse(local_id="L1"))
        await _settled(exchange)


async def test_a_replacement_is_carried_out_once_and_in_order_by_a_worker_that_dies_at_every_record(
    exchange: Exchange,
) -> None:
    await _tell(exchange, HOLDER.social("ENABLED", 1))
    await _tell(exchange, HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
    steps = await _answer_all(exchange)
    assert sorted(steps) == sorted(IN_ORDER)
    assert steps[0] == "OLD_SUPERSEDED"
    (replacement,) = (await _holder(exchange)).replacements
    assert replacement.phase == ReplacementPhase.OPEN

    await _tell(exchange, HOLDER.confirm(id_text(replacement.id)))
    (replacement,) = (await _holder(exchange)).replacements
    assert replacement.phase == ReplacementPhase.COMPLETED
    assert {step.phase for step in replacement.steps} == {StepPhase.DONE}
    assert {step.attempt for step in replacement.steps} == {0, 1}


async def test_a_replacement_is_taken_back_in_reverse_by_a_worker_that_dies_at_every_record(
    exchange: Exchange,
) -> None:
    await _tell(exchange, HOLDER.social("ENABLED", 1))
    await _tell(exchange, HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
    await _answer_all(exchange)
    await _tell(exchange, HOLDER.social("CANCELLED", 2, card=NEW, replaces=OLD))
    steps = await _answer_all(exchange)
    assert [step for step in steps if step.startswith("back")] == [
        f"back {name}"
        for name in (
            "BENEFIT_ACCOUNT_CHANGED",
            "MEDICAL_ACCOUNT_MOVED",
            "CREDENTIAL_FOLLOWED",
            "ELECTRONIC_CARD_REBOUND",
        )
    ]
    (replacement,) = (await _holder(exchange)).replacements
    assert replacement.phase == ReplacementPhase.UNDONE
    assert step_of(replacement, replacement_pb2.REPLACEMENT_STEP_OLD_SUPERSEDED).phase == StepPhase.DONE
