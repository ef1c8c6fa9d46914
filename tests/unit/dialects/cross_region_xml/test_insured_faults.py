"""The insured role when the core is slow, doubled, silent, garbled or down: never twice, never a false failure."""

from pathlib import Path

import pytest
from aiohttp import web

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import filing_pb2, settlement_pb2, values_pb2
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.sdk.failures import CallFailed
from onecard_stubs.behaviour import Switches
from onecard_stubs.sichuan import soap
from tests.support.eventually import eventually
from tests.support.sichuan import BILL, FILING, Sichuan, Stay, coded, day, new_id, sichuan


async def _discharged(side: Sichuan) -> Stay:
    stay = Stay(side, side.person)
    await stay.until_discharge()
    return stay


async def test_an_answer_lost_after_the_commit_is_found_by_the_transid(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", Switches(lose_answer=True), calls=1)
        settled = await stay.settle()
        assert settled.split.total_fen == 500_010
        assert settled.local_transaction_id == "44010000000120240312000099"
        assert side.core.state.counts()["settlements_standing"] == 1


@pytest.mark.parametrize(
    ("trade", "step"), [("0212", "register"), ("0301", "upload"), ("0214", "discharge"), ("0305", "cancel")]
)
async def test_every_trade_with_effect_finds_its_lost_answer(tmp_path: Path, trade: str, step: str) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        side.core.behaviours.set(trade, Switches(lose_answer=True), calls=1)
        await stay.file()
        await stay.register()
        uploaded = await stay.upload(*BILL)
        await stay.discharge()
        settled = await stay.settle()
        cancelled = await stay.cancel(side.last_call.message_id.hex(), settled.settlement_id)
        assert uploaded.line_count == 2
        assert cancelled.split.total_fen == -500_010
        assert trade not in side.core.behaviours.describe(), f"{step} never met its fault"


async def test_a_request_that_a_proxy_repeats_is_carried_out_once_and_answered_with_the_first_outcome(
    tmp_path: Path,
) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", Switches(duplicate=True), calls=1)
        settled = await stay.settle()
        assert settled.settlement_id in side.core.state.settlements
        assert side.core.state.counts()["settlements_standing"] == 1


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("fault", [Switches(wrong_code=True), Switches(wrong_encoding=True)])
async def test_an_answer_that_cannot_be_read_after_settling_is_a_doubt_that_the_query_ends(
    tmp_path: Path, operation: Operation, fault: Switches
) -> None:
    async with sichuan(tmp_path, operation) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", fault, calls=1)
        settled = await stay.settle()
        assert settled.split.total_fen == 500_010
        assert side.core.state.counts()["settlements_standing"] == 1


async def test_a_call_cut_off_before_the_core_did_it_is_closed_and_not_repeated(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", Switches(down=True), calls=1)
        with pytest.raises(CallFailed) as caught:
            await stay.settle()
        assert caught.value.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
        assert side.core.state.counts()["settlements_standing"] == 0
        # The next settlement, a request of its own, goes through.
        await stay.settle()


async def test_a_slow_core_that_commits_after_the_closing_is_kept_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        worked: list[str] = []
        work = side.core._work

        def noted(message: soap.Message, switches: Switches) -> web.Response:
            worked.append(message.trade)
            return work(message, switches)

        monkeypatch.setattr(side.core, "_work", noted)
        # The client gives up after two seconds and closes the transaction; the core would commit three seconds later.
        side.core.behaviours.set("0304", Switches(delay_ms=5_000), calls=1)
        with pytest.raises(CallFailed) as caught:
            await stay.settle()
        assert caught.value.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
        assert "0304" not in worked
        settled = await stay.settle()
        await eventually(lambda: worked.count("0304") == 2)
        assert list(side.core.state.settlements) == [settled.settlement_id]


async def test_a_core_that_stays_silent_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", Switches(lose_answer=True))
        side.core.behaviours.set("0708", Switches(down=True))
        with pytest.raises(CallFailed) as caught:
            await stay.settle(message_id=(message_id := new_id()))
        assert caught.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
        in_doubt = await stay.query(message_id.hex())
        assert in_doubt.finding == settlement_pb2.SETTLEMENT_FINDING_IN_DOUBT
        assert in_doubt.doubt_reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
        side.core.behaviours.clear()
        found = await stay.query(message_id.hex())
        assert found.finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED
        assert found.settlement.split.total_fen == 500_010


async def test_a_query_that_cannot_be_read_is_no_refusal_of_what_the_core_may_have_done(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", Switches(lose_answer=True))
        side.core.behaviours.set("0708", Switches(wrong_code=True))
        with pytest.raises(CallFailed) as caught:
            await stay.settle()
        assert caught.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
        assert side.core.state.counts()["settlements_standing"] == 1


async def test_a_profile_without_recovery_leaves_it_to_a_person(tmp_path: Path) -> None:
    async with sichuan(tmp_path, recovery="none") as side:
        stay = await _discharged(side)
        side.core.behaviours.set("0304", Switches(lose_answer=True), calls=1)
        with pytest.raises(CallFailed) as caught:
            await stay.settle()
        assert caught.value.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
        assert side.core.state.counts()["settlements_standing"] == 1


async def test_a_core_that_does_not_listen_executed_nothing(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        await side.core.stop()
        # A read shows the client that its kept connection is gone; on one just closed, a settlement would be a doubt.
        for call in (stay.coverage, stay.settle):
            with pytest.raises(CallFailed) as caught:
                await call()
            assert caught.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
        await side.core.start()
        await stay.settle()


async def test_a_crash_between_attempt_and_answer_is_recovered_without_a_second_call(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        await stay.settle(message_id=(message_id := new_id()))
        transactions = side.core.state.counts()["transactions"]
        side.exchange._outcomes.clear()
        again = await stay.settle(message_id=message_id, is_recovery=True)
        assert again.split.total_fen == 500_010
        assert side.core.state.counts()["transactions"] == transactions


async def test_a_reversal_that_overtakes_its_original_closes_it(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        late = new_id()
        reversed_ = await stay.reverse(late.hex())
        assert reversed_.result == settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED
        assert await stay.reverse(late.hex()) == reversed_
        with pytest.raises(CallFailed) as caught:
            await stay.settle(message_id=late)
        assert caught.value.reason == errors_pb2.ERROR_REASON_NEVER_EXECUTED
        assert side.core.state.counts()["settlements_standing"] == 0
        # Another settlement of the stay is not touched by it.
        await stay.settle()


async def test_a_query_that_finds_nothing_closes_the_original_too(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        late = new_id()
        assert (await stay.query(late.hex())).finding == settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND
        with pytest.raises(CallFailed) as caught:
            await stay.settle(message_id=late)
        assert caught.value.reason == errors_pb2.ERROR_REASON_NEVER_EXECUTED
        assert (await stay.reverse(late.hex())).result == settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED


async def test_a_query_of_an_attempt_that_never_arrived_closes_it_at_the_core(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        side.core.behaviours.set("*", Switches(down=True))
        with pytest.raises(CallFailed):
            await stay.settle(message_id=(message_id := new_id()))
        side.core.behaviours.clear()
        assert (await stay.query(message_id.hex())).finding == settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND
        with pytest.raises(CallFailed) as caught:
            await stay.settle(message_id=message_id)
        assert caught.value.reason == errors_pb2.ERROR_REASON_NEVER_EXECUTED


async def test_a_reversal_whose_answer_was_lost_is_told_once_it_is_found(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        await stay.settle()
        original_id = side.last_call.message_id.hex()
        side.core.behaviours.set("0306", Switches(lose_answer=True), calls=1)
        assert (await stay.reverse(original_id)).result == settlement_pb2.REVERSAL_RESULT_REVERSED
        assert side.core.state.counts()["settlements_undone"] == 1


async def test_a_reversal_of_which_nothing_can_be_read_is_no_refusal(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        await stay.settle()
        original_id = side.last_call.message_id.hex()
        for trade in ("0306", "0708"):
            side.core.behaviours.set(trade, Switches(wrong_code=True), calls=1)
        assert (await stay.reverse(original_id)).result == settlement_pb2.REVERSAL_RESULT_REVERSED
        assert side.core.state.counts()["settlements_undone"] == 1


async def test_a_reversal_that_the_core_refuses_leaves_the_settlement_as_it_was(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        settled = await stay.settle()
        settle_id = side.last_call.message_id.hex()
        await stay.cancel(settle_id, settled.settlement_id)
        cancel_id = side.last_call.message_id.hex()
        await stay.settle()
        # A new settlement stands: the old one's cancellation cannot be taken back any more.
        with pytest.raises(CallFailed) as caught:
            await stay.reverse(cancel_id, "CancelSettlement")
        assert caught.value.reason == errors_pb2.ERROR_REASON_REVERSAL_REFUSED
        assert caught.value.rejection is not None
        assert caught.value.rejection.local_code == "-32"
        assert side.core.state.counts()["settlements_standing"] == 1


async def test_an_original_that_is_no_message_id_is_named(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        with pytest.raises(CallFailed) as caught:
            await Stay(side, side.person).reverse("0304")
        assert caught.value.reason == errors_pb2.ERROR_REASON_PAYLOAD_INVALID
        assert caught.value.violations[0][0] == "original_id"


def _filing(stay: Stay, name: str, insurance_area: str, filing_id: str = "") -> filing_pb2.FileRequest:
    return filing_pb2.FileRequest(
        person=stay.identity,
        insured_number=stay.insured_number,
        details=values_pb2.PersonDetails(name=name),
        filing=filing_pb2.Filing(
            filing_id=filing_id,
            filing_type=coded("onecard.filing_type", "21"),
            insurance_area=insurance_area,
            destination_area="440100",
            first_day=day("2024-03-01"),
            insurance_kind=coded("nhsa.insutype", "310"),
        ),
    )


def _told(asked: filing_pb2.FileRequest) -> filing_pb2.ReportFilingRequest:
    return filing_pb2.ReportFilingRequest(
        person=asked.person, insured_number=asked.insured_number, details=asked.details, filing=asked.filing
    )


async def test_a_name_that_gbk_cannot_carry_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        with pytest.raises(CallFailed) as caught:
            await side.call(f"{FILING}File", _filing(stay, "刘𬱖", "510100"))
        assert caught.value.reason == errors_pb2.ERROR_REASON_UNENCODABLE_CHARACTER
        assert caught.value.detail == "input.aac003: GBK has no character U+2CC56"
        assert not side.core.state.filings


async def test_a_filing_is_made_and_taken_back_and_one_told_by_another_province_is_kept(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        made = await side.call(f"{FILING}File", _filing(stay, stay.person.name, "510100"))
        assert isinstance(made, filing_pb2.FileResponse)
        assert made.filing.filing_id in side.core.state.filings
        await side.call(f"{FILING}ReportFiling", _told(_filing(stay, stay.person.name, "440100", "B4401")))
        assert "B4401" in side.core.state.filings
        withdrawal = filing_pb2.WithdrawFilingRequest(
            person=stay.identity, insured_number=stay.insured_number, filing_id=made.filing.filing_id, cause="示例"
        )
        await side.call(f"{FILING}WithdrawFiling", withdrawal)
        assert side.core.state.filings[made.filing.filing_id].is_withdrawn
        with pytest.raises(CallFailed) as caught:
            await side.call(f"{FILING}WithdrawFiling", withdrawal)
        assert caught.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM


async def test_a_filing_of_another_province_without_its_id_is_named(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        with pytest.raises(CallFailed) as caught:
            await side.call(f"{FILING}ReportFiling", _told(_filing(stay, stay.person.name, "440100")))
        assert caught.value.violations[0][0] == "filing.filing_id"


async def test_a_province_files_for_its_own_people_only(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        with pytest.raises(CallFailed) as caught:
            await side.call(f"{FILING}File", _filing(stay, stay.person.name, "440100"))
        assert caught.value.violations[0][0] == "filing.insurance_area"


async def test_a_code_that_stands_in_no_table_is_refused_by_table_and_version(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = await _discharged(side)
        with pytest.raises(CallFailed) as caught:
            await stay.pre_settle(care_kind=coded("nhsa.med_type", "9901"))
        assert caught.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE
        assert caught.value.detail == (
            "input.aka130: national code '9901' is not in table med_type version cross-region-xml/2024.1"
        )
