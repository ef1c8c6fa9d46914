"""Amounts survive the edge in both directions, and negation goes through every conversion."""

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.mapping import amounts, fields
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

_T = TypeVar("_T")

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


# What a number means, told by Decimal alone and with digits to spare: the adapters read most forms by a shorter way.
_WIDE = Context(prec=80)
_NUMBER = re.compile(r"[+-]?([0-9٠-٩]+\.?[0-9٠-٩]*|\.[0-9٠-٩]+)([eE][+-]?[0-9٠-٩]{1,2})?")


def _meant(value: object) -> Decimal | None:
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str) and len(value) <= 40 and _NUMBER.fullmatch(value.strip()):
        number = Decimal(value.strip())
    else:
        return None
    is_kept = number.is_finite() and number.adjusted() < 16 and int(number.as_tuple().exponent) >= -10
    return number if is_kept else None


def _scaled(value: object, decimals: int) -> int | tuple[int, str]:
    number = _meant(value)
    if number is None:
        return errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, "p: not a decimal number such as 1234.50, without separators"
    scaled = int(number.scaleb(decimals, _WIDE).quantize(Decimal(1), ROUND_HALF_UP, _WIDE))
    if not -(2**63) < scaled < 2**63:
        return errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, "p: the number is too large"
    return scaled


def _limit(value: object) -> int | tuple[int, str] | None:
    number = _meant(value)
    return None if number is not None and number >= 999_999 else _scaled(value, 6)


def _told(read: Callable[[object, str], _T], value: object) -> _T | tuple[int, str]:
    try:
        return read(value, "p")
    except OneCardError as error:
        return error.reason, error.detail


_DIGITS = st.text("0123456789", max_size=18) | st.text("09٣", max_size=4)
_PLAIN = st.builds("{}{}".format, st.sampled_from(["", "-", "+", "+-", "--"]), _DIGITS)
_TEXTS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "", " ", "\t ", "　"]),
    _PLAIN,
    st.just("") | st.builds(".{}".format, st.text("0459", max_size=12)),
    st.just("") | st.builds("{}{}".format, st.sampled_from(["e", "E", "e-", "E+"]), st.text("0123", max_size=3)),
    st.sampled_from(["", "", "", " ", "\n"]),
)
_INTEGERS = st.integers() | st.integers(-20, 20).map(lambda near: 10**16 + near) | st.integers(-(10**17), 10**17)
# Around the largest integers of the protocol, and around the sentinel, in every number of decimals.
_EDGES = st.builds(
    lambda edge, near, decimals: Decimal(edge + near).scaleb(-decimals, _WIDE),
    st.sampled_from([0, 2**63, -(2**63), 999_999 * 10**6, 999_999 * 10**10, 10**16, -(10**16)]),
    st.integers(-60, 60),
    st.integers(-2, 11),
)
_DECIMALS = st.decimals() | st.decimals(-(10**16), 10**16, places=8) | _EDGES
_REFUSED: st.SearchStrategy[object] = st.sampled_from([None, True, False, 1.5, float("nan"), b"1", [1], (), {}])
_REFUSED_TEXTS = st.sampled_from(["", " ", ".", "-", "1_0", "0x1", "1,000", "1.2.3", "NaN", "-Infinity", "²", "1 2"])
_VALUES = _TEXTS | _INTEGERS | _DECIMALS | _DECIMALS.map(str) | _DECIMALS.map("{:f}".format) | _REFUSED | _REFUSED_TEXTS


@settings(max_examples=1_000)
@given(_VALUES)
def test_every_form_is_read_or_refused_as_decimal_arithmetic_tells(value: object) -> None:
    assert _told(amounts.fen_from_yuan, value) == _scaled(value, 2)
    assert _told(amounts.e4_from_number, value) == _scaled(value, 4)
    assert _told(amounts.price_e6_from_yuan, value) == _scaled(value, 6)
    assert _told(amounts.limit_e6_from_yuan, value) == _limit(value)


def _count(value: object) -> int | tuple[int, str]:
    number = _meant(value)
    if number is None:
        return errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, "p: not a decimal number such as 1234.50, without separators"
    if int(number) != number or not -(2**31) < number < 2**31:
        return errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, "p: not a whole number"
    return int(number)


@settings(max_examples=500)
@given(_VALUES | st.integers(-60, 60).map(lambda near: str(2**31 + near)))
def test_every_count_is_read_or_refused_as_decimal_arithmetic_tells(value: object) -> None:
    assert _told(lambda value, path: fields.COUNT.read(value, path, CodeTables("1", {})), value) == _count(value)


def _written(value: int, decimals: int, decimals_min: int) -> str:
    whole, fraction = format(Decimal(value).scaleb(-decimals, _WIDE), "f").split(".")
    return f"{whole}.{fraction.rstrip('0').ljust(decimals_min, '0')}"


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200).map(lambda value: value * 1_000))
def test_every_integer_is_written_with_the_digits_that_decimal_arithmetic_tells(value: int) -> None:
    tables = CodeTables("1", {})
    for as_number, as_text, decimals, decimals_min in (
        (fields.YUAN, fields.YUAN_TEXT, 2, 2),
        (fields.RATIO, fields.RATIO_TEXT, 4, 1),
        (fields.PRICE, fields.PRICE_TEXT, 6, 2),
        (fields.PRICE_LIMIT, fields.PRICE_LIMIT_TEXT, 6, 2),
    ):
        number, text = as_number.write(value, "p", tables), as_text.write(value, "p", tables)
        assert isinstance(number, Decimal)
        assert str(number) == text == _written(value, decimals, decimals_min)
