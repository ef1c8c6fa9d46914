"""The tolerant reader on every message of the card offices, and on what it must refuse."""

import contextlib
from collections.abc import Callable

import pytest

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects import tagged_text
from onecard_adapters.dialects.card_strings import wire
from onecard_adapters.dialects.card_strings.verbs import read_request
from onecard_adapters.dialects.tagged_text import Table, TaggedNode, TaggedText
from onecard_protocol.errors import OneCardError
from tests.support.samples import sample


def _read(name: str) -> TaggedText:
    return tagged_text.parse(sample(f"card/{name}").decode("utf-8"))


def test_an_application_is_read_although_a_closing_tag_has_other_brackets() -> None:
    message = _read("ha-apply-card-req-mismatched-tag.txt")
    assert message.value("操作") == "申请社保卡"
    assert message.value("姓名*") == "刘𬱖"
    # Opened with half-width brackets, closed with full-width ones, asked for with either.
    assert message.value("社区(村)名称") == message.value("社区（村）名称") == "示例社区"
    assert message.value("固定电话") == ""
    assert message.value("没有这个") is None
    assert len(message.nodes) == 51


def test_the_names_of_the_request_and_of_the_answer_are_the_same_with_and_without_stars() -> None:
    request, answer = _read("ha-apply-card-req-mismatched-tag.txt"), _read("ha-instant-data-resp-fragment.txt")
    assert request.value("国籍") is None
    assert request.value("证件类型") == answer.value("证件类型*") == "1"
    assert answer.value("ERR") == "00"
    assert answer.value("相片") == "/9j/4AAQSkZJRgABAQEAYABgAAD/2Q=="


def test_a_bare_word_is_an_answer() -> None:
    message = _read("ha-getCard-resp-bare-word.txt")
    assert message.word == "正式挂失"
    assert not message.nodes
    assert message.value("ERR") is None


def test_failure_and_success_stand_in_the_same_tag() -> None:
    assert _read("ha-getRysj-resp-error.txt").value("ERR") == "无此人员信息"
    assert _read("ha-getRysj-resp-fragment.txt").value("ERR") == "OK"


def test_several_roots_are_read_in_order() -> None:
    message = _read("ha-getRysj-resp-fragment.txt")
    assert [node.name for node in message.nodes][:3] == ["ERR", "AAB301", "AAZ500"]
    assert message.value("AAC002") == "410000********9934"
    assert _read("ha-getZkjd-resp-fragment.txt").value("ZKZT") == "制卡中"
    assert _read("ha-collect-enable-req.txt").value("社会保障卡卡号") == "A99000063"


def test_csv_after_the_tags_is_read_by_its_header() -> None:
    message = _read("ha-instant-batch-req-xml-then-csv.txt")
    assert message.value("人数") == "1"
    assert message.table is not None
    assert list(message.table.records()) == [{"序号": "1", "社会保障号码": "410000197701019934", "姓名": "刘𬱖"}]


def test_the_same_verb_of_two_provinces_is_mapped_by_column_names_not_positions() -> None:
    henan, jilin = _read("ha-instant-return-req.txt"), _read("jl-instant-return-req.txt")
    assert henan.value("操作") == jilin.value("操作") == "即制卡回盘"
    assert henan.table is not None
    assert jilin.table is not None
    (henan_row,), (jilin_row,) = henan.table.records(), jilin.table.records()
    assert (henan_row["银行卡号"], jilin_row["银行卡号"]) == ("", "6228480000000000000")
    assert (henan_row["个人帐户"], jilin_row["个人帐户"]) == ("个人帐户1", "")
    assert jilin_row["失败环节(银行/制卡)"] == ""
    assert henan.table.columns != jilin.table.columns


def test_a_document_that_happens_to_be_xml_is_read_with_its_levels() -> None:
    request, answer = _read("yinhai-C500-auth-req.xml"), _read("yinhai-C500-auth-resp.xml")
    keyword = request.value("inputxml/keyword")
    assert keyword is not None
    assert keyword.split("|")[4] == "测试童"
    assert request.value("inputxml/BussinessType") == "01"
    assert answer.value("result/code") == "1"
    assert answer.value("result/output/inst") == "0" * 32


def test_blanks_inside_tags_mean_nothing() -> None:
    message = tagged_text.parse("< 姓名 * >张三</ 姓名>\n<性别 >1< /性别>")
    assert (message.value("姓名"), message.value("性别")) == ("张三", "1")


def test_the_documented_form_of_a_terminal_is_read_although_its_tags_are_spaced() -> None:
    message = tagged_text.parse(sample("pension/auth-m-documented-spaced-tags-not-wellformed.txt").decode("utf-8"))
    assert message.value("m/AUTHEN") == "authen"
    assert message.value("m/CBDID") == message.value("m/XZRZ") == ""


def test_a_declaration_in_front_is_passed_over() -> None:
    assert tagged_text.parse('<?xml version="1.0"?>\n<ERR>OK</ERR>').value("ERR") == "OK"


def test_an_empty_tag_may_close_itself() -> None:
    assert tagged_text.parse("<AAZ500/><ERR>OK</ERR>").value("AAZ500") == ""


