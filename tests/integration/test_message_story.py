"""The story of a message and the audit, read from both logs: found, checked, answered, held back, or never seen."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import MappingProxyType

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory, Key
from onecard_broker.journal import inbox_topic
from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.log.port import Log
from onecard_broker.operations.audit import audit
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.operations.story import StoryReader
from onecard_broker.records.pool import connect
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.exchange import ENGINE, METHODS, Exchange, make_message, new_signer, running_exchange
from tests.support.messages import citizen_number, coverage_query

pytest_plugins = ("tests.support.engines",)

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"
DAY_MS = 24 * 3_600_000
GUANGDONG = new_signer("cn-44-key")


def key_of(signer: EngineSigner, participant: str, *, not_after_ms: int | None = None) -> Key:
    return Key(
        participant=participant,
        key_id=signer.key_id,
        public_key=signer.public_key,
        not_before_ms=now_ms() - DAY_MS,
        not_after_ms=now_ms() + DAY_MS if not_after_ms is None else not_after_ms,
    )


def directory(*keys: Key) -> Directory:
    return Directory(
        version=1,
        participants=EMPTY_DIRECTORY.participants,
        keys=MappingProxyType({key.key_id: key for key in keys}),
        revocations=EMPTY_DIRECTORY.revocations,
    )


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> AsyncIterator[Exchange]:
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running


@contextlib.asynccontextmanager
async def reader_of(exchange: Exchange, known: Directory | None = None) -> AsyncIterator[StoryReader]:
    connection = await connect(exchange.dsn, application_name="test")
    window = LogWindow(exchange.log)
    try:
        yield StoryReader(
            connection,
            window,
            directory=known or directory(key_of(GUANGDONG, "cn-44")),
            methods=METHODS,
            verifier=BlockVerifier(ENGINE),
            hub_keys={exchange.signer.key_id: exchange.signer.public_key},
        )
    finally:
        await window.close()
        await connection.close()


def request(signer: EngineSigner = GUANGDONG, message_id: bytes | None = None) -> Message:
    return make_message(
        sender="cn-44",
        recipient="cn-51",
        method=QUERY,
        payload=coverage_query(),
        signer=signer,
        message_id=message_id,
    )


async def test_a_request_with_its_reply_is_told_from_journal_to_inbox(exchange: Exchange) -> None:
    asked = request()
    await exchange.append([(3, "aa", asked)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    reply = await exchange.answer(delivered, coverage_pb2.QueryCoverageResponse())
    await exchange.drained()
    async with reader_of(exchange) as reader:
        (story,) = await reader.find(asked.header.id)
    assert story.message == asked
    assert story.place is not None
    assert (story.place.partition, story.place.pseudonym) == (3, "aa")
    assert story.check.is_good
    (there,) = story.deliveries
    assert (there.recipient, there.partition, there.number) == ("cn-51", 3, 1)
    assert there.appended_ms is not None
    (answer,) = story.answers
    assert answer.message == reply
    assert answer.place is not None
    assert answer.place.position > story.place.position
    assert [one.recipient for one in answer.deliveries] == ["cn-44"]
    assert story.payload["person"]["number"] == "***"


async def test_what_a_local_system_said_in_a_refusal_is_not_shown(exchange: Exchange) -> None:
    """It is for the clerk, and no adapter can be trusted to have left persons out of it."""
    asked = request()
    await exchange.append([(3, "aa", asked)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    number = citizen_number(1)
    said = message_pb2.Rejection(
        reason=errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, local_code="-1", local_text=f"参保人{number}未参保"
    )
    await exchange.answer(delivered, said, message_pb2.MESSAGE_KIND_REJECTION)
    await exchange.drained()
    async with reader_of(exchange) as reader:
        (story,) = await reader.find(asked.header.id)
    (refusal,) = story.answers
    assert refusal.payload == {
        "reason": "ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM",
        "local_code": "-1",
        "local_text": "***",
    }


async def test_a_refusal_of_the_hub_leads_back_to_the_record_that_it_was_decided_from(exchange: Exchange) -> None:
    """A request that nobody was given has no delivery of its own: its refusal tells where it lies."""
    first, other = request(), request()
    await exchange.append([(1, "aa", first)])
    await exchange.drained()
    late = make_message(
        sender="cn-44",
        recipient="cn-51",
        method="/onecard.medical.v1.EncounterService/Discharge",
        payload=METHODS["/onecard.medical.v1.EncounterService/Discharge"].input_class(),
        signer=GUANGDONG,
        created_ms=now_ms() - 60_000,
    )
    await exchange.append([(2, "bb", late), (1, "aa", other)])
    await exchange.drained()
    async with reader_of(exchange) as reader:
        (story,) = await reader.find(late.header.id)
    assert story.deliveries == ()
    (refusal,) = story.answers
    assert refusal.message.header.kind == message_pb2.MESSAGE_KIND_REJECTION
    assert refusal.payload["reason"] == "ERROR_REASON_EXPIRED"
    assert refusal.check.is_good
    assert story.place is not None
    assert story.place.partition == 2
    assert story.message == late


async def test_a_conflict_of_ids_is_told_beside_the_answer_of_the_first_and_disturbs_nothing_behind_it(
    exchange: Exchange,
) -> None:
    first, behind = request(), request()
    other_content = make_message(
        sender="cn-44",
        recipient="cn-51",
        method=QUERY,
        payload=coverage_query(992),
        signer=GUANGDONG,
        message_id=first.header.id,
    )
    assert other_content.digest != first.digest
    await exchange.append([(3, "aa", first), (3, "aa", other_content), (3, "aa", behind)])
    await exchange.drained()
    delivered = await exchange.inbox("cn-51")
    await exchange.answer(delivered[0], coverage_pb2.QueryCoverageResponse())
    await exchange.drained()
    async with reader_of(exchange) as reader:
        (story,) = await reader.find(first.header.id)
    assert [one.message.key for one in delivered] == [first.key, behind.key]
    assert story.message == first
    refusal, answer = story.answers
    assert refusal.payload["reason"] == "ERROR_REASON_ID_CONFLICT"
    assert refusal.check.is_good
    assert [one.recipient for one in refusal.deliveries] == ["cn-44"]
    assert answer.message.header.kind == message_pb2.MESSAGE_KIND_REPLY


async def test_a_message_that_is_admitted_and_not_decided_is_found_in_the_journal(exchange: Exchange) -> None:
    await exchange.drained()
    await exchange.stop()
    waiting = request()
    await exchange.append([(5, "aa", waiting)])
    async with reader_of(exchange) as reader:
        (story,) = await reader.find(waiting.header.id)
        assert await reader.find(new_message_id(now_ms())) == []
    assert story.state == "admitted"
    assert story.message == waiting
    assert story.deliveries == ()
    assert story.answers == ()


@pytest.mark.parametrize("case", ["changed", "other owner", "expired", "unknown"])
async def test_a_signature_that_does_not_hold_is_told(exchange: Exchange, case: str) -> None:
    asked = request()
    if case == "changed":
        block = message_pb2.SignatureBlock.FromString(asked.signature)
        block.signature = bytes([block.signature[0] ^ 1]) + block.signature[1:]
        asked = trusted_message(asked.header_bytes, asked.payload, block.SerializeToString())
    await exchange.append([(0, "aa", asked)])
    await exchange.drained()
    keys = {
        "changed": [key_of(GUANGDONG, "cn-44")],
        "other owner": [key_of(GUANGDONG, "cn-11")],
        "expired": [key_of(GUANGDONG, "cn-44", not_after_ms=asked.created_ms - 1_000)],
        "unknown": [],
    }[case]
    async with reader_of(exchange, directory(*keys)) as reader:
        (story,) = await reader.find(asked.header.id)
    assert not story.check.is_good
    assert story.check.is_valid == (case == "expired")
    assert story.check.key_status == {"expired": "expired", "unknown": "unknown"}.get(case, "ok")


async def test_one_id_of_two_senders_gives_two_stories(exchange: Exchange) -> None:
    asked = request()
    same_id = make_message(
        sender="cn-11", recipient="cn-51", method=QUERY, payload=coverage_query(), message_id=asked.header.id
    )
    await exchange.append([(0, "aa", asked), (0, "aa", same_id)])
    await exchange.drained()
    async with reader_of(exchange) as reader:
        stories = await reader.find(asked.header.id)
    assert [story.message.header.sender for story in stories] == ["cn-11", "cn-44"]


async def test_the_audit_misses_nothing_that_an_inbox_kept_for_its_time(postgres_dsn: str) -> None:
    log = await EmbeddedLog.open(postgres_dsn, partition_count=8)
    async with running_exchange(log, postgres_dsn) as exchange:
        for _ in range(3):
            await exchange.append([(3, "aa", request())])
        await exchange.drained()
        connection = await connect(exchange.dsn, application_name="test")
        window = LogWindow(exchange.log)
        try:
            await log.truncate(inbox_topic("cn-51"), {3: 2})
            partly = await audit(connection, window)
            await log.truncate(inbox_topic("cn-51"), {3: 3})
            wholly = await audit(connection, window)
        finally:
            await window.close()
            await connection.close()
    await log.close()
    assert partly.last_numbers["cn-51/3"] == 3
    assert (partly.missing_numbers, wholly.missing_numbers) == ((), ())


async def test_the_audit_counts_repeats_once_and_names_what_is_open(exchange: Exchange) -> None:
    answered, open_ = request(), request()
    await exchange.append([(3, "aa", answered)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    await exchange.answer(delivered, coverage_pb2.QueryCoverageResponse())
    await exchange.append([(3, "aa", answered), (3, "aa", open_)])
    await exchange.drained()
    await exchange.stop()
    undecided = request()
    await exchange.append([(4, "bb", undecided)])
    connection = await connect(exchange.dsn, application_name="test")
    window = LogWindow(exchange.log)
    try:
        found = await audit(connection, window)
        await connection.execute("UPDATE outputs SET number = 9 WHERE id = %b", (open_.header.id,))
        gap = await audit(connection, window)
    finally:
        await window.close()
        await connection.close()
    copies = {message.id: message.copies for message in found.messages}
    assert copies[answered.header.id.hex()] == 2
    assert found.undecided == (f"cn-44:{undecided.header.id.hex()}",)
    assert found.without_outcome == (f"cn-44:{open_.header.id.hex()}",)
    assert (found.delivered_twice, found.answered_twice, found.missing_numbers) == ((), (), ())
    assert found.last_numbers["cn-51/3"] == 2
    assert "cn-51/3/9" in gap.missing_numbers
