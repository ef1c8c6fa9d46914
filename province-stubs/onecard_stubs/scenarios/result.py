"""What a drill found: figures for a machine, and what a person is shown."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onecard_protocol.explained import Text
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.accounts import Accounts

Report = Callable[[str], None]


def same(text: str) -> Text:
    """What reads alike in every language."""
    return Text(en=text, zh=text)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that must be true."""

    what: Text
    holds: bool
    found: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """Fee lines of one class and level summed, in fen."""

    fee_class: str
    level: str
    line_count: int
    total_fen: int
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SplitRow:
    """One amount of the split, in fen, as trial and settlement gave it."""

    name: Text
    trial_fen: int
    settled_fen: int
    is_sum: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A table of the drill's own."""

    title: Text
    columns: Sequence[Text]
    rows: Sequence[Sequence[Text]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """The outcome of a drill."""

    scenario: str
    duration_ms: int
    accounts: Accounts
    checks: Sequence[Check]
    bill: Sequence[BillRow] = ()
    split: Sequence[SplitRow] = ()
    patient: str = ""
    """Who it was, masked."""
    tables: Sequence[Shown] = ()
    own_figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the drill measured beside what every drill tells, by name."""

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing doubled, nothing open, and every check holds."""
        accounts = self.accounts
        return all(check.holds for check in self.checks) and not (accounts.lost or accounts.doubled or accounts.unknown)

    def figures(self) -> dict[str, Any]:
        """The one JSON object that a drill prints."""
        return {
            "scenario": self.scenario,
            "messages": len(self.accounts.journaled),
            "rejected": len(self.accounts.rejected),
            "unknown": len(self.accounts.unknown),
            "lost": len(self.accounts.lost),
            "doubled": len(self.accounts.doubled),
            "duration_ms": self.duration_ms,
            **self.own_figures,
            "checks": {check.what.en: check.holds for check in self.checks},
            "lost_names": list(self.accounts.lost),
            "doubled_names": list(self.accounts.doubled),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A drill: what it is, which provinces take part, and how it is run."""

    name: str
    what: Text
    provinces: tuple[str, ...]
    run: Callable[[RunningCountry, Report], Any]
    """Coroutine function that gives a ScenarioResult."""
