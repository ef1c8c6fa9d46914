"""The personal account and the yearly limits of one enrolment: what settlements take, and what is given back."""

from dataclasses import dataclass, field

from onecard_stubs.policy import BenefitPolicy, Split, VisitKind, YearAccumulators


@dataclass(slots=True)
class InsuredAccount:
    """What changes about an enrolment. `undo` is the exact opposite of `post`."""

    balance_fen: int
    years: dict[int, YearAccumulators] = field(default_factory=dict)

    def used(self, year: int) -> YearAccumulators:
        """What was used of the year's limits; each year begins at nothing."""
        return self.years.get(year, YearAccumulators())

    def post(self, split: Split, visit: VisitKind, year: int) -> None:
        """Take what a settlement takes."""
        self.balance_fen -= split.personal_account_fen
        self.years[year] = self.used(year).add(split, visit)

    def bears(self, split: Split, visit: VisitKind, year: int) -> bool:
        """Whether a settlement that was undone can stand again: others may have used since what it had given back."""
        has_money = self.balance_fen >= split.personal_account_fen
        return has_money and BenefitPolicy().allows(self.used(year).add(split, visit))

    def undo(self, split: Split, visit: VisitKind, year: int) -> None:
        """Give back what a settlement took."""
        self.balance_fen += split.personal_account_fen
        self.years[year] = self.used(year).subtract(split, visit)