def test_an_angle_bracket_that_makes_no_tag_is_a_character_of_the_text() -> None:
    assert tagged_text.parse("<原因>3 < 5</原因>").value("原因") == "3 < 5"


def test_a_tag_that_stands_twice_is_not_guessed() -> None:
    message = tagged_text.parse("<指纹>1</指纹><指纹*>2</指纹*>")
    assert len(message.find_all("指纹")) == 2
    with pytest.raises(OneCardError) as caught:
        message.value("指纹")
    assert "stands 2 times" in caught.value.detail
    with pytest.raises(OneCardError, match="'指纹' stands more than once"):
        message.values()


@pytest.mark.parametrize("read", [wire.read_answer, lambda body: read_request(wire.decode(body))])
def test_all_tags_are_read_in_one_pass(read: Callable[[bytes], object], monkeypatch: pytest.MonkeyPatch) -> None:
    count, normal_name = 0, tagged_text.normal_name

    def counted(name: str) -> str:
        nonlocal count
        count += 1
        return normal_name(name)

    monkeypatch.setattr(tagged_text, "normal_name", counted)
    tags = {"ERR": "OK", "操作": "getCard", "社会保障卡卡号": "A99000080", **{f"扩展{i}": "x" for i in range(1_000)}}
    read("".join(f"<{name}*>{text}</{name}*>" for name, text in tags.items()).encode("gbk"))
    assert count < 10 * len(tags)


@pytest.mark.parametrize(
    "text",
    [
        "<AAC002 11010519491231002X></AAC002>",
        "<AAC002>1</AAC002 110105194912310023>",
        "<AAC002 １１０１０５１９４９１２３１００２３></AAC002>",
        "<AAZ500 A99000080></AAZ500>",
    ],
)
def test_a_number_inside_a_broken_tags_name_is_not_told(text: str) -> None:
    with pytest.raises(OneCardError, match=r"\*\*\*") as caught:
        tagged_text.parse(text)
    assert not any(number in caught.value.detail for number in ("19491231", "１９４９", "99000080"))
    assert text[1:7] in caught.value.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<甲>1</乙>", "'甲' is closed by '乙'"),
        ("<甲>1", "'甲' is not closed"),
        ("1</甲>", "text outside of all tags"),
        ("</甲>", "'甲' without an opening one"),
        ("<甲>1</甲>x<乙>2</乙>", "text outside of all tags before tag '乙'"),
        ("<甲>1</甲>rest of something", "no table with a header"),
        ("<甲>1</甲>\r\na,b\r\n1", "row 1 of the table has 1 cells, the header 2"),
        ("<甲>1</甲>\r\na,a\r\n1,2", "two columns"),
        ("<甲>1</甲>\r\na,b\r1,2", "the table cannot be read"),
        (f"<甲>1</甲>\r\na,b\r\n1,{'x' * 140_000}", "the table cannot be read"),
        ("<甲>" * 17, "16 deep"),
        ("<甲></甲>" * 5_001, "5000 tags"),
        ("<!DOCTYPE x><甲>1</甲>", "declarations"),
        ("x" * (4 * 1024 * 1024 + 1), "characters, at most"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(OneCardError) as caught:
        tagged_text.parse(text)
    assert caught.value.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
    assert said in caught.value.detail


@pytest.mark.timeout(30)
@pytest.mark.parametrize("around", ["{}<甲>1</甲>", "<甲>{}</甲>", "<{}甲>1</甲>", "<" + "/" * 78 + "{}<甲>1</甲>"])
def test_a_run_of_blanks_is_read_once(around: str) -> None:
    text = around.format(" " * 2_000_000)
    with contextlib.suppress(OneCardError):
        tagged_text.parse(text)


@pytest.mark.parametrize(
    "name",
    [
        "ha-collect-enable-req.txt",
        "ha-getCard-resp-bare-word.txt",
        "ha-getRysj-resp-error.txt",
        "ha-getRysj-resp-fragment.txt",
        "ha-getZkjd-resp-fragment.txt",
        "ha-instant-data-resp-fragment.txt",
        "jl-instant-return-req.txt",
        "yinhai-C500-auth-resp.xml",
    ],
)
def test_what_was_well_formed_is_written_as_it_came(name: str) -> None:
    text = sample(f"card/{name}").decode("utf-8")
    assert tagged_text.write(tagged_text.parse(text)).strip() == text.strip()


@pytest.mark.parametrize(
    "message",
    [
        TaggedText(nodes=(TaggedNode(name="甲", text="a<b"),)),
        TaggedText(nodes=(TaggedNode(name="<甲>"),)),
        TaggedText(nodes=(TaggedNode(name="/甲"),)),
        TaggedText(nodes=(TaggedNode(name=""),)),
        TaggedText(word="<甲>"),
        TaggedText(word="OK", nodes=(TaggedNode(name="甲"),)),
        TaggedText(table=Table(columns=("a", "b"), rows=())),
        TaggedText(nodes=(TaggedNode(name="甲"),), table=Table(columns=("a", "b"), rows=(("<", "1"),))),
    ],
)
def test_what_the_form_cannot_carry_is_not_written(message: TaggedText) -> None:
    with pytest.raises(OneCardError) as caught:
        tagged_text.write(message)
    assert caught.value.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
