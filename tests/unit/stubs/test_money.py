"""Money at the cores that compute who pays: what one does, the other does, and neither gives away or takes too much."""

from datetime import date

import pytest

from tests.support.stub_money import CORES, Kind, SichuanMoney, filed

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
