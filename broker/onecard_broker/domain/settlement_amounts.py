"""The money identities of a settlement (domain.md, 1.7), exact to the fen. Amounts are checked, never computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from onecard.medical.v1 import values_pb2
from onecard_protocol.errors import Violation

FEE_PARTS: Final = (
    "full_self_pay_fen",
    "over_limit_self_pay_fen",
    "preceding_self_pay_fen",
    "in_scope_fen",
)
"""The place of care's four parts of the total."""
FUNDS: Final = (
    "pooling_fund_fen",
    "civil_servant_fund_fen",
    "enterprise_fund_fen",
    "serious_illness_fund_fen",
    "large_amount_fund_fen",
    "assistance_fund_fen",
    "other_fund_fen",
)
"""The seven funds of a split."""
_PAYERS: Final = ("fund_total_fen", "personal_account_fen", "cash_fen", "deductible_fen")
_MAY_BE_ABSENT: Final = ("hospital_part_fen", "personal_part_fen", "family_account_fen")
AMOUNTS: Final = ("total_fen", *FEE_PARTS, *FUNDS, *_PAYERS, *_MAY_BE_ABSENT)
"""Every amount of a split that a cancellation negates; the account's balance and the ratio are none of them."""


def amounts_of(split: values_pb2.SettlementSplit) -> dict[str, int]:
    """The amounts of a split that are not zero, and always its total; what is absent is left out."""
    amounts = {name: getattr(split, name) for name in AMOUNTS if name not in _MAY_BE_ABSENT or split.HasField(name)}
    return {name: amount for name, amount in amounts.items() if amount or name == "total_fen" or name in _MAY_BE_ABSENT}


def check_fees(fees: values_pb2.FeeTotals, path: str) -> list[Violation]:
    """The four parts of a fee are its total."""
    return _unequal(path, "total_fen", fees.total_fen, FEE_PARTS, [getattr(fees, name) for name in FEE_PARTS])


def check_split(split: values_pb2.SettlementSplit, path: str, *, is_red: bool) -> list[Violation]:
    """Every identity of a split that can be tested on it.

    A red record has no positive amount, and identities of parts that it leaves out are not tested; any other split
    has no negative amount and states the personal part.
    """
    violations = check_signs(split, path, is_red=is_red)
    violations += _unequal(path, "total_fen", split.total_fen, FEE_PARTS, [getattr(split, name) for name in FEE_PARTS])
    violations += _unequal(
        path, "fund_total_fen", split.fund_total_fen, FUNDS, [getattr(split, name) for name in FUNDS]
    )
    items = [item.paid_fen for item in split.items if item.is_fund]
    if split.items:
        violations += _unequal(path, "fund_total_fen", split.fund_total_fen, ("items that are funds",), items)
    if split.HasField("personal_part_fen"):
        parts = ("fund_total_fen", "personal_part_fen", "hospital_part_fen")
        if not is_red or split.HasField("hospital_part_fen"):
            violations += _unequal(path, "total_fen", split.total_fen, parts, [getattr(split, name) for name in parts])
        violations += _person_pays(split, path)
    elif not is_red:
        violations.append((f"{path}.personal_part_fen", "is absent"))
    return violations


def check_signs(split: values_pb2.SettlementSplit, path: str, *, is_red: bool) -> list[Violation]:
    """No amount of a red record is positive, none of another split negative."""
    sign, what = (-1, "is positive on a red record") if is_red else (1, "is negative")
    return [(f"{path}.{name}", what) for name in AMOUNTS if getattr(split, name) * sign < 0]


def _person_pays(split: values_pb2.SettlementSplit, path: str) -> list[Violation]:
    """Account and cash are the personal part; relatives' accounts are part of the account's amount or beside it."""
    paid_fen = split.personal_account_fen + split.cash_fen
    if split.personal_part_fen in {paid_fen, paid_fen + split.family_account_fen}:
        return []
    return [(f"{path}.personal_part_fen", "is not personal_account_fen + cash_fen")]


def _unequal(path: str, whole: str, whole_fen: int, names: Sequence[str], parts_fen: Sequence[int]) -> list[Violation]:
    if whole_fen == sum(parts_fen):
        return []
    return [(f"{path}.{whole}", f"is not {' + '.join(names)}")]


def why_not_of_fees(split: values_pb2.SettlementSplit, fees_total_fen: int | None) -> list[Violation]:
    """Why a split is not of the fees that were asked about."""
    if fees_total_fen is None or split.total_fen == fees_total_fen:
        return []
    return [("split.total_fen", "is not the total of the fees that were to be settled")]


def why_not_negated(red: values_pb2.SettlementSplit, original: Mapping[str, int]) -> list[Violation]:
    """Why a red record's split is not the original's negation; parts that one of the two leaves out are skipped."""
    violations = []
    for name in AMOUNTS:
        if name in _MAY_BE_ABSENT and (name not in original or not red.HasField(name)):
            continue
        if getattr(red, name) != -original.get(name, 0):
            violations.append((f"split.{name}", "is not the negation of the original's"))
    return violations
