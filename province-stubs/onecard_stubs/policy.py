"""What a province's medical insurance pays: a benefit policy, and the split of a bill that follows from it.

Amounts are integer fen, ratios 10⁻⁴. The place of care has classified the fees already; the policy decides only over
the part within its scope. Every identity of a settlement holds exactly, because each share is taken off what is left:

    total = full_self_pay + over_limit + preceding + in_scope
    total = fund_total + personal_part + hospital_part
    personal_part = personal_account + cash
    fund_total = pooling + civil_servant + enterprise + serious_illness + large_amount + assistance + other
"""

import enum
from dataclasses import dataclass, field, replace

RATIO_ONE_E4 = 10_000


class VisitKind(enum.Enum):
    """Whether the deductible counts by stay or by year."""

    INPATIENT = "inpatient"
    OUTPATIENT = "outpatient"


class FilingKind(enum.Enum):
    """Why care is sought in another province; it decides the ratio."""

    LONG_TERM = "long-term"
    REFERRAL = "referral"
    EMERGENCY = "emergency"
    OTHER_TEMPORARY = "other-temporary"


class PersonClass(enum.Enum):
    """The classes that the policy tells apart."""

    AT_WORK = "at-work"
    RETIRED = "retired"
    RESIDENT = "resident"

    @property
    def is_employee_insurance(self) -> bool:
        """Whether the employees' funds pay; the residents' do otherwise."""
        return self is not PersonClass.RESIDENT


