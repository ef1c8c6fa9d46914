"""Money at the cores that compute who pays: what one does, the other does, and neither gives away or takes too much."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from onecard_stubs.guangdong import wire
from onecard_stubs.policy import FilingKind, YearAccumulators
from onecard_stubs.sichuan.amounts import from_text
from tests.support.stub_money import CORES, GuangdongMoney, Kind, Line, MoneyCore, SichuanMoney, Standing, Told, filed

_DAY = date(2025, 3, 1)
_YESTERDAY = (wire.now() - timedelta(days=1)).date()
both = pytest.mark.parametrize("kind", CORES)


@both
def test_each_year_begins_its_limits_anew_and_a_stay_counts_in_the_year_of_its_discharge(kind: Kind) -> None:
    core = filed(kind)
    deductibles = []
    for first_day, last_day in (
        (date(2024, 3, 1), date(2024, 3, 9)),
        (date(2024, 12, 28), date(2025, 1, 4)),
        (date(2025, 3, 1), date(2025, 3, 9)),
    ):
        visit_id = core.billed(first_day, 500_000)
        assert core.discharge(visit_id, last_day).is_done
        assert core.settle(visit_id, 500_000).is_done
        deductibles.append(core.standing()[-1].split.deductible_fen)
    assert deductibles == [80_000, 80_000, 40_000]


@both
def test_a_stay_without_a_discharge_counts_in_the_year_of_its_first_day(kind: Kind) -> None:
    core = filed(kind)
    for year in (2024, 2025):
        assert core.settle(core.billed(date(year, 3, 1), 500_000), 500_000).is_done
    assert [item.split.deductible_fen for item in core.standing()] == [80_000, 80_000]
    assert sorted(core.account.years) == [2024, 2025]


@both
def test_nobody_leaves_before_they_came(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.admit(date(2025, 1, 2))
    assert "出院日期早于入院日期" in core.discharge(visit_id, date(2025, 1, 1)).refusal
    assert core.discharge(visit_id, date(2025, 1, 2)).is_done


def test_a_bill_that_tells_a_discharge_before_the_admission_is_refused() -> None:
    core = filed(SichuanMoney)
    visit_id = core.billed(date(2025, 1, 2), 500_000)
    assert "出院日期早于入院日期" in core.settle(visit_id, 500_000, akc194="20241231").refusal
    assert core.settle(visit_id, 500_000, akc194="20250103").is_done


@both
def test_the_returns_of_a_line_are_together_no_more_than_it(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.admit(_DAY)
    assert core.upload(visit_id, Line(line_id="A", amount_fen=10_000), Line(line_id="B", amount_fen=50_000)).is_done
    assert core.upload(visit_id, Line(line_id="R1", amount_fen=-6_000, returns="A")).is_done
    for wrong in (
        [Line(line_id="R2", amount_fen=-6_000, returns="A")],
        [Line(line_id="R2", amount_fen=-4_000, returns="A"), Line(line_id="R3", amount_fen=-1, returns="A")],
        [Line(line_id="R2", amount_fen=-1, returns="R1")],
        [Line(line_id="R2", amount_fen=-1, returns="C")],
        [Line(line_id="R2", amount_fen=-1)],
    ):
        assert "退费" in core.upload(visit_id, *wrong).refusal
    assert core.pre_settle(visit_id, 54_000).is_done, "what is refused is not kept"
    assert core.upload(visit_id, Line(line_id="R2", amount_fen=-4_000, returns="A")).is_done
    assert core.settle(visit_id, 50_000).is_done


@both
def test_a_line_is_not_taken_back_from_under_its_return(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.admit(_DAY)
    assert core.upload(visit_id, Line(line_id="A", amount_fen=10_000), Line(line_id="B", amount_fen=50_000)).is_done
    assert core.upload(visit_id, Line(line_id="R", amount_fen=-6_000, returns="A")).is_done
    assert "退费" in core.withdraw(visit_id, "A").refusal
    assert core.pre_settle(visit_id, 54_000).is_done
    assert core.withdraw(visit_id, "R").is_done
    assert core.withdraw(visit_id, "A").is_done
    assert core.settle(visit_id, 50_000).is_done


@both
def test_a_part_of_a_line_is_never_negative_where_the_line_is_not(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.admit(_DAY)
    assert core.upload(visit_id, Line(line_id="A", amount_fen=50_000, self_paid_fen=50_000)).is_done
    inflated = Line(line_id="B", amount_fen=10_000, self_paid_fen=-50_000)
    assert "正负" in core.upload(visit_id, inflated).refusal
    assert core.pre_settle(visit_id, 50_000).is_done


def test_a_return_names_a_line_of_its_own_visit_and_a_trade_is_kept_whole_or_not_at_all() -> None:
    core = filed(GuangdongMoney)
    assert isinstance(core, GuangdongMoney)
    one, other = core.billed(_DAY, 10_000), core.admit(_DAY)
    rows = [
        *core.rows(one, Line(line_id="B", amount_fen=1)),
        *core.rows(other, Line(line_id="R", amount_fen=-1, returns="A")),
    ]
    assert "退费" in core.send("2301", {"feedetail": rows}).refusal
    taken_back = [{**core.visit(visit_id), "feedetl_sn": "A"} for visit_id in (one, other)]
    assert "费用明细不存在" in core.send("2302", {"data": taken_back}).refusal
    assert core.pre_settle(one, 10_000).is_done
    assert core.upload(other, Line(line_id="A", amount_fen=1)).is_done, "line numbers are a visit's own"


@both
def test_a_settled_stay_is_not_split_again_until_its_settlement_is_cancelled(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.billed(_DAY, 500_000)
    settled = core.settle(visit_id, 500_000)
    assert "已结算" in core.pre_settle(visit_id, 500_000).refusal
    assert core.cancel(visit_id, settled).is_done
    assert core.pre_settle(visit_id, 500_000).is_done


def _state(core: MoneyCore) -> tuple[int, dict[int, YearAccumulators], list[Standing]]:
    return core.account.balance_fen, dict(core.account.years), core.standing()


@both
@pytest.mark.parametrize(
    ("first_fen", "is_stay"),
    [
        (20_000_000, True),  # the whole personal account
        (15_000, False),  # most of the outpatient deductible of a year
    ],
)
def test_a_cancellation_is_not_reversed_once_another_bill_has_used_what_it_gave_back(
    kind: Kind, first_fen: int, is_stay: bool
) -> None:
    core = filed(kind)
    first = core.billed(_DAY, first_fen, is_stay=is_stay)
    cancelled = core.cancel(first, core.settle(first, first_fen))
    second = core.billed(_DAY, first_fen, is_stay=is_stay)
    settled = core.settle(second, first_fen)
    before = _state(core)
    assert "已被使用" in core.reverse(cancelled).refusal
    assert _state(core) == before
    # Once that is given back, too, there is enough again.
    assert core.cancel(second, settled).is_done
    assert core.reverse(cancelled).is_done
    assert [item.visit_id for item in core.standing()] == [first]


@both
def test_a_cancellation_is_not_reversed_over_the_ceilings_of_the_year(kind: Kind) -> None:
    core = filed(kind)
    core.account.balance_fen = 0
    first = core.billed(_DAY, 100_000_000)
    cancelled = core.cancel(first, core.settle(first, 100_000_000))
    second = core.billed(_DAY, 100_000_000)
    assert core.settle(second, 100_000_000).is_done
    assert core.account.used(2025).pooling_fund_fen == 50_000_000
    before = _state(core)
    assert "已被使用" in core.reverse(cancelled).refusal
    assert _state(core) == before


@both
def test_a_cancellation_is_reversed_beside_other_bills_while_there_is_enough(kind: Kind) -> None:
    core = filed(kind)
    core.account.balance_fen = 10_000_000
    assert core.settle(core.billed(_DAY, 500_000), 500_000).is_done
    first = core.billed(_DAY, 500_000)
    cancelled = core.cancel(first, core.settle(first, 500_000))
    assert core.settle(core.billed(_DAY, 500_000), 500_000).is_done
    assert core.reverse(cancelled).is_done
    assert [item.split.deductible_fen for item in core.standing()] == [80_000, 40_000, 40_000]
    assert core.account.used(2025).stay_count == 3


@both
def test_a_cancellation_is_not_reversed_once_another_stay_has_paid_the_first_deductible_of_the_year(kind: Kind) -> None:
    core = filed(kind)
    core.account.balance_fen = 10_000_000
    first, later = core.billed(_DAY, 500_000), core.billed(_DAY, 500_000)
    settled, later_settled = core.settle(first, 500_000), core.settle(later, 500_000)
    later_cancelled, cancelled = core.cancel(later, later_settled), core.cancel(first, settled)
    second = core.billed(_DAY, 500_000)
    assert core.settle(second, 500_000).is_done
    before = _state(core)
    assert "已被使用" in core.reverse(cancelled).refusal
    assert _state(core) == before
    # That of a later stay is due beside whichever paid the first.
    assert core.reverse(later_cancelled).is_done
    assert {item.visit_id: item.split.deductible_fen for item in core.standing()} == {second: 80_000, later: 40_000}


@both
def test_a_cancellation_is_not_reversed_once_the_lines_have_changed(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.billed(_DAY, 500_000)
    cancelled = core.cancel(visit_id, core.settle(visit_id, 500_000))
    more = Line(line_id="B", amount_fen=1)
    assert core.upload(visit_id, more).is_done
    before = _state(core)
    assert "明细已变动" in core.reverse(cancelled).refusal
    assert _state(core) == before
    assert core.withdraw(visit_id, "B").is_done
    assert core.reverse(cancelled).is_done


@both
def test_a_settlement_that_was_cancelled_is_not_reversed(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.billed(_DAY, 500_000)
    settled = core.settle(visit_id, 500_000)
    cancelled = core.cancel(visit_id, settled)
    before = _state(core)
    assert "已撤销" in core.reverse(settled).refusal
    assert _state(core) == before
    # It stands again if its cancellation is reversed, and is reversed then.
    assert core.reverse(cancelled).is_done
    assert [item.visit_id for item in core.standing()] == [visit_id]
    assert core.reverse(settled).is_done
    assert _state(core) == before


@both
def test_a_filing_made_after_the_admission_is_enough_until_the_settlement(kind: Kind) -> None:
    core = kind()
    visit_id = core.billed(_DAY, 500_000)
    assert "备案" in core.settle(visit_id, 500_000).refusal
    core.file(_YESTERDAY, FilingKind.OTHER_TEMPORARY)
    assert core.settle(visit_id, 500_000).is_done
    assert [item.split.pooling_ratio_e4 for item in core.standing()] == [7_500]


@both
def test_the_filing_that_covers_the_admission_goes_before_one_made_since(kind: Kind) -> None:
    core = kind()
    core.file(_YESTERDAY, FilingKind.OTHER_TEMPORARY)
    core.file(_DAY)
    assert core.settle(core.billed(_DAY, 500_000), 500_000).is_done
    assert [item.split.pooling_ratio_e4 for item in core.standing()] == [9_000]


@both
def test_a_stay_without_a_bill_is_not_settled_and_halves_no_later_deductible(kind: Kind) -> None:
    core = filed(kind)
    assert "明细" in core.settle(core.admit(_DAY), 0).refusal
    assert core.settle(core.billed(_DAY, 500_000), 500_000).is_done
    assert [item.split.deductible_fen for item in core.standing()] == [80_000]


@pytest.mark.parametrize(
    ("kind", "changes"), [(GuangdongMoney, {"mid_setl_flag": "1"}), (SichuanMoney, {"ykc914": "20250301"})]
)
def test_an_interim_settlement_is_refused_and_never_taken_for_the_final_one(
    kind: Kind, changes: dict[str, str]
) -> None:
    core = filed(kind)
    visit_id = core.billed(_DAY, 500_000)
    assert "中途结算" in core.settle(visit_id, 500_000, **changes).refusal
    assert core.settle(visit_id, 500_000).is_done


@pytest.mark.parametrize(
    ("kind", "balance"),
    [
        (GuangdongMoney, lambda told: from_text(str(told.values["setlinfo"]["balc"]))),
        (SichuanMoney, lambda told: from_text(told.values["akc087"])),
    ],
)
def test_every_answer_tells_the_balance_that_is_left_also_where_other_bills_came_between(
    kind: Kind, balance: Callable[[Told], int]
) -> None:
    core = filed(kind)
    core.account.balance_fen = 1_000_000
    first, second = core.billed(_DAY, 500_000), core.billed(_DAY, 700_000)
    first_settled = core.settle(first, 500_000)
    assert balance(first_settled) == core.account.balance_fen
    assert balance(core.settle(second, 700_000)) == core.account.balance_fen
    assert balance(core.cancel(first, first_settled)) == core.account.balance_fen


@both
def test_a_stay_whose_lines_were_all_returned_halves_no_later_deductible(kind: Kind) -> None:
    core = filed(kind)
    visit_id = core.billed(_DAY, 10_000)
    assert core.upload(visit_id, Line(line_id="R", amount_fen=-10_000, returns="A")).is_done
    assert core.settle(visit_id, 0).is_done
    assert core.settle(core.billed(_DAY, 500_000), 500_000).is_done
    assert [item.split.deductible_fen for item in core.standing()] == [0, 80_000]
    assert core.account.used(_DAY.year).stay_count == 1
