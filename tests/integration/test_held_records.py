"""Records that could not be decided, and what an operator decides about them (rules 13 and 14)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_broker.directory.signing import sign_control
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain import conversation
from onecard_broker.domain.model import Effect, Inbound, State
from onecard_broker.journal import JOURNAL_TOPIC, control_record
from onecard_broker.log.port import Log
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import find_held, list_held
from onecard_protocol.clock import now_ms
from onecard_protocol.messages import Message
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.directories import put_key, put_participant, revoke_key
from tests.support.exchange import NETWORK, Delivered, Exchange, make_message, new_signer, running_exchange

pytest_plugins = ("tests.support.engines",)

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"

AHEAD_MS = 600_000
"""Messages are made ahead of the clock, so that none expires while it is held, however slow the machine is."""


class Rules:
    """The real rules, which fail for one message until they are mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, offender: Message) -> None:
        self.is_mended = False
        real = conversation.decide

        def decide(state: State, inbound: Inbound, at_ms: int) -> list[Effect]:
            if not self.is_mended and inbound.message is not None and inbound.message.key == offender.key:
                raise RuntimeError("a rule fails")
            return real(state, inbound, at_ms)

        monkeypatch.setattr(conversation, "decide", decide)


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> AsyncIterator[Exchange]:
    """A running exchange on each log."""
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running


def query(signer: EngineSigner | None = None) -> Message:
    """A coverage query about a synthetic person."""
    request = coverage_pb2.QueryCoverageRequest(insurance_area="510100")
    request.person.number = "510000199001019918"
    return make_message(
        sender="cn-44", recipient="cn-51", method=QUERY, payload=request, created_ms=now_ms() + AHEAD_MS, signer=signer
    )


async def dispose(
    exchange: Exchange, message: Message, disposition: control_pb2.Disposition, *, number: int = 1
) -> None:
    """An operator decides; wait until the decision has reached the partition."""
    database = LiveConnection(exchange.dsn, application_name="test")
    try:
        record = control_pb2.ControlRecord(
            number=number,
            dispose_message=control_pb2.MessageDisposition(
                partition=3,
                sender=message.header.sender,
                id=message.header.id,
                disposition=disposition,
                cause="test",
            ),
        )
        await DirectoryStore(database).append([record], exchange.signer, network=NETWORK, now_ms=now_ms())
    finally:
        await database.close()
    await exchange.control_reached(number)


