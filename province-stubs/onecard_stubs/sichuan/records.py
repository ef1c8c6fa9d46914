"""What the core keeps: filings, visits with their lines, settlements, and every transaction by its transid."""

from dataclasses import dataclass, field
from datetime import date
from typing import Final

from onecard_stubs.fee_lines import FeeLine, fees_of
from onecard_stubs.policy import Fees, Split, VisitKind

OUTPATIENT_CARE: Final = frozenset({"11", "12", "13", "14", "19", "41", "51", "53"})
EMERGENCY_CARE: Final = frozenset({"13", "24"})
OPEN_END: Final = date(9999, 12, 31)


@dataclass(slots=True, kw_only=True)
class Filing:
    """A filing for care elsewhere, made here or told by another province."""

    filing_id: str
    identity_number: str
    filing_type: str
    insurance_area: str
    destination_area: str
    first_day: date
    last_day: date
    insurance_kind: str
    institution_code: str = ""
    is_withdrawn: bool = False

    def covers(self, area: str, day: date) -> bool:
        """Whether it is for this destination (its city, or the whole province) and valid on this day."""
        is_there = area.startswith(self.destination_area.removesuffix("0000").removesuffix("00"))
        return is_there and not self.is_withdrawn and self.first_day <= day <= self.last_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(FeeLine):
    """A fee line as it was classified; `cells` is what is told of it."""

    transid: str
    cells: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What the patient showed, as it was told: kept for the record, and never looked up."""

    kind: str
    number: str
    recognition_code: str


@dataclass(slots=True, kw_only=True)
class Visit:
    """A visit or stay."""

    visit_id: str
    institution_code: str
    area: str
    identity_number: str
    insurance_area: str
    insurance_kind: str
    care_kind: str
    first_day: date
    filing_id: str
    is_emergency: bool
    credential: Credential
    lines: dict[str, Line] = field(default_factory=dict)
    last_day: date | None = None
    """Of the discharge, once told."""
    settlements: list["Settlement"] = field(default_factory=list, repr=False, compare=False)
    """Those that stand and those that were undone: a core of a hundred thousand does not search them all."""

    @property
    def is_settled(self) -> bool:
        """Whether money is claimed for it."""
        return any(settlement.stands for settlement in self.settlements)

    @property
    def kind(self) -> VisitKind:
        """Whether the deductible counts by year or by stay."""
        return VisitKind.OUTPATIENT if self.care_kind in OUTPATIENT_CARE else VisitKind.INPATIENT

    @property
    def fees(self) -> Fees:
        """The sum of the lines."""
        return fees_of(self.lines.values())


@dataclass(slots=True, kw_only=True)
class Settlement:
    """A settlement that stands, was cancelled by a red record, or was reversed."""

    settlement_id: str
    transid: str
    visit: Visit
    split: Split
    year: int
    credential: Credential
    is_cancelled: bool = False
    is_reversed: bool = False

    @property
    def stands(self) -> bool:
        """Whether money is claimed by it."""
        return not self.is_cancelled and not self.is_reversed


@dataclass(slots=True, kw_only=True)
class Transaction:
    """One transid: what it did and what was answered. Blocked ones were reversed before they ever came."""

    transid: str
    trade: str
    output: dict[str, "str | list[dict[str, str]]"]
    settlement: Settlement | None = None
    is_undone: bool = False
    is_blocked: bool = False
