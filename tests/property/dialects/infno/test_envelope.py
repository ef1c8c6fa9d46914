"""Envelopes survive their own writing and reading, and hostile bytes meet a reason, never another exception."""

import enum
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from json.encoder import py_encode_basestring
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import envelope, json_text
from onecard_adapters.mapping.fields import is_absent, text_from
from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.sm3 import sm3

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_DECIMAL = st.decimals(-(10**12), 10**12, places=4, allow_nan=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | _DECIMAL | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_OBJECT = st.dictionaries(_TEXT, _JSON, max_size=5)


class _Text(str):
    __slots__ = ()


class _Number(Decimal):
    __slots__ = ()


class _Named(dict[str, Any]):
    pass


class _Count(int):
    def __str__(self) -> str:
        return f"{int(self):d}"


class _State(enum.IntEnum):
    OPEN = 7


_ANY_DECIMAL = _DECIMAL | st.sampled_from([Decimal("1E+3"), Decimal("1E-9"), Decimal("-0.00"), Decimal("0E+2")])
_UNUSUAL = st.recursive(
    st.sampled_from([None, True, False, _State.OPEN, "", '\x00\x1f"\\/\x7f', "张三\u2028"])
    | st.integers().map(_Count)
    | st.integers()
    | _ANY_DECIMAL
    | _ANY_DECIMAL.map(_Number)
    | _TEXT
    | _TEXT.map(_Text),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(_TEXT | _TEXT.map(_Text), inner, max_size=4)
        | st.dictionaries(_TEXT, inner, max_size=3).map(_Named)
        | st.dictionaries(_TEXT, inner, max_size=3).map(json_text.Written)
        | st.dictionaries(_TEXT, inner, max_size=3).map(types.MappingProxyType)
    ),
    max_leaves=12,
)
_HEAD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=12).filter(lambda text: text != "null")


@given(_OBJECT)
def test_json_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assert json_text.parse_object(json_text.write(value).encode()) == value


def _plainly(value: object) -> str:
    """JSON by the rule alone."""
    match value:
        case str():
            return py_encode_basestring(value)
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int():
            return f"{int(value)}"
        case Decimal():
            return f"{value:f}"
        case Mapping():
            return f"{{{','.join(f'{_plainly(name)}:{_plainly(inner)}' for name, inner in value.items())}}}"
        case list() | tuple():
            return f"[{','.join(_plainly(inner) for inner in value)}]"
        case _:
            raise AssertionError(value)


@given(_UNUSUAL)
def test_every_kind_of_value_is_written_by_the_same_rule(value: object) -> None:
    assert json_text.write(value) == _plainly(value)


@given(_OBJECT)
def test_an_object_written_before_is_written_as_it_was(value: dict[str, Any]) -> None:
    written = json_text.Written(value)
    assert written == value
    assert json_text.write({"output": written}) == json_text.write({"output": value})


@given(_DECIMAL)
def test_decimals_keep_their_digits(number: Decimal) -> None:
    read = json_text.parse_object(json_text.write({"n": number}).encode())["n"]
    assert (str(read), type(read)) == (format(number, "f"), Decimal)


def test_a_float_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="float"):
        json_text.write({"n": 0.1})


def test_a_second_byte_order_mark_is_told() -> None:
    with pytest.raises(OneCardError, match=r"character 0\): Unexpected UTF-8 BOM"):
        json_text.parse_object("\ufeff\ufeff{}".encode())
    assert json_text.parse_object("\ufeff{}".encode()) == {}


_BLANK = st.text(" \t\u3000", max_size=3)
_HEAD_VALUE = (
    st.builds("{}{}{}".format, _BLANK, st.sampled_from(["", "null", "1", "a" * 6, "a" * 12]), _BLANK)
    | st.text("a ", max_size=130)
    | st.integers(0, 10**32)
    | st.sampled_from(["a" * 4_000, "a" * 4_001, " " * 4_001, None, Decimal("1.50")])
)


