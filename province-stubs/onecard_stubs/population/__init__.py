"""Synthetic people whose numbers carry valid check digits and can be told from real ones at a glance."""

from onecard_stubs.population.numbers import (
    bank_card_number,
    card_number,
    identity_number,
    luhn_digit,
    recognition_code,
)
from onecard_stubs.population.people import (
    NAMES_WITH_RARE_CHARACTERS,
    Enrolment,
    EnrolmentStatus,
    Person,
    Population,
)

__all__ = [
    "NAMES_WITH_RARE_CHARACTERS",
    "Enrolment",
    "EnrolmentStatus",
    "Person",
    "Population",
    "bank_card_number",
    "card_number",
    "identity_number",
    "luhn_digit",
    "recognition_code",
]
