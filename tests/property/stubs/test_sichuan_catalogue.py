"""The catalogue of the place of care: the parts of a line are the line, also of one that takes another back."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from onecard_stubs.sichuan.amounts import from_text, round_half_up, to_text
from onecard_stubs.sichuan.catalogue import CATALOGUE, split_line

_CODES = st.sampled_from([*CATALOGUE, "ZZZ"])
_QUANTITIES = st.decimals(Decimal("0.0001"), Decimal(1_000), places=4)
_PRICES = st.decimals(Decimal(0), Decimal(20_000), places=6)


@given(_CODES, _QUANTITIES, _PRICES)
def test_the_parts_of_a_line_add_up_and_none_is_negative(code: str, quantity: Decimal, price: Decimal) -> None:
    amount_fen = round_half_up(quantity * price * 100)
    split = split_line(code, quantity, price, amount_fen)
    parts = (split.full_self_pay_fen, split.over_limit_fen, split.preceding_fen, split.in_scope_fen)
    assert sum(parts) == amount_fen
    assert min(parts) >= 0


@given(_CODES, _QUANTITIES, _PRICES)
def test_a_return_line_is_the_negation_of_what_it_takes_back(code: str, quantity: Decimal, price: Decimal) -> None:
    amount_fen = round_half_up(quantity * price * 100)
    there, back = split_line(code, quantity, price, amount_fen), split_line(code, -quantity, price, -amount_fen)
    assert back.full_self_pay_fen == -there.full_self_pay_fen
    assert back.over_limit_fen == -there.over_limit_fen
    assert back.preceding_fen == -there.preceding_fen
    assert back.in_scope_fen == -there.in_scope_fen


@given(st.integers(-(10**12), 10**12))
def test_an_amount_survives_its_text(fen: int) -> None:
    assert from_text(to_text(fen)) == fen
