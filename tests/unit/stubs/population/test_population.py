"""Invented people: valid check digits, marks of invention, several enrolments, the same people for the same seed."""

from datetime import date

import pytest

from onecard_stubs.population import (
    NAMES_WITH_RARE_CHARACTERS,
    EnrolmentStatus,
    Population,
    identity_number,
    luhn_digit,
)

_WEIGHTS = [pow(2, 17 - position, 11) for position in range(17)]


def _passes_gb_11643(number: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    return (total + (10 if number[17] == "X" else int(number[17]))) % 11 == 1


def test_every_identity_number_passes_its_check_and_belongs_to_nobody() -> None:
    population = Population("510000", seed=3, count=1_000)
    for person in (*population, *population.rare_named):
        number = person.identity_number
        assert _passes_gb_11643(number)
        assert number.startswith("510000")
        assert number[14:16] == "99"
        assert date.fromisoformat(f"{number[6:10]}-{number[10:12]}-{number[12:14]}") == person.birth_day
        assert int(number[16]) % 2 == (person.sex == "1")


def test_the_check_digits_are_those_of_the_field_notes() -> None:
    assert luhn_digit("622848000000000000") == "0"
    assert luhn_digit("621700000000000000") == "4"
    assert identity_number("440000", date(1959, 1, 1), 1) == "440000195901019919"


def test_no_two_people_share_a_number() -> None:
    people = Population(count=5_000).people
    for attribute in ("identity_number", "personal_number", "card_number", "card_recognition_code", "bank_card_number"):
        assert len({getattr(person, attribute) for person in people}) == len(people)


def test_card_and_bank_numbers_have_their_form() -> None:
    for person in Population("440000", count=50):
        assert person.card_number[0].isalpha()
        assert person.card_number[1:].isdecimal()
        assert len(person.card_number) == 9
        assert len(person.card_recognition_code) == 32
        assert person.card_recognition_code[:6] in {"440100", "440300", "440199"}
        assert int(person.card_recognition_code, 16) > 0
        assert person.bank_card_number.startswith("62")
        assert luhn_digit(person.bank_card_number[:-1]) == person.bank_card_number[-1]


def test_the_same_seed_gives_the_same_people_and_another_seed_others() -> None:
    assert Population(seed=7).people == Population(seed=7).people
    assert Population(seed=7).people != Population(seed=8).people


def test_people_are_found_by_each_of_their_numbers() -> None:
    population = Population(count=20)
    for person in population:
        assert population.by_identity_number(person.identity_number.lower()) is person
        assert population.by_personal_number(person.personal_number) is person
        assert population.by_card_number(person.card_number) is person
    assert population.by_identity_number("51000019000101991X") is None


def test_some_people_have_paused_enrolments_elsewhere_and_some_several_active_ones() -> None:
    people = Population(count=200).people
    assert any(
        enrolment.status is EnrolmentStatus.PAUSED and enrolment.last_day is not None
        for person in people
        for enrolment in person.enrolments
    )
    assert any(len(person.active_enrolments) > 1 for person in people)
    assert any(len({enrolment.insurance_area for enrolment in person.enrolments}) > 1 for person in people)
    assert all(person.active_enrolments for person in people)
    assert {enrolment.insurance_kind for person in people for enrolment in person.enrolments} == {"310", "390"}


def test_names_that_gbk_cannot_carry_are_kept_apart() -> None:
    population = Population()
    for person in population:
        person.name.encode("gbk")
    assert tuple(person.name for person in population.rare_named) == NAMES_WITH_RARE_CHARACTERS
    for name in NAMES_WITH_RARE_CHARACTERS:
        name.encode("gb18030")
        with pytest.raises(UnicodeEncodeError):
            name.encode("gbk")


def test_an_area_that_could_be_a_persons_is_refused() -> None:
    with pytest.raises(ValueError, match="province-level"):
        identity_number("510104", date(1980, 1, 1), 1)
