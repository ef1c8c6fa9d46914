"""The insured role: national requests through the adapter to Sichuan's core over HTTP, and back."""

from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import settlement_pb2, values_pb2
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.sdk.failures import CallFailed
from tests.support.sichuan import BILL, Stay, coded, line, sichuan


def identities_hold(split: values_pb2.SettlementSplit) -> bool:
    funds = sum(
        getattr(split, f"{name}_fund_fen")
        for name in "pooling civil_servant enterprise serious_illness large_amount assistance other".split()
    )
    return (
        split.total_fen
        == split.full_self_pay_fen + split.over_limit_self_pay_fen + split.preceding_self_pay_fen + split.in_scope_fen
        and split.fund_total_fen == funds == sum(item.paid_fen for item in split.items if item.is_fund)
        and split.total_fen == split.fund_total_fen + split.personal_part_fen + split.hospital_part_fen
        and split.personal_part_fen == split.personal_account_fen + split.cash_fen
    )


@pytest.mark.parametrize("operation", Operation)
async def test_a_stay_is_settled_from_coverage_to_split(tmp_path: Path, operation: Operation) -> None:
    async with sichuan(tmp_path, operation) as side:
        stay = Stay(side, side.person)
        coverage = await stay.coverage()
        assert coverage.insured_number.personal_number == side.person.personal_number
        assert coverage.details.name == side.person.name
        assert len(coverage.enrolments) == len(side.person.enrolments)
        assert {enrolment.person_class.code for enrolment in coverage.enrolments} >= {"1201"}
        assert not coverage.filings

        await stay.file()
        assert [filing.destination_area for filing in (await stay.coverage()).filings] == ["440100"]
        await stay.register()
        uploaded = await stay.upload(*BILL)
        assert (uploaded.line_count, uploaded.totals.total_fen) == (2, 500_010)
        trial = await stay.pre_settle()
        await stay.discharge()
        settled = await stay.settle()

        assert identities_hold(settled.split)
        assert settled.split.total_fen == 500_010
        assert settled.split.deductible_fen == 80_000
        assert settled.split.pooling_fund_fen == 333_000
        assert settled.split.pooling_ratio_e4 == 9_000
        assert settled.split.clearing_type == coded("nhsa.clr_type", "21")
        assert settled.settlement_id.startswith("A51")
        assert settled.local_transaction_id == "44010000000120240312000099"
        assert settled.settled_time.seconds > 0
        # The trial gave what the settlement gives, to the fen.
        assert trial == settled.split


async def test_a_clinic_visit_is_settled_with_the_outpatient_deductible(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person, care="11")
        await stay.file()
        await stay.register()
        await stay.upload(*BILL)
        settled = await stay.settle()
        assert identities_hold(settled.split)
        assert settled.split.deductible_fen == 20_000
        assert settled.split.clearing_type == coded("nhsa.clr_type", "11")


