"""Field rules read what local systems send, refuse the rest by name, and cannot be declared wrongly."""

from decimal import Decimal
from pathlib import Path

import pytest

from onecard.exchange.v1.values_pb2 import CalendarDay, PersonIdentity
from onecard.medical.v1.coverage_pb2 import Enrolment
from onecard.medical.v1.encounter_pb2 import FeeLine
from onecard.medical.v1.settlement_pb2 import SettleRequest
from onecard_adapters.mapping import fields
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import FieldMap, Rule
from onecard_protocol.errors import OneCardError

_TABLES = """
version: "1"
tables:
  insutype: {system: nhsa.insutype, system_version: "1", codes: [{national: "310"}, {national: "390"}]}
"""


@pytest.fixture
def tables(tmp_path: Path) -> CodeTables:
    path = tmp_path / "codes.yaml"
    path.write_text(_TABLES, encoding="utf-8")
    return CodeTables.load(path)


_LINE = FieldMap(
    FeeLine,
    [
        Rule(local="feedetl_sn", national="line_id", codec=fields.TEXT, is_required=True),
        Rule(local="cnt", national="quantity_e4", codec=fields.RATIO),
        Rule(local="pric", national="unit_price_e6", codec=fields.PRICE),
        Rule(local="det_item_fee_sumamt", national="amount_fen", codec=fields.YUAN, aliases=("amount",)),
        Rule(local="pric_uplmt_amt", national="price_limit_e6", codec=fields.PRICE_LIMIT),
        Rule(local="fee_ocur_time", national="day", codec=fields.DAY),
    ],
)


def test_strings_and_numbers_of_one_line_mean_the_same(tables: CodeTables) -> None:
    one, other = FeeLine(), FeeLine()
    _LINE.read(
        {"feedetl_sn": "X1", "cnt": 1, "pric": "2.00", "det_item_fee_sumamt": 2, "fee_ocur_time": "2024-03-15 09:05"},
        one, tables, "feedetail[0]",
    )  # fmt: skip
    _LINE.read(
        {"feedetl_sn": "X1", "cnt": "1.0000", "pric": Decimal("2"), "amount": "2.00", "fee_ocur_time": "20240315"},
        other, tables, "feedetail[0]",
    )  # fmt: skip
    assert one == other
    assert (one.quantity_e4, one.unit_price_e6, one.amount_fen) == (10_000, 2_000_000, 200)


def test_no_limit_travels_as_absence_and_as_the_sentinel(tables: CodeTables) -> None:
    line = FeeLine()
    _LINE.read({"feedetl_sn": "X1", "pric_uplmt_amt": Decimal("999999")}, line, tables, "line")
    assert not line.HasField("price_limit_e6")
    assert _LINE.write(line, tables, "line")["pric_uplmt_amt"] == 999_999


@pytest.mark.parametrize("absent", [None, "", "  ", "null"])
def test_a_required_field_in_any_form_of_nothing_is_missing(tables: CodeTables, absent: object) -> None:
    with pytest.raises(OneCardError, match=r"feedetail\[3\]\.feedetl_sn: missing"):
        _LINE.read({"feedetl_sn": absent}, FeeLine(), tables, "feedetail[3]")


def test_an_error_names_the_alias_under_which_the_value_stood(tables: CodeTables) -> None:
    with pytest.raises(OneCardError, match=r"line\.amount: not a decimal number"):
        _LINE.read({"feedetl_sn": "X1", "det_item_fee_sumamt": " ", "amount": "two"}, FeeLine(), tables, "line")


def test_a_required_field_that_the_message_lacks_is_not_written_as_nothing(tables: CodeTables) -> None:
    with pytest.raises(OneCardError, match="feedetl_sn: missing"):
        _LINE.write(FeeLine(), tables, "line")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2019 - 01 - 01", (2019, 1, 1)),
        ("2024-03-15 09:05:07", (2024, 3, 15)),
        ("1983-01-01 00:00:00", (1983, 1, 1)),
        ("20240315", (2024, 3, 15)),
        ("2024-3-5", (2024, 3, 5)),
        ("20240315090507", (2024, 3, 15)),
    ],
)
def test_days_are_read_in_every_form_seen(text: str, day: tuple[int, int, int]) -> None:
    assert fields.day_from(text, "brdy") == CalendarDay(year=day[0], month=day[1], day=day[2])


@pytest.mark.parametrize("text", ["2024-02-30", "202400315", "20240031", "tomorrow", "2024/03/15", "0000-01-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(OneCardError, match="brdy"):
        fields.day_from(text, "brdy")


def test_flags_and_codes_are_closed(tables: CodeTables) -> None:
    enrolment = FieldMap(
        Enrolment,
        [
            Rule(local="insutype", national="insurance_kind", codec=fields.code("insutype")),
            Rule(local="cvlserv_flag", national="is_civil_servant", codec=fields.FLAG),
        ],
    )
    with pytest.raises(OneCardError, match="a flag is 0 or 1"):
        enrolment.read({"cvlserv_flag": "Y"}, Enrolment(), tables, "insuinfo[0]")
    with pytest.raises(OneCardError, match=r"insuinfo\[1\]\.insutype"):
        enrolment.read({"insutype": "410"}, Enrolment(), tables, "insuinfo[1]")


@pytest.mark.parametrize(
    "rules",
    [
        [Rule(local="a", national="no_such_field", codec=fields.TEXT)],
        [Rule(local="a", national="line_id", codec=fields.YUAN)],
        [Rule(local="a", national="charge_class", codec=fields.DAY)],
        [Rule(local="a", national="line_id.inner", codec=fields.TEXT)],
        [Rule(local="a", national="line_id", codec=fields.TEXT)] * 2,
        [
            Rule(local="a", national="line_id", codec=fields.TEXT),
            Rule(local="b", national="item_code", codec=fields.TEXT, aliases=("a",)),
        ],
        [
            Rule(local="a", national="line_id", codec=fields.TEXT),
            Rule(local="b", national="line_id", codec=fields.TEXT),
        ],
    ],
)
def test_a_map_that_could_lose_a_field_cannot_be_declared(rules: list[Rule]) -> None:
    with pytest.raises(ValueError, match="FeeLine"):
        FieldMap(FeeLine, rules)


def test_inner_messages_are_reached_by_their_path(tables: CodeTables) -> None:
    mapped = FieldMap(
        SettleRequest,
        [
            Rule(local="medfee_sumamt", national="terms.fees.total_fen", codec=fields.YUAN),
            Rule(local="mdtrt_id", national="terms.encounter.visit_id", codec=fields.TEXT),
        ],
    )
    request = SettleRequest()
    mapped.read({"medfee_sumamt": "20000.46", "mdtrt_id": "310009900001"}, request, tables, "data")
    assert request.terms.fees.total_fen == 2_000_046
    assert mapped.write(request, tables, "data") == {"medfee_sumamt": Decimal("20000.46"), "mdtrt_id": "310009900001"}


def test_errors_never_hold_the_value(tables: CodeTables) -> None:
    person = FieldMap(PersonIdentity, [Rule(local="certno", national="number", codec=fields.TEXT)])
    with pytest.raises(OneCardError) as refused:
        person.read({"certno": ["510000199001019910"]}, PersonIdentity(), tables, "data")
    assert "510000199001019910" not in str(refused.value)
