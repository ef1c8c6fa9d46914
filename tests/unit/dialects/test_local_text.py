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


@pytest.mark.parametrize(
    "number",
    [
        "6222 0202 0011 2233 445",
        "510102 1990 0101 123X",
        "510102-1990-01-01-123X",
        "510102 1990-01-01 123X",
        "６２２２　０２０２　００１１",
        "510102 **** **** 123X",
        "EA999 0001",
    ],
)
def test_a_number_is_masked_however_it_is_grouped(number: str) -> None:
    assert masked(f"参保人{number}不符") == "参保人***不符"


@pytest.mark.parametrize(
    "text",
    [
        *("已办理2笔", "金额5000.10元", "12,345,678.90元", "5000.10 300.20 200.00", "1101,2201", "错误码-1234567"),
        *("RMB12345.67", "CNY 12345.67 5000.10", "ORA-12514 2024-03-15", "HTTP 500", "2304 5000.00 2026-11-28"),
        *("2024-03-15", "2026年11月28日", "2026-11-28 10:30:15.123", "2026-11-28T10:30:15+08:00", "med_type 9901"),
    ],
)
def test_what_a_cashier_needs_stays(text: str) -> None:
    assert masked(text) == text


def test_a_code_beside_a_whole_number_stays() -> None:
    assert masked("-1 51000020170101997X 2304") == "-1 *** 2304"


@pytest.mark.parametrize("needed", ["5000.10", "1,234.00", "2024-03-15"])
@pytest.mark.parametrize("number", ["12345678", "X1234567"])
def test_a_short_number_is_masked_beside_what_stays_too(number: str, needed: str) -> None:
    assert number not in masked(f"编号{number} {needed}元")
    assert number not in masked(f"编号{needed} {number}元")


def test_a_number_is_masked_before_the_text_is_cut() -> None:
    text = "满" * (CHARACTERS_MAX - 5)
    assert masked(f"{text}51000020170101997X") == f"{text}***"


def test_every_dialect_masks_what_its_local_system_says() -> None:
    assert LocalRefusal("2304", "-1", QUOTING).local_text == QUOTED
    assert CoreRefusal(-1, QUOTING).text == QUOTED
    assert OfficeRefusal(next(iter(Verb)), QUOTING).local_text == QUOTED
