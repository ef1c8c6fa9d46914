"""Envelopes survive their way through both operations; bytes from anywhere never break the reader."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onecard_adapters.dialects.cross_region_xml import envelope, gbk, safe_xml
from onecard_adapters.dialects.cross_region_xml.envelope import Call, Operation, Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, leaf, parent
from onecard_protocol.errors import OneCardError

_GBK_CHARACTERS = "".join(
    character
    for character in map(chr, range(0x20, 0xD800))
    if character.encode("gbk", "ignore").strip() or character == " "
)
_TEXTS = st.text(st.one_of(st.sampled_from("<>&\"'\t\n\r ]"), st.sampled_from(_GBK_CHARACTERS)), max_size=30)
_NAMES = st.sampled_from(["aac003", "aab301", "ykc700", "akc264", "yzz021"])
_LEAVES = st.builds(leaf, _NAMES, _TEXTS)
_ROWS = st.lists(
    st.lists(_LEAVES, min_size=1, max_size=4).map(lambda cells: parent("row", cells)), min_size=1, max_size=4
)
_CHILDREN = st.lists(st.one_of(_LEAVES, _ROWS.map(lambda rows: parent("detail", rows))), min_size=1, max_size=6).map(
    tuple
)


@given(st.sampled_from(Operation), st.from_regex(r"[0-9]{4}", fullmatch=True).filter(str.isascii), _CHILDREN)
def test_a_call_comes_back_as_it_was_written(operation: Operation, trade: str, children: tuple[Element, ...]) -> None:
    call = envelope.read_call(envelope.write_call(operation, trade, children))
    assert (call.operation, call.trade, call.input.children) == (operation, trade, children)


@given(
    st.sampled_from(Operation),
    st.integers(-999, 999),
    _TEXTS.map(str.strip),
    st.from_regex(r"[0-9]{22}", fullmatch=True),
    _CHILDREN,
)
def test_an_answer_comes_back_as_it_was_written(
    operation: Operation, error_code: int, message: str, transaction_id: str, children: tuple[Element, ...]
) -> None:
    output = parent("output", children) if error_code >= 0 else Element(name="output")
    result = Result(error_code=error_code, error_message=message, transaction_id=transaction_id, output=output)
    assert envelope.read_result(envelope.write_result(operation, result)) == result


@given(st.text(st.sampled_from(_GBK_CHARACTERS)))
def test_what_is_written_as_gbk_is_read_back_through_gb_18030(text: str) -> None:
    gbk.require_encodable(text, "x")
    assert text.encode("gbk").decode("gb18030") == text


@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))))
def test_bytes_from_anywhere_give_a_message_or_a_clear_refusal(data: bytes) -> None:
    for read in (envelope.read_call, envelope.read_result):
        assert _outcome(lambda read=read: read(data))  # type: ignore[misc]


@given(st.text(max_size=300))
def test_text_from_anywhere_gives_an_element_or_a_refusal_that_names_it(text: str) -> None:
    outcome = _outcome(lambda: safe_xml.parse(f"<input>{text}</input>", "input"))
    assert isinstance(outcome, Element) or outcome.startswith("input: ")


def _outcome(read: Callable[[], Element | str | Call | Result]) -> Any:
    try:
        return read()
    except OneCardError as error:
        return error.detail
