"""The benefit policy on bills that a person can check by hand."""

from dataclasses import replace

import pytest

from onecard_stubs.policy import (
    Fees,
    FilingKind,
    PersonClass,
    PolicyContext,
    PolicyPerson,
    VisitKind,
    YearAccumulators,
    compute_split,
    person_class_of,
)

# The bill of samples/xml-legacy/gd-0304-settle-resp.xml: 5000.10 = 200.00 + 300.10 + 4500.00.
BILL = Fees(total_fen=500_010, full_self_pay_fen=20_000, over_limit_fen=0, preceding_fen=30_010, in_scope_fen=450_000)
RETIRED = PolicyPerson(person_class=PersonClass.RETIRED, is_civil_servant=False, account_balance_fen=10_000)
STAY = PolicyContext(visit=VisitKind.INPATIENT, hospital_level=3, filing=FilingKind.LONG_TERM)


def test_a_first_stay_of_a_retired_employee() -> None:
    split = compute_split(BILL, RETIRED, STAY)
    assert split.deductible_fen == 80_000
    assert split.pooling_ratio_e4 == 9_000
    assert split.pooling_fund_fen == 333_000
    assert split.personal_account_fen == 10_000
    assert split.cash_fen == 500_010 - 333_000 - 10_000
    assert split.account_balance_fen == 0


def test_a_later_stay_of_the_year_pays_half_the_deductible() -> None:
    split = compute_split(BILL, RETIRED, replace(STAY, accumulators=YearAccumulators(stay_count=1)))
    assert split.deductible_fen == 40_000


def test_the_outpatient_deductible_is_paid_once_a_year() -> None:
    visit = replace(STAY, visit=VisitKind.OUTPATIENT)
    assert compute_split(BILL, RETIRED, visit).deductible_fen == 20_000
    used = replace(visit, accumulators=YearAccumulators(outpatient_deductible_fen=20_000))
    assert compute_split(BILL, RETIRED, used).deductible_fen == 0


def test_what_a_stay_paid_is_not_of_the_outpatient_deductible() -> None:
    stay = compute_split(BILL, RETIRED, STAY)
    used = YearAccumulators().add(stay, VisitKind.INPATIENT)
    visit = replace(STAY, visit=VisitKind.OUTPATIENT, accumulators=used)
    assert (stay.deductible_fen, compute_split(BILL, RETIRED, visit).deductible_fen) == (80_000, 20_000)


def test_above_the_ceiling_the_large_amount_fund_pays_for_employees_and_the_illness_insurance_for_residents() -> None:
    at_the_ceiling = replace(STAY, accumulators=YearAccumulators(stay_count=1, pooling_fund_fen=50_000_000))
    employee = compute_split(BILL, RETIRED, at_the_ceiling)
    assert employee.pooling_fund_fen == 0
    assert employee.large_amount_fund_fen == (450_000 - 40_000) * 9 // 10 * 8 // 10
    resident = compute_split(BILL, replace(RETIRED, person_class=PersonClass.RESIDENT), at_the_ceiling)
    assert resident.large_amount_fund_fen == 0
    assert resident.serious_illness_fund_fen == (450_000 - 40_000) * 6 // 10 * 8 // 10


def test_a_civil_servant_gets_half_of_what_is_left_in_scope() -> None:
    servant = replace(RETIRED, person_class=PersonClass.AT_WORK, is_civil_servant=True)
    split = compute_split(BILL, servant, STAY)
    assert split.pooling_fund_fen == 314_500
    assert split.civil_servant_fund_fen == (450_000 - 80_000 - 314_500) // 2


def test_a_bill_below_the_deductible_is_paid_by_the_person() -> None:
    small = Fees(total_fen=5_000, full_self_pay_fen=0, over_limit_fen=0, preceding_fen=0, in_scope_fen=5_000)
    split = compute_split(small, RETIRED, STAY)
    assert (split.deductible_fen, split.fund_total_fen) == (5_000, 0)


def test_the_account_is_left_alone_where_the_person_says_so() -> None:
    assert compute_split(BILL, RETIRED, replace(STAY, uses_personal_account=False)).personal_account_fen == 0


def test_fees_whose_parts_are_not_the_total_are_refused() -> None:
    with pytest.raises(ValueError, match="the total is 2"):
        Fees(total_fen=2, full_self_pay_fen=0, over_limit_fen=0, preceding_fen=0, in_scope_fen=1)


@pytest.mark.parametrize(
    ("person_type", "expected"),
    [
        ("1101", PersonClass.AT_WORK),
        ("116032", PersonClass.AT_WORK),
        ("1300", PersonClass.RETIRED),
        ("15", PersonClass.RESIDENT),
        ("1405", PersonClass.RESIDENT),
    ],
)
def test_the_class_of_a_person_follows_the_national_type(person_type: str, expected: PersonClass) -> None:
    assert person_class_of(person_type) is expected


def test_a_type_of_no_known_class_is_refused() -> None:
    with pytest.raises(ValueError, match="'9960'"):
        person_class_of("9960")
