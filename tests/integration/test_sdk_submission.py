"""The outbox of the SDK: what is owed to the hub leaves when the hub is there, in order, once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import filing_pb2, filing_pb2_grpc, settlement_pb2, settlement_pb2_grpc
from onecard_adapters.runtime import outbox, processing
from onecard_adapters.runtime import store as store_module
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk import submission
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import id_text, new_message_id
from onecard_protocol.tracing import continue_trace
from tests.support.eventually import eventually
from tests.support.sdk_country import Country, Filings, Insured, filing_event, person, settle_request

pytest_plugins = ("tests.support.fake_hub_of_two",)

Stub = settlement_pb2_grpc.SettlementServiceStub


async def tell(exchange: Exchange, filing_id: str, *, serial: int = 1, message_id: bytes | None = None) -> None:
    channel = exchange.to("cn-44", message_id=message_id)
    await filing_pb2_grpc.FilingServiceStub(channel).ReportFiling(filing_event(serial, filing_id))


def filings_in_journal(one: Country) -> list[str]:
    return [
        filing_pb2.ReportFilingRequest.FromString(message.payload).filing.filing_id
        for message in one.hub.journal
        if message.header.kind == message_pb2.MESSAGE_KIND_EVENT
    ]


class SlowLoads:
    """The store as the pump sees it: what it read comes when the test says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.has_read = asyncio.Event()
        self.may_come = asyncio.Event()

    async def run(self, operation: Callable[[sqlite3.Connection], Any], **how: Any) -> Any:
        result = await self._store.run(operation, **how)
        if isinstance(result, list):
            self.has_read.set()
            await self.may_come.wait()
        return result

    insist = run


def slow_loads(exchange: Exchange) -> SlowLoads:
    """Have the pump of an exchange wait for what it reads."""
    loads = SlowLoads(exchange.store)
    exchange._parts.submission._store = loads  # type: ignore[assignment]
    return loads


class StoreLeftBy:
    """The store, of which a caller awaits nothing any more once it has asked."""

    def __init__(self, caller: asyncio.Task[None], store: Store) -> None:
        self._caller = caller
        self._store = store

    def run(self, operation: Callable[[sqlite3.Connection], Any], *, is_brief: bool) -> asyncio.Future[Any]:
        self._caller.cancel()
        return self._store.run(operation, is_brief=is_brief)


async def test_events_told_while_the_hub_is_down_drain_in_order_when_it_returns(one: Country) -> None:
    filings = Filings()
    async with one.province("cn-44", filings), one.province("cn-51") as home:
        await one.hub_down()
        for index in range(5):
            await tell(home, str(index))
        await one.hub_up()
        await eventually(lambda: len(filings.told) == 5)

    assert filings.told == ["0", "1", "2", "3", "4"]


async def test_a_key_that_the_hub_does_not_know_yet_costs_no_event(
    one: Country, caplog: pytest.LogCaptureFixture
) -> None:
    filings = Filings()
    one.hub.faults.refusals.extend(OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN) for _ in range(3))
    async with one.province("cn-44", filings), one.province("cn-51") as home:
        await tell(home, "a")
        await tell(home, "b")
        await eventually(lambda: len(filings.told) == 2)

    assert filings.told == ["a", "b"]
    assert "the hub does not know this adapter's key yet" in caplog.text


async def test_a_key_that_becomes_valid_in_days_is_tried_again_before(
    one: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "_RETRY_TOLD_MOST_S", 0.1)
    filings = Filings()
    one.hub.faults.refusals.append(
        OneCardError(errors_pb2.ERROR_REASON_KEY_NOT_YET_VALID, retry_after_ms=7 * 86_400_000)
    )
    async with one.province("cn-44", filings), one.province("cn-51") as home:
        await tell(home, "a")
        await eventually(lambda: filings.told == ["a"])