@given(st.sampled_from(["msgid", "infver", "sign_no", "insuplc_admdvs", "opter"]), _HEAD_VALUE)
def test_a_head_field_is_its_text_without_blanks_up_to_the_published_length(name: str, value: Any) -> None:
    length = {"msgid": 30, "sign_no": 30, "insuplc_admdvs": 6}.get(name, 4_000)

    def plainly() -> str:
        text = "" if is_absent(value) else text_from(value, name).strip()
        return f"{name}: longer than {length} characters" if len(text) > length else text

    body = json_text.write({"infno": "1101", "msgid": "m", name: value}).encode()
    expected = _told(plainly) or ("msgid: missing" if name == "msgid" else "")
    assert _told(lambda: envelope.parse_request(body).head[name]) == expected


def _told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except OneCardError as error:
        return error.detail


@given(
    st.fixed_dictionaries(
        {"infno": st.sampled_from(["1101", "2304", "5203"]), "msgid": st.from_regex(r"[0-9A-Z]{1,30}", fullmatch=True)},
        optional={"opter": _HEAD, "opter_name": _HEAD, "sign_no": _HEAD, "fixmedins_code": _HEAD},
    ),
    _OBJECT,
)
def test_requests_are_read_as_they_were_built(head: dict[str, str], content: dict[str, Any]) -> None:
    body = envelope.build_request(head, content)
    request = envelope.parse_request(body)
    assert {name: request.head[name] for name in head} == head
    assert request.input == content
    assert request.digest == sm3(body)


@given(st.sampled_from(["0", "-1", "-2"]), _HEAD, _OBJECT)
def test_answers_are_read_as_they_were_built(code: str, text: str, output: dict[str, Any]) -> None:
    body = envelope.build_answer(
        code=code, text=text, output=output, refmsgid="44", asked_ms=1_710_464_707_293, now_ms=1_710_464_707_303
    )
    answer = envelope.parse_answer(body)
    assert (answer.code, answer.text, answer.output) == (code, text, output)
    assert answer.is_success is (code == "0")
    assert answer.head["refmsg_time"] == "20240315090507293"


@given(st.binary(max_size=200) | _JSON.map(lambda value: json_text.write(value).encode()))
def test_any_bytes_are_read_or_refused_with_a_reason(body: bytes) -> None:
    for parse in (envelope.parse_request, envelope.parse_answer):
        assert _reason_of(parse, body) in (None, errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID)


def _reason_of(parse: Callable[[bytes], object], body: bytes) -> int | None:
    try:
        parse(body)
    except OneCardError as error:
        return error.reason
    return None


@given(st.integers(0, 4_102_444_800_000))
def test_times_are_written_as_the_clock_shows_them_in_china(time_ms: int) -> None:
    shown = datetime.fromtimestamp(time_ms / 1_000, SHANGHAI)
    assert envelope.clock_time(time_ms) == f"{shown:%Y-%m-%d %H:%M:%S}"
    assert envelope.compact_time(time_ms) == f"{shown:%Y%m%d%H%M%S}{time_ms % 1_000:03d}"


@given(st.integers(0, 4_102_444_800_000))
def test_local_times_survive_to_the_second(time_ms: int) -> None:
    assert envelope.time_ms_of(envelope.clock_time(time_ms), "setl_time") == time_ms // 1_000 * 1_000


def test_the_first_hours_of_the_year_1_are_no_time_that_a_message_can_hold() -> None:
    with pytest.raises(OneCardError, match=r"setl_time: not a time"):
        envelope.time_ms_of("0001-01-01 07:59:59", "setl_time")
    assert envelope.time_ms_of("0001-01-01 08:00:00", "setl_time") == -62_135_596_800_000


def test_numbers_of_answers_have_the_published_length_and_do_not_repeat() -> None:
    references = envelope.ReferenceNumbers("440000")
    told = {references.next(1_710_464_707_293) for _ in range(1_000)}
    assert len(told) == 1_000
    assert {len(number) for number in told} == {30}
