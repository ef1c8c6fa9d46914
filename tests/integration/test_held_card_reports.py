"""Reading the cards of a person of whom a report is held: nothing is told as fresh until it is decided."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from onecard.card.v1 import change_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_adapters.cards.changes import REPORT_SOCIAL
from onecard_broker.admission.subject import Subjects
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain import conversation
from onecard_broker.domain.model import Effect, Inbound, State
from onecard_broker.journal import message_record
from onecard_broker.log.cloud_events import HEADER
from onecard_broker.log.port import Record
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import Held, list_held
from onecard_protocol.clock import now_ms
from onecard_protocol.identity import normalise_identity
from tests.support.card_adapters import ISSUER, machine_at, tell
from tests.support.card_reports import GET_STATUS, social_report
from tests.support.directories import NETWORK
from tests.support.exchange import make_message
from tests.support.gateway import PARTITION_COUNT, Hub, eventually_async, running_hub
from tests.support.messages import citizen_number, person

pytest_plugins = ("tests.support.engines",)

DATA_CHANGED = change_pb2.SOCIAL_CHANGE_DATA_CHANGED


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    participants = ("cn-00", "cn-11", "cn-45")
    async with running_hub(postgres_dsn, tmp_path, participants=participants, patterns=("/onecard.*",)) as running:
        yield running


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[LiveConnection]:
    database = LiveConnection(postgres_dsn, application_name="test")
    yield database
    await database.close()


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The rules fail for changes of data until something stands in this list."""
    mended: list[bool] = []
    real = conversation.decide

    def decide(state: State, inbound: Inbound, at_ms: int) -> list[Effect]:
        if not mended and getattr(inbound.payload, "change", 0) == DATA_CHANGED:
            raise RuntimeError("a rule fails")
        return real(state, inbound, at_ms)

    monkeypatch.setattr(conversation, "decide", decide)
    return mended


async def status(hub: Hub, gateway: int = 0) -> status_pb2.CardAnswer:
    question = status_pb2.CardQuestion(person=person(1))
    request = status_pb2.GetCardStatusRequest(question=question, purpose="counter")
    async with hub.channel("cn-45", gateway) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET_STATUS)
        answer = await call(request.SerializeToString(), timeout=10)
    return status_pb2.GetCardStatusResponse.FromString(answer).answer


async def answer_after(hub: Hub, at_ms: int, gateway: int = 0) -> status_pb2.CardAnswer:
    """The first answer that says to know of everything up to a time."""
    answers: list[status_pb2.CardAnswer] = []

    async def is_after() -> bool:
        answers.append(await status(hub, gateway))
        return answers[-1].as_of_time.ToMilliseconds() > at_ms

    await eventually_async(is_after)
    return answers[-1]


async def held_when(database: LiveConnection, waiting_count: int) -> Held:
    """The message that is held, once so many wait behind it."""
    held: list[Held] = []

    async def is_held() -> bool:
        held[:] = await list_held(await database.get())
        return [one.waiting_count for one in held] == [waiting_count]

    await eventually_async(is_held)
    return held[0]


async def dispose(database: LiveConnection, hub: Hub, held: Held, disposition: control_pb2.Disposition) -> None:
    """An operator decides about what is held."""
    decision = control_pb2.MessageDisposition(
        partition=held.partition, sender=held.sender, id=held.id, disposition=disposition, cause="test"
    )
    store = DirectoryStore(database)
    number = len(await store.records(1)) + 1
    record = control_pb2.ControlRecord(number=number, dispose_message=decision)
    await store.append([record], hub.signers["cn-00"], network=NETWORK, now_ms=now_ms())


@pytest.mark.parametrize("disposition", [control_pb2.DISPOSITION_REPLAY, control_pb2.DISPOSITION_DISCARD])
async def test_a_card_is_never_fresh_while_a_report_of_its_person_is_held_or_waits(
    hub: Hub, database: LiveConnection, mended: list[bool], disposition: control_pb2.Disposition
) -> None:
    await hub.add_gateway()
    active, lost = values_pb2.SOCIAL_STATE_ACTIVE, values_pb2.SOCIAL_STATE_LOST
    await tell(hub, ISSUER, social_report(1, version=1, change=change_pb2.SOCIAL_CHANGE_ENABLED, state=active))
    await machine_at(hub, ISSUER, 1, serial=1)
    before = await answer_after(hub, now_ms())
    assert [card.social_state for card in before.cards] == [active]

    await tell(hub, ISSUER, social_report(1, version=2, change=DATA_CHANGED, state=active, at_ms=now_ms()))
    held = await held_when(database, 0)
    while_held = await answer_after(hub, now_ms())
    lost_report = social_report(1, version=3, change=change_pb2.SOCIAL_CHANGE_LOST, state=lost, at_ms=now_ms())
    await tell(hub, ISSUER, lost_report)
    await held_when(database, 1)
    while_waiting = [await answer_after(hub, now_ms(), gateway) for gateway in (0, 1)]

    for answer in (while_held, *while_waiting):
        assert (answer.freshness, len(answer.cards)) == (status_pb2.FRESHNESS_STALE, 0)

    mended.append(True)
    await dispose(database, hub, held, disposition)

    async def is_lost() -> bool:
        return [card.social_state for card in (await status(hub)).cards] == [lost]

    await eventually_async(is_lost)


@pytest.mark.parametrize("damage", ["payload", "header"])
async def test_a_card_is_never_fresh_while_a_record_of_its_person_cannot_be_read(
    hub: Hub, database: LiveConnection, damage: str
) -> None:
    active = values_pb2.SOCIAL_STATE_ACTIVE
    await tell(hub, ISSUER, social_report(1, version=1, change=change_pb2.SOCIAL_CHANGE_ENABLED, state=active))
    await machine_at(hub, ISSUER, 1, serial=1)
    assert [card.social_state for card in (await answer_after(hub, now_ms())).cards] == [active]

    report = social_report(1, version=2, change=change_pb2.SOCIAL_CHANGE_LOST, state=values_pb2.SOCIAL_STATE_LOST)
    await hub.log.append([damaged(report, damage)])
    held = await held_when(database, 0)
    while_held = await answer_after(hub, now_ms())
    assert (while_held.freshness, len(while_held.cards)) == (status_pb2.FRESHNESS_STALE, 0)

    await dispose(database, hub, held, control_pb2.DISPOSITION_DISCARD)

    async def is_fresh() -> bool:
        return [card.social_state for card in (await status(hub)).cards] == [active]

    await eventually_async(is_fresh)
    assert await list_held(await database.get()) == []


def damaged(report: change_pb2.ReportSocialChangeRequest, damage: str) -> Record:
    """The report in the journal, with a payload or header of which nobody can read anything."""
    message = make_message(
        sender="cn-11", recipient="cn-00", method=REPORT_SOCIAL, payload=report, kind=message_pb2.MESSAGE_KIND_EVENT
    )
    subjects = Subjects(bytes(32), PARTITION_COUNT)
    subject = subjects.pseudonym(normalise_identity("", citizen_number(1)))
    record = message_record(
        message,
        partition=subjects.partition_of_pseudonym(subject),
        pseudonym=subject,
        admitted_ms=now_ms(),
        directory_version=1,
    )
    if damage == "payload":
        return dataclasses.replace(record, value=b"\xff")
    headers = tuple((name, b"!" if name == HEADER else value) for name, value in record.headers)
    return dataclasses.replace(record, headers=headers)
