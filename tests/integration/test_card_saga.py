"""The replacement saga through a worker that is killed at every transaction of it: within, behind, and once published.

A state is named by the whole and by its steps in order: NEW_ENABLED, OLD_SUPERSEDED, ELECTRONIC_CARD_REBOUND,
CREDENTIAL_FOLLOWED, MEDICAL_ACCOUNT_MOVED, BENEFIT_ACCOUNT_CHANGED; "asked2" was asked for the second time.
`tests/integration/test_card_saga_adapters.py` does the same to the adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

import pytest

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.card_state import Cardholder, holder_key
from onecard_broker.domain.replacement_states import BEING_UNDONE, ReplacementPhase
from onecard_broker.journal import partition_of_pseudonym
from onecard_broker.log.port import Log
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.messages import Message
from tests.support.domain import parse
from tests.support.dying_worker import POINTS, DyingWorker, state_name
from tests.support.exchange import Delivered, Exchange, assert_nothing_is_lost_or_doubled, make_message
from tests.support.holders import BEIJING, CARRY_OUT, GUANGXI, NEW, OLD, SICHUAN, SyntheticHolder, step_name
from tests.support.stays import rejection

pytest_plugins = ("tests.support.engines",)

pytestmark = pytest.mark.parametrize("log_opener", ["embedded"], indirect=True)

HOLDER = SyntheticHolder()
OLD_CARD, E_CARD, CREDENTIAL, ACCOUNT, BENEFIT = (
    "OLD_SUPERSEDED",
    "ELECTRONIC_CARD_REBOUND",
    "CREDENTIAL_FOLLOWED",
    "MEDICAL_ACCOUNT_MOVED",
    "BENEFIT_ACCOUNT_CHANGED",
)
LATER = errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
NEVER = errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM


class Saga:
    """One replacement: what befalls it, and the states that its worker has died of."""

    def __init__(self, exchange: Exchange, worker: DyingWorker) -> None:
        self.exchange = exchange
        self.worker = worker
        self.survived_states: list[str] = []
        self._partition = partition_of_pseudonym(HOLDER.subject, exchange.log.partition_count)
        self._answered: set[bytes] = set()

    async def tell(self, message: Message) -> None:
        """Append a message of the holder with a header of now."""
        fresh = make_message(
            sender=message.header.sender,
            recipient=HUB,
            method=message.header.method,
            kind=message.header.kind,
            payload=parse(message),
        )
        await self.exchange.append([(self._partition, HOLDER.subject, fresh)])

    async def asked(self) -> list[Delivered]:
        """What the provinces were asked for, by province."""
        return [
            delivered
            for participant in (BEIJING, GUANGXI, SICHUAN)
            for delivered in await self.exchange.inbox(participant)
            if delivered.message.header.method == CARRY_OUT
            and delivered.message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
        ]

    async def answer(self, step: str, *, reason: errors_pb2.ErrorReason | None = None) -> None:
        """The province does what it was asked for and had not answered, or refuses; the first if there are more."""
        async with asyncio.timeout(60):
            while True:
                for one in await self.asked():
                    if step_name(one.message) == step and one.message.header.id not in self._answered:
                        self._answered.add(one.message.header.id)
                        if reason is None:
                            await self.exchange.answer(one, replacement_pb2.CarryOutStepResponse(local_id="L1"))
                        else:
                            await self.exchange.answer(one, rejection(reason), message_pb2.MESSAGE_KIND_REJECTION)
                        return
                await asyncio.sleep(0.01)

    async def time_passes(self) -> None:
        """Whatever is due next is due."""
        async with await connect(self.exchange.dsn, application_name="test") as connection:
            await connection.execute("UPDATE timers SET due_ms = 0 WHERE due_ms = (SELECT min(due_ms) FROM timers)")

    async def ask_again(self, cause: str) -> None:
        """An operator has it asked for again."""
        await self.tell(HOLDER.ask_again(await self.id(), cause))

    async def confirm(self) -> None:
        """The agency confirms the benefit account."""
        await self.tell(HOLDER.confirm(await self.id()))

    async def holder(self) -> Cardholder:
        """As the registry has it."""
        key = self._partition, holder_key(HOLDER.subject)
        async with await connect(self.exchange.dsn, application_name="test") as connection:
            return (await CardRegistry().load(connection, [key]))[key]

    async def id(self) -> str:
        """The replacement's, as text."""
        (replacement,) = (await self.holder()).replacements
        return id_text(replacement.id)

    async def survives(self, state: str) -> None:
        """The worker dies at every point of this state, and of no other; the registry shows it."""
        await self.worker.survived(state)
        self.survived_states.append(state)
        assert self.worker.died_of() == [(point, one) for one in self.survived_states for point in POINTS]
        (replacement,) = (await self.holder()).replacements
        assert state_name(replacement) == state


