"""National values survive the form: written as elements, through the envelope, and read back the same."""

import datetime
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import example, given
from hypothesis import strategies as st

from onecard.exchange.v1.values_pb2 import CalendarDay, CodedValue
from onecard.medical.v1.coverage_pb2 import Enrolment
from onecard.medical.v1.encounter_pb2 import FeeLine
from onecard.medical.v1.filing_pb2 import Filing
from onecard.medical.v1.values_pb2 import SettlementSplit
from onecard_adapters.dialects.cross_region_xml import envelope, forms, times
from onecard_adapters.dialects.cross_region_xml.envelope import Operation, Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, parent
from onecard_adapters.dialects.cross_region_xml.split import read_split, write_split
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import FieldMap
from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.errors import OneCardError
from tests.support.sichuan import CODE_TABLES

_TABLES = CodeTables.load(CODE_TABLES)
_FEN = st.integers(0, 10**11)
_RATIOS = st.integers(0, 10_000)
_OPERATIONS = st.sampled_from(Operation)
_M = TypeVar("_M", bound=Message)


def _codes(table: str) -> st.SearchStrategy[CodedValue]:
    return st.sampled_from(sorted(_TABLES[table].by_national)).map(_TABLES[table].coded)


_DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2120, 12, 31)).map(
    lambda day: CalendarDay(year=day.year, month=day.month, day=day.day)
)


def _through(operation: Operation, children: list[Element]) -> Element:
    result = Result(error_code=0, output=parent("output", children))
    return envelope.read_result(envelope.write_result(operation, result)).output


def _again(form: FieldMap, message: _M, operation: Operation) -> _M:
    element = _through(operation, forms.leaves(form.write(message, _TABLES, "output")))
    read = type(message)()
    forms.read_into(form, element, read, _TABLES)
    return read


@st.composite
def _splits(draw: st.DrawFn, *, is_red: bool) -> SettlementSplit:
    names = "pooling civil_servant enterprise serious_illness large_amount assistance other".split()
    funds: dict[str, Any] = {f"{name}_fund_fen": draw(_FEN) for name in names}
    fund_total, hospital, account, cash = sum(funds.values()), draw(_FEN), draw(_FEN), draw(_FEN)
    total = fund_total + hospital + account + cash
    full = draw(st.integers(0, total))
    over = draw(st.integers(0, total - full))
    preceding = draw(st.integers(0, total - full - over))
    split = SettlementSplit(
        total_fen=total,
        full_self_pay_fen=full,
        over_limit_self_pay_fen=over,
        preceding_self_pay_fen=preceding,
        in_scope_fen=total - full - over - preceding,
        deductible_fen=draw(_FEN),
        pooling_ratio_e4=draw(_RATIOS),
        fund_total_fen=fund_total,
        personal_account_fen=account,
        cash_fen=cash,
        clearing_way=draw(_codes("clr_way")),
        clearing_type=draw(_codes("clr_type")),
        **funds,
    )
    if is_red:
        for field, value in split.ListFields():
            if field.name.endswith("_fen"):
                setattr(split, field.name, -value)
    else:
        split.hospital_part_fen = hospital
        split.personal_part_fen = account + cash
        split.account_balance_fen = draw(_FEN)
    return split


@given(_OPERATIONS, _splits(is_red=False))
def test_the_split_of_a_settlement_survives(operation: Operation, split: SettlementSplit) -> None:
    assert read_split(_through(operation, write_split(split, _TABLES)), _TABLES, is_red=False) == split


@given(_OPERATIONS, _splits(is_red=True))
def test_the_split_of_a_red_record_survives_with_its_absent_parts(operation: Operation, split: SettlementSplit) -> None:
    assert read_split(_through(operation, write_split(split, _TABLES)), _TABLES, is_red=True) == split