async def test_a_receipt_that_cannot_be_noted_for_a_while_sends_nothing_again(
    one: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = outbox.accept, 4

    def refuse_first(*arguments: Any, **named: Any) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise sqlite3.OperationalError("database or disk is full")
        real(*arguments, **named)

    monkeypatch.setattr(outbox, "accept", refuse_first)
    monkeypatch.setattr(store_module, "_INSIST_FIRST_S", 0.01)
    async with one.province("cn-51") as home:
        await tell(home, "a")
        await eventually(lambda: not refusals)
        await tell(home, "b")
        await eventually(lambda: filings_in_journal(one) == ["a", "b"])


async def test_a_submission_that_breaks_here_is_tried_again_after_a_pause(
    one: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks, paused = 3, []

    def backoff_s(attempt: int, **bounds: float) -> float:
        paused.append(attempt)
        return 0.0

    async with one.province("cn-51") as home:
        signing = home._parts.submission._signing
        real = signing.sign_all

        async def break_first(headers: list[bytes]) -> Any:
            nonlocal breaks
            if breaks:
                breaks -= 1
                raise ZeroDivisionError
            return await real(headers)

        monkeypatch.setattr(signing, "sign_all", break_first)
        monkeypatch.setattr(submission, "backoff_s", backoff_s)
        await tell(home, "a")
        await eventually(lambda: filings_in_journal(one) == ["a"])

    assert paused == [0, 1, 2]


async def test_one_event_told_twice_at_once_under_its_id_is_told_once(one: Country) -> None:
    async with one.province("cn-51") as home:
        message_id = new_message_id(one.hub.now_ms())
        home.store.run(lambda connection: None)  # One that the thread commits.
        await asyncio.sleep(0)
        await asyncio.gather(*(tell(home, "a", message_id=message_id) for _ in range(2)))
        await eventually(lambda: filings_in_journal(one) == ["a"])


async def test_events_told_by_a_process_that_ended_are_sent_by_the_next(one: Country) -> None:
    await one.hub_down()
    home = one.exchange("cn-51")
    async with home:
        await tell(home, "early")
    await one.hub_up()
    filings = Filings()
    async with one.province("cn-44", filings), one.province("cn-51"):
        await eventually(lambda: filings.told == ["early"])


async def test_a_reversal_that_could_not_be_sent_stays_and_is_answered_later(one: Country) -> None:
    insured = Insured()
    message_id = new_message_id(one.hub.now_ms())
    request = settlement_pb2.ReverseRequest(person=person(), original_id=id_text(message_id))
    async with one.province("cn-44") as care:
        await one.hub_down()
        with pytest.raises(CallFailed) as failed:
            await Stub(care.to("cn-51", message_id=message_id)).Reverse(request, timeout=2)
        await one.hub_up()
        async with one.province("cn-51", insured):
            again = await Stub(care.to("cn-51", message_id=message_id)).Reverse(request, timeout=20)

    assert failed.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
    assert again.result == settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED
    assert len(insured.reversed) == 1


async def test_a_request_is_expired_and_never_leaves_while_the_hub_is_down(one: Country) -> None:
    async with one.province("cn-44") as care:
        await one.hub_down()
        message_id = new_message_id(one.hub.now_ms() - 9_000)
        with pytest.raises(CallFailed) as failed:
            # Longer than the test may last: what ends it is the message's own time.
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=600)
        await one.hub_up()
        with pytest.raises(CallFailed) as again:
            await Stub(care.to("cn-51", message_id=message_id)).Settle(settle_request(), timeout=20)

    assert failed.value.reason == again.value.reason == errors_pb2.ERROR_REASON_EXPIRED
    assert one.hub.journal == []


async def test_what_is_alone_leaves_at_once_an_answer_too(one: Country, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "_COMPANY_S", 600.0)
    async with one.province("cn-44") as care, one.province("cn-51", Insured()) as home:
        answer = await Stub(care.to("cn-51")).Settle(settle_request(invoice="7"), timeout=20)
        await tell(home, "a")
        await eventually(lambda: filings_in_journal(one) == ["a"])

    assert answer.settlement_id == "s-7"


async def test_an_answer_waits_a_little_for_one_that_is_in_the_making_and_the_last_for_nobody(
    one: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    insured, may_answer = Insured(), asyncio.Event()
    waits: list[float] = []
    run = Store.run

    def watched(store: Store, operation: Callable[[sqlite3.Connection], Any], **how: Any) -> asyncio.Future[Any]:
        if "Processing._finish" in operation.__qualname__:
            waits.append(how["within_s"])
        return run(store, operation, **how)

    monkeypatch.setattr(Store, "run", watched)

    async def answer_later(request: settlement_pb2.SettleRequest, _: object) -> None:
        if request.invoice_number == "later":
            await may_answer.wait()

    insured.on_settle = answer_later
    async with one.province("cn-44") as care, one.province("cn-51", insured):
        stub = Stub(care.to("cn-51"))
        later = asyncio.create_task(stub.Settle(settle_request(1, "later"), timeout=20))
        await eventually(lambda: len(insured.contexts) == 1)
        first = asyncio.create_task(stub.Settle(settle_request(2, "first"), timeout=20))
        await first
        may_answer.set()
        await later

    assert waits == [processing._COMPANY_S, 0]


async def test_a_batch_whose_receipts_were_lost_is_sent_again_under_the_same_headers(one: Country) -> None:
    filings = Filings()
    one.hub.faults.batches_broken_after_journal = 1
    async with one.province("cn-44", filings), one.province("cn-51") as home:
        await tell(home, "a")
        await eventually(lambda: home._parts.submission.is_idle)
        await eventually(lambda: filings.told == ["a"])

    events = [message for message in one.hub.journal if message.header.kind == message_pb2.MESSAGE_KIND_EVENT]
    assert len(events) == 2
    assert events[0].header_bytes == events[1].header_bytes


async def test_a_refusal_for_now_is_tried_again_and_keeps_the_order_of_a_person(one: Country) -> None:
    one.hub.faults.refusals.append(OneCardError(errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, retry_after_ms=50))
    async with one.province("cn-51") as home:
        await tell(home, "a")
        await tell(home, "b")
        await eventually(lambda: len(filings_in_journal(one)) == 2)

    assert filings_in_journal(one) == ["a", "b"]


async def test_an_event_under_one_id_is_told_once(one: Country) -> None:
    message_id = new_message_id(one.hub.now_ms())
    async with one.province("cn-51") as home:
        await tell(home, "a", message_id=message_id)
        await tell(home, "a", message_id=message_id)
        await eventually(lambda: home._parts.submission.is_idle)
        with pytest.raises(CallFailed) as failed:
            await tell(home, "b", message_id=message_id)

    assert filings_in_journal(one) == ["a"]
    assert failed.value.reason == errors_pb2.ERROR_REASON_ID_CONFLICT


async def test_more_than_is_held_in_memory_leaves_from_the_store_in_order(one: Country) -> None:
    async with one.province("cn-51") as home:
        home._parts.submission._held_count_max = 4
        await one.hub_down()
        await asyncio.gather(*[tell(home, f"{index:02d}") for index in range(30)])
        assert len(home._parts.submission._held) <= 4
        await one.hub_up()
        await eventually(lambda: len(filings_in_journal(one)) == 30)

    assert filings_in_journal(one) == sorted(filings_in_journal(one))


async def test_an_event_belongs_to_the_trace_in_which_it_was_told(one: Country) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    method = "/onecard.medical.v1.FilingService/ReportFiling"
    async with one.province("cn-51") as home:
        continue_trace(trace)
        await home.write(lambda connection, told: told(method, "cn-44", filing_event(1, "a")))
        continue_trace("")
        await home.write(lambda connection, told: told(method, "cn-44", filing_event(2, "b")))
        await eventually(lambda: len(filings_in_journal(one)) == 2)

    assert [message.header.traceparent for message in one.hub.journal] == [trace, ""]


async def test_what_is_told_while_a_start_reads_older_events_leaves_behind_them(one: Country) -> None:
    await one.hub_down()
    async with one.exchange("cn-51") as home:
        await tell(home, "older")
    await one.hub_up()
    async with one.exchange("cn-51") as home:
        loads = slow_loads(home)
        await loads.has_read.wait()
        await tell(home, "newer")
        assert not home._parts.submission.is_idle
        loads.may_come.set()
        await eventually(lambda: len(filings_in_journal(one)) == 2)

    assert filings_in_journal(one) == ["older", "newer"]


async def test_what_is_told_while_more_is_read_than_is_held_leaves_behind_it(one: Country) -> None:
    async with one.province("cn-51") as home:
        home._parts.submission._held_count_max = 2
        loads = slow_loads(home)
        await one.hub_down()
        for name in ("a", "b", "c", "d", "e"):
            await tell(home, name)
        await one.hub_up()
        await loads.has_read.wait()
        await tell(home, "f")
        loads.may_come.set()
        await eventually(lambda: len(filings_in_journal(one)) == 6)
        await eventually(lambda: home._parts.submission.is_idle)

    assert filings_in_journal(one) == ["a", "b", "c", "d", "e", "f"]


async def test_an_event_leaves_though_its_caller_went_while_it_was_stored(one: Country) -> None:
    async with one.province("cn-51") as home:
        await one.hub_down()
        calling = asyncio.create_task(tell(home, "a"))
        home._parts.sending._store = StoreLeftBy(calling, home.store)  # type: ignore[assignment]
        await asyncio.gather(calling, return_exceptions=True)
        home._parts.sending._store = home.store
        await tell(home, "b")
        await one.hub_up()
        await eventually(lambda: "b" in filings_in_journal(one))

    assert calling.cancelled()
    assert filings_in_journal(one) == ["a", "b"]


async def test_whatever_waits_is_one_signed_batch(one: Country) -> None:
    async with one.province("cn-51") as home:
        await one.hub_down()
        await asyncio.gather(*[tell(home, str(index), serial=index) for index in range(50)])
        await one.hub_up()
        await eventually(lambda: len(filings_in_journal(one)) == 50)

    events = [message for message in one.hub.journal if message.header.kind == message_pb2.MESSAGE_KIND_EVENT]
    signatures = {message_pb2.SignatureBlock.FromString(message.signature).signature for message in events}
    assert len(signatures) < 10