@contextlib.asynccontextmanager
async def begun(
    exchange: Exchange, directory: Path, *, phases: Collection[ReplacementPhase] = tuple(ReplacementPhase)
) -> AsyncIterator[Saga]:
    """A replacement that begins, by a worker that dies of all that leads to one of the phases."""
    await exchange.prepare()
    worker = DyingWorker(directory, exchange.dsn, phases=phases)
    async with worker.running():
        saga = Saga(exchange, worker)
        await saga.tell(HOLDER.social("ENABLED", 1))
        await saga.tell(HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))
        yield saga


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> Exchange:
    """Without a worker."""
    return Exchange(await log_opener(), postgres_dsn)


async def test_a_replacement_completes_through_every_trouble_with_a_worker_that_is_killed_at_every_step(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with begun(exchange, tmp_path) as saga:
        await saga.survives("running: done asked1 - - - -")
        await saga.answer(OLD_CARD, reason=LATER)
        await saga.survives("running: done retrying1 - - - -")
        await saga.time_passes()
        await saga.survives("running: done asked2 - - - -")
        await saga.answer(OLD_CARD)
        await saga.survives("running: done done2 asked1 - - asked1")
        await saga.answer(E_CARD, reason=NEVER)
        await saga.survives("stuck: done done2 stuck1 - - asked1")
        await saga.ask_again("the e-card platform is mended")
        await saga.survives("running: done done2 asked2 - - asked1")
        await saga.answer(E_CARD)
        await saga.survives("running: done done2 done2 asked1 - asked1")
        await saga.answer(BENEFIT)
        await saga.survives("running: done done2 done2 asked1 - open1")
        await saga.time_passes()  # Nobody answered.
        await saga.survives("running: done done2 done2 retrying1 - open1")
        await saga.time_passes()
        await saga.survives("running: done done2 done2 asked2 - open1")
        await saga.time_passes()  # Nobody answered the last request either.
        await saga.survives("stuck: done done2 done2 stuck2 - open1")
        await saga.answer(CREDENTIAL)  # The first request, late.
        await saga.survives("running: done done2 done2 done2 asked1 open1")
        await saga.answer(CREDENTIAL)  # The other one, which changes nothing any more.
        await saga.answer(ACCOUNT)
        await saga.survives("open: done done2 done2 done2 done1 open1")
        await saga.time_passes()  # Nobody confirmed.
        await saga.survives("open, alarmed: done done2 done2 done2 done1 open1")
        await saga.confirm()
        await saga.survives("completed, alarmed: done done2 done2 done2 done1 done1")

        asked = Counter(step_name(one.message) for one in await saga.asked())
        assert asked == {OLD_CARD: 2, E_CARD: 2, CREDENTIAL: 2, ACCOUNT: 1, BENEFIT: 1}
        states = {card.key: card.social.state for card in (await saga.holder()).cards}
        assert states == {OLD: values_pb2.SOCIAL_STATE_SUPERSEDED, NEW: values_pb2.SOCIAL_STATE_ACTIVE}
        await assert_nothing_is_lost_or_doubled(exchange.log, exchange.dsn)


async def test_a_replacement_is_taken_back_in_reverse_by_a_worker_that_is_killed_at_every_step(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with begun(exchange, tmp_path, phases=BEING_UNDONE) as saga:
        for step in (OLD_CARD, E_CARD, BENEFIT, CREDENTIAL, ACCOUNT):
            await saga.answer(step)
        await saga.tell(HOLDER.social("CANCELLED", 2, card=NEW, replaces=OLD))
        await saga.survives("undoing: undo-waiting done1 undo-waiting undo-waiting undo-waiting undoing1")
        await saga.answer(f"back {BENEFIT}", reason=LATER)
        await saga.survives("undoing: undo-waiting done1 undo-waiting undo-waiting undo-waiting undo-retrying1")
        await saga.time_passes()
        await saga.survives("undoing: undo-waiting done1 undo-waiting undo-waiting undo-waiting undoing2")
        await saga.answer(f"back {BENEFIT}")
        await saga.survives("undoing: undo-waiting done1 undo-waiting undo-waiting undoing1 undone2")
        await saga.answer(f"back {ACCOUNT}", reason=NEVER)
        await saga.survives("undo-stuck: undo-waiting done1 undo-waiting undo-waiting undo-stuck1 undone2")
        await saga.ask_again("the medical system is mended")
        await saga.survives("undoing: undo-waiting done1 undo-waiting undo-waiting undoing2 undone2")
        await saga.answer(f"back {ACCOUNT}")
        await saga.survives("undoing: undo-waiting done1 undo-waiting undoing1 undone2 undone2")
        await saga.answer(f"back {CREDENTIAL}")
        await saga.survives("undoing: undo-waiting done1 undoing1 undone1 undone2 undone2")
        await saga.answer(f"back {E_CARD}")
        await saga.survives("undone: undone done1 undone1 undone1 undone2 undone2")

        asked = Counter(step_name(one.message) for one in await saga.asked())
        forward = {OLD_CARD: 1, E_CARD: 1, CREDENTIAL: 1, ACCOUNT: 1, BENEFIT: 1}
        back = {f"back {E_CARD}": 1, f"back {CREDENTIAL}": 1, f"back {ACCOUNT}": 2, f"back {BENEFIT}": 2}
        assert asked == forward | back
        await assert_nothing_is_lost_or_doubled(exchange.log, exchange.dsn)
