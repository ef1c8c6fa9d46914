"""Envelopes survive their own writing and reading, and hostile bytes meet a reason, never another exception."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import envelope, json_text
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
_HEAD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=12).filter(lambda text: text != "null")


@given(_OBJECT)
def test_json_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assert json_text.parse_object(json_text.write(value).encode()) == value


@given(_DECIMAL)
def test_decimals_keep_their_digits(number: Decimal) -> None:
    read = json_text.parse_object(json_text.write({"n": number}).encode())["n"]
    assert (str(read), type(read)) == (format(number, "f"), Decimal)


def test_a_float_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="float"):
        json_text.write({"n": 0.1})


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
def test_local_times_survive_to_the_second(time_ms: int) -> None:
    assert envelope.time_ms_of(envelope.clock_time(time_ms), "setl_time") == time_ms // 1_000 * 1_000


def test_numbers_of_answers_have_the_published_length_and_do_not_repeat() -> None:
    references = envelope.ReferenceNumbers("440000")
    told = {references.next(1_710_464_707_293) for _ in range(1_000)}
    assert len(told) == 1_000
    assert {len(number) for number in told} == {30}
