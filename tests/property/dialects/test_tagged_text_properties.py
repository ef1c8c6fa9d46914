"""What is written in the tagged form is read back the same; whatever is read gives a message or a clear refusal."""

from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects import tagged_text
from onecard_adapters.dialects.tagged_text import Table, TaggedNode, TaggedText
from onecard_protocol.errors import OneCardError

_NAMES = st.sampled_from(["姓名*", "社区(村)名称", "社区（村）编号", "AAC003", "操作*", "银行 卡号"])
_TEXTS = st.text(st.sampled_from('刘𬱖0A*&>,;" \t'), max_size=12)
_LEAVES = st.builds(TaggedNode, name=_NAMES, text=_TEXTS)
_NODES = st.one_of(
    _LEAVES, st.builds(TaggedNode, name=_NAMES, children=st.lists(_LEAVES, min_size=1, max_size=4).map(tuple))
)
_CELLS = st.text(st.sampled_from("刘0A,\"' "), max_size=8)
_TABLES = st.lists(st.tuples(_CELLS, _CELLS, _CELLS), max_size=4).map(
    lambda rows: Table(columns=("序号", "社保卡号", "失败原因(50字节内)"), rows=tuple(rows))
)


@given(st.lists(_NODES, min_size=1, max_size=6).map(tuple), st.one_of(st.none(), _TABLES))
def test_a_message_comes_back_as_it_was_written(nodes: tuple[TaggedNode, ...], table: Table | None) -> None:
    message = TaggedText(nodes=nodes, table=table)
    assert tagged_text.parse(tagged_text.write(message)) == message


@given(st.text(st.sampled_from('<>/甲乙*!? \r\n,a"='), max_size=60))
def test_any_text_gives_a_message_or_a_clear_refusal(text: str) -> None:
    try:
        read = tagged_text.parse(text)
    except OneCardError as error:
        reason = error.reason
    else:
        reason = ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
        assert read.word or read.nodes or not text.strip()
    assert reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID


@given(st.text(st.sampled_from("姓名社区()（）* 　A１"), min_size=1, max_size=10))
def test_the_normal_form_of_a_name_is_its_own_normal_form(name: str) -> None:
    assert tagged_text.normal_name(tagged_text.normal_name(name)) == tagged_text.normal_name(name)
