"""Personal and bank numbers: GB 11643, Luhn, and the one normal form of an identity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import (
    check_digit,
    is_citizen_number,
    is_luhn_valid,
    normalise_identity,
    to_18_digits,
)

CITIZEN = "11010519491231002X"  # The example of GB 11643-1999, given to nobody.
RESIDENT = "91199919800101001X"  # A permanent resident's number since 2023; no nation has the code 999.
RESIDENT_BEFORE = "UTO110080010118"  # Of the 15 characters before; Utopians are found in specimens of passports only.


def test_the_standards_examples_have_their_check_digits() -> None:
    """The two numbers of domain.md, section 4."""
    assert check_digit("11010519491231002") == "X"
    assert check_digit("44052418800101001") == "4"


@pytest.mark.parametrize(
    "wrong",
    [
        "110105194912310020",  # check digit
        "990105194912310021",  # not an area, though 9… may be a permanent resident's
        "110105194913310020",  # no such month
        "11010519490229002X",  # no such day
        "11010519491231002",
        "11010519491231002x",
        "１１010519491231002X",
    ],
)
def test_what_is_no_citizens_number_is_not_taken_for_one(wrong: str) -> None:
    """Area, date, length, case and check digit are all looked at."""
    assert not is_citizen_number(wrong)


def test_every_way_to_write_one_citizen_gives_one_normal_form() -> None:
    """Types 1, 01, 90 and none; lower case x; blanks around; the 15 digits of the first generation (rule 4)."""
    forms = {
        normalise_identity(kind, number)
        for kind in ("", "1", "01", "90")
        for number in (CITIZEN, f" {CITIZEN.lower()} ")
    }
    assert forms == {f"citizen|{CITIZEN}"}
    assert to_18_digits("110105491231002") == CITIZEN
    assert normalise_identity("01", "110105491231002") == f"citizen|{CITIZEN}"


def test_a_permanent_residents_number_is_checked_as_a_citizens_though_it_begins_with_no_area() -> None:
    """Eighteen digits beginning with 9, since 2023: date and check digit are looked at (domain.md, section 4)."""
    assert RESIDENT[17] == check_digit(RESIDENT[:17])
    assert is_citizen_number(RESIDENT)
    assert not is_citizen_number(RESIDENT[:17] + "1")
    no_day = "91199919801301001"
    assert not is_citizen_number(no_day + check_digit(no_day))
    no_area = "10" + RESIDENT[2:17]
    assert not is_citizen_number(no_area + check_digit(no_area))
    for kind in ("", "1", "01", "90"):
        assert normalise_identity(kind, f" {RESIDENT.lower()} ") == f"citizen|{RESIDENT}"
        with pytest.raises(OneCardError) as caught:
            normalise_identity(kind, RESIDENT[:17] + "1")
        assert caught.value.reason == errors_pb2.ERROR_REASON_IDENTITY_INVALID
        assert RESIDENT[:17] not in str(caught.value)


def test_a_permanent_residents_old_number_is_taken_as_it_is_and_for_no_citizens() -> None:
    """Fifteen characters with letters: not lengthened like the first generation's, refused as an identity card's."""
    assert to_18_digits(RESIDENT_BEFORE) == RESIDENT_BEFORE
    assert not is_citizen_number(RESIDENT_BEFORE)
    assert normalise_identity("07", f" {RESIDENT_BEFORE.lower()} ") == f"07|{RESIDENT_BEFORE}"
    assert normalise_identity("", RESIDENT_BEFORE) == f"unknown|{RESIDENT_BEFORE}"
    with pytest.raises(OneCardError) as caught:
        normalise_identity("01", RESIDENT_BEFORE)
    assert caught.value.reason == errors_pb2.ERROR_REASON_IDENTITY_INVALID
    assert RESIDENT_BEFORE not in str(caught.value)


def test_other_certificates_keep_their_kind() -> None:
    """A passport of the same characters is another identity."""
    assert normalise_identity("08", " e1234567 ") == "08|E1234567"
    assert normalise_identity("08", CITIZEN) != normalise_identity("01", CITIZEN)


@pytest.mark.parametrize(
    ("kind", "number"), [("01", "110105194912310020"), ("", "110105194912310020"), ("08", " "), ("08", "1" * 33)]
)
def test_a_wrong_number_is_refused_without_being_quoted(kind: str, number: str) -> None:
    """IDENTITY_INVALID; the text never holds the number."""
    with pytest.raises(OneCardError) as caught:
        normalise_identity(kind, number)
    assert caught.value.reason == errors_pb2.ERROR_REASON_IDENTITY_INVALID
    assert number.strip() == "" or number.strip() not in str(caught.value)


@given(st.integers(min_value=0, max_value=16), st.integers(min_value=1, max_value=9))
def test_one_changed_digit_is_always_found(place: int, shift: int) -> None:
    """ISO 7064 MOD 11-2 finds every single error."""
    digits = list(CITIZEN[:17])
    digits[place] = str((int(digits[place]) + shift) % 10)
    assert check_digit("".join(digits)) != CITIZEN[17]


@pytest.mark.parametrize(
    ("number", "holds"),
    [
        ("6228480000000000000", True),
        ("6217000000000000004", True),
        ("6217000000000000005", False),
        ("621700000000", False),
        ("62170000000000000O4", False),
    ],
)
def test_luhn(number: str, holds: bool) -> None:
    """The two numbers of domain.md, section 4, and what is none."""
    assert is_luhn_valid(number) is holds
