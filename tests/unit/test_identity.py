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
