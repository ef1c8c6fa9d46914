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
        number = Decimal(value) if abs(value) < 10**_DIGITS_MAX else None
    elif isinstance(value, str) and len(value) <= _TEXT_CHARACTERS_MAX and _NUMBER.fullmatch(value.strip()):
        number = Decimal(value.strip())
    if (
        number is None
        or not number.is_finite()
        or number.adjusted() >= _DIGITS_MAX
        or _exponent(number) < -_DECIMALS_MAX
    ):
        raise OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: not a decimal number")
    return number


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _scaled(value: object, path: str, decimals: int) -> int:
    # Shifting the exponent adds no digits, so the default context of 28 digits never rounds before the quantize does.
    scaled = int(decimal_from(value, path).scaleb(decimals).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if abs(scaled) > _INT64_MAX:
        raise OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: the number is too large")
    return scaled


def fen_from_yuan(value: object, path: str) -> int:
    """Yuan to fen, half up (away from zero at the half, so a return line stays the negation of its original)."""
    return _scaled(value, path, _FEN_DECIMALS)


def yuan_from_fen(fen: int) -> Decimal:
    """Fen to yuan with two decimals, exactly."""
    return Decimal(fen).scaleb(-_FEN_DECIMALS)


def price_e6_from_yuan(value: object, path: str) -> int:
    """A unit price in yuan to 10^-6 yuan, half up."""
    return _scaled(value, path, _PRICE_DECIMALS)


def yuan_from_price_e6(price_e6: int) -> Decimal:
    """10^-6 yuan to yuan with at least two decimals and no trailing zeros after them."""
    return _trimmed(Decimal(price_e6).scaleb(-_PRICE_DECIMALS), 2)


def limit_e6_from_yuan(value: object, path: str) -> int | None:
    """A price limit to 10^-6 yuan; None where the sentinel 999999 (or more) says that there is none."""
    number = decimal_from(value, path)
    return None if number >= NO_PRICE_LIMIT else _scaled(number, path, _PRICE_DECIMALS)


def yuan_from_limit_e6(limit_e6: int | None) -> Decimal:
    """A price limit to yuan, the sentinel 999999 where there is none."""
    return NO_PRICE_LIMIT if limit_e6 is None else yuan_from_price_e6(limit_e6)


def e4_from_number(value: object, path: str) -> int:
    """A quantity or ratio to 10^-4, half up."""
    return _scaled(value, path, _RATIO_DECIMALS)


def number_from_e4(value_e4: int) -> Decimal:
    """10^-4 to a number with at least one decimal and no trailing zeros after it."""
    return _trimmed(Decimal(value_e4).scaleb(-_RATIO_DECIMALS), 1)


def _trimmed(number: Decimal, decimals_min: int) -> Decimal:
    normal = number.normalize()
    return normal if _exponent(normal) <= -decimals_min else number.quantize(Decimal(1).scaleb(-decimals_min))
