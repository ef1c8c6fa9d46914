"""Amounts survive the edge in both directions, and negation goes through every conversion."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from onecard_adapters.mapping import amounts

_FEN = st.integers(-(10**16), 10**16)


@given(_FEN)
def test_fen_survive_yuan_as_number_and_as_text(fen: int) -> None:
    yuan = amounts.yuan_from_fen(fen)
    assert amounts.fen_from_yuan(yuan, "p") == fen == amounts.fen_from_yuan(format(yuan, "f"), "p")


@given(st.integers(-(10**15), 10**15))
def test_prices_survive(price_e6: int) -> None:
    yuan = amounts.yuan_from_price_e6(price_e6)
    assert amounts.price_e6_from_yuan(yuan, "p") == price_e6 == amounts.price_e6_from_yuan(format(yuan, "f"), "p")


@given(st.integers(-(10**12), 10**12))
def test_quantities_and_ratios_survive(value_e4: int) -> None:
    number = amounts.number_from_e4(value_e4)
    assert amounts.e4_from_number(number, "p") == value_e4 == amounts.e4_from_number(format(number, "f"), "p")


@given(st.none() | st.integers(0, 999_998_999_999))
def test_limits_survive_and_none_stays_none(limit_e6: int | None) -> None:
    assert amounts.limit_e6_from_yuan(amounts.yuan_from_limit_e6(limit_e6), "p") == limit_e6


@given(st.decimals(-(10**10), 10**10, places=6, allow_nan=False))
def test_a_return_is_the_negation_of_its_original(value: Decimal) -> None:
    assert amounts.fen_from_yuan(-value, "p") == -amounts.fen_from_yuan(value, "p")
    assert amounts.e4_from_number(-value, "p") == -amounts.e4_from_number(value, "p")


@given(st.decimals(-(10**10), 10**10, places=6, allow_nan=False))
def test_rounding_errs_by_half_a_fen_at_most(value: Decimal) -> None:
    assert abs(amounts.yuan_from_fen(amounts.fen_from_yuan(value, "p")) - value) <= Decimal("0.005")