async def held(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> tuple[Rules, Message, Message]:
    """An offender that is held, and a message of the same person behind it."""
    offender, behind = query(), query()
    rules = Rules(monkeypatch, offender)
    await exchange.append([(3, "aa", offender), (3, "aa", behind)])
    await exchange.drained()
    assert await exchange.inbox("cn-51") == []
    return rules, offender, behind


async def test_an_operator_sees_what_is_held_and_how_many_wait(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row for the offender, found by its id too."""
    _, offender, behind = await held(exchange, monkeypatch)
    async with await psycopg.AsyncConnection.connect(exchange.dsn, autocommit=True) as connection:
        (shown,) = await list_held(connection)
        assert (shown.partition, shown.position, shown.id) == (3, 0, offender.header.id)
        assert (shown.cause, shown.waiting_count) == ("RuntimeError", 1)
        assert await find_held(connection, offender.header.id) == shown
        assert await find_held(connection, behind.header.id) is None


def rejection_of(delivered: Delivered) -> message_pb2.Rejection:
    """The rejection that was delivered."""
    assert delivered.message.header.kind == message_pb2.MESSAGE_KIND_REJECTION
    return message_pb2.Rejection.FromString(delivered.message.payload)


async def test_replay_decides_the_held_record_and_then_those_behind_it(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order; later records of the person go straight through again."""
    rules, offender, behind = await held(exchange, monkeypatch)
    rules.is_mended = True
    await dispose(exchange, offender, control_pb2.DISPOSITION_REPLAY)
    later = query()
    await exchange.append([(3, "aa", later)])
    await exchange.drained()
    delivered = [one.message.key for one in await exchange.inbox("cn-51")]
    assert delivered == [offender.key, behind.key, later.key]


async def test_a_replay_that_fails_again_leaves_everything_as_it_was(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offender stays held, and those behind it wait on."""
    _, offender, _ = await held(exchange, monkeypatch)
    await dispose(exchange, offender, control_pb2.DISPOSITION_REPLAY)
    await exchange.append([(3, "aa", query())])
    await exchange.drained()
    assert await exchange.inbox("cn-51") == []


async def test_discard_gives_the_final_rejection_and_lets_the_others_go(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender, who had a notice that is not final, now gets DISCARDED; a repeat gets the same."""
    rules, offender, behind = await held(exchange, monkeypatch)
    await dispose(exchange, offender, control_pb2.DISPOSITION_DISCARD)
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [behind.key]
    notice, final = await exchange.inbox("cn-44")
    assert notice.message.header.kind == message_pb2.MESSAGE_KIND_NOTICE
    assert rejection_of(final).reason == errors_pb2.ERROR_REASON_DISCARDED
    rules.is_mended = True
    await exchange.append([(3, "aa", offender)])
    await exchange.drained()
    assert (await exchange.inbox("cn-44"))[2].message == final.message


async def test_release_lets_the_others_go_and_keeps_the_offender_held(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told to the sender; the offender can still be replayed or discarded."""
    rules, offender, behind = await held(exchange, monkeypatch)
    await dispose(exchange, offender, control_pb2.DISPOSITION_RELEASE)
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [behind.key]
    assert len(await exchange.inbox("cn-44")) == 1
    rules.is_mended = True
    await dispose(exchange, offender, control_pb2.DISPOSITION_REPLAY, number=2)
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [behind.key, offender.key]


async def test_a_held_message_whose_key_was_revoked_is_refused_for_good_when_it_is_replayed(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 15 at the replay's position; a repeat is told the same, and no longer that it is held."""
    signer = new_signer("cn-44-1")
    number = await exchange.change_directory(put_participant("cn-44"), put_key("cn-44", signer))
    offender = query(signer)
    rules = Rules(monkeypatch, offender)
    await exchange.append([(3, "aa", offender)])
    await exchange.drained()
    rules.is_mended = True
    await exchange.change_directory(revoke_key("cn-44-1", now_ms() - 10_000))
    await dispose(exchange, offender, control_pb2.DISPOSITION_REPLAY, number=number + 2)
    await exchange.append([(3, "aa", offender)])
    await exchange.drained()

    notice, refusal, repeated = await exchange.inbox("cn-44")
    assert notice.message.header.kind == message_pb2.MESSAGE_KIND_NOTICE
    assert rejection_of(refusal).reason == errors_pb2.ERROR_REASON_KEY_REVOKED
    assert repeated.message == refusal.message
    assert await exchange.inbox("cn-51") == []


async def copy_decision(
    exchange: Exchange,
    message: Message,
    disposition: control_pb2.Disposition,
    number: int,
    signer: EngineSigner,
) -> None:
    """Append a decision to the partition as a copied control record, whoever signed it."""
    record = control_pb2.ControlRecord(
        number=number,
        dispose_message=control_pb2.MessageDisposition(
            partition=3, sender=message.header.sender, id=message.header.id, disposition=disposition, cause="test"
        ),
    )
    signed = sign_control(record, signer, network=NETWORK, now_ms=now_ms())
    await exchange.append_records([control_record(signed, number, topic=JOURNAL_TOPIC, partition=3, time_ms=now_ms())])
    await exchange.drained()


async def test_a_decision_that_the_hub_did_not_sign_decides_nothing(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 15: the held message stays held, and the number stays free for the hub's own decision."""
    _, offender, behind = await held(exchange, monkeypatch)
    await copy_decision(exchange, offender, control_pb2.DISPOSITION_DISCARD, 1, new_signer(exchange.signer.key_id))
    assert await exchange.inbox("cn-51") == []
    await copy_decision(exchange, offender, control_pb2.DISPOSITION_DISCARD, 1, exchange.signer)
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [behind.key]


async def test_a_decision_that_is_copied_twice_decides_once(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 15: a repeated number does nothing; a further replay takes a further decision."""
    rules, offender, behind = await held(exchange, monkeypatch)
    await copy_decision(exchange, offender, control_pb2.DISPOSITION_REPLAY, 1, exchange.signer)
    rules.is_mended = True
    await copy_decision(exchange, offender, control_pb2.DISPOSITION_REPLAY, 1, exchange.signer)
    assert await exchange.inbox("cn-51") == []
    await copy_decision(exchange, offender, control_pb2.DISPOSITION_REPLAY, 2, exchange.signer)
    assert [one.message.key for one in await exchange.inbox("cn-51")] == [offender.key, behind.key]
