"""The typed call over the SDK, against the fake hub."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2, coverage_pb2_grpc, settlement_pb2, settlement_pb2_grpc
from onecard_adapters.runtime import outbox
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id
from tests.support.eventually import eventually
from tests.support.fake_hub import new_signer
from tests.support.sdk_country import Country, Coverage, Insured, country, person, settle_request

Stub = settlement_pb2_grpc.SettlementServiceStub

IN_VAIN_S = 2.0
"""How long a call without an answer is waited for: it must be stored and sent by then, on a busy machine too."""


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        yield made


async def settle(exchange: Exchange, *, serial: int = 1, invoice: str = "a", timeout_s: float = 10) -> str:
    response = await Stub(exchange.to("cn-51")).Settle(settle_request(serial, invoice), timeout=timeout_s)
    return str(response.settlement_id)


def called(one: Country) -> int:
    """How many calls reached the gateways."""
    return sum(gateway.calls for gateway in one.gateways)


def expired_at_once(one: Country) -> bytes:
    """An id whose message's execute_before passed."""
    return new_message_id(one.hub.now_ms() - 11_000)


async def test_a_generated_stub_and_a_generated_servicer_work_unchanged_over_the_exchange(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured, Coverage()), one.province("cn-44") as care:
        settled = await Stub(care.to("cn-51")).Settle(settle_request(invoice="a"), timeout=10)
        covered = await coverage_pb2_grpc.CoverageServiceStub(care.to("cn-51")).QueryCoverage(
            coverage_pb2.QueryCoverageRequest(person=person())
        )

    assert settled == settlement_pb2.SettleResponse(settlement_id="s-a")
    assert covered.person == person()
    assert [context.sender for context in insured.contexts] == ["cn-44"]


async def test_a_method_that_the_servicer_does_not_implement_is_refused(one: Country) -> None:
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        stub = Stub(care.to("cn-51"))
        with pytest.raises(CallFailed) as failed:
            await stub.CancelSettlement(settlement_pb2.CancelSettlementRequest(person=person()))

    assert failed.value.reason == errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED
    assert failed.value.answer is not None


async def test_a_refusal_arrives_with_the_local_systems_own_words(one: Country) -> None:
    insured = Insured()
    insured.on_settle = lambda request, context: context.refuse(
        errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM,
        "no",
        local_system="core",
        local_code="-1",
        local_text="不予结算",
    )
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await settle(care)

    assert failed.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM
    rejection = failed.value.rejection
    assert rejection is not None
    assert (rejection.local_system, rejection.local_code, rejection.local_text) == ("core", "-1", "不予结算")


async def test_the_answer_may_come_by_the_call_alone(one: Country) -> None:
    one.hub.faults.answers_by_inbox = False
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        assert await settle(care) == "s-a"


async def test_the_answer_may_come_by_the_inbox_alone(one: Country) -> None:
    one.hub.faults.answers_by_call = False
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        assert await settle(care) == "s-a"


async def test_a_broken_call_is_retried_at_the_other_gateway_under_the_same_header(one: Country) -> None:
    insured = Insured()
    one.hub.faults.calls_broken_after_journal = 1
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        # The inbox must not be first, or no retry would be needed.
        insured.on_settle = lambda request, context: eventually(lambda: called(one) == 2)
        assert await settle(care) == "s-a"

    requests = [message for message in one.hub.journal if message.header.kind == message_pb2.MESSAGE_KIND_REQUEST]
    assert len(requests) == 2
    assert len({message.header_bytes for message in requests}) == 1
    assert sorted(gateway.calls for gateway in one.gateways) == [1, 1]
    assert insured.settled == ["a"]


async def test_the_killed_gateway_of_a_held_call_costs_nothing_but_time(one: Country) -> None:
    insured = Insured()
    taken, killed = asyncio.Event(), asyncio.Event()

    async def settle_slowly(request: object, context: object) -> None:
        taken.set()
        await killed.wait()

    insured.on_settle = settle_slowly
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        calling = asyncio.create_task(settle(care))
        await taken.wait()
        holder = next(gateway for gateway in one.gateways if gateway.calls)
        await holder.kill()
        killed.set()
        assert await calling == "s-a"
    assert insured.settled == ["a"]


