"""What a document says of its own encoding is judged without telling it on."""

import pytest

from onecard_adapters.dialects.cross_region_xml import gbk
from onecard_protocol.errors import OneCardError


@pytest.mark.parametrize(
    ("declared", "told"),
    [("big5", "big5"), ("iso-8859-1", "iso-8859-1"), ("51000020170101997X", "***"), ("510000-2017-0101-997X", "***")],
)
def test_an_encoding_that_is_not_read_is_named_and_a_number_in_its_place_is_not(declared: str, told: str) -> None:
    with pytest.raises(OneCardError) as caught:
        gbk.decode(f'<?xml version="1.0" encoding="{declared}"?><result/>'.encode(), "result")
    assert caught.value.detail == f"result: encoding '{told}' is not read here"
