"""The gateway's own deadlines, whatever its caller says, and its places for batches and watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from onecard.exchange.v1 import service_pb2, service_pb2_grpc
from onecard_broker.gateway import admitting, delivery, journaling, submission
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from tests.support.gateway import Hub, eventually, eventually_async, reasons, refusal_of, running_hub
from tests.support.messages import COVERAGE, covered, make_event, make_request
from tests.support.typed_calls import raw_method

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


async def never(*_: object) -> None:
    await asyncio.Event().wait()


async def refusal_in(calling: Awaitable[object]) -> OneCardError:
    """The refusal, in a time that no deadline of the gateway reaches unless a test shortens it."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asyncio.wait_for(calling, 8.0)
    return refusal_of(raised.value)


async def without_deadline(hub: Hub) -> OneCardError:
    """The refusal of a typed call whose caller would wait for ever."""
    signed = make_request(hub.signers["cn-44"], now_ms())
    metadata = (("onecard-header-bin", signed.header), ("onecard-signature-bin", signed.signature))
    async with hub.channel("cn-44") as channel:
        return await refusal_in(raw_method(channel, COVERAGE)(signed.payload, metadata=metadata))


async def test_a_call_without_a_deadline_ends_by_the_gateways_own(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "CALL_SECONDS", 0.5)
    async with hub.receiver("cn-51") as insured:
        error = await without_deadline(hub)
        await insured.messages(1)

    assert (reason_name(error.reason), error.detail) == ("OUTCOME_UNKNOWN", "no answer within the call's time")


@pytest.mark.parametrize("part", ["append", "sign_receipts", "admit"])
async def test_whatever_is_stuck_a_call_and_a_question_end(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(submission, "CALL_SECONDS", 0.5)
    monkeypatch.setattr(submission, "DEADLINE_MARGIN_S", 0.2)
    gateway = hub.gateways[0]
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51") as insured:
        insured.answer = covered
        if part == "append":
            monkeypatch.setattr(gateway.journal, "append", never)
            question = service_pb2.GetOutcomeRequest(original=request)
            async with hub.channel("cn-44") as channel:
                asked = await refusal_in(service_pb2_grpc.SubmissionServiceStub(channel).GetOutcome(question))
            assert reason_name(asked.reason) == "HUB_NOT_READY"
        else:
            owner = admitting.Admitting if part == "admit" else journaling.Journaling
            monkeypatch.setattr(owner, part, never)
        error = await without_deadline(hub)

    assert reason_name(error.reason) == "OUTCOME_UNKNOWN"
    assert gateway.held_count == 0


async def test_a_journal_that_hangs_is_told_before_the_call_ends(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journaling, "JOURNALING_SECONDS", 0.2)
    monkeypatch.setattr(hub.gateways[0].journal, "append", never)
    event = make_event(hub.signers["cn-51"], now_ms())

    first = await hub.submit("cn-51", event)
    second = await hub.submit("cn-51", event)

    assert reasons(first) == ["INTERNAL"]
    assert "did not acknowledge" in first[0].refusal.detail
    assert reasons(second) == ["HUB_NOT_READY"]


async def test_a_batch_that_takes_too_long_is_ended(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "SUBMIT_SECONDS", 0.2)
    monkeypatch.setattr(hub.gateways[0].journal, "append", never)

    error = await refusal_in(hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms())))

    assert reason_name(error.reason) == "INTERNAL"
    assert "did not acknowledge in time" in error.detail


async def test_a_participant_has_so_many_batches_under_way_and_no_more(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SUBMITS_PER_PARTICIPANT_COUNT_MAX", 2)
    going_on, gateway = asyncio.Event(), hub.gateways[0]
    append: Callable[[Any], Awaitable[Any]] = gateway.journal.append
    begun: list[object] = []

    async def slow(records: Any) -> Any:
        begun.append(records)
        await going_on.wait()
        return await append(records)

    monkeypatch.setattr(gateway.journal, "append", slow)
    events = [make_event(hub.signers["cn-51"], now_ms(), serial=serial) for serial in range(3)]
    first = [asyncio.create_task(hub.submit("cn-51", event)) for event in events[:2]]
    await eventually(lambda: len(begun) == 2)

    error = await refusal_in(hub.submit("cn-51", events[2]))
    other = asyncio.create_task(
        hub.submit("cn-44", make_event(hub.signers["cn-44"], now_ms(), sender="cn-44", recipient="cn-51"))
    )
    await eventually(lambda: len(begun) == 3)
    going_on.set()
    results = [reasons(await one) for one in (*first, other)]
    again = await hub.submit("cn-51", events[2])

    assert (reason_name(error.reason), error.retry_after_ms) == ("QUOTA_EXCEEDED", limits.TICK_MS)
    assert results == [["RECEIPT"]] * 3
    assert reasons(again) == ["RECEIPT"]


async def test_a_delivery_that_is_not_opened_is_ended(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "OPENING_SECONDS", 0.2)
    async with hub.channel("cn-44") as channel:
        stream = service_pb2_grpc.DeliveryServiceStub(channel).Deliver()
        error = await refusal_in(stream.read())

    assert (reason_name(error.reason), error.detail) == ("MALFORMED", "a delivery begins with its opening")


@pytest.mark.parametrize("service", ["Deliver", "WatchDirectory"])
async def test_a_participant_has_so_many_streams_open_and_no_more(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.setattr(limits, "DELIVERIES_PER_PARTICIPANT_COUNT_MAX", 1)
    monkeypatch.setattr(limits, "WATCHES_PER_PARTICIPANT_COUNT_MAX", 1)
    async with hub.channel("cn-44") as channel, hub.channel("cn-33") as other:

        def opened(of: grpc.aio.Channel, participant: str) -> Any:
            if service == "WatchDirectory":
                stub = service_pb2_grpc.DirectoryServiceStub(of)
                return stub.WatchDirectory(service_pb2.WatchDirectoryRequest(first_number=1))
            opening = service_pb2.DeliveryOpening(participant=participant, credit_count=1)

            async def requests() -> AsyncIterator[service_pb2.DeliverRequest]:
                yield service_pb2.DeliverRequest(opening=opening)
                await asyncio.Event().wait()

            return service_pb2_grpc.DeliveryServiceStub(of).Deliver(requests())

        first = opened(channel, "cn-44")
        await first.read()
        error = await refusal_in(opened(channel, "cn-44").read())
        neighbour = opened(other, "cn-33")
        await neighbour.read()
        first.cancel()

        async def has_place() -> bool:
            again = opened(channel, "cn-44")
            try:
                await again.read()
            except grpc.aio.AioRpcError:
                return False
            again.cancel()
            return True

        await eventually_async(has_place)
        neighbour.cancel()

    assert reason_name(error.reason) == "QUOTA_EXCEEDED"
