"""The arithmetic of the benefit policy: every identity of a settlement, monotony, and accumulators that undo."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from onecard_stubs.policy import (
    BenefitPolicy,
    Fees,
    FilingKind,
    PersonClass,
    PolicyContext,
    PolicyPerson,
    VisitKind,
    YearAccumulators,
    compute_split,
)

_AMOUNTS = st.one_of(st.integers(0, 100_000), st.integers(0, 200_000_000))


@st.composite
def _fees(draw: st.DrawFn) -> Fees:
    parts = [draw(_AMOUNTS) for _ in range(4)]
    return Fees(
        total_fen=sum(parts),
        full_self_pay_fen=parts[0],
        over_limit_fen=parts[1],
        preceding_fen=parts[2],
        in_scope_fen=parts[3],
    )


_PEOPLE = st.builds(
    PolicyPerson,
    person_class=st.sampled_from(PersonClass),
    is_civil_servant=st.booleans(),
    account_balance_fen=st.integers(0, 5_000_000),
)
_ACCUMULATORS = st.builds(
    YearAccumulators,
    stay_count=st.integers(0, 5),
    outpatient_deductible_fen=st.integers(0, 200_000),
    pooling_fund_fen=st.integers(0, 60_000_000),
    supplement_fund_fen=st.integers(0, 70_000_000),
)
_CONTEXTS = st.builds(
    PolicyContext,
    visit=st.sampled_from(VisitKind),
    hospital_level=st.integers(1, 3),
    filing=st.sampled_from(FilingKind),
    uses_personal_account=st.booleans(),
    accumulators=_ACCUMULATORS,
)
_POLICIES = st.builds(BenefitPolicy, hospital_share_of_over_limit_e4=st.integers(0, 10_000))


@given(_fees(), _PEOPLE, _CONTEXTS, _POLICIES)
def test_every_identity_of_a_settlement_holds_to_the_fen(
    fees: Fees, person: PolicyPerson, context: PolicyContext, policy: BenefitPolicy
) -> None:
    split = compute_split(fees, person, context, policy)
    assert split.total_fen == (
        split.full_self_pay_fen + split.over_limit_fen + split.preceding_fen + split.in_scope_fen
    )
    assert split.total_fen == split.fund_total_fen + split.personal_part_fen + split.hospital_part_fen
    assert split.personal_part_fen == split.personal_account_fen + split.cash_fen
    assert split.fund_total_fen + split.deductible_fen <= split.in_scope_fen
    amounts = [value for name, value in _amounts(split) if name.endswith("_fen")]
    assert min(amounts) >= 0
    assert split.account_balance_fen + split.personal_account_fen == person.account_balance_fen


@given(_fees(), _PEOPLE, _CONTEXTS, st.integers(1, 10_000_000))
def test_more_in_scope_never_costs_a_fund_less_nor_the_person_less(
    fees: Fees, person: PolicyPerson, context: PolicyContext, more_fen: int
) -> None:
    more = replace(fees, total_fen=fees.total_fen + more_fen, in_scope_fen=fees.in_scope_fen + more_fen)
    before, after = (compute_split(bill, person, context) for bill in (fees, more))
    assert after.fund_total_fen >= before.fund_total_fen
    assert after.personal_part_fen >= before.personal_part_fen
    assert after.deductible_fen >= before.deductible_fen


@given(_fees(), _PEOPLE, _CONTEXTS)
def test_a_temporary_traveller_never_gets_more_than_a_long_term_resident(
    fees: Fees, person: PolicyPerson, context: PolicyContext
) -> None:
    temporary = compute_split(fees, person, replace(context, filing=FilingKind.OTHER_TEMPORARY))
    resident = compute_split(fees, person, replace(context, filing=FilingKind.LONG_TERM))
    assert temporary.pooling_fund_fen <= resident.pooling_fund_fen
    assert temporary.pooling_ratio_e4 < resident.pooling_ratio_e4


@given(_fees(), _PEOPLE, _CONTEXTS)
def test_undoing_a_settlement_restores_the_years_accumulators(
    fees: Fees, person: PolicyPerson, context: PolicyContext
) -> None:
    split = compute_split(fees, person, context)
    after = context.accumulators.add(split, context.visit)
    assert after.subtract(split, context.visit) == context.accumulators
    assert after.pooling_fund_fen == context.accumulators.pooling_fund_fen + split.pooling_fund_fen


@given(st.lists(_fees(), min_size=1, max_size=6), _PEOPLE, st.sampled_from(VisitKind))
def test_a_year_of_settlements_stays_under_its_ceilings(
    bills: list[Fees], person: PolicyPerson, visit: VisitKind
) -> None:
    figures = BenefitPolicy()
    used = YearAccumulators()
    for fees in bills:
        context = PolicyContext(visit=visit, hospital_level=3, filing=FilingKind.LONG_TERM, accumulators=used)
        used = used.add(compute_split(fees, person, context), visit)
    assert used.pooling_fund_fen <= figures.pooling_year_ceiling_fen
    assert used.supplement_fund_fen <= figures.above_ceiling_year_ceiling_fen
    assert used.outpatient_deductible_fen <= figures.outpatient_year_deductible_fen


def _amounts(split: object) -> list[tuple[str, int]]:
    return [(name, getattr(split, name)) for name in type(split).__slots__]  # type: ignore[attr-defined]
