"""Card strings: every sample of drivers and clients, and what must be refused."""

import pytest

from onecard_adapters.dialects.card_strings import bars
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import is_citizen_number
from tests.support.samples import sample


def _text(name: str) -> str:
    return sample(f"delimited/{name}").decode("gb18030")


def test_a_drivers_eleven_values_are_read() -> None:
    text = _text("card-read-basic-11-fields.txt")
    card = bars.read(text)
    assert (card.issuing_area, card.card_number, card.name) == ("630000", "A99000070", "马小测")
    assert is_citizen_number(card.social_number)
    assert (card.specification_version, card.issue_day, card.expiry_day) == ("2.00", "20140101", "20240101")


def test_another_drivers_thirteen_values_have_a_code_before_them_and_blanks_around_the_bars() -> None:
    text = _text("card-read-basic-with-rc-13-fields-spaced.txt")
    card = bars.read(text)
    assert (card.return_code, card.card_number, card.name) == ("1", "X99000019", "马小测")
    assert card.permit_number == "持卡就诊登记许可号"


def test_a_drivers_code_other_than_one_is_no_card() -> None:
    text = _text("card-read-basic-with-rc-13-fields-spaced.txt").replace(" 1 |", " -2 |", 1)
    with pytest.raises(OneCardError, match="did not read"):
        bars.read(text)


def test_guangxis_card_info_is_told_by_its_ten_values() -> None:
    card = bars.read(_text("neusoft-gx-cardInfo.txt"))
    assert (card.card_number, card.issuing_area, card.name, card.entry) == ("K99000070", "450900", "黄大山", "NEW")
    assert is_citizen_number(card.social_number)


def test_a_personalisation_string_has_an_order_of_its_own_and_is_never_guessed() -> None:
    with pytest.raises(OneCardError, match="12 values"):
        bars.read(_text("card-personalise-write-string.txt"))


def test_a_list_inside_an_element_is_split_by_the_same_bars() -> None:
    element = sample("card/yinhai-C500-auth-req.xml").decode().split("<keyword>")[1].split("</keyword>")[0]
    values = bars.split(element)
    assert len(values) == 10
    assert values[:3] == ["510100", "51000020170101997X", "A99000065"]


def test_a_card_without_expiry_keeps_its_place() -> None:
    card = bars.read("||A99000001|||||20240101||||")
    assert (card.card_number, card.issue_day, card.expiry_day) == ("A99000001", "20240101", "")


@pytest.mark.parametrize("count", [1, 9, 12, 14, 53])
def test_another_number_of_values_is_refused(count: int) -> None:
    with pytest.raises(OneCardError, match="10 or 11 or 13 are expected"):
        bars.read("x|" * count)
