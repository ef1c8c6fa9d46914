"""Amounts at the edge: yuan as text, number or Decimal to the protocol's integers, and back.

Owns the conversions and their rounding (half up, domain.md 0.7). A float is refused: a parser that made one has lost
the sender's digits already. Paths in errors name the element; values are shown only where they are no number at all.
"""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_protocol.errors import OneCardError

_FEN_DECIMALS: Final = 2
_PRICE_DECIMALS: Final = 6
_RATIO_DECIMALS: Final = 4
# The sentinel by which local systems say that a price has no limit (domain.md 1.7); it is not money.
NO_PRICE_LIMIT: Final = Decimal(999_999)
# decimal(16,2) to decimal(16,6) in local systems; more digits are an attack or an accident.
_DIGITS_MAX: Final = 16
_DECIMALS_MAX: Final = 10
_TEXT_CHARACTERS_MAX: Final = 40
_INT64_MAX: Final = 2**63 - 1
_INT_LIMIT: Final = 10**_DIGITS_MAX
_TENS: Final[tuple[int, ...]] = tuple(10**decimals for decimals in range(_DECIMALS_MAX + 1))
_NO_PRICE_LIMIT_EXACT: Final = int(NO_PRICE_LIMIT) * _TENS[_DECIMALS_MAX]
# A multiplication by these is exact and sets the exponent, in half the time of scaleb.
_FEN: Final = Decimal(1).scaleb(-_FEN_DECIMALS)
_PRICE: Final = Decimal(1).scaleb(-_PRICE_DECIMALS)
_RATIO: Final = Decimal(1).scaleb(-_RATIO_DECIMALS)
_TENTH: Final = Decimal("0.1")
_NO_NUMBER: Final = "not a decimal number such as 1234.50, without separators"
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")


def decimal_from(value: object, path: str) -> Decimal:
    """Read a local number.

    Takes Decimal, int and text with surrounding blanks ("2", "2.00", "-1.50"); raises LOCAL_FORM_INVALID naming
    `path` for anything else, float included.
    """
    number: Decimal | None = None
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        # Beyond this size the text of an int is no longer cheap; no amount is.
        number = Decimal(value) if abs(value) < _INT_LIMIT else None
    elif isinstance(value, str) and len(value) <= _TEXT_CHARACTERS_MAX and _NUMBER.fullmatch(value.strip()):
        number = Decimal(value.strip())
    if (
        number is None
        or not number.is_finite()
        or number.adjusted() >= _DIGITS_MAX
        or _exponent(number) < -_DECIMALS_MAX
    ):
        raise OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: {_NO_NUMBER}")
    return number


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _plain(value: object, decimals: int) -> int | None:
    # Nearly every number has a form whose digits are read as one integer, several times as fast as through Decimal.
    # None for any other form: decimal_from reads it or refuses it.
    if type(value) is int:
        return value * _TENS[decimals] if -_INT_LIMIT < value < _INT_LIMIT else None
    if type(value) is not str:
        if type(value) is not Decimal:
            return None
        value = str(value)
    whole, _, fraction = value.partition(".")
    if len(whole) > _DIGITS_MAX or len(fraction) > _DECIMALS_MAX or not whole.removeprefix("-").isdecimal():
        return None
    if not fraction:
        return int(whole) * _TENS[decimals]
    if not fraction.isdecimal():
        return None
    number, surplus = int(whole + fraction), len(fraction) - decimals
    if surplus <= 0:
        return number * _TENS[-surplus]
    rounded = (abs(number) + _TENS[surplus] // 2) // _TENS[surplus]
    return -rounded if number < 0 else rounded


def _scaled(value: object, path: str, decimals: int) -> int:
    scaled = _plain(value, decimals)
    if scaled is None:
        # Shifting the exponent adds no digits, so the default context of 28 digits never rounds before quantize does.
        scaled = int(decimal_from(value, path).scaleb(decimals).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if abs(scaled) > _INT64_MAX:
        raise OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: the number is too large")
    return scaled


def fen_from_yuan(value: object, path: str) -> int:
    """Yuan to fen, half up (away from zero at the half, so a return line stays the negation of its original)."""
    return _scaled(value, path, _FEN_DECIMALS)


def yuan_from_fen(fen: int) -> Decimal:
    """Fen to yuan with two decimals, exactly."""
    return fen * _FEN


def price_e6_from_yuan(value: object, path: str) -> int:
    """A unit price in yuan to 10^-6 yuan, half up."""
    return _scaled(value, path, _PRICE_DECIMALS)


def yuan_from_price_e6(price_e6: int) -> Decimal:
    """10^-6 yuan to yuan with at least two decimals and no trailing zeros after them."""
    fen, rest = divmod(price_e6, 10 ** (_PRICE_DECIMALS - _FEN_DECIMALS))
    return (price_e6 * _PRICE).normalize() if rest else fen * _FEN


def limit_e6_from_yuan(value: object, path: str) -> int | None:
    """A price limit to 10^-6 yuan; None where the sentinel 999999 (or more) says that there is none."""
    # With all decimals: what is only rounded to the sentinel is a limit.
    exact = _plain(value, _DECIMALS_MAX)
    is_unlimited = decimal_from(value, path) >= NO_PRICE_LIMIT if exact is None else exact >= _NO_PRICE_LIMIT_EXACT
    return None if is_unlimited else _scaled(value, path, _PRICE_DECIMALS)


def yuan_from_limit_e6(limit_e6: int | None) -> Decimal:
    """A price limit to yuan, the sentinel 999999 where there is none."""
    return NO_PRICE_LIMIT if limit_e6 is None else yuan_from_price_e6(limit_e6)


def e4_from_number(value: object, path: str) -> int:
    """A quantity or ratio to 10^-4, half up."""
    return _scaled(value, path, _RATIO_DECIMALS)


def number_from_e4(value_e4: int) -> Decimal:
    """10^-4 to a number with at least one decimal and no trailing zeros after it."""
    tenths, rest = divmod(value_e4, 10 ** (_RATIO_DECIMALS - 1))
    return (value_e4 * _RATIO).normalize() if rest else tenths * _TENTH