def person_class_of(person_type: str) -> PersonClass:
    """The policy's class of an NHSA psn_type: 11xx at work, 12xx and 13xx retired, 14xx to 16xx residents.

    Raises ValueError for any other.
    """
    match person_type[:2]:
        case "11":
            return PersonClass.AT_WORK
        case "12" | "13":
            return PersonClass.RETIRED
        case "14" | "15" | "16":
            return PersonClass.RESIDENT
    raise ValueError(f"no class of person is known for type {person_type!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """A bill as the place of care classified it. Raises ValueError if the parts are not the total."""

    total_fen: int
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int

    def __post_init__(self) -> None:
        parts = (self.full_self_pay_fen, self.over_limit_fen, self.preceding_fen, self.in_scope_fen)
        if min(parts) < 0:
            raise ValueError("a part of the fees is negative")
        if sum(parts) != self.total_fen:
            raise ValueError(f"the parts of the fees give {sum(parts)} fen, the total is {self.total_fen}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Who pays what (setlinfo)."""

    total_fen: int
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int
    deductible_fen: int
    pooling_fund_fen: int
    pooling_ratio_e4: int
    civil_servant_fund_fen: int
    enterprise_fund_fen: int
    serious_illness_fund_fen: int
    large_amount_fund_fen: int
    assistance_fund_fen: int
    other_fund_fen: int
    hospital_part_fen: int
    personal_account_fen: int
    cash_fen: int
    account_balance_fen: int
    """Balance of the personal account afterwards."""
    is_first_stay: bool
    """Whether it pays the deductible of the year's first stay."""

    @property
    def fees(self) -> Fees:
        """The bill that was split."""
        return Fees(
            total_fen=self.total_fen,
            full_self_pay_fen=self.full_self_pay_fen,
            over_limit_fen=self.over_limit_fen,
            preceding_fen=self.preceding_fen,
            in_scope_fen=self.in_scope_fen,
        )

    @property
    def fund_total_fen(self) -> int:
        """What the funds pay together (fund_pay_sumamt)."""
        return (
            self.pooling_fund_fen
            + self.civil_servant_fund_fen
            + self.enterprise_fund_fen
            + self.serious_illness_fund_fen
            + self.large_amount_fund_fen
            + self.assistance_fund_fen
            + self.other_fund_fen
        )

    @property
    def personal_part_fen(self) -> int:
        """What the person bears (psn_part_amt)."""
        return self.personal_account_fen + self.cash_fen


@dataclass(frozen=True, slots=True, kw_only=True)
class YearAccumulators:
    """What one person has used of the year's limits (5206). `subtract` undoes `add` exactly."""

    stay_count: int = 0
    """Of stays that were billed: one whose lines were all returned halves no later deductible."""
    first_stay_count: int = 0
    """Of these, what paid the deductible of the year's first: never more than one."""
    outpatient_deductible_fen: int = 0
    """What visits paid of the year's deductible; a stay's own counts by stay."""
    pooling_fund_fen: int = 0
    supplement_fund_fen: int = 0
    """Paid above the pooling fund's ceiling."""

    def add(self, split: Split, visit: VisitKind) -> "YearAccumulators":
        """The accumulators after a settlement."""
        return self._moved(split, visit, 1)

    def subtract(self, split: Split, visit: VisitKind) -> "YearAccumulators":
        """The accumulators after that settlement was undone."""
        return self._moved(split, visit, -1)

    def _moved(self, split: Split, visit: VisitKind, sign: int) -> "YearAccumulators":
        is_stay = visit is VisitKind.INPATIENT
        return replace(
            self,
            stay_count=self.stay_count + sign * (is_stay and split.total_fen > 0),
            first_stay_count=self.first_stay_count + sign * split.is_first_stay,
            outpatient_deductible_fen=self.outpatient_deductible_fen + (not is_stay) * sign * split.deductible_fen,
            pooling_fund_fen=self.pooling_fund_fen + sign * split.pooling_fund_fen,
            supplement_fund_fen=self.supplement_fund_fen
            + sign * (split.large_amount_fund_fen + split.serious_illness_fund_fen),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPerson:
    """What the policy asks about the person."""

    person_class: PersonClass
    is_civil_servant: bool
    account_balance_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyContext:
    """What the policy asks about the care."""

    visit: VisitKind
    hospital_level: int
    """1 to 3; 3 is the highest."""
    filing: FilingKind
    uses_personal_account: bool = True
    accumulators: YearAccumulators = field(default_factory=YearAccumulators)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenefitPolicy:
    """A province's figures."""

    first_stay_deductible_fen: tuple[int, int, int] = (30_000, 50_000, 80_000)
    """By hospital level."""
    later_stay_deductible_ratio_e4: int = 5_000
    """What a later stay of the year pays of the first one's deductible."""
    outpatient_year_deductible_fen: int = 20_000
    ratio_e4: tuple[tuple[PersonClass, tuple[int, int, int]], ...] = (
        (PersonClass.AT_WORK, (9_200, 9_000, 8_500)),
        (PersonClass.RETIRED, (9_500, 9_300, 9_000)),
        (PersonClass.RESIDENT, (8_000, 7_000, 6_000)),
    )
    """Of the pooling fund for inpatients, by class and hospital level."""
    outpatient_ratio_reduction_e4: int = 2_500
    filing_ratio_reduction_e4: tuple[tuple[FilingKind, int], ...] = (
        (FilingKind.LONG_TERM, 0),
        (FilingKind.REFERRAL, 500),
        (FilingKind.EMERGENCY, 0),
        (FilingKind.OTHER_TEMPORARY, 1_500),
    )
    pooling_year_ceiling_fen: int = 50_000_000
    above_ceiling_ratio_e4: int = 8_000
    """What the large amount fund (employees) or the serious illness insurance (residents) pays of what the pooling
    fund would have paid without its ceiling."""
    above_ceiling_year_ceiling_fen: int = 60_000_000
    civil_servant_ratio_e4: int = 5_000
    """Of what is left in scope above the deductible."""
    hospital_share_of_over_limit_e4: int = 0
    """What the hospital bears of fees above the price limit."""

    def allows(self, used: YearAccumulators) -> bool:
        """Whether nothing of a year is over its limit."""
        return (
            used.first_stay_count <= 1
            and used.outpatient_deductible_fen <= self.outpatient_year_deductible_fen
            and used.pooling_fund_fen <= self.pooling_year_ceiling_fen
            and used.supplement_fund_fen <= self.above_ceiling_year_ceiling_fen
        )


def share(amount_fen: int, ratio_e4: int) -> int:
    """`amount_fen` by a ratio in 10⁻⁴, half up to whole fen; for amounts that are not negative."""
    return (amount_fen * ratio_e4 + RATIO_ONE_E4 // 2) // RATIO_ONE_E4


def compute_split(
    fees: Fees, person: PolicyPerson, context: PolicyContext, policy: BenefitPolicy | None = None
) -> Split:
    """The split of a bill by the policy (the built-in one if none is given)."""
    figures = policy or BenefitPolicy()
    used = context.accumulators
    deductible = min(fees.in_scope_fen, _deductible_due(context, figures))
    base = fees.in_scope_fen - deductible
    ratio_e4 = _pooling_ratio(person, context, figures)
    entitled = share(base, ratio_e4)
    pooling = min(entitled, max(0, figures.pooling_year_ceiling_fen - used.pooling_fund_fen))
    supplement = min(
        share(entitled - pooling, figures.above_ceiling_ratio_e4),
        max(0, figures.above_ceiling_year_ceiling_fen - used.supplement_fund_fen),
    )
    left = base - pooling - supplement
    civil_servant = share(left, figures.civil_servant_ratio_e4) if person.is_civil_servant else 0
    hospital = share(fees.over_limit_fen, figures.hospital_share_of_over_limit_e4)
    personal = fees.total_fen - pooling - supplement - civil_servant - hospital
    account = min(max(0, person.account_balance_fen), personal) if context.uses_personal_account else 0
    is_employee = person.person_class.is_employee_insurance
    return Split(
        total_fen=fees.total_fen,
        full_self_pay_fen=fees.full_self_pay_fen,
        over_limit_fen=fees.over_limit_fen,
        preceding_fen=fees.preceding_fen,
        in_scope_fen=fees.in_scope_fen,
        deductible_fen=deductible,
        pooling_fund_fen=pooling,
        pooling_ratio_e4=ratio_e4,
        civil_servant_fund_fen=civil_servant,
        enterprise_fund_fen=0,
        serious_illness_fund_fen=0 if is_employee else supplement,
        large_amount_fund_fen=supplement if is_employee else 0,
        assistance_fund_fen=0,
        other_fund_fen=0,
        hospital_part_fen=hospital,
        personal_account_fen=account,
        cash_fen=personal - account,
        account_balance_fen=person.account_balance_fen - account,
        is_first_stay=context.visit is VisitKind.INPATIENT and used.stay_count == 0 and fees.total_fen > 0,
    )


def _deductible_due(context: PolicyContext, figures: BenefitPolicy) -> int:
    used = context.accumulators
    match context.visit:
        case VisitKind.OUTPATIENT:
            return max(0, figures.outpatient_year_deductible_fen - used.outpatient_deductible_fen)
        case VisitKind.INPATIENT:
            first = figures.first_stay_deductible_fen[_level_index(context)]
            return first if used.stay_count == 0 else share(first, figures.later_stay_deductible_ratio_e4)


def _pooling_ratio(person: PolicyPerson, context: PolicyContext, figures: BenefitPolicy) -> int:
    ratio = dict(figures.ratio_e4)[person.person_class][_level_index(context)]
    reduction = dict(figures.filing_ratio_reduction_e4)[context.filing]
    if context.visit is VisitKind.OUTPATIENT:
        reduction += figures.outpatient_ratio_reduction_e4
    return max(0, ratio - reduction)


def _level_index(context: PolicyContext) -> int:
    if context.hospital_level not in (1, 2, 3):
        raise ValueError(f"hospital level {context.hospital_level} is not 1, 2 or 3")
    return context.hospital_level - 1
