"""The worker on both logs: what is journaled is decided once, delivered in order and answered."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

import psycopg
import pytest

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard.exchange.v1.values_pb2 import CodedValue
from onecard.medical.v1 import coverage_pb2
from onecard_broker.directory.signing import sign_control
from onecard_broker.domain.model import Effect, Inbound, KnownMessage, MessageKey, State
from onecard_broker.exchange.recent import Recent
from onecard_broker.exchange.upkeep import Upkeep
from onecard_broker.journal import JOURNAL_TOPIC, control_record, message_record
from onecard_broker.log.port import Log, Record
from onecard_broker.records import exchange_store
from onecard_broker.records.pool import Connection
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, reference_to
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.card_reports import REPORT_SOCIAL, social_report
from tests.support.directories import put_key, put_participant, revoke_key
from tests.support.exchange import ENGINE, NETWORK, Exchange, make_message, new_signer, running_exchange

pytest_plugins = ("tests.support.engines",)

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> AsyncIterator[Exchange]:
    """A running exchange on each log."""
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running


def query(number: str = "510000199001019918") -> coverage_pb2.QueryCoverageRequest:
    """A coverage query about a synthetic person."""
    request = coverage_pb2.QueryCoverageRequest(insurance_area="510100")
    request.person.number = number
    return request


async def test_a_request_reaches_its_recipient_and_its_answer_comes_back(exchange: Exchange) -> None:
    """Request and reply travel byte for byte, each under delivery number 1."""
    request = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    assert (delivered.partition, delivered.number) == (3, 1)
    assert delivered.message == request

    reply = await exchange.answer(delivered, coverage_pb2.QueryCoverageResponse())
    await exchange.drained()
    (answered,) = await exchange.inbox("cn-44")
    assert answered.message == reply
    assert answered.answers == f"cn-44:{request.header.id.hex()}"


async def test_a_repeated_request_is_delivered_once_and_gets_its_stored_answer_again(exchange: Exchange) -> None:
    """Rule 1: the same id and digest gives the stored outcome as a new delivery."""
    request = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    reply = await exchange.answer(delivered, coverage_pb2.QueryCoverageResponse())
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    assert len(await exchange.inbox("cn-51")) == 1
    answers = await exchange.inbox("cn-44")
    assert [answer.message for answer in answers] == [reply, reply]
    assert [answer.number for answer in answers] == [1, 2]


async def test_what_was_just_decided_is_not_asked_for_again(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request, its answer and a repeat cost the database no question about them."""
    real, asked = exchange_store.load_known, set[MessageKey]()

    async def watched(connection: Connection, keys: Collection[tuple[int, MessageKey]]) -> Any:
        asked.update(key for _, key in keys)
        return await real(connection, keys)

    monkeypatch.setattr(exchange_store, "load_known", watched)
    await exchange.drained()  # The partitions are taken: what is made from here on may be new.
    request = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    await exchange.answer(delivered, coverage_pb2.QueryCoverageResponse())
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    assert len(await exchange.inbox("cn-44")) == 2
    assert not asked


