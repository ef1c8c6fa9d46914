"""Calls that leave together, against the fake hub: their messages by submission, their answers through the inbox."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2
from onecard.medical.v1 import coverage_pb2, coverage_pb2_grpc, settlement_pb2_grpc
from onecard_adapters.sdk.assembly import Timing
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import Message
from onecard_protocol.tracing import TRACEPARENT, continue_trace
from tests.support.eventually import eventually
from tests.support.fake_hub import new_signer
from tests.support.sdk_country import Country, Coverage, Insured, country, person, settle_request

ALWAYS: Final = Timing(gap_open_ms=20_000, silence_ms=1_000, prompt_ms=600, resolution_poll_s=0.1, typed_count_max=0)
"""A call alone leaves so too."""
IN_VAIN_S: Final = 2.0


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def caller(one: Country, timing: Timing = ALWAYS) -> AsyncIterator[Exchange]:
    """A province that calls, whose inbox is delivered."""
    async with one.province("cn-44", timing=timing) as care:
        await eventually(lambda: care._parts.delivery.is_prompt)
        yield care


async def settle(care: Exchange, serial: int = 1, *, timeout_s: float = 20) -> str:
    stub = settlement_pb2_grpc.SettlementServiceStub(care.to("cn-51"))
    return str((await stub.Settle(settle_request(serial, str(serial)), timeout=timeout_s)).settlement_id)


async def settle_all(care: Exchange, count: int) -> list[str | BaseException]:
    return await asyncio.gather(*[settle(care, serial) for serial in range(count)], return_exceptions=True)


def typed_calls(one: Country) -> int:
    return sum(gateway.calls for gateway in one.gateways)


def request_batches(one: Country) -> list[bytes]:
    """The batch signature of each request in the journal."""
    return [
        message_pb2.SignatureBlock.FromString(message.signature).signature
        for message in one.hub.journal
        if message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
    ]


def settled_ids(serials: Sequence[int]) -> list[str]:
    return [f"s-{serial}" for serial in serials]


async def test_many_calls_are_few_submissions_and_each_gets_its_own_answer(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured), caller(one) as care:
        assert await settle_all(care, 40) == settled_ids(range(40))

    assert typed_calls(one) == 0
    assert len(request_batches(one)) == 40
    assert len(set(request_batches(one))) < 20
    assert sorted(insured.settled, key=int) == [str(serial) for serial in range(40)]


async def test_a_call_without_effect_leaves_nothing_in_the_outbox_and_gets_its_answer(one: Country) -> None:
    async with one.province("cn-51", Coverage()), caller(one) as care:
        stub = coverage_pb2_grpc.CoverageServiceStub(care.to("cn-51"))
        covered = await stub.QueryCoverage(coverage_pb2.QueryCoverageRequest(person=person()))
        rows = await care.store.run(lambda store: store.execute("SELECT count(*) FROM outbox").fetchone())

    assert covered.person == person()
    assert typed_calls(one) == 0
    assert rows == (0,)


async def test_a_few_calls_are_typed_calls_and_the_next_leaves_otherwise(one: Country) -> None:
    insured = Insured()
    release = asyncio.Event()
    insured.on_settle = lambda request, context: release.wait()
    async with one.province("cn-51", insured), caller(one, Timing(typed_count_max=2)) as care:
        few = [asyncio.create_task(settle(care, serial)) for serial in range(2)]
        await eventually(lambda: typed_calls(one) == 2)
        third = asyncio.create_task(settle(care, 2))
        await eventually(lambda: len(insured.contexts) == 3)
        release.set()
        assert await asyncio.gather(*few, third) == settled_ids(range(3))

    assert typed_calls(one) == 2


async def test_while_the_inbox_is_far_behind_calls_are_typed_calls(one: Country) -> None:
    one.hub.faults.answers_by_inbox = False
    async with one.province("cn-51", Insured()), caller(one) as care:
        for partition in range(4):
            one.hub._numbers["cn-44", partition] += ALWAYS.credit_count // 8
        await eventually(lambda: not care._parts.delivery.is_prompt)
        assert await settle(care) == "s-1"

    assert typed_calls(one) == 1


async def test_while_received_messages_take_up_the_credit_calls_are_typed_calls(one: Country) -> None:
    ours, theirs = Insured(), Insured()
    release = asyncio.Event()
    ours.on_settle = lambda request, context: release.wait()
    timing = Timing(gap_open_ms=20_000, silence_ms=1_000, credit_count=4, typed_count_max=0)
    async with one.province("cn-51", theirs) as other, one.province("cn-44", ours, timing=timing) as care:
        stub = settlement_pb2_grpc.SettlementServiceStub(other.to("cn-44"))
        calling = [asyncio.create_task(stub.Settle(settle_request(serial), timeout=60)) for serial in range(4)]
        await eventually(lambda: len(care._parts.processing) == 4)
        before = typed_calls(one)
        # Its answer through the inbox stands behind what nobody takes.
        assert await settle(care) == "s-1"
        release.set()
        await asyncio.gather(*calling)

    assert typed_calls(one) == before + 1


async def test_while_a_gap_is_open_calls_are_typed_calls(one: Country) -> None:
    lost: list[service_pb2.Delivery] = []

    def lose_one(deliveries: list[service_pb2.Delivery]) -> list[service_pb2.Delivery]:
        if not lost and one.hub.inboxes["cn-44"][:1] == deliveries[:1]:
            lost.append(deliveries[0])
        return [delivery for delivery in deliveries if delivery not in lost]

    one.hub.faults.deliver = lose_one
    async with one.province("cn-51", Insured()), caller(one) as care:
        # All of one person: all answers lie in one partition.
        first = asyncio.create_task(settle(care))
        await eventually(lambda: bool(lost))
        await eventually(lambda: not care._parts.delivery.is_prompt)
        assert await settle(care) == "s-1"
        # Its answer was lost: once it looks, it is sent again as a typed call, and told what was decided.
        assert await first == "s-1"

    assert typed_calls(one) == 2
    assert len(set(request_batches(one))) == 3


async def test_while_ticks_stay_away_nothing_is_known_to_come_at_once(one: Country) -> None:
    async with caller(one, dataclasses.replace(ALWAYS, silence_ms=600_000)) as care:
        one.hub.faults.ticks = False
        assert care._parts.delivery.is_prompt
        await eventually(lambda: not care._parts.delivery.is_prompt)
        one.hub.faults.ticks = True
        await eventually(lambda: care._parts.delivery.is_prompt)


async def test_calls_are_typed_calls_once_the_stream_has_ended(one: Country) -> None:
    async with one.province("cn-51", Insured()), caller(one) as care:
        used = care._parts.gateways.current
        await next(gateway for gateway in one.gateways if gateway.address == used.address).kill()
        await eventually(lambda: not care._parts.delivery.is_prompt)
        assert await settle(care) == "s-1"

    assert typed_calls(one) == 1


async def test_a_submission_at_a_gateway_that_is_left_as_silent_is_made_at_the_other(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured), caller(one) as care:
        used = care._parts.gateways.current
        one.hub.faults.is_silent = True
        calling = [asyncio.create_task(settle(care, serial)) for serial in range(3)]
        await eventually(lambda: care._parts.gateways.current is not used)
        one.hub.faults.is_silent = False
        assert await asyncio.gather(*calling) == settled_ids(range(3))

    assert sorted(insured.settled) == ["0", "1", "2"]


async def test_a_request_that_could_not_leave_in_its_time_is_expired_then_and_never_leaves(one: Country) -> None:
    async with one.province("cn-51", Insured()), caller(one) as care:
        together = care._parts.calls._together
        # The next submission may not begin yet.
        together._departures._last_s = asyncio.get_running_loop().time() + 3_600
        # A second before its time is over.
        stub = settlement_pb2_grpc.SettlementServiceStub(care.to("cn-51", new_message_id(one.hub.now_ms() - 9_000)))
        with pytest.raises(CallFailed) as failed:
            await stub.Settle(settle_request(), timeout=600)
        assert together._timer is not None
        together._timer.cancel()
        together._departures._last_s = 0.0
        together._begin()
        assert await settle(care, 2) == "s-2"

    assert failed.value.reason == errors_pb2.ERROR_REASON_EXPIRED
    assert len(request_batches(one)) == 1


async def test_a_trace_goes_with_a_request_to_whoever_serves_it(one: Country) -> None:
    insured, seen = Insured(), []
    insured.on_settle = lambda request, context: seen.append(TRACEPARENT.get())
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with one.province("cn-51", insured), caller(one) as care:
        continue_trace(trace)
        await settle(care, 1)
        continue_trace("")
        await settle(care, 2)

    assert seen == [trace, ""]


async def test_a_trace_of_another_form_does_not_travel_nor_fail_the_request(one: Country) -> None:
    insured, seen = Insured(), []
    insured.on_settle = lambda request, context: seen.append(TRACEPARENT.get())
    async with one.province("cn-51", insured), caller(one) as care:
        stub = settlement_pb2_grpc.SettlementServiceStub(care.to("cn-51", None))
        await stub.Settle(settle_request(), metadata=(("traceparent", "00-ABC"),))

    assert seen == [""]


async def test_a_submission_that_broke_is_sent_again_at_the_other_gateway_under_the_same_headers(one: Country) -> None:
    insured = Insured()
    # The inbox must not be first, or nothing needs to be sent again.
    insured.on_settle = lambda request, context: eventually(lambda: len(request_batches(one)) == 6)
    async with one.province("cn-51", insured), caller(one) as care:
        used = care._parts.gateways._current
        one.hub.faults.batches_broken_after_journal = 1
        assert await settle_all(care, 3) == settled_ids(range(3))
        assert care._parts.gateways._current is not used

    requests = [message for message in one.hub.journal if message.header.kind == message_pb2.MESSAGE_KIND_REQUEST]
    assert len({message.header_bytes for message in requests}) == 3
    assert sorted(insured.settled) == ["0", "1", "2"]


async def test_a_message_that_is_refused_fails_its_own_call_alone(one: Country) -> None:
    async with one.province("cn-51", Insured()), caller(one) as care:
        one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED, "not you"))
        outcomes = await settle_all(care, 3)

    failures = [outcome for outcome in outcomes if isinstance(outcome, CallFailed)]
    assert [(failed.reason, failed.detail) for failed in failures] == [
        (errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED, "not you")
    ]
    assert len([outcome for outcome in outcomes if isinstance(outcome, str)]) == 2


async def test_what_is_refused_for_now_is_sent_again_one_message_or_all(one: Country) -> None:
    async with one.province("cn-51", Insured()), caller(one) as care:
        one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY))
        one.hub.faults.batch_refusals.append(OneCardError(errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, retry_after_ms=10))
        assert await settle_all(care, 3) == settled_ids(range(3))

    assert len(request_batches(one)) == 3


async def test_after_a_refusal_of_what_may_be_journaled_its_answer_may_still_come(one: Country) -> None:
    insured = Insured()
    release = asyncio.Event()
    insured.on_settle = lambda request, context: release.wait()
    async with one.province("cn-51", insured), caller(one) as care:
        one.hub.faults.refusals_behind_break = [OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED)]
        one.hub.faults.batches_broken_after_journal = 1
        calling = asyncio.create_task(settle(care))
        await eventually(lambda: not one.hub.faults.refusals_behind_break and not one.hub.faults.refusals)
        release.set()
        assert await calling == "s-1"


async def test_what_is_so_refused_and_has_no_answer_is_unknown(one: Country) -> None:
    insured = Insured()
    insured.on_settle = lambda request, context: asyncio.sleep(IN_VAIN_S + 2)
    async with one.province("cn-51", insured), caller(one) as care:
        one.hub.faults.refusals_behind_break = [OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED)]
        one.hub.faults.batches_broken_after_journal = 1
        with pytest.raises(CallFailed) as failed:
            await settle(care, timeout_s=IN_VAIN_S)

    assert not one.hub.faults.refusals
    assert failed.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN


async def test_a_forged_receipt_is_told_and_the_answer_counts(one: Country, caplog: pytest.LogCaptureFixture) -> None:
    def forged(message: Message) -> message_pb2.SignedReceipt | None:
        is_request = message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
        return one.hub.receipt_with(message, signer=new_signer("hub-1")) if is_request else None

    one.hub.faults.receipt = forged
    async with one.province("cn-51", Insured()), caller(one) as care:
        assert await settle(care) == "s-1"

    assert "SIGNATURE_INVALID" in caplog.text
