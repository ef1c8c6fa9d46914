"""What was asked under a key that is revoked meanwhile is not executed; what may have been executed is found out."""

from __future__ import annotations

import asyncio

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard.medical.v1.coverage_pb2_grpc import CoverageServiceStub
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.inbox import InboxState
from onecard_adapters.sdk import exchange as exchange_module
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from tests.support.eventually import eventually
from tests.support.sdk_country import (
    Country,
    Coverage,
    Filings,
    Insured,
    filing_event,
    person,
)
from tests.support.sdk_messages import settlement

pytest_plugins = ("tests.support.fake_hub_of_two",)


async def revoke_the_key_of_guangdong(one: Country, insured: Exchange) -> None:
    """Revoke it, and wait until the insured province knows."""
    one.hub.revoke("cn-44-1", one.hub.now_ms() - 1_000)
    await eventually(lambda: insured._parts.directory.number == len(one.hub.controls))


async def test_what_waited_behind_its_subject_is_not_executed_under_a_key_revoked_meanwhile(one: Country) -> None:
    insured = Insured()
    release = asyncio.Event()
    insured.on_settle = lambda request, context: release.wait()
    async with one.province("cn-51", insured) as exchange:
        first, behind = (one.hub.admit(settlement(one, invoice)) for invoice in ("first", "behind"))
        await eventually(lambda: len(insured.contexts) == 1)
        await revoke_the_key_of_guangdong(one, exchange)
        release.set()
        await eventually(lambda: one.hub.known[behind.key].outcome is not None)
        refusal, answer = one.hub.known[behind.key].outcome, one.hub.known[first.key].outcome
        states = "SELECT id, state, local_transaction_id FROM inbox"
        rows = await exchange.store.run(lambda connection: connection.execute(states).fetchall())

    assert refusal is not None
    assert answer is not None
    assert message_pb2.Rejection.FromString(refusal.payload).reason == errors_pb2.ERROR_REASON_KEY_REVOKED
    assert answer.header.kind == message_pb2.MESSAGE_KIND_REPLY
    assert insured.settled == ["first"]
    # Nothing says that the local system may have been called.
    assert (behind.header.id, InboxState.DONE, "") in rows


async def test_what_waits_for_the_local_system_is_not_executed_under_a_key_revoked_meanwhile(one: Country) -> None:
    filings = Filings()
    is_down = True

    async def report(request: object, context: ExchangeContext) -> object:
        if is_down:
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN)
        return await Filings.ReportFiling(filings, request, context)  # type: ignore[arg-type]

    filings.ReportFiling = report  # type: ignore[assignment, method-assign]
    async with one.province("cn-51", filings) as exchange, one.province("cn-44") as care:
        await FilingServiceStub(care.to("cn-51")).ReportFiling(filing_event(filing_id="f-1"))
        await eventually(lambda: len(exchange._parts.processing) == 1)
        await revoke_the_key_of_guangdong(one, exchange)
        is_down = False
        await eventually(lambda: len(one.hub.reports) == 1)

    report_of = message_pb2.DeliveryReport.FromString(one.hub.reports[0].payload)
    assert report_of.detail.startswith("KEY_REVOKED")
    assert filings.told == []


async def test_a_query_taken_up_after_a_restart_is_not_answered_under_a_key_revoked_meanwhile(
    one: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "STOP_GRACE_S", 0.1)
    asked: list[object] = []

    class Slow(Coverage):
        async def QueryCoverage(self, request: object, context: ExchangeContext) -> object:  # type: ignore[override]  # noqa: N802
            asked.append(context)
            return await asyncio.Event().wait()

    async with one.province("cn-51", Slow()), one.province("cn-44") as care:
        asking = asyncio.create_task(
            CoverageServiceStub(care.to("cn-51")).QueryCoverage(coverage_pb2.QueryCoverageRequest(person=person()))
        )
        await eventually(lambda: len(asked) == 1)
        asking.cancel()
    one.hub.revoke("cn-44-1", one.hub.now_ms() - 1_000)
    (query,) = one.hub.known.values()
    async with one.province("cn-51", Coverage()):
        await eventually(lambda: query.outcome is not None)

    assert query.outcome is not None
    assert message_pb2.Rejection.FromString(query.outcome.payload).reason == errors_pb2.ERROR_REASON_KEY_REVOKED


async def test_a_call_that_may_have_been_made_is_found_out_also_when_its_key_was_revoked_since(one: Country) -> None:
    insured = Insured()
    exchanges: list[Exchange] = []

    async def doubt_first(request: object, context: ExchangeContext) -> None:
        if not context.is_recovery:
            await revoke_the_key_of_guangdong(one, exchanges[0])
            raise OutcomeInDoubt("the answer was lost")

    insured.on_settle = doubt_first
    async with one.province("cn-51", insured) as exchange:
        exchanges.append(exchange)
        message = one.hub.admit(settlement(one, "a"))
        await eventually(lambda: one.hub.known[message.key].outcome is not None)
        outcome = one.hub.known[message.key].outcome

    assert outcome is not None
    assert outcome.header.kind == message_pb2.MESSAGE_KIND_REPLY
    assert [context.is_recovery for context in insured.contexts] == [False, True]