async def test_a_held_call_whose_connection_is_left_is_made_at_the_other_gateway(one: Country) -> None:
    insured = Insured()
    insured.on_settle = lambda request, context: eventually(lambda: called(one) == 2)
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        calling = asyncio.create_task(settle(care))
        await eventually(lambda: called(one) == 1)
        await care._parts.gateways.replace(care._parts.gateways.current)
        assert await calling == "s-a"

    assert insured.settled == ["a"]


async def test_questions_go_on_after_the_connection_of_one_was_left(one: Country) -> None:
    one.hub.faults.answers_by_call = one.hub.faults.answers_by_inbox = False
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        message_id = new_message_id(one.hub.now_ms())
        with pytest.raises(CallFailed):
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=IN_VAIN_S)
        one.hub.faults.questions_held = True
        one.hub.faults.clock_offset_ms = 30_000
        await eventually(lambda: one.hub.questions == 1)
        one.hub.faults.questions_held = False
        await care._parts.gateways.replace(care._parts.gateways.current)
        # Asked again once it is due again.
        one.hub.faults.clock_offset_ms = 90_000
        await eventually(lambda: one.hub.questions == 2)


async def test_a_refusal_of_a_message_that_may_be_known_is_unknown_and_not_failure(one: Country) -> None:
    one.hub.faults.calls_broken_after_journal = 1
    one.hub.faults.refusals_behind_break = [OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED)]
    insured = Insured()
    insured.on_settle = lambda request, context: asyncio.sleep(IN_VAIN_S + 2)
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await settle(care, timeout_s=IN_VAIN_S)

    assert one.hub.faults.refusals_behind_break == []
    assert failed.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN


async def test_after_such_a_refusal_the_answer_may_still_come_by_the_inbox(one: Country) -> None:
    one.hub.faults.calls_broken_after_journal = 1
    one.hub.faults.refusals_behind_break = [OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED)]
    insured = Insured()
    insured.on_settle = lambda request, context: eventually(lambda: called(one) == 2 and not one.hub.faults.refusals)
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        assert await settle(care) == "s-a"

    assert one.hub.faults.refusals_behind_break == []


async def test_a_refusal_of_the_first_transmission_is_final(one: Country) -> None:
    one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED, "not you"))
    async with one.province("cn-51"), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await settle(care)
    assert failed.value.reason == errors_pb2.ERROR_REASON_SENDER_NOT_ALLOWED


async def test_what_was_refused_for_a_cause_that_passes_may_be_sent_again_under_its_id(one: Country) -> None:
    one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE))
    insured = Insured()
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        stub = Stub(care.to("cn-51", message_id=message_id))
        with pytest.raises(CallFailed) as failed:
            await stub.Settle(settle_request())
        again = await stub.Settle(settle_request())
        told_again = await stub.Settle(settle_request())

    assert failed.value.reason == errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE
    assert again == told_again
    assert insured.settled == ["i"]


async def test_what_was_so_refused_is_expired_once_its_time_is_over(one: Country) -> None:
    one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE))
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        stub = Stub(care.to("cn-51", message_id=message_id))
        with pytest.raises(CallFailed):
            await stub.Settle(settle_request())
        one.hub.faults.clock_offset_ms = 11_000
        await eventually(lambda: care.hub_time_ms() > one.hub.now_ms() - 1_000)
        reasons = []
        for _ in range(2):
            with pytest.raises(CallFailed) as failed:
                await stub.Settle(settle_request())
            reasons.append(failed.value.reason)

    assert reasons == [errors_pb2.ERROR_REASON_EXPIRED] * 2


async def test_a_gateway_that_is_not_ready_is_tried_again(one: Country) -> None:
    one.hub.faults.refusals.extend([OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)] * 3)
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        assert await settle(care) == "s-a"


async def test_a_request_past_its_time_that_was_never_sent_is_expired_at_once(one: Country) -> None:
    async with one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            # Longer than the test may last: nobody waited for it.
            await Stub(care.to("cn-51", message_id=expired_at_once(one))).Settle(settle_request(), timeout=600)

    assert failed.value.reason == errors_pb2.ERROR_REASON_EXPIRED
    assert one.hub.journal == []


