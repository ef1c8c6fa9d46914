"""Processing in the SDK: doubt, crashes, deadlines and promises."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2, settlement_pb2_grpc
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub
from onecard_adapters.runtime import inbox
from onecard_adapters.runtime import store as store_module
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import id_text, new_message_id
from onecard_protocol.messages import from_wire
from tests.support.crashing_adapter import CrashingAdapter
from tests.support.eventually import eventually
from tests.support.fake_hub import Known
from tests.support.sdk_country import (
    Country,
    Filings,
    Insured,
    filing_event,
    person,
    settle_request,
)
from tests.support.sdk_messages import report_reasons, reports, settlement, stores

pytest_plugins = ("tests.support.fake_hub_of_two",)

Stub = settlement_pb2_grpc.SettlementServiceStub


async def test_the_attempt_is_durable_before_the_local_system_is_called(one: Country) -> None:
    insured = Insured()
    rows: list[tuple[int, str]] = []
    called: list[str] = []

    async def look(request: object, context: ExchangeContext) -> None:
        called.append(context.local_transaction_id)
        query = "SELECT state, local_transaction_id FROM inbox"
        rows.extend(await exchange.store.run(lambda connection: connection.execute(query).fetchall()))

    insured.on_settle = look
    async with one.province("cn-51", insured) as exchange:
        one.hub.admit(settlement(one, "a"))
        await eventually(lambda: insured.settled == ["a"])

    assert rows == [(1, called[0])]
    assert not insured.contexts[0].is_recovery


async def test_a_request_past_execute_before_is_answered_not_executed(one: Country) -> None:
    insured = Insured()
    late = settlement(one, "late", message_id=new_message_id(one.hub.now_ms() - 10_001))
    message = from_wire(late)
    one.hub.known[message.key] = Known(message, message.digest, 0)
    async with one.province("cn-51", insured):
        one.hub.deliver("cn-51", late, 0)
        await eventually(lambda: one.hub.known[message.key].outcome is not None)
        outcome = one.hub.known[message.key].outcome

    assert outcome is not None
    assert message_pb2.Rejection.FromString(outcome.payload).reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    assert insured.settled == []


async def test_no_call_with_effect_starts_without_hub_time(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured) as exchange:
        exchange._clock._stale_s = 0.0
        one.hub.admit(settlement(one, "a"))
        await eventually(lambda: len(exchange._parts.processing) == 1)
        seen = len(one.hub.received_cursors)
        await eventually(lambda: len(one.hub.received_cursors) > seen + 3)
        assert insured.settled == []
        exchange._clock._stale_s = 5.0
        await eventually(lambda: insured.settled == ["a"])


async def test_doubt_is_resolved_by_recovery_and_answered(one: Country) -> None:
    insured = Insured()

    def doubt_first(request: object, context: ExchangeContext) -> None:
        if not context.is_recovery:
            raise OutcomeInDoubt("the answer was lost")

    insured.on_settle = doubt_first
    async with one.province("cn-51", insured):
        message = one.hub.admit(settlement(one, "a"))
        await eventually(lambda: one.hub.known[message.key].outcome is not None)

    assert [context.is_recovery for context in insured.contexts] == [False, True]
    assert len({context.local_transaction_id for context in insured.contexts}) == 1
    assert insured.settled == ["a"]


async def test_an_answer_that_the_hub_refuses_for_good_is_reported_and_a_replay_answers_anew(one: Country) -> None:
    insured = Insured()

    def refuse_the_answer(request: object, context: ExchangeContext) -> None:
        if not context.is_recovery:
            one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_INVALID, "split.x"))

    insured.on_settle = refuse_the_answer
    signed = settlement(one, "a")
    async with one.province("cn-51", insured):
        message = one.hub.admit(signed)
        await eventually(lambda: len(one.hub.reports) == 1)
        assert one.hub.known[message.key].outcome is None
        one.hub.deliver("cn-51", signed, one.hub.known[message.key].partition)
        await eventually(lambda: one.hub.known[message.key].outcome is not None)

    (report,) = reports(one.hub)
    assert report.reason == errors_pb2.ERROR_REASON_PROCESSING_FAILED
    assert report.detail == "the hub refused the answer: PAYLOAD_INVALID: split.x"
    assert one.hub.reports[0].header.reply_to.id == message.header.id
    assert [context.is_recovery for context in insured.contexts] == [False, True], "the local system has done it"


async def test_what_stays_in_doubt_is_reported_and_a_replay_recovers(
    one: Country, caplog: pytest.LogCaptureFixture
) -> None:
    insured = Insured()

    def doubt(request: object, context: ExchangeContext) -> None:
        raise OutcomeInDoubt("still not known")

    insured.on_settle = doubt
    signed = settlement(one, "a")
    async with one.province("cn-51", insured):
        message = one.hub.admit(signed)
        await eventually(lambda: len(one.hub.reports) == 1)
        insured.on_settle = None
        one.hub.deliver("cn-51", signed, one.hub.known[message.key].partition)
        await eventually(lambda: one.hub.known[message.key].outcome is not None)

    assert report_reasons(one.hub) == [errors_pb2.ERROR_REASON_PROCESSING_FAILED]
    assert all(context.is_recovery for context in insured.contexts[1:])
    assert insured.settled == ["a"]
    lines = [record.getMessage() for record in caplog.records if "still not known" in record.getMessage()]
    assert ["is tried again" in lines[0], "gave up on" in lines[-1], len(lines)] == [True, True, 2]


async def test_a_servicer_in_which_something_was_cancelled_may_have_had_its_effect(one: Country) -> None:
    insured = Insured()

    async def cancelled_within(request: object, context: ExchangeContext) -> None:
        if not context.is_recovery:
            within = asyncio.ensure_future(asyncio.sleep(60))
            within.cancel()
            await within

    insured.on_settle = cancelled_within
    async with one.province("cn-51", insured) as exchange:
        first, behind = (one.hub.admit(settlement(one, name)) for name in "ab")
        await eventually(lambda: one.hub.known[behind.key].outcome is not None)
        assert one.hub.known[first.key].outcome is not None
        await eventually(lambda: len(exchange._parts.processing) == 0)

    assert insured.settled == ["a", "b"]


@pytest.mark.parametrize("operation", ["attempting", "finish"])
async def test_what_the_store_refuses_for_a_while_is_written_when_it_can_be(
    one: Country, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, operation: str
) -> None:
    insured, refusals = Insured(), 3
    real = getattr(inbox, operation)

    def refuse_first(*arguments: object, **named: object) -> object:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise sqlite3.OperationalError("database or disk is full")
        return real(*arguments, **named)

    monkeypatch.setattr(inbox, operation, refuse_first)
    monkeypatch.setattr(store_module, "_INSIST_FIRST_S", 0.01)
    async with one.province("cn-51", insured):
        first, behind = (one.hub.admit(settlement(one, name)) for name in "ab")
        await eventually(lambda: one.hub.known[behind.key].outcome is not None)
        assert one.hub.known[first.key].outcome is not None

    assert refusals == 0
    assert insured.settled == ["a", "b"]
    assert not any(context.is_recovery for context in insured.contexts), "no call was made that is to be found out"
    assert "cannot be written (database or disk is full)" in caplog.text


async def test_a_servicer_that_breaks_may_have_had_its_effect(one: Country) -> None:
    insured = Insured()

    def break_first(request: object, context: ExchangeContext) -> None:
        if not context.is_recovery:
            raise ZeroDivisionError

    insured.on_settle = break_first
    async with one.province("cn-51", insured):
        message = one.hub.admit(settlement(one, "a"))
        await eventually(lambda: one.hub.known[message.key].outcome is not None)

    assert [context.is_recovery for context in insured.contexts] == [False, True]


@pytest.mark.parametrize(
    "reason", [errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, errors_pb2.ERROR_REASON_HUB_NOT_READY], ids=["local", "hub"]
)
async def test_an_event_waits_for_what_is_down_to_come_back(one: Country, reason: errors_pb2.ErrorReason) -> None:
    filings = Filings()
    downs = [5]

    async def report(request: object, context: ExchangeContext) -> object:
        if downs[0]:
            downs[0] -= 1
            raise OneCardError(reason)
        return await Filings.ReportFiling(filings, request, context)  # type: ignore[arg-type]

    filings.ReportFiling = report  # type: ignore[assignment, method-assign]
    async with one.province("cn-44", filings), one.province("cn-51") as home:
        await FilingServiceStub(home.to("cn-44")).ReportFiling(filing_event(filing_id="f-1"))
        await eventually(lambda: filings.told == ["f-1"])

    assert one.hub.reports == []


async def test_an_original_that_was_told_never_executed_is_not_executed_when_it_comes_late(one: Country) -> None:
    insured = Insured()
    late = settlement(one, "late")
    original = from_wire(late)
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        reversed_ = await Stub(care.to("cn-51")).Reverse(
            settlement_pb2.ReverseRequest(person=person(), original_id=id_text(original.header.id))
        )
        one.hub.admit(late)
        await eventually(lambda: one.hub.known[original.key].outcome is not None)
        outcome = one.hub.known[original.key].outcome

    assert reversed_.result == settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED
    assert outcome is not None
    assert message_pb2.Rejection.FromString(outcome.payload).reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    assert insured.settled == []


async def test_an_adapter_killed_between_attempt_and_answer_recovers_and_never_calls_blindly(
    one: Country, tmp_path: Path
) -> None:
    message = one.hub.admit(settlement(one, "a"))
    adapter = CrashingAdapter(one, tmp_path, hanging="Settle")
    await adapter.start()
    await eventually(lambda: adapter.calls() == ["Settle False"])
    await adapter.kill()
    await adapter.start()
    try:
        await eventually(lambda: one.hub.known[message.key].outcome is not None)
    finally:
        await adapter.kill()

    assert adapter.calls() == ["Settle False", "Settle True"]
    outcome = one.hub.known[message.key].outcome
    assert outcome is not None
    assert outcome.header.kind == message_pb2.MESSAGE_KIND_REPLY


async def test_a_servicer_may_call_out_while_it_serves(one: Country) -> None:
    insured = Insured()
    other = Insured()

    async def ask_other(request: settlement_pb2.SettleRequest, context: ExchangeContext) -> None:
        await Stub(exchange.to("cn-11")).Settle(settle_request(7, "inner"))

    insured.on_settle = ask_other
    async with (
        one.province("cn-11", other),
        one.province("cn-51", insured) as exchange,
        one.province("cn-44") as care,
    ):
        await Stub(care.to("cn-51")).Settle(settle_request(invoice="outer"))

    assert (other.settled, insured.settled) == (["inner"], ["outer"])


async def test_a_province_without_servicers_refuses_what_it_is_asked(one: Country) -> None:
    async with one.province("cn-51"), one.province("cn-44") as care:
        with pytest.raises(CallFailed) as failed:
            await Stub(care.to("cn-51")).Settle(settle_request())

    assert failed.value.reason == errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED


async def test_no_personal_number_stands_in_the_store_or_in_the_log(
    one: Country, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    insured = Insured()
    number = person().number

    def break_with_number(request: settlement_pb2.SettleRequest, context: ExchangeContext) -> None:
        if not context.is_recovery:
            raise RuntimeError(f"cannot settle {request.person.number}")

    insured.on_settle = break_with_number
    one.hub.faults.calls_broken_after_journal = 1
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        await Stub(care.to("cn-51")).Settle(settle_request())
        await FilingServiceStub(care.to("cn-44")).ReportFiling(filing_event())
    files = stores(tmp_path)
    with sqlite3.connect(tmp_path / "cn-51.sqlite") as store:
        tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    store.close()

    assert len(files) >= 2
    assert {"outbox", "inbox", "answers"} <= set(tables)
    for path in files:
        assert number.encode() not in path.read_bytes(), path.name
    assert "servicer" in caplog.text
    assert number not in caplog.text
