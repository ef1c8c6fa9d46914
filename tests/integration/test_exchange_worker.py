"""The worker on both logs: what is journaled is decided once, delivered in order and answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_broker.domain.model import Effect, Inbound, State
from onecard_broker.log.port import Log
from onecard_protocol.messages import MESSAGE_CONTEXT
from onecard_protocol.signatures.blocks import BlockVerifier
from tests.support.exchange import ENGINE, Exchange, make_message, running_exchange

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