async def test_a_request_without_an_answer_is_unknown_and_found_out_later(one: Country) -> None:
    insured = Insured()
    release = asyncio.Event()
    insured.on_settle = lambda request, context: release.wait()
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=IN_VAIN_S)
        release.set()
        await eventually(lambda: len(one.hub.inboxes["cn-44"]) == 1)
        again = await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=5)

    assert failed.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
    assert again.settlement_id == "s-i"
    assert insured.settled == ["i"]


async def test_what_became_of_an_overdue_request_is_asked_in_the_background(one: Country) -> None:
    one.hub.faults.answers_by_call = one.hub.faults.answers_by_inbox = False
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        with pytest.raises(CallFailed):
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=IN_VAIN_S)
        # 27 s after its making the question is due.
        one.hub.faults.clock_offset_ms = 30_000
        await eventually(lambda: one.hub.questions > 0)
        answer = None
        while answer is None:
            answer = await care.find_outcome(message_id)
            await asyncio.sleep(0.01)

    assert answer.header.kind == message_pb2.MESSAGE_KIND_REPLY


async def test_a_request_that_the_hub_never_saw_is_closed_by_asking(one: Country) -> None:
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-44") as care:
        one.hub.faults.is_silent = True
        with pytest.raises(CallFailed) as failed:
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=IN_VAIN_S)
        assert failed.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
        one.hub.faults.is_silent = False
        one.hub.faults.clock_offset_ms = 30_000
        await eventually(lambda: one.hub.questions > 0)
        reason = 0
        while reason != errors_pb2.ERROR_REASON_OUTCOME_ALREADY_TOLD:
            with pytest.raises(CallFailed) as told:
                await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=5)
            reason = told.value.reason
            await asyncio.sleep(0.01)


async def test_one_id_is_one_request_also_for_callers_at_the_same_time(one: Country) -> None:
    insured = Insured()
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        stub = Stub(care.to("cn-51", message_id=message_id))
        both = await asyncio.gather(stub.Settle(settle_request()), stub.Settle(settle_request()))
        with pytest.raises(CallFailed) as failed:
            await stub.Settle(settle_request(invoice="other"))

    assert both[0] == both[1]
    assert insured.settled == ["i"]
    assert failed.value.reason == errors_pb2.ERROR_REASON_ID_CONFLICT


async def test_the_outcome_under_an_id_survives_a_restart(one: Country) -> None:
    insured = Insured()
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51", insured):
        async with one.province("cn-44") as care:
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request())
        async with one.province("cn-44") as care:
            again = await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request())

    assert again.settlement_id == "s-i"
    assert insured.settled == ["i"]


async def test_an_answer_signed_by_another_key_is_not_believed(one: Country) -> None:
    exchange = one.exchange("cn-51", signer=new_signer("cn-51-1"))
    insured = Insured()
    settlement_pb2_grpc.add_SettlementServiceServicer_to_server(insured, exchange)
    one.hub.signers["cn-51"] = exchange._signatures.signer  # type: ignore[assignment]  # The hub is deceived too.
    async with exchange, one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await settle(care, timeout_s=IN_VAIN_S)

    assert insured.settled == ["a"]
    assert failed.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN


async def test_a_request_with_effect_is_durable_before_it_is_sent(one: Country) -> None:
    async with one.province("cn-44") as care:
        one.hub.faults.is_silent = True
        calling = asyncio.create_task(settle(care))
        await eventually(lambda: called(one) == 1)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    with sqlite3.connect(one.directory / "cn-44.sqlite") as store:
        rows = store.execute("SELECT method, state FROM outbox").fetchall()
    store.close()

    assert rows == [("/onecard.medical.v1.SettlementService/Settle", 1)]


async def test_many_calls_at_once_share_signatures_and_commits(one: Country) -> None:
    async with one.province("cn-51", Insured()), one.province("cn-44") as care:
        before = care.store.commit_count
        await asyncio.gather(*[settle(care, serial=serial, invoice=str(serial)) for serial in range(40)])
        commits = care.store.commit_count - before

    blocks = [
        message_pb2.SignatureBlock.FromString(message.signature)
        for message in one.hub.journal
        if message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
    ]
    assert len(blocks) == 40
    assert len({block.signature for block in blocks}) < 20
    assert commits < 40


async def test_what_the_outbox_has_forgotten_is_not_told_as_never_sent(one: Country) -> None:
    insured = Insured()
    message_id = new_message_id(one.hub.now_ms() - outbox.KEPT_MS - 1)
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=5)

    assert failed.value.reason == errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL
