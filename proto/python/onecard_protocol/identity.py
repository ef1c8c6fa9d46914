"""Personal and bank numbers: checks and the normal form by which the exchange orders a person's messages.

GB 11643-1999 for citizens' numbers (15 digits become 18 by inserting the century), ISO/IEC 7812 (Luhn) for bank cards.
Errors never hold the number.
"""

from __future__ import annotations

import datetime
import functools
import operator
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError

CITIZEN_KINDS: Final = frozenset({"", "1", "01", "90"})
"""Certificate types under which a citizen's number is met: identity card (1, 01), social security card (90), none."""

_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ZEROS: Final = ord("0") * sum(_WEIGHTS)
"""What the characters' codes add to the sum: taking it off is faster than making numbers of the digits."""
_CHECK_DIGITS: Final = "10X98765432"
_AREA_PREFIXES: Final = frozenset(
    (
        "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 66 71 81 82 83"
    ).split()
)
NUMBER_CHARACTERS_MAX: Final = 32


def check_digit(first_17: str) -> str:
    """The 18th character of a citizen's number (GB 11643, ISO 7064 MOD 11-2)."""
    return _CHECK_DIGITS[(sum(map(operator.mul, first_17.encode(), _WEIGHTS)) - _ZEROS) % 11]


def is_citizen_number(number: str) -> bool:
    """Whether 18 characters are a citizen's number: area, real date, check digit; permanent residents' 9… included."""
    if len(number) != 18 or not number.isascii() or not number[:17].isdigit():
        return False
    if number[0] != "9" and number[:2] not in _AREA_PREFIXES:
        return False
    return _is_day(number[6:14]) and check_digit(number[:17]) == number[17]


@functools.lru_cache(maxsize=50_000)
def _is_day(digits: str) -> bool:
    """Whether yyyymmdd is a date; living persons have some 40,000 birthdays."""
    try:
        datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def to_18_digits(number: str) -> str:
    """A 15-digit number of the first generation as 18 characters; any other number unchanged but upper case."""
    trimmed = number.strip().upper()
    if len(trimmed) == 15 and trimmed.isascii() and trimmed.isdigit():
        longer = trimmed[:6] + "19" + trimmed[6:]
        return longer + check_digit(longer)
    return trimmed


@functools.lru_cache(maxsize=4_096)
def normalise_identity(kind_code: str, number: str) -> str:
    """The normal form of (certificate type, number), equal for every way to write one identity.

    Raises IDENTITY_INVALID for an empty or over-long number, and for one that claims to be a citizen's by its form
    (18 characters under a citizen's certificate type) and fails the check. Remembered for a while: a message is
    checked and then placed by it, and a person's messages come close together.
    """
    trimmed = number.strip().upper()
    if not trimmed or len(trimmed) > NUMBER_CHARACTERS_MAX or not trimmed.isprintable():
        raise OneCardError(errors_pb2.ERROR_REASON_IDENTITY_INVALID, "the number is empty or longer than allowed")
    kind = kind_code.strip()
    if kind in CITIZEN_KINDS:
        citizen = to_18_digits(trimmed)
        if is_citizen_number(citizen):
            return f"citizen|{citizen}"
        if kind in {"1", "01"} or (len(citizen) == 18 and citizen[:17].isdigit()):
            raise OneCardError(
                errors_pb2.ERROR_REASON_IDENTITY_INVALID, "the citizen's number fails its area, date or check digit"
            )
    return f"{kind or 'unknown'}|{trimmed}"


_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""Twice a digit, its own digits added."""


def is_luhn_valid(number: str) -> bool:
    """Whether a bank card number of 13 to 19 digits passes Luhn's check."""
    if not (13 <= len(number) <= 19 and number.isascii() and number.isdigit()):
        return False
    return sum(map(int, number[::-2] + number[-2::-2].translate(_DOUBLED))) % 10 == 0
