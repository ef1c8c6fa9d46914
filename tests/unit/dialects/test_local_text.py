"""A local system's own words leave the province without numbers of persons and cards, in every dialect alike."""

import pytest

from onecard_adapters.dialects.card_strings.client import OfficeRefusal
from onecard_adapters.dialects.card_strings.verbs import Verb
from onecard_adapters.dialects.cross_region_xml.core import CoreRefusal
from onecard_adapters.dialects.infno.core import LocalRefusal
from onecard_adapters.dialects.local_text import CHARACTERS_MAX, masked
from tests.support.personal_texts import NUMBERS, QUOTED, QUOTING


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_a_person_or_card_is_masked_whole(number: str) -> None:
    assert masked(f"参保人{number}不符") == "参保人***不符"


@pytest.mark.parametrize("text", ["已办理2笔", "金额5000.10元", "2024-03-15", "错误码-1234567", "med_type 9901"])
def test_what_a_cashier_needs_stays(text: str) -> None:
    assert masked(text) == text


def test_a_number_is_masked_before_the_text_is_cut() -> None:
    text = "满" * (CHARACTERS_MAX - 5)
    assert masked(f"{text}51000020170101997X") == f"{text}***"


def test_every_dialect_masks_what_its_local_system_says() -> None:
    assert LocalRefusal("2304", "-1", QUOTING).local_text == QUOTED
    assert CoreRefusal(-1, QUOTING).text == QUOTED
    assert OfficeRefusal(next(iter(Verb)), QUOTING).local_text == QUOTED