@given(
    _OPERATIONS,
    st.builds(
        FeeLine,
        line_id=st.from_regex(r"[A-Z0-9]{1,30}", fullmatch=True),
        item_name=st.sampled_from(["示例药品", "一次性使用 <导管> & 附件", ""]),
        charge_class=_codes("med_chrgitm_type"),
        charge_level=_codes("chrgitm_lv"),
        quantity_e4=st.integers(-(10**9), 10**9),
        unit_price_e6=st.integers(0, 10**12),
        amount_fen=st.integers(-(10**11), 10**11),
        self_pay_ratio_e4=_RATIOS,
        # 999999.00 and more is the sentinel of "no limit": such limits do not exist.
        price_limit_e6=st.one_of(st.none(), st.integers(0, 999_998_999_999)),
        in_scope_fen=st.integers(-(10**11), 10**11),
        day=_DAYS,
    ),
)
def test_a_fee_line_survives(operation: Operation, line: FeeLine) -> None:
    assert _again(forms.FEE_LINE, line, operation) == line


@given(
    _OPERATIONS,
    st.builds(
        Filing,
        filing_id=st.from_regex(r"[A-Z0-9]{0,30}", fullmatch=True),
        filing_type=_codes("filing_type"),
        insurance_area=st.from_regex(r"[1-6][0-9]{5}", fullmatch=True).filter(str.isascii),
        destination_area=st.from_regex(r"[1-6][0-9]{5}", fullmatch=True).filter(str.isascii),
        first_day=_DAYS,
        last_day=st.one_of(st.none(), _DAYS),
        insurance_kind=_codes("insutype"),
        channel=_codes("dcla_souc"),
    ),
)
def test_a_filing_survives(operation: Operation, filing: Filing) -> None:
    assert _again(forms.FILING, filing, operation) == filing


@given(
    _OPERATIONS,
    st.builds(
        Enrolment,
        insurance_kind=_codes("insutype"),
        status=_codes("psn_insu_stas"),
        person_class=_codes("psn_type"),
        insurance_area=st.just("510100"),
        account_balance_fen=_FEN,
        first_day=_DAYS,
        last_day=st.one_of(st.none(), _DAYS),
        is_civil_servant=st.booleans(),
    ),
)
def test_an_enrolment_survives(operation: Operation, enrolment: Enrolment) -> None:
    assert _again(forms.ENROLMENT, enrolment, operation) == enrolment


@given(st.integers(1, 4_000_000_000))
def test_a_moment_survives_to_the_second(seconds: int) -> None:
    timestamp = times.now()
    timestamp.seconds = seconds
    assert times.timestamp_from(times.text_from(timestamp), "ykc621") == timestamp


_DIGITS = st.sampled_from("0123456789０１２３９٣")
_COMPACT = st.one_of(
    st.datetimes().map(lambda moment: f"{moment.year:04d}{moment:%m%d%H%M%S}"),
    st.builds(
        "{:04d}{:02d}{:02d}{:02d}{:02d}{:02d}".format,
        st.integers(0, 2100),
        st.integers(0, 13),
        st.integers(0, 32),
        st.integers(0, 25),
        st.integers(0, 61),
        st.integers(0, 62),
    ),
    st.text(_DIGITS, min_size=14, max_size=14),
).flatmap(lambda text: st.sampled_from([text, text[:8], text[:13], text.replace("0", "０", 1), f"{text} "]))


@given(_COMPACT)
@example("00010101")
def test_a_moment_is_read_as_strptime_reads_its_digits(text: str) -> None:
    layout = {14: "%Y%m%d%H%M%S", 8: "%Y%m%d"}.get(len(text), "") if text.isdecimal() else ""
    try:
        expected = datetime.datetime.strptime(text, layout).replace(tzinfo=SHANGHAI).astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # the first eight hours of the year 1, which no message can hold
        with pytest.raises(OneCardError, match=r"ykc621: neither yyyyMMddHHmmss nor yyyyMMdd"):
            times.timestamp_from(text, "ykc621")
    else:
        assert times.timestamp_from(text, "ykc621").ToDatetime(datetime.UTC) == expected
