"""What a refused caller is told, with an ordinary gRPC client, and the trace that each refusal leaves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message, from_wire
from tests.support.directories import certificate_name
from tests.support.gateway import Hub, refusal_of, running_hub
from tests.support.messages import COVERAGE, REPORT_FILING, SETTLE, make_event, make_request, make_signed
from tests.support.stays import UPLOAD, SyntheticStay, make_line
from tests.support.typed_calls import raw_method, refusal

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


async def test_a_hundred_wrong_lines_are_refused_with_as_many_named_as_a_client_takes(hub: Hub) -> None:
    lines = [make_line(f"L{index}", in_scope_fen=428, unit_price_e6=1) for index in range(100)]
    created_ms = now_ms()
    upload = make_signed(
        hub.signers["cn-44"],
        SyntheticStay().upload(*lines),
        now_ms=created_ms,
        method=UPLOAD,
        execute_before_ms=created_ms + 10_000,
    )
    async with hub.receiver("cn-51"), hub.channel("cn-44") as channel:
        error, _ = await refusal(channel, upload, UPLOAD)

    assert reason_name(error.reason) == "AMOUNTS_INCONSISTENT"
    assert error.violations[0] == ("lines[0].amount_fen", error.violations[0][1])
    assert 20 < len(error.violations) < 100
    assert error.detail == (
        f"200 faults, the first 100 named; {100 - len(error.violations)} more violations do not fit here"
    )


def turned_down_at_length(_: Message) -> tuple[message_pb2.MessageKind, message_pb2.Rejection]:
    violations = [
        message_pb2.FieldViolation(field=f"lines[{index}].item_code", description="目录中没有此项目" * 2)
        for index in range(100)
    ]
    return message_pb2.MESSAGE_KIND_REJECTION, message_pb2.Rejection(
        reason=errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, local_code="-1", violations=violations
    )


async def test_a_rejection_too_large_for_a_clients_metadata_keeps_its_reason_and_the_receipt(hub: Hub) -> None:
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        insured.answer = turned_down_at_length
        error, trailing = await refusal(channel, make_request(hub.signers["cn-44"], now_ms()))

    assert reason_name(error.reason) == "REFUSED_BY_LOCAL_SYSTEM"
    assert error.violations
    assert error.detail == f"{100 - len(error.violations)} more violations do not fit here"
    assert trailing["onecard-receipt-bin"]
    assert "onecard-rejection-bin" not in trailing


# ---- the trace -----------------------------------------------------------------------------------------------------

OVER_CN_44 = f"over 127.0.0.1, {certificate_name('cn-44')}"


def traces_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for record in caplog.records if (text := record.getMessage()).startswith("refused ")]


async def test_a_typed_call_of_another_method_leaves_a_trace_of_sender_and_id(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51"), hub.channel("cn-44") as channel:
        await refusal(channel, request, SETTLE)

    who = f"cn-44 {COVERAGE} id {id_text(from_wire(request).header.id)}"
    [trace] = traces_of(caplog)
    assert trace.startswith(f"refused HEADER_INVALID: {who} {OVER_CN_44}: method is not the method that was called")
    assert hub.gateways[0].stats["refused_HEADER_INVALID"] == 1


async def test_a_typed_call_without_its_metadata_leaves_a_trace_of_its_certificate(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with hub.channel("cn-44") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await raw_method(channel, COVERAGE)(b"")

    [trace] = traces_of(caplog)
    assert trace.startswith(f"refused SIGNATURE_MISSING: a message id unknown {OVER_CN_44}: ")
    assert hub.gateways[0].stats["refused_SIGNATURE_MISSING"] == 1


async def test_calls_and_questions_beyond_their_places_leave_a_trace(
    hub: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(limits, "CALLS_HELD_COUNT_MAX", 0)
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51"), hub.channel("cn-44") as channel:
        error, _ = await refusal(channel, request)
        asked = await asked_in_vain(hub, "cn-44", request)

    assert [reason_name(one.reason) for one in (error, asked)] == ["QUOTA_EXCEEDED"] * 2
    who = f"cn-44 {COVERAGE} id {id_text(from_wire(request).header.id)}"
    assert [trace.startswith(f"refused QUOTA_EXCEEDED: {who} {OVER_CN_44}: ") for trace in traces_of(caplog)] == [
        True
    ] * 2
    assert hub.gateways[0].stats["refused_QUOTA_EXCEEDED"] == 2


async def asked_in_vain(hub: Hub, participant: str, original: message_pb2.SignedMessage) -> OneCardError:
    question = service_pb2.GetOutcomeRequest(original=original)
    async with hub.channel(participant) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service_pb2_grpc.SubmissionServiceStub(channel).GetOutcome(question, timeout=20)
    return refusal_of(raised.value)


async def test_a_refused_question_leaves_a_trace_of_sender_and_id(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event = make_event(hub.signers["cn-51"], now_ms())
    who = f"cn-51 {REPORT_FILING} id {id_text(from_wire(event).header.id)}"
    foreign = await asked_in_vain(hub, "cn-44", event)
    event.payload = b""
    other = await asked_in_vain(hub, "cn-44", event)

    assert [reason_name(one.reason) for one in (foreign, other)] == ["CERTIFICATE_MISMATCH", "PAYLOAD_DIGEST_MISMATCH"]
    first, second = traces_of(caplog)
    assert first.startswith(f"refused CERTIFICATE_MISMATCH: {who} {OVER_CN_44}: ")
    assert second.startswith(f"refused PAYLOAD_DIGEST_MISMATCH: a message id unknown {OVER_CN_44}: ")
    stats = hub.gateways[0].stats
    assert (stats["refused_CERTIFICATE_MISMATCH"], stats["refused_PAYLOAD_DIGEST_MISMATCH"]) == (1, 1)


async def test_a_batch_that_is_refused_as_a_whole_leaves_a_trace(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(grpc.aio.AioRpcError):
        await hub.submit("cn-65", make_event(hub.signers["cn-51"], now_ms()))
    with pytest.raises(grpc.aio.AioRpcError):
        await hub.submit("cn-44", *[message_pb2.SignedMessage()] * (limits.SUBMIT_BATCH_COUNT_MAX + 1))

    first, second = traces_of(caplog)
    assert first.startswith(
        f"refused CERTIFICATE_MISMATCH: a message id unknown over 127.0.0.1, {certificate_name('cn-65')}: "
    )
    assert second.startswith(f"refused MALFORMED: a message id unknown {OVER_CN_44}: 513 messages")


async def test_a_call_of_a_method_that_nobody_serves_leaves_a_line(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with hub.channel("cn-44") as channel:
        await refusal(channel, make_request(hub.signers["cn-44"], now_ms()), "/onecard.medical.v1.Nothing/Nothing")

    assert f"a call UNKNOWN_METHOD {OVER_CN_44}" in caplog.text
