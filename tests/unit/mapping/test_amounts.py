"""Amounts are read from every form that local systems send, rounded half up, and never through a float."""

from decimal import Decimal

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.mapping import amounts
from onecard_protocol.errors import OneCardError


@pytest.mark.parametrize("value", ["2", "2.00", " 2.00 ", 2, Decimal(2), Decimal("2.0"), "2E0", "+2"])
def test_two_yuan_are_200_fen_however_they_are_written(value: object) -> None:
    assert amounts.fen_from_yuan(value, "medfee_sumamt") == 200


@pytest.mark.parametrize(
    ("value", "fen"), [("0.005", 1), ("0.0049", 0), ("-0.005", -1), ("-25.1", -2510), ("4.525", 453), (".5", 50)]
)
def test_fen_are_rounded_half_up_and_returns_mirror_their_originals(value: str, fen: int) -> None:
    assert amounts.fen_from_yuan(value, "amount") == fen


@pytest.mark.parametrize(
    "value",
    [
        *(2.0, True, None, "", "abc", "1,000.00", "1.2.3", "NaN", "Infinity", Decimal("NaN"), Decimal("Infinity")),
        *([], {}, "9" * 17, 10**16, Decimal("1E16"), "1E99", "1" * 5_000, "0.00000000001"),
    ],
)
def test_what_is_no_exact_number_is_refused_and_the_path_named(value: object) -> None:
    with pytest.raises(OneCardError, match=r"setlinfo\.medfee_sumamt") as refused:
        amounts.fen_from_yuan(value, "setlinfo.medfee_sumamt")
    assert refused.value.reason == errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID


def test_a_price_beyond_the_protocols_integers_is_refused() -> None:
    with pytest.raises(OneCardError, match="too large"):
        amounts.price_e6_from_yuan("9999999999999999", "pric")


@pytest.mark.parametrize("value", [999999, "999999", "999999.000000", Decimal("999999.00")])
def test_the_limit_999999_means_no_limit(value: object) -> None:
    assert amounts.limit_e6_from_yuan(value, "pric_uplmt_amt") is None


def test_no_limit_is_written_as_the_sentinel() -> None:
    assert amounts.yuan_from_limit_e6(None) == 999_999


def test_amounts_are_written_with_the_digits_that_local_systems_expect() -> None:
    assert str(amounts.yuan_from_fen(-2510)) == "-25.10"
    assert str(amounts.yuan_from_price_e6(29_500)) == "0.0295"
    assert str(amounts.yuan_from_price_e6(2_000_000)) == "2.00"
    assert str(amounts.number_from_e4(30_000)) == "3.0"
    assert str(amounts.number_from_e4(500)) == "0.05"
    assert str(amounts.yuan_from_price_e6(100_000_000_000)) == "100000.00"
