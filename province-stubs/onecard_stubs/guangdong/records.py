"""What the core keeps: visits with their lines, filings, settlements and red records."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from onecard_stubs.fee_lines import FeeLine, fees_of
from onecard_stubs.policy import Fees, Split, VisitKind


class Refused(Exception):
    """The core refuses a trade; the text is what the clerk reads (err_msg)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(FeeLine):
    """A fee line; `row` is what the answer tells of it."""

    batch: str
    row: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Visit:
    """A visit or stay."""

    visit_id: str
    personal_number: str
    institution_code: str
    institution_number: str
    kind: VisitKind
    med_type: str
    insurance_kind: str
    insurance_area: str
    place_area: str
    first_day: date
    last_day: date | None = None
    lines: dict[str, Line] = field(default_factory=dict)

    @property
    def year(self) -> int:
        """The year whose limits it counts in: that of the discharge, or of the first day."""
        return (self.last_day or self.first_day).year

    @property
    def fees(self) -> Fees:
        """The sum of the lines."""
        return fees_of(self.lines.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """A filing for care elsewhere, asked for here or told of by another province."""

    filing_id: str
    personal_number: str
    filing_type: str
    insurance_area: str
    destination_area: str
    first_day: date
    last_day: date | None
    insurance_kind: str
    institution_code: str = ""

    def covers(self, area: str, institution_code: str, day: date) -> bool:
        """Whether it is good for care there on that day; xx0000 is a province, xxxx00 a city as a whole."""
        wanted = self.destination_area
        prefix = wanted[:2] if wanted.endswith("0000") else wanted[:4] if wanted.endswith("00") else wanted
        return (
            area.startswith(prefix)
            and self.institution_code in ("", institution_code)
            and self.first_day <= day
            and (self.last_day is None or day <= self.last_day)
        )


@dataclass(slots=True, kw_only=True)
class Settlement:
    """A settlement or, with `original`, the red record that cancels one. Nothing is ever deleted."""

    settlement_id: str
    msgid: str
    infno: str
    visit: Visit
    split: Split
    year: int
    """The year whose limits it used; a later discharge does not move it."""
    time: datetime
    person_type: str
    original: "Settlement | None" = None
    is_valid: bool = True
    """False after a reversal (2601)."""
    cancelled_by: "Settlement | None" = None

    @property
    def is_standing(self) -> bool:
        """Whether it counts: valid, and no valid red record cancels it."""
        return self.is_valid and not (self.cancelled_by is not None and self.cancelled_by.is_valid)


def day_of(value: object) -> date:
    """The day at the beginning of a local time; Refused if there is none."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise Refused("日期格式不正确") from error


def quantity_of(value: object) -> Decimal:
    """cnt, as number or text."""
    return Decimal(str(value))
