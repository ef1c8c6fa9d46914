"""What a refused caller is told, with an ordinary gRPC client, and the trace that each refusal leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import reason_name
from onecard_protocol.messages import Message
from tests.support.gateway import Hub, running_hub
from tests.support.messages import make_request, make_signed
from tests.support.stays import UPLOAD, SyntheticStay, make_line
from tests.support.typed_calls import refusal

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