async def test_a_repeat_that_seems_new_is_found_out_by_the_database(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 1 holds whatever the clocks say: nothing is delivered twice, and what came with the repeat is decided."""
    request, beside = (make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query()) for _ in range(2))
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    reply = await exchange.answer(delivered, coverage_pb2.QueryCoverageResponse())
    await exchange.drained()
    await exchange.stop()
    begin = Recent.begin
    monkeypatch.setattr(Recent, "begin", lambda self, now_ms: begin(self, 0))
    caplog.set_level(logging.INFO, logger="onecard_broker.exchange")
    await exchange.start()
    await exchange.append([(3, "aa", request), (3, "aa", reply), (3, "aa", beside)])
    await exchange.drained()
    assert [one.message for one in await exchange.inbox("cn-51")] == [request, beside]
    assert [one.message for one in await exchange.inbox("cn-44")] == [reply, reply]
    assert "may be a repeat" in caplog.text, "it was taken for new at first"


async def test_what_another_record_names_is_asked_for_though_it_comes_again(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer and a repeat of its request in one batch: the answer is not one to nothing."""
    request = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    (delivered,) = await exchange.inbox("cn-51")
    await exchange.stop()
    real, taken_for_new = exchange_store.save_known, set[MessageKey]()

    async def watched(connection: Connection, rows: Collection[tuple[int, KnownMessage]], *, are_new: bool) -> None:
        if are_new:
            taken_for_new.update(known.key for _, known in rows)
        await real(connection, rows, are_new=are_new)

    begin = Recent.begin
    monkeypatch.setattr(exchange_store, "save_known", watched)
    monkeypatch.setattr(Recent, "begin", lambda self, now_ms: begin(self, 0))
    reply = make_message(
        sender="cn-51",
        recipient="cn-44",
        method=QUERY,
        payload=coverage_pb2.QueryCoverageResponse(),
        kind=message_pb2.MESSAGE_KIND_REPLY,
        reply_to=reference_to(request, log_epoch=exchange.log.epoch, partition=delivered.partition),
    )
    await exchange.append([(3, "aa", reply), (3, "aa", request)])
    await exchange.start()
    await exchange.drained()
    assert [one.message for one in await exchange.inbox("cn-44")] == [reply, reply]
    assert taken_for_new == {reply.key}


async def test_other_content_under_a_used_id_is_refused_with_a_signed_rejection(exchange: Exchange) -> None:
    """Rule 1: same id, other digest is a conflict; the hub's signature on the refusal holds."""
    request = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    other = make_message(
        sender="cn-44",
        recipient="cn-51",
        method=QUERY,
        payload=query("510000199001019926"),
        message_id=request.header.id,
        created_ms=request.created_ms,
    )
    await exchange.append([(3, "aa", request), (3, "aa", other)])
    await exchange.drained()
    (refusal,) = await exchange.inbox("cn-44")
    rejection = message_pb2.Rejection.FromString(refusal.message.payload)
    assert rejection.reason == errors_pb2.ERROR_REASON_ID_CONFLICT
    assert refusal.message.header.reply_to.digest == other.digest
    block = message_pb2.SignatureBlock.FromString(refusal.message.signature)
    assert BlockVerifier(ENGINE).verify(
        MESSAGE_CONTEXT, refusal.message.header_bytes, block, exchange.signer.public_key
    )


async def test_a_record_that_cannot_be_decided_holds_up_its_person_only(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 14: the offender is held, its person's later records are parked, everybody else goes on."""
    from onecard_broker.domain import conversation

    offender = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    behind = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    other = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query("510000199001019926"))
    real = conversation.decide

    def failing(state: State, inbound: Inbound, now_ms: int) -> list[Effect]:
        if inbound.message is not None and inbound.message.key == offender.key:
            raise RuntimeError("a rule fails")
        return real(state, inbound, now_ms)

    monkeypatch.setattr(conversation, "decide", failing)
    await exchange.append([(3, "aa", offender), (3, "aa", behind), (3, "bb", other)])
    await exchange.drained()
    assert [delivered.message.key for delivered in await exchange.inbox("cn-51")] == [other.key]
    (notice,) = await exchange.inbox("cn-44")
    assert message_pb2.Notice.FromString(notice.message.payload).state == message_pb2.OPEN_STATE_HELD


def unstorable() -> Message:
    """A card report with a text that is too large for the index of its column, though no payload like it is admitted.

    PostgreSQL calls that an operational error, as it calls a lost connection.
    """
    report = social_report()
    report.local_status.CopyFrom(CodedValue(system=secrets.token_urlsafe(6_000), version="1", code="1"))
    return make_message(
        sender="cn-11",
        recipient=HUB,
        method=REPORT_SOCIAL,
        kind=message_pb2.MESSAGE_KIND_EVENT,
        payload=report,
    )


async def test_a_record_that_the_database_cannot_hold_is_held_and_everybody_else_goes_on(exchange: Exchange) -> None:
    """Rule 14: what a statement refuses because of its data is no lost connection, which would be waited for."""
    other = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query())
    await exchange.append([(3, "a" * 64, unstorable()), (3, "bb", other)])
    await exchange.drained()
    assert [delivered.message.key for delivered in await exchange.inbox("cn-51")] == [other.key]
    (notice,) = await exchange.inbox("cn-11")
    assert message_pb2.Notice.FromString(notice.message.payload).state == message_pb2.OPEN_STATE_HELD


