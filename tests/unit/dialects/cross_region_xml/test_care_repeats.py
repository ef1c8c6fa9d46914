"""The care role: repeats, withdrawals and reversals by number, and outcomes in doubt."""

import asyncio
from pathlib import Path

import pytest

from onecard_adapters.connectors.http import HttpRequest
from onecard_adapters.dialects.cross_region_xml import envelope
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_stubs.sichuan import soap
from tests.support.edge_memory import failing_store
from tests.support.eventually import eventually
from tests.support.sichuan import SETTLEMENT
from tests.support.sichuan_care import BILL, BILL_FEN, line, sichuan_care


async def test_a_repeated_request_is_one_transaction_with_one_answer(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        first = await stay.settle(BILL_FEN, transid)
        calls = len(side.exchange.calls)
        second = await stay.settle(BILL_FEN, transid)
        assert second.value("ykc618") == first.value("ykc618")
        assert len(side.exchange.calls) == calls
        assert side.insured_core.state.counts()["settlements_standing"] == 1


async def test_a_request_without_a_number_is_a_repeat_until_something_else_happened(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        first = await stay.settle(BILL_FEN, "")
        assert len(first.transid) == 22
        assert (await stay.settle(BILL_FEN, "")).transid == first.transid
        cancelled = await stay.cancel("")
        assert cancelled.value("akb068") == "-3609.00"
        again = await stay.settle(BILL_FEN, "")
        assert again.is_success, again.message
        assert again.transid != first.transid
        assert again.value("ykc618") != first.value("ykc618")
        assert side.insured_core.state.counts()["settlements_standing"] == 1


async def test_lines_withdrawn_twice_without_a_number_are_withdrawn_twice(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        for _ in range(2):
            await stay.upload(BILL)
            assert (await stay.withdraw("0", transid="")).value("ykc690") == "0"
        assert not side.insured_core.state.visits[stay.visit_id].lines


async def test_the_lines_of_one_upload_are_taken_back_by_its_number(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        await stay.upload(BILL)
        second = await stay.upload((line(4, "10.00"), line(5, "20.00")))
        left = await stay.withdraw(second.transid)
        assert left.value("akc264") == "5000.10"
        one = await stay.withdraw("", ["99001"])
        assert one.value("akc264") == "1000.10"
        assert len(side.insured_core.state.visits[stay.visit_id].lines) == 2


async def test_a_reversal_by_number_undoes_once_and_answers_the_same(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        settled = await stay.settle(BILL_FEN)
        for _ in range(2):
            reversed_ = await stay.reverse(settled.transid)
            assert reversed_.value("ykc701") == "2"
        assert side.insured_core.state.counts()["settlements_undone"] == 1
        assert (await stay.query(settled.transid)).value("ykc701") == "2"


async def test_a_reversal_of_a_number_that_never_came_closes_it(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        assert (await stay.reverse(transid)).value("ykc701") == "0"
        late = await stay.settle(BILL_FEN, transid)
        assert late.code == -1
        assert "NEVER_EXECUTED" in late.message
        assert (await stay.settle(BILL_FEN)).is_success


async def test_a_number_used_for_two_originals_is_never_guessed(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        await stay.settle(BILL_FEN, transid)
        # The same number over other bytes, as random numbers collide; the insured province refuses it as a second one.
        await stay.settle(BILL_FEN - 10, transid)
        await stay.cancel(transid)
        answer = await stay.reverse(transid)
        assert answer.code == -1
        assert "ORIGINAL_AMBIGUOUS" in answer.message


async def test_an_outcome_in_doubt_is_told_apart_from_a_refusal_and_the_repeat_finds_it(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        side.exchange.lose_answers(f"{SETTLEMENT}Settle")
        doubtful = await stay.settle(BILL_FEN, transid)
        assert doubtful.code == -9
        assert "OUTCOME_UNKNOWN" in doubtful.message
        found = await stay.query(transid)
        assert found.value("ykc701") == "1"
        repeated = await stay.settle(BILL_FEN, transid)
        assert repeated.value("ykc618") == found.value("ykc618")
        assert side.insured_core.state.counts()["settlements_standing"] == 1
        # What the query told is enough to cancel by.
        assert (await stay.cancel()).is_success


async def test_an_answer_that_takes_too_long_is_told_as_unknown_in_the_dialect(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        release = side.exchange.hold(f"{SETTLEMENT}Settle")
        fields = {"transid": transid, "aab299": "510100", "akb026": "H51010099901", **stay._bill(BILL_FEN)}
        body = soap.write_call(soap.TEXT_OPERATION, "0304", fields)
        answer = await side.handler(HttpRequest(path="/sichuan", headers={}, body=body, answer_ms_max=50))
        assert answer.status == 200
        result = envelope.read_result(answer.body)
        assert (result.error_code, result.transaction_id) == (-9, transid)
        assert result.error_message == (
            "[OUTCOME_UNKNOWN] 未在时限内收到应答。结果未知，并非失败：请查询或冲正，切勿换号重发。"
        )
        release.set()
        assert (await side.hospital.send_bytes(body)).is_success
        assert side.exchange.methods_called().count("Settle") == 1


async def test_a_reversal_does_not_wait_behind_the_settlement_that_hangs(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        release = side.exchange.hold(f"{SETTLEMENT}Settle")
        settling = asyncio.create_task(stay.settle(BILL_FEN, transid))
        await eventually(lambda: "Settle" in side.exchange.methods_called())
        reversed_ = await stay.reverse(transid)
        assert reversed_.is_success, reversed_.message
        assert not settling.done()
        release.set()
        assert not (await settling).is_success, "the late original is refused"
        assert side.insured_core.state.counts()["settlements_standing"] == 0


async def test_a_store_that_cannot_be_written_is_told_as_that_and_the_repeat_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        with monkeypatch.context() as patch:
            patch.setattr(EdgeMemory, "remember_transaction", failing_store("database or disk is full"))
            told = await stay.settle(BILL_FEN, transid)
        assert told.code == -9
        assert told.message.startswith("[INTERNAL] 枢纽或适配器内部错误")
        assert "适配器存储所在磁盘已满：请运维人员清理空间，再将同一报文原样重发" in told.message
        assert "the adapter's store cannot be used (database or disk is full)" in caplog.text
        assert (await stay.settle(BILL_FEN, transid)).is_success
