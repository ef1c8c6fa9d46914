"""The money identities: whatever adds up passes, and a fen moved between parts of different identities never does."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from onecard.medical.v1 import values_pb2
from onecard_broker.domain.fee_lines import amount_of
from onecard_broker.domain.settlement_amounts import (
    AMOUNTS,
    FEE_PARTS,
    FUNDS,
    amounts_of,
    check_fees,
    check_split,
    why_not_negated,
)

fen = st.integers(min_value=0, max_value=10**11)


@st.composite
def splits(draw: st.DrawFn) -> values_pb2.SettlementSplit:
    """A split whose identities hold: payers are drawn, the fee parts are cut from their sum."""
    funds = [draw(fen) for _ in FUNDS]
    account_fen, cash_fen, hospital_fen = draw(fen), draw(fen), draw(fen)
    total_fen = sum(funds) + account_fen + cash_fen + hospital_fen
    cuts = sorted(draw(st.integers(min_value=0, max_value=total_fen)) for _ in range(3))
    parts = [after - before for before, after in zip([0, *cuts], [*cuts, total_fen], strict=True)]
    split = values_pb2.SettlementSplit(
        total_fen=total_fen,
        fund_total_fen=sum(funds),
        personal_part_fen=account_fen + cash_fen,
        personal_account_fen=account_fen,
        cash_fen=cash_fen,
        hospital_part_fen=hospital_fen,
        account_balance_fen=draw(fen),
        items=[values_pb2.FundItem(is_fund=True, paid_fen=paid) for paid in funds],
    )
    for name, amount_fen in zip((*FUNDS, *FEE_PARTS), (*funds, *parts), strict=True):
        setattr(split, name, amount_fen)
    return split


def negated(split: values_pb2.SettlementSplit) -> values_pb2.SettlementSplit:
    red = values_pb2.SettlementSplit()
    red.CopyFrom(split)
    for name in AMOUNTS:
        if name != "family_account_fen":
            setattr(red, name, -getattr(split, name))
    for item in red.items:
        item.paid_fen = -item.paid_fen
    return red


@given(splits())
def test_a_split_that_adds_up_passes_and_its_negation_is_its_cancellation(split: values_pb2.SettlementSplit) -> None:
    red = negated(split)
    assert check_split(split, "split", is_red=False) == []
    assert check_split(red, "split", is_red=True) == []
    assert why_not_negated(red, amounts_of(split)) == []


@given(splits(), st.sampled_from(["hospital_part_fen", "personal_part_fen"]))
def test_a_red_record_may_leave_out_a_part_that_some_places_leave_out(
    split: values_pb2.SettlementSplit, absent: str
) -> None:
    red = negated(split)
    red.ClearField(absent)
    assert check_split(red, "split", is_red=True) == []
    assert why_not_negated(red, amounts_of(split)) == []


@given(splits(), st.sampled_from([*FEE_PARTS, *FUNDS, "fund_total_fen", "personal_account_fen", "cash_fen"]), fen)
def test_a_part_that_grows_alone_breaks_an_identity(
    split: values_pb2.SettlementSplit, part: str, growth_fen: int
) -> None:
    assume(growth_fen > 0)
    setattr(split, part, getattr(split, part) + growth_fen)
    assert check_split(split, "split", is_red=False)


@given(splits(), st.sampled_from([name for name in AMOUNTS if name != "family_account_fen"]), fen)
def test_any_amount_that_is_not_negated_is_found(
    split: values_pb2.SettlementSplit, name: str, difference_fen: int
) -> None:
    assume(difference_fen > 0)
    red = negated(split)
    setattr(red, name, getattr(red, name) - difference_fen)
    assert [f"split.{name}"] == [field for field, _ in why_not_negated(red, amounts_of(split))]


@given(st.lists(fen, min_size=4, max_size=4), st.integers(min_value=-5, max_value=5))
def test_fees_pass_only_if_their_parts_are_the_total(parts: list[int], difference_fen: int) -> None:
    fees = values_pb2.FeeTotals(total_fen=sum(parts) + difference_fen, **dict(zip(FEE_PARTS, parts, strict=True)))
    assert bool(check_fees(fees, "fees")) == (difference_fen != 0)


@given(st.integers(min_value=-(10**9), max_value=10**9), st.integers(min_value=0, max_value=10**10))
def test_a_line_amount_is_within_half_a_fen_and_a_return_mirrors_it(quantity_e4: int, unit_price_e6: int) -> None:
    amount_fen = amount_of(quantity_e4, unit_price_e6)
    assert 2 * abs(amount_fen * 10**8 - quantity_e4 * unit_price_e6) <= 10**8
    assert amount_of(-quantity_e4, unit_price_e6) == -amount_fen