async def test_what_was_published_is_noted_though_the_next_batch_is_bisected(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next owner of the partition publishes it again."""
    await exchange.stop()
    monkeypatch.setattr(Upkeep, "_ticks", lambda *_: [])  # No batch but the test's own takes the watermark.
    await exchange.start()
    first, beside = (make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query()) for _ in range(2))
    await exchange.append([(3, "aa", first)])
    await exchange.drained()
    await exchange.append([(4, "a" * 64, unstorable()), (4, "bb", beside)])
    await exchange.drained()
    async with await psycopg.AsyncConnection.connect(exchange.dsn) as connection:
        numbers = await exchange_store.load_numbers(connection, [3, 4])
    assert numbers[("cn-51", 3)] == (1, 1)
    assert ("cn-11", 4) in numbers, "nothing was held"


def admitted(message: Message, admitted_ms: int) -> Record:
    """A query as a gateway wrote it to partition 3."""
    return message_record(message, partition=3, pseudonym="aa", admitted_ms=admitted_ms, directory_version=2)


def revocation(number: int, at_ms: int, signer: EngineSigner) -> Record:
    """The copy in partition 3 of a control record that revokes the sender's key."""
    record = revoke_key("cn-44-1", at_ms)
    record.number = number
    signed = sign_control(record, signer, network=NETWORK, now_ms=now_ms())
    return control_record(signed, number, topic=JOURNAL_TOPIC, partition=3, time_ms=now_ms())


async def sender_with_key(exchange: Exchange) -> EngineSigner:
    """The key of cn-44, which the directory knows as number 2."""
    signer = new_signer("cn-44-1")
    assert await exchange.change_directory(put_participant("cn-44"), put_key("cn-44", signer)) == 2
    return signer


async def test_a_revoked_key_is_refused_from_its_revocation_in_the_partition_on(exchange: Exchange) -> None:
    """Rule 15: the gateway had not heard of it; what stands before, or was admitted before it counts, goes through."""
    signer = await sender_with_key(exchange)
    before, behind, earlier = (
        make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query(), signer=signer) for _ in range(3)
    )
    revoked_ms = now_ms() - 1_000
    await exchange.append_records(
        [
            admitted(before, revoked_ms + 500),
            revocation(3, revoked_ms, exchange.signer),
            admitted(behind, revoked_ms + 600),
            admitted(earlier, revoked_ms - 1),
        ]
    )
    await exchange.drained()

    assert [one.message.key for one in await exchange.inbox("cn-51")] == [before.key, earlier.key]
    (refused,) = await exchange.inbox("cn-44")
    assert message_pb2.Rejection.FromString(refused.message.payload).reason == errors_pb2.ERROR_REASON_KEY_REVOKED
    assert refused.message.header.reply_to.id == behind.header.id

    await exchange.append_records([admitted(message, now_ms()) for message in (behind, before)])
    await exchange.drained()
    _, again, open_still = await exchange.inbox("cn-44")
    assert again == dataclasses.replace(refused, number=2)
    assert message_pb2.Notice.FromString(open_still.message.payload).state == message_pb2.OPEN_STATE_WAITING
    assert len(await exchange.inbox("cn-51")) == 2


async def test_a_control_record_that_the_hub_did_not_sign_is_passed_over(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 15: neither a foreign key nor a genuine signature beside another content counts; the number stays free."""
    signer = await sender_with_key(exchange)
    first, second, third = (
        make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=query(), signer=signer) for _ in range(3)
    )
    revoked_ms = now_ms() - 1_000
    forged = revocation(3, revoked_ms, new_signer(exchange.signer.key_id))
    harmless = control_pb2.ControlRecord(number=3, put_participant=put_participant("cn-33").put_participant)
    genuine = sign_control(harmless, exchange.signer, network=NETWORK, now_ms=now_ms())
    await exchange.append_records(
        [
            forged,
            admitted(first, now_ms()),
            dataclasses.replace(
                control_record(genuine, 3, topic=JOURNAL_TOPIC, partition=3, time_ms=now_ms()), value=forged.value
            ),
            admitted(second, now_ms()),
            revocation(3, revoked_ms, exchange.signer),
            admitted(third, now_ms()),
        ]
    )
    await exchange.drained()

    assert [one.message.key for one in await exchange.inbox("cn-51")] == [first.key, second.key]
    (refused,) = await exchange.inbox("cn-44")
    assert refused.message.header.reply_to.id == third.header.id
    assert caplog.text.count("says that it is control record 3, which the hub did not sign") == 2
