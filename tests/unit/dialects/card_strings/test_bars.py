"""Card strings: every sample of drivers, terminals and clients, what must be refused, and what is written."""

import pytest

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.card_strings import bars
from onecard_adapters.dialects.card_strings.bars import CARD_INFO, DRIVER, DRIVER_WITH_CODE, PERSONALISE, CardString
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import is_citizen_number
from tests.support.samples import sample


def _text(name: str) -> str:
    return sample(f"delimited/{name}").decode("gb18030")


def test_a_drivers_eleven_values_are_read_and_written_byte_for_byte() -> None:
    text = _text("card-read-basic-11-fields.txt")
    card = bars.read(text)
    assert (card.issuing_area, card.card_number, card.name) == ("630000", "A99000070", "马小测")
    assert is_citizen_number(card.social_number)
    assert (card.specification_version, card.issue_day, card.expiry_day) == ("2.00", "20140101", "20240101")
    assert DRIVER.write(card).encode("gbk") == sample("delimited/card-read-basic-11-fields.txt")


def test_another_drivers_thirteen_values_have_a_code_before_them_and_blanks_around_the_bars() -> None:
    text = _text("card-read-basic-with-rc-13-fields-spaced.txt")
    card = bars.read(text)
    assert (card.return_code, card.card_number, card.name) == ("1", "X99000019", "马小测")
    assert card.permit_number == "持卡就诊登记许可号"
    assert DRIVER_WITH_CODE.write(card) == text


def test_a_drivers_code_other_than_one_is_no_card() -> None:
    text = _text("card-read-basic-with-rc-13-fields-spaced.txt").replace(" 1 |", " -2 |", 1)
    with pytest.raises(OneCardError, match="did not read"):
        bars.read(text)


def test_guangxis_card_info_is_told_by_its_ten_values() -> None:
    card = bars.read(_text("neusoft-gx-cardInfo.txt"))
    assert (card.card_number, card.issuing_area, card.name, card.entry) == ("K99000070", "450900", "黄大山", "NEW")
    assert is_citizen_number(card.social_number)
    assert CARD_INFO.write(card) == _text("neusoft-gx-cardInfo.txt").rstrip("\r\n")


def test_a_personalisation_string_has_an_order_of_its_own_and_is_never_guessed() -> None:
    text = _text("card-personalise-write-string.txt")
    card = bars.read(text, PERSONALISE)
    assert (card.card_number, card.recognition_code) == ("A99000063", "419900D1560000059900000000000001")
    assert PERSONALISE.write(card) == text
    with pytest.raises(OneCardError, match="12 values"):
        bars.read(text)


def test_a_list_inside_an_element_is_split_by_the_same_bars() -> None:
    element = sample("card/yinhai-C500-auth-req.xml").decode().split("<keyword>")[1].split("</keyword>")[0]
    values = bars.split(element)
    assert len(values) == 10
    assert values[:3] == ["510100", "51000020170101997X", "A99000065"]


def test_a_card_without_expiry_keeps_its_place() -> None:
    text = DRIVER.write(CardString(card_number="A99000001", issue_day="20240101"))
    assert text == "||A99000001|||||20240101||||"
    assert bars.read(text).expiry_day == ""


@pytest.mark.parametrize("count", [1, 9, 12, 14, 53])
def test_another_number_of_values_is_refused(count: int) -> None:
    with pytest.raises(OneCardError, match="10 or 11 or 13 are expected"):
        bars.read("x|" * count)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("刘𬱖", ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER),
        ("陈㼆", ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER),
        ("张|三", ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID),
        ("张\n三", ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID),
    ],
)
def test_what_the_string_cannot_carry_is_refused_and_not_replaced(name: str, reason: int) -> None:
    with pytest.raises(OneCardError) as refused:
        DRIVER.write(CardString(name=name))
    assert refused.value.reason == reason
    assert name not in str(refused.value)
