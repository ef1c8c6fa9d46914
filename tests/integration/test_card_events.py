"""The worker with cards, on the embedded log and PostgreSQL: registry rows, feeds, linked numbers, timers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from onecard.card.v1 import change_pb2, feed_pb2, values_pb2
from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_broker.domain.card_state import Cardholder, holder_key
from onecard_broker.domain.cards import CardBusiness
from onecard_broker.domain.model import Timer, TimerPurpose, state_timer_id
from onecard_broker.domain.ruling import Ruling
from onecard_broker.exchange.publisher import Publisher
from onecard_broker.exchange.worker import HUB_TICK_SECONDS
from onecard_broker.journal import (
    JOURNAL_TOPIC,
    MESSAGE_TYPE,
    NUMBER,
    TICK_TYPE,
    inbox_topic,
    message_record,
    partition_of_pseudonym,
    question_record,
)
from onecard_broker.log.cloud_events import CloudEvent, decode
from onecard_broker.log.port import Log
from onecard_broker.records import exchange_store as store
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import Message
from tests.support.card_reports import LINK_NUMBER, REPORT_SOCIAL, social_report
from tests.support.exchange import Exchange, make_message, running_exchange
from tests.support.messages import person

pytest_plugins = ("tests.support.engines",)

pytestmark = pytest.mark.parametrize("log_opener", ["embedded"], indirect=True)

OLD = "00" * 7 + "01" + "a" * 48
"""Pseudonym in partition 1."""
PRIMARY = "00" * 7 + "02" + "b" * 48
"""Pseudonym in partition 2."""
ENABLED = change_pb2.SOCIAL_CHANGE_ENABLED, values_pb2.SOCIAL_STATE_ACTIVE


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> AsyncIterator[Exchange]:
    """A running exchange on the embedded log."""
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running


def report(version: int, *, is_enabled: bool = False, serial: int = 991) -> Message:
    """What cn-11 tells of a card."""
    change, state = ENABLED if is_enabled else (change_pb2.SOCIAL_CHANGE_PRODUCED, values_pb2.SOCIAL_STATE_PRODUCED)
    payload = social_report(serial, version=version, change=change, state=state)
    return make_message(
        sender="cn-11",
        recipient=HUB,
        method=REPORT_SOCIAL,
        kind=message_pb2.MESSAGE_KIND_EVENT,
        payload=payload,
    )


def link() -> Message:
    """The person's number is replaced by another."""
    payload = feed_pb2.LinkNumberRequest(person=person(991), primary=person(992))
    return make_message(sender="cn-11", recipient=HUB, method=LINK_NUMBER, payload=payload)


async def append(exchange: Exchange, subject: str, message: Message, other: str = "") -> None:
    """As a gateway would admit it."""
    await exchange.append_records(
        [
            message_record(
                message,
                partition=partition_of_pseudonym(subject, exchange.log.partition_count),
                pseudonym=subject,
                other_pseudonym=other,
                admitted_ms=now_ms(),
                directory_version=0,
            )
        ]
    )


async def settled(exchange: Exchange) -> None:
    """Decided, published, and what was forwarded decided too."""
    for _ in range(3):
        await exchange.drained()


async def holder(exchange: Exchange, subject: str) -> Cardholder | None:
    """A cardholder as the registry has it."""
    key = partition_of_pseudonym(subject, exchange.log.partition_count), holder_key(subject)
    async with await connect(exchange.dsn, application_name="test") as connection:
        return (await CardRegistry().load(connection, [key])).get(key)


async def events(exchange: Exchange, topic: str) -> list[CloudEvent]:
    """All records of a topic."""
    bounds = await exchange.log.bounds(topic)
    reader = exchange.log.open_reader(topic, {partition: start for partition, (start, _) in bounds.items()})
    left, found = sum(end - start for start, end in bounds.values()), []
    try:
        while left > 0:
            records = await reader.read(1_000, 16 * 1024 * 1024, 1_000)
            left -= len(records)
            found += [decode(record) for record in records]
    finally:
        await reader.close()
    return found


async def copies(exchange: Exchange, message: Message) -> int:
    """How often a message stands in the journal."""
    journal = await events(exchange, JOURNAL_TOPIC)
    return sum(event.type == MESSAGE_TYPE and event.header == message.header_bytes for event in journal)


async def test_a_change_stands_in_the_registry_and_goes_to_those_who_follow_as_it_was_signed(
    exchange: Exchange,
) -> None:
    feed = control_pb2.Feed(package="onecard.card.v1", residents_of=["cn-11"])
    await exchange.change_directory(
        control_pb2.ControlRecord(put_participant=control_pb2.Participant(id="cn-45", feeds=[feed]))
    )
    produced, enabled = report(1), report(2, is_enabled=True)

    await append(exchange, OLD, produced)
    await append(exchange, OLD, enabled)
    await settled(exchange)

    known = await holder(exchange, OLD)
    assert known is not None
    (one,) = known.cards
    assert (one.social.state, one.social.version, one.bank) == (values_pb2.SOCIAL_STATE_ACTIVE, 2, "bank-102")
    assert [delivered.message for delivered in await exchange.inbox("cn-45")] == [produced, enabled]
    to_hub = [event for event in await events(exchange, inbox_topic(HUB)) if event.type != TICK_TYPE]
    assert [event.header for event in to_hub] == [produced.header_bytes, enabled.header_bytes]
    assert {event.extensions["pseudonym"] for event in to_hub} == {OLD}