async def test_return_lines_take_back_what_they_name(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.register()
        await stay.upload(*BILL, line("99003", 5_000))
        back = line("99004", -5_000)
        back.returned_line_id = "99003"
        uploaded = await stay.upload(back)
        assert (uploaded.line_count, uploaded.totals.total_fen) == (4, 500_010)


async def test_a_cancellation_is_the_negation_of_its_settlement_with_null_parts(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.until_discharge()
        settled = await stay.settle()
        original_id = side.last_call.message_id.hex()
        cancelled = await stay.cancel(original_id, settled.settlement_id)

        assert cancelled.settlement_id == settled.settlement_id
        assert cancelled.red_settlement_id != settled.settlement_id
        for name in ("total_fen", "in_scope_fen", "fund_total_fen", "pooling_fund_fen", "cash_fen", "deductible_fen"):
            assert getattr(cancelled.split, name) == -getattr(settled.split, name)
        assert not cancelled.split.HasField("personal_part_fen")
        assert not cancelled.split.HasField("hospital_part_fen")
        assert [item.paid_fen for item in cancelled.split.items] == [-item.paid_fen for item in settled.split.items]

        # The stay is free again, and the year's accumulators are as they were.
        again = await stay.settle()
        assert again.split == settled.split
        assert again.settlement_id != settled.settlement_id


async def test_a_stay_is_not_settled_twice(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.until_discharge()
        await stay.settle()
        with pytest.raises(CallFailed) as caught:
            await stay.settle()
        assert caught.value.reason == errors_pb2.ERROR_REASON_DOUBLE_SETTLEMENT
        assert caught.value.rejection is not None
        assert caught.value.rejection.local_code == "-32"
        assert caught.value.rejection.local_text == "该次就诊已结算，请勿重复结算"


async def test_a_bill_that_differs_from_its_lines_is_refused_with_the_cores_own_words(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.until_discharge()
        with pytest.raises(CallFailed) as caught:
            await stay.pre_settle(fees=values_pb2.FeeTotals(total_fen=1, in_scope_fen=1))
        assert caught.value.reason == errors_pb2.ERROR_REASON_FEE_MISMATCH
        assert caught.value.rejection is not None
        assert caught.value.rejection.local_text == "费用总额与已上传明细合计不一致！"


async def test_without_a_filing_there_is_no_settlement_and_a_filing_before_it_is_enough(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.register()
        await stay.upload(*BILL)
        with pytest.raises(CallFailed) as caught:
            await stay.settle()
        assert caught.value.reason == errors_pb2.ERROR_REASON_NOT_FILED
        await stay.file("06")
        settled = await stay.settle()
        # Other temporary travel costs fifteen points of the ratio.
        assert settled.split.pooling_ratio_e4 == 7_500


async def test_lines_are_taken_back_one_or_all(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.register()
        await stay.upload(*BILL)
        one = await stay.withdraw_lines("99002")
        assert (one.line_count, one.totals.total_fen) == (1, 400_000)
        none = await stay.withdraw_lines()
        assert (none.line_count, none.totals.total_fen) == (0, 0)


async def test_a_person_whom_the_core_does_not_know_is_not_insured(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side, sichuan(tmp_path) as other:
        stranger = Stay(other, next(iter(other.core.state.population.people[5:])))
        stranger.sichuan = side
        side.core.state.population._by_identity_number.pop(stranger.person.identity_number)
        side.core.state.population._by_personal_number.pop(stranger.person.personal_number)
        with pytest.raises(CallFailed) as caught:
            await stranger.coverage()
        assert caught.value.reason == errors_pb2.ERROR_REASON_NOT_INSURED
        assert stranger.person.identity_number not in str(caught.value)


async def test_a_reversed_settlement_is_undone_once_and_told_the_same_twice(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.until_discharge()
        settled = await stay.settle()
        original_id = side.last_call.message_id.hex()
        first = await stay.reverse(original_id)
        second = await stay.reverse(original_id)
        assert first == second
        assert first.result == settlement_pb2.REVERSAL_RESULT_REVERSED
        assert side.core.state.counts()["settlements_standing"] == 0
        found = await stay.query(original_id)
        assert found.finding == settlement_pb2.SETTLEMENT_FINDING_UNDONE
        assert found.settlement.settlement_id == settled.settlement_id
        # The accumulators are as before: a new settlement gives the same split.
        assert (await stay.settle()).split == settled.split


async def test_a_reversal_of_a_cancellation_makes_the_settlement_stand_again(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.until_discharge()
        settled = await stay.settle()
        settle_id = side.last_call.message_id.hex()
        await stay.cancel(settle_id, settled.settlement_id)
        cancel_id = side.last_call.message_id.hex()
        assert (await stay.query(settle_id)).finding == settlement_pb2.SETTLEMENT_FINDING_UNDONE
        assert (await stay.reverse(cancel_id, "CancelSettlement")).result == settlement_pb2.REVERSAL_RESULT_REVERSED
        assert (await stay.query(settle_id)).finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED
        assert (await stay.query(cancel_id, "CancelSettlement")).finding == settlement_pb2.SETTLEMENT_FINDING_UNDONE


async def test_a_settlement_is_found_by_its_own_number(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        await stay.until_discharge()
        settled = await stay.settle()
        found = await stay.query("", settlement_id=settled.settlement_id)
        assert found.finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED
        assert found.settlement.split == settled.split
