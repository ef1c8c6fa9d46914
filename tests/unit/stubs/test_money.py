"""Money at the cores that compute who pays: what one does, the other does, and neither gives away or takes too much."""

from datetime import date

import pytest

from tests.support.stub_money import CORES, GuangdongMoney, Kind, Line, SichuanMoney, filed

_DAY = date(2025, 3, 1)
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