async def test_the_hubs_inbox_is_ticked_behind_what_was_decided(exchange: Exchange) -> None:
    await append(exchange, OLD, report(1))
    await settled(exchange)
    start = now_ms()

    async def newest() -> tuple[int, int]:
        inbox = await events(exchange, inbox_topic(HUB))
        ticks = [event for event in inbox if event.type == TICK_TYPE and event.id.startswith("tick-hub-1-")]
        assert ticks == sorted(ticks, key=lambda event: event.time_ms)
        return (ticks[-1].time_ms, int(ticks[-1].extensions[NUMBER])) if ticks else (0, 0)

    async with asyncio.timeout(30):
        while (await newest())[0] < start:  # noqa: ASYNC110 - the log is all that tells.
            await asyncio.sleep(HUB_TICK_SECONDS)
    assert (await newest())[1] == 1


async def test_what_comes_under_a_linked_number_is_decided_under_the_primary_one(exchange: Exchange) -> None:
    await append(exchange, OLD, report(1))
    linking = link()
    await append(exchange, OLD, linking, other=PRIMARY)
    enabled = report(2, is_enabled=True)
    await append(exchange, OLD, enabled)
    await settled(exchange)

    old, primary = await holder(exchange, OLD), await holder(exchange, PRIMARY)
    assert old is not None
    assert (old.linked_to, old.cards) == (PRIMARY, ())
    assert primary is not None
    assert [one.social.state for one in primary.cards] == [values_pb2.SOCIAL_STATE_ACTIVE]
    answers = [delivered for delivered in await exchange.inbox("cn-11") if delivered.answers]
    assert [one.answers for one in answers] == [f"cn-11:{linking.header.id.hex()}"]
    assert await copies(exchange, enabled) == 2

    follow = make_message(
        sender="cn-51",
        recipient=HUB,
        method="/onecard.card.v1.CardFeedService/FollowPerson",
        payload=feed_pb2.FollowPersonRequest(person=person(991), purpose="benefit-payment"),
    )
    await append(exchange, OLD, follow)
    await settled(exchange)
    await append(exchange, OLD, follow)  # Its repeat follows it, and gets the stored answer again.
    question_id = new_message_id(now_ms())
    await exchange.append_records(
        [
            question_record(
                follow,
                partition=1,
                pseudonym=OLD,
                admitted_ms=now_ms(),
                directory_version=0,
                question_id=question_id,
            )
        ]
    )
    await settled(exchange)
    told = await exchange.inbox("cn-51")
    first, again, outcome = [delivered for delivered in told if delivered.answers]
    assert first.message == again.message
    assert feed_pb2.FollowPersonResponse.FromString(first.message.payload).card_count == 1
    assert outcome.answers == f"question:{question_id.hex()}"
    state = message_pb2.OutcomeReport.FromString(outcome.message.payload)
    assert state.state == message_pb2.OUTCOME_STATE_DECIDED
    assert state.answer.header == first.message.header_bytes


@pytest.mark.parametrize("is_appended", [False, True], ids=["before-the-append", "before-the-watermark"])
async def test_what_is_forwarded_survives_a_crash_between_commit_and_append(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, is_appended: bool
) -> None:
    await append(exchange, OLD, report(1))
    await append(exchange, OLD, link(), other=PRIMARY)
    await settled(exchange)
    reached = asyncio.Event()
    publish = Publisher._append

    async def crash(self: Publisher, outputs: object) -> list[bool]:
        if any(getattr(output, "recipient", "").startswith("journal/") for output in outputs):  # type: ignore[attr-defined]
            if is_appended:
                await publish(self, outputs)  # type: ignore[arg-type]
            reached.set()
            await asyncio.Event().wait()
        return await publish(self, outputs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "_append", crash)
        enabled = report(2, is_enabled=True)
        await append(exchange, OLD, enabled)
        await asyncio.wait_for(reached.wait(), 30)
        await exchange.stop()
    assert await copies(exchange, enabled) == (2 if is_appended else 1)

    await exchange.start()
    await settled(exchange)

    assert await copies(exchange, enabled) == (3 if is_appended else 2)
    primary = await holder(exchange, PRIMARY)
    assert primary is not None
    assert [(one.social.version, one.social.late_count) for one in primary.cards] == [(2, 0)]


async def test_a_timer_about_a_state_wakes_its_business_with_the_state_loaded(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(exchange, OLD, report(1))
    await settled(exchange)
    key, woken = holder_key(OLD), asyncio.Queue[tuple[Timer, Cardholder]]()

    def wake(self: CardBusiness, ruling: Ruling, timer: Timer) -> None:
        woken.put_nowait((timer, ruling.state.aggregates[key]))

    monkeypatch.setattr(CardBusiness, "wake", wake)
    timer = Timer(
        id=state_timer_id(key, "benefit"),
        due_ms=now_ms() - 1,
        purpose=TimerPurpose.STATE,
        request=("cn-11", bytes(16)),  # Long forgotten.
        aggregate=key,
        what="benefit",
        method=REPORT_SOCIAL,
    )
    async with await connect(exchange.dsn, application_name="test") as connection:
        await store.save_timers(connection, [(1, timer)], [])

    found, known = await asyncio.wait_for(woken.get(), 30)

    assert found == timer
    assert known == await holder(exchange, OLD)
    await settled(exchange)
    async with await connect(exchange.dsn, application_name="test") as connection:
        assert await store.load_timers(connection, [(1, timer.id)]) == {}


async def test_a_version_that_no_column_holds_is_held_and_stops_nobody_but_its_person(exchange: Exchange) -> None:
    broken, good = report(2**63), report(1, serial=992)

    await append(exchange, OLD, broken)
    await append(exchange, PRIMARY, good)
    await settled(exchange)

    assert await holder(exchange, OLD) is None
    assert await holder(exchange, PRIMARY) is not None
    (notice,) = await exchange.inbox("cn-11")
    assert notice.message.header.kind == message_pb2.MESSAGE_KIND_NOTICE
    assert notice.message.header.reply_to.id == broken.header.id
