"""Numbers of invented people: the check digits hold, and no number can belong to a real person or account.

An identity number stands on a province-level area code (510000), which is never given to a person, and on a serial
99x. Card numbers and recognition codes contain 99; a bank card number is 622848 and zeros before its own part.
"""

from datetime import date

_IDENTITY_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_IDENTITY_CHECK_DIGITS = "10X98765432"

SERIALS_PER_DAY = 10
"""How many identity numbers one birthday and area can give: serials 990 to 999."""


def identity_number(province_area: str, birth_day: date, serial: int) -> str:
    """The 18-character citizen's number (GB 11643) of serial 990 + `serial`; an odd one is a man's.

    Raises ValueError for an area code that could be a person's, or for a serial outside 0 to 9.
    """
    if not (len(province_area) == 6 and province_area.isdecimal() and province_area.endswith("0000")):
        raise ValueError(f"area {province_area!r} is not a province-level code, which alone is never a person's")
    if not 0 <= serial < SERIALS_PER_DAY:
        raise ValueError(f"serial {serial} is outside 0 to {SERIALS_PER_DAY - 1}")
    body = f"{province_area}{birth_day:%Y%m%d}99{serial}"
    weighted_sum = sum(int(digit) * weight for digit, weight in zip(body, _IDENTITY_WEIGHTS, strict=True))
    return body + _IDENTITY_CHECK_DIGITS[weighted_sum % 11]


def luhn_digit(digits: str) -> str:
    """The digit that makes `digits` pass the Luhn check when it is appended."""
    total = 0
    for position, character in enumerate(reversed(digits)):
        value = int(character) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def bank_card_number(index: int) -> str:
    """A UnionPay number of 19 digits."""
    body = f"622848{index:012d}"
    return body + luhn_digit(body)


def card_number(index: int) -> str:
    """A social security card number: a letter and eight digits, as it is printed on the card (AAZ500)."""
    letter, number = divmod(index, 1_000_000)
    return f"{'ABCDEFGHJK'[letter]}99{number:06d}"


def recognition_code(issuing_area: str, index: int) -> str:
    """A card recognition code (卡识别码): 32 hexadecimal digits, the first six of them the issuing area."""
    return f"{issuing_area}D15600000599{index:014d}"


def personal_number(province_area: str, index: int) -> str:
    """The number by which the insurance knows the person (psn_no): 16 digits with 99 after the province."""
    return f"{province_area[:4]}99{index:010d}"
