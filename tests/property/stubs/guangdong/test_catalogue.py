"""The catalogue splits every line into parts that add up, and a return line into the negation of its original."""

from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given
from hypothesis import strategies as st

from onecard_stubs.guangdong.catalogue import Catalogue

_CATALOGUE = Catalogue.load()
_CODES = st.sampled_from(
    [
        "001109000010000-110900001",
        "002103000010000-210300001",
        "XA00AAA000A001010000000",
        "XB01AAA000A001010000000",
        "C14010000000000000000001",
        "XV99AAA000A001010000000",
        "NOT-IN-THE-CATALOGUE",
    ]
)
_QUANTITIES = st.decimals("0.0001", "9999", places=4)
_PRICES = st.decimals("0.000001", "99999", places=6)


@given(_CODES, _QUANTITIES, _PRICES)
def test_the_parts_of_a_line_add_up_and_none_is_negative(code: str, quantity: Decimal, price: Decimal) -> None:
    amount = int((quantity * price * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    line = _CATALOGUE.split(code, amount_fen=amount, quantity=quantity)
    parts = (line.full_self_pay_fen, line.over_limit_fen, line.preceding_fen, line.in_scope_fen)
    assert sum(parts) == amount
    assert min(parts) >= 0


@given(_CODES, _QUANTITIES, st.integers(1, 10**9))
def test_a_return_is_the_negation_of_its_line(code: str, quantity: Decimal, amount: int) -> None:
    line = _CATALOGUE.split(code, amount_fen=amount, quantity=quantity)
    back = _CATALOGUE.split(code, amount_fen=-amount, quantity=-quantity)
    assert (back.full_self_pay_fen, back.over_limit_fen, back.preceding_fen, back.in_scope_fen) == (
        -line.full_self_pay_fen,
        -line.over_limit_fen,
        -line.preceding_fen,
        -line.in_scope_fen,
    )
