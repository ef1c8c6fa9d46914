"""Amounts as this core writes and reads them: text in yuan with two decimals, integer fen inside."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

_DIGITS_MAX = 15


def to_text(fen: int) -> str:
    """Fen as yuan, such as 5000.10."""
    return format(Decimal(fen).scaleb(-2), "f")


def from_text(text: str) -> int:
    """Yuan to fen, half up; an empty text is nothing. Raises ValueError for what is no number."""
    return round_half_up(decimal_from(text) * 100)


def decimal_from(text: str) -> Decimal:
    """A number; an empty text is zero. Raises ValueError for what is no number."""
    try:
        number = Decimal(text or "0")
    except InvalidOperation as error:
        raise ValueError("not a number") from error
    if not number.is_finite() or number.adjusted() > _DIGITS_MAX:
        raise ValueError("not a number of this size")
    return number


def round_half_up(number: Decimal) -> int:
    """The nearest integer, away from zero at the half."""
    return int(number.quantize(Decimal(1), rounding=ROUND_HALF_UP))
