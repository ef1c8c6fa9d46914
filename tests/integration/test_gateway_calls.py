"""Typed calls through a gateway, with plain gRPC clients as another language would use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, reason_name
from onecard_protocol.messages import MESSAGE_CONTEXT, RECEIPT_CONTEXT, Message, parse_message
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from tests.support.gateway import Hub, eventually, running_hub
from tests.support.messages import (
    COVERAGE,
    REPORT_FILING,
    SETTLE,
    coverage_query,
    covered,
    make_event,
    make_request,
    make_signed,
    person,
)
from tests.support.typed_calls import call, metadata_of, raw_method, refusal

pytest_plugins = ("tests.support.engines",)
VERIFIER = BlockVerifier(native_engine())


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


def turned_down(_: Message) -> tuple[message_pb2.MessageKind, message_pb2.Rejection]:
    return message_pb2.MESSAGE_KIND_REJECTION, message_pb2.Rejection(
        reason=errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, local_code="-1", local_text="未参保"
    )


async def call_once_online(
    channel: grpc.aio.Channel, signed: message_pb2.SignedMessage
) -> tuple[bytes, dict[str, bytes]]:
    """A call that is sent again while the gateway has not heard yet, from the others, that the recipient reads."""
    while True:
        try:
            return await call(channel, signed)
        except grpc.aio.AioRpcError as error:
            if "RECIPIENT_OFFLINE" not in (error.details() or ""):
                raise
            await asyncio.sleep(0.1)


async def test_a_call_returns_the_signed_reply_and_the_receipt(hub: Hub) -> None:
    signed = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        insured.answer = covered
        body, trailing = await call(channel, signed)

    assert coverage_pb2.QueryCoverageResponse.FromString(body).person == person()
    answer = parse_message(trailing["onecard-header-bin"], body, trailing["onecard-signature-bin"])
    request = parse_message(signed.header, signed.payload, signed.signature)
    assert (answer.header.sender, answer.header.reply_to.digest) == ("cn-51", request.digest)
    assert VERIFIER.verify(
        MESSAGE_CONTEXT,
        answer.header_bytes,
        message_pb2.SignatureBlock.FromString(answer.signature),
        hub.signers["cn-51"].public_key,
    )
    receipt = message_pb2.SignedReceipt.FromString(trailing["onecard-receipt-bin"])
    content = message_pb2.Receipt.FromString(receipt.receipt)
    assert (content.sender, content.id, content.digest) == ("cn-44", request.header.id, request.digest)
    assert content.directory_version == 8
    assert VERIFIER.verify(
        RECEIPT_CONTEXT,
        receipt.receipt,
        message_pb2.SignatureBlock.FromString(receipt.signature),
        hub.signers["cn-00"].public_key,
    )


async def test_many_calls_at_once_each_get_their_own_answer(hub: Hub) -> None:
    requests = [make_request(hub.signers["cn-44"], now_ms(), serial=serial) for serial in range(60)]
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        insured.answer = covered
        answers = await asyncio.gather(*(call(channel, signed) for signed in requests))

    assert [coverage_pb2.QueryCoverageResponse.FromString(body).person for body, _ in answers] == [
        person(serial) for serial in range(60)
    ]


async def test_a_rejection_is_a_rich_status_with_the_signed_rejection_beside(hub: Hub) -> None:
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        insured.answer = turned_down
        error, trailing = await refusal(channel, make_request(hub.signers["cn-44"], now_ms()))

    assert reason_name(error.reason) == "REFUSED_BY_LOCAL_SYSTEM"
    rejection = message_pb2.Rejection.FromString(trailing["onecard-rejection-bin"])
    assert rejection.local_text == "未参保"
    answer = parse_message(
        trailing["onecard-header-bin"], trailing["onecard-rejection-bin"], trailing["onecard-signature-bin"]
    )
    assert answer.header.sender == "cn-51"
    assert trailing["onecard-receipt-bin"]


async def test_a_deadline_that_passes_says_unknown_and_never_failed(hub: Hub) -> None:
    async with hub.receiver("cn-51"), hub.channel("cn-44") as channel:
        error, trailing = await refusal(channel, make_request(hub.signers["cn-44"], now_ms()), seconds=4.0)

    assert reason_name(error.reason) == "OUTCOME_UNKNOWN"
    assert trailing["onecard-receipt-bin"]


async def test_an_event_is_answered_by_its_receipt(hub: Hub) -> None:
    event = make_event(hub.signers["cn-51"], now_ms())
    async with hub.channel("cn-51") as channel:
        body, trailing = await call(channel, event, REPORT_FILING)

    assert body == b""
    assert message_pb2.SignedReceipt.FromString(trailing["onecard-receipt-bin"]).receipt


@pytest.mark.parametrize(
    ("reason", "method"), [("HEADER_INVALID", SETTLE), ("UNKNOWN_METHOD", "/onecard.medical.v1.Nothing/Nothing")]
)
async def test_a_call_of_another_method_than_the_header_names_is_refused(hub: Hub, reason: str, method: str) -> None:
    async with hub.receiver("cn-51"), hub.channel("cn-44") as channel:
        error, _ = await refusal(channel, make_request(hub.signers["cn-44"], now_ms()), method)

    assert reason_name(error.reason) == reason


async def test_a_call_without_header_and_signature_says_that_they_are_missing(hub: Hub) -> None:
    async with hub.channel("cn-44") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await raw_method(channel, COVERAGE)(b"")

    trailing = metadata_of(raised.value.trailing_metadata())
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "SIGNATURE_MISSING" in (raised.value.details() or "")
    assert STATUS_DETAILS_KEY in trailing


async def test_metadata_beyond_its_bound_is_refused(hub: Hub) -> None:
    signed = make_request(hub.signers["cn-44"], now_ms())
    signed.signature = bytes(4_097 - len(signed.header))
    async with hub.channel("cn-44") as channel:
        error, _ = await refusal(channel, signed)

    assert reason_name(error.reason) == "MALFORMED"
    assert "4096 at most" in error.detail


async def test_a_call_over_another_participants_connection_is_refused(hub: Hub) -> None:
    async with hub.receiver("cn-51"), hub.channel("cn-33") as channel:
        error, _ = await refusal(channel, make_request(hub.signers["cn-44"], now_ms()))

    assert reason_name(error.reason) == "CERTIFICATE_MISMATCH"


async def test_a_request_to_a_province_that_reads_nothing_is_refused_before_it_is_journaled(hub: Hub) -> None:
    async with hub.channel("cn-44") as channel:
        error, _ = await refusal(channel, make_request(hub.signers["cn-44"], now_ms()))

    assert reason_name(error.reason) == "RECIPIENT_OFFLINE"
    assert error.retry_after_ms > 0


async def test_a_retry_at_another_gateway_gets_the_one_outcome(hub: Hub) -> None:
    await hub.add_gateway()
    signed = make_request(hub.signers["cn-44"], now_ms())
    async with (
        hub.receiver("cn-51") as insured,
        hub.channel("cn-44", 0) as first,
        hub.channel("cn-44", 1) as second,
    ):
        lost = asyncio.create_task(call(first, signed))
        await insured.messages(1)
        lost.cancel()  # The caller gives up on the first gateway while the request is on its way.
        await asyncio.gather(lost, return_exceptions=True)
        await eventually(lambda: not hub.gateways[0].held_count)
        retried = asyncio.create_task(call_once_online(second, signed))
        await eventually(lambda: hub.gateways[1].held_count)
        insured.answer = covered
        delivery = insured.deliveries[0]
        await insured.respond(delivery)
        body, trailing = await retried
        again, trailing_again = await call(first, signed)
        await insured.messages(1)

    assert coverage_pb2.QueryCoverageResponse.FromString(body).person == person()
    assert (again, trailing_again["onecard-header-bin"]) == (body, trailing["onecard-header-bin"])
    assert len(insured.deliveries) == 1


async def test_the_same_id_with_other_content_is_a_conflict(hub: Hub) -> None:
    created = now_ms()
    first = make_request(hub.signers["cn-44"], created)
    header = message_pb2.MessageHeader.FromString(first.header)
    other = coverage_query()
    other.insurance_area = "510200"
    second = make_signed(
        hub.signers["cn-44"],
        other,
        now_ms=created,
        message_id=header.id,
        execute_before_ms=created + 10_000,
    )
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        insured.answer = covered
        await call(channel, first)
        error, _ = await refusal(channel, second)

    assert reason_name(error.reason) == "ID_CONFLICT"


async def test_an_answer_may_name_a_person_in_full_and_logs_never_do(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        insured.answer = covered
        await call(channel, make_request(hub.signers["cn-44"], now_ms()))

    assert "QueryCoverage OK" in caplog.text
    assert person().number not in caplog.text
