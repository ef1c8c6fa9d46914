"""Receipts at the adapter: one that is wrong proves nothing, and costs a call with a good answer nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import filing_pb2_grpc, settlement_pb2_grpc
from onecard_adapters.runtime import outbox
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import Message
from tests.support.eventually import eventually
from tests.support.fake_hub import FakeHub, new_signer
from tests.support.sdk_country import Country, Insured, filing_event, settle_request

pytest_plugins = ("tests.support.fake_hub_of_two",)

WrongReceipt = Callable[[FakeHub, Message], message_pb2.SignedReceipt]

WRONG: dict[str, tuple[WrongReceipt, str]] = {
    "forged": (lambda hub, message: hub.receipt_with(message, signer=new_signer("hub-1")), "SIGNATURE_INVALID"),
    "of a province": (
        lambda hub, message: hub.receipt_with(message, signer=hub.signers["cn-51"]),
        "KEY_OF_OTHER_PARTICIPANT",
    ),
    "of another message": (
        lambda hub, message: hub.receipt_with(message, id=new_message_id(hub.now_ms())),
        "HEADER_INVALID",
    ),
    "of another digest": (lambda hub, message: hub.receipt_with(message, digest=bytes(32)), "HEADER_INVALID"),
    "of another sender": (lambda hub, message: hub.receipt_with(message, sender="cn-11"), "HEADER_INVALID"),
    "of another network": (lambda hub, message: hub.receipt_with(message, network="test-x"), "HEADER_INVALID"),
    "without signature": (
        lambda hub, message: message_pb2.SignedReceipt(receipt=hub.receipt_with(message).receipt),
        "SIGNATURE_MISSING",
    ),
    "without form": (
        lambda hub, message: message_pb2.SignedReceipt(receipt=b"\xff", signature=hub.receipt_with(message).signature),
        "MALFORMED",
    ),
    "nothing": (lambda hub, message: message_pb2.SignedReceipt(), "SIGNATURE_MISSING"),
}


def spoil(one: Country, kind: message_pb2.MessageKind, receipt: WrongReceipt, *, count: int) -> None:
    """Have the next messages of a kind get this receipt."""
    left = iter(range(count))

    def spoiled(message: Message) -> message_pb2.SignedReceipt | None:
        return receipt(one.hub, message) if message.header.kind == kind and next(left, None) is not None else None

    one.hub.faults.receipt = spoiled


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of receipts, without the messages' ids."""
    texts = [record.getMessage() for record in caplog.records]
    return [text.rpartition(" ")[2] for text in texts if text.startswith("a receipt of ")]


async def settle(care: Exchange, message_id: bytes | None = None) -> str:
    stub = settlement_pb2_grpc.SettlementServiceStub(care.to("cn-51", message_id))
    return str((await stub.Settle(settle_request(), timeout=20)).settlement_id)


def refusing() -> Insured:
    """A province that settles nothing."""
    insured = Insured()
    insured.on_settle = lambda _, context: context.refuse(errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM)
    return insured


def journaled(one: Country, kind: message_pb2.MessageKind) -> list[Message]:
    return [message for message in one.hub.journal if message.header.kind == kind]


@pytest.mark.parametrize("name", WRONG)
async def test_what_has_a_wrong_receipt_is_sent_again_until_it_has_a_good_one(
    one: Country, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    receipt, reason = WRONG[name]
    spoil(one, message_pb2.MESSAGE_KIND_EVENT, receipt, count=2)
    async with one.province("cn-51") as home:
        await filing_pb2_grpc.FilingServiceStub(home.to("cn-44")).ReportFiling(filing_event())
        await eventually(lambda: home._parts.submission.is_idle)
        owed = await home.store.run(lambda store: outbox.queued(store, home.sealer, frozenset(), 9))

    sent = journaled(one, message_pb2.MESSAGE_KIND_EVENT)
    assert complaints(caplog) == [reason] * 2
    assert len(sent) == 3
    assert len({message.header_bytes for message in sent}) == 1
    assert owed == []


@pytest.mark.parametrize("name", ["forged", "of another message", "of another digest", "nothing"])
async def test_a_wrong_receipt_beside_a_good_answer_is_logged_and_fails_no_call(
    one: Country, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    receipt, reason = WRONG[name]
    one.hub.faults.answers_by_inbox = False
    spoil(one, message_pb2.MESSAGE_KIND_REQUEST, receipt, count=1)
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        assert await settle(care) == "s-i"

    assert complaints(caplog) == [reason]
    assert len(journaled(one, message_pb2.MESSAGE_KIND_REQUEST)) == 1


async def test_a_wrong_receipt_beside_a_signed_rejection_is_logged_too(
    one: Country, caplog: pytest.LogCaptureFixture
) -> None:
    one.hub.faults.answers_by_inbox = False
    spoil(one, message_pb2.MESSAGE_KIND_REQUEST, WRONG["forged"][0], count=1)
    async with one.province("cn-51", refusing()), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await settle(care)

    assert failed.value.rejection is not None
    assert complaints(caplog) == ["SIGNATURE_INVALID"]


async def test_good_receipts_are_not_spoken_of(one: Country, caplog: pytest.LogCaptureFixture) -> None:
    one.hub.faults.answers_by_inbox = False
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        await settle(care)

    assert complaints(caplog) == []


async def test_a_bare_refusal_of_what_has_a_receipt_waits_for_the_signed_one(one: Country) -> None:
    one.hub.faults.rejections_by_call = one.hub.faults.answers_by_inbox = False
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", refusing()), one.province("cn-44") as care:
        is_refused = asyncio.Event()
        refused = care._parts.calls._refused

        async def refused_first(*given: Any, **named: Any) -> float | None:
            try:
                return await refused(*given, **named)
            finally:
                is_refused.set()

        care._parts.calls._refused = refused_first  # type: ignore[method-assign]
        settling = asyncio.create_task(settle(care, message_id))
        await is_refused.wait()
        known = one.hub.known["cn-44", message_id]
        assert known.outcome is not None
        one.hub.deliver("cn-44", known.outcome.to_wire(), known.partition)
        with pytest.raises(CallFailed) as failed:
            await settling

    assert failed.value.rejection is not None


async def test_a_bare_refusal_with_a_forged_receipt_is_one_of_what_was_never_journaled(one: Country) -> None:
    one.hub.faults.rejections_by_call = one.hub.faults.answers_by_inbox = False
    spoil(one, message_pb2.MESSAGE_KIND_REQUEST, WRONG["forged"][0], count=1)
    async with one.province("cn-51", refusing()), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await settle(care)

    assert failed.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM
    assert failed.value.rejection is None
