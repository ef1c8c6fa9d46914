"""Verbs, answers and return files: every sample of Henan and Jilin, and what must be refused."""

import pytest

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects import tagged_text
from onecard_adapters.dialects.card_strings import verbs, wire
from onecard_adapters.dialects.card_strings.returns import read_returned
from onecard_adapters.dialects.card_strings.verbs import FORMS, Request, Verb
from onecard_adapters.dialects.card_strings.wire import Answer
from onecard_adapters.dialects.tagged_text import Table, TaggedText
from onecard_protocol.errors import OneCardError
from tests.support.samples import sample

_REQUESTS = {
    "ha-apply-card-req-mismatched-tag.txt": Verb.APPLY,
    "ha-collect-enable-req.txt": Verb.ENABLE,
    "ha-instant-batch-req-xml-then-csv.txt": Verb.BATCH,
    "ha-instant-return-req.txt": Verb.RETURN,
    "jl-instant-return-req.txt": Verb.RETURN,
}


def _message(name: str) -> TaggedText:
    return tagged_text.parse(sample(f"card/{name}").decode("utf-8"))


def _returned(name: str) -> Table:
    table = _message(name).table
    assert table is not None
    return table


@pytest.mark.parametrize(("name", "verb"), _REQUESTS.items())
def test_a_real_request_is_read_and_written_with_all_that_it_held(name: str, verb: Verb) -> None:
    request = verbs.read_request(_message(name))
    assert request.verb is verb
    again = verbs.read_request(verbs.request_text(request, "USER", "PASS"))
    assert {key: value for key, value in again.values.items() if key not in ("用户名", "密码")} == {
        key: value for key, value in request.values.items() if key not in ("用户名", "密码")
    }
    assert again.table == request.table


def test_answers_are_done_already_done_given_or_refused() -> None:
    assert wire.read_answer(sample("card/ha-getRysj-resp-fragment.txt").decode().encode("gb18030")).is_success
    refused = wire.read_answer("<ERR>无此人员信息</ERR>".encode("gbk"))
    assert not refused.is_success
    assert refused.err == "无此人员信息"
    assert wire.read_answer(b"<ERR>01</ERR>").is_already
    assert not wire.read_answer(b"<ERR>00</ERR>").is_already
    assert wire.read_answer("正式挂失".encode("gbk")) == Answer(word="正式挂失")
    with pytest.raises(OneCardError, match="ERR: missing"):
        wire.read_answer(b"<A>1</A>")


def test_the_samples_of_answers_are_read() -> None:
    person = wire.read_answer(sample("card/ha-getRysj-resp-fragment.txt").decode().encode("gb18030"))
    assert person.values["AAC003"] == "刘𬱖"
    progress = wire.read_answer(sample("card/ha-getZkjd-resp-fragment.txt").decode().encode("gb18030"))
    assert (progress.values["AAE008"], progress.values["ZKZT"]) == ("95580", "制卡中")
    data = wire.read_answer(sample("card/ha-instant-data-resp-fragment.txt").decode().encode("gb18030"))
    assert (data.err, data.values["社保卡号"]) == ("00", "A99000063")


def test_a_rare_character_is_read_and_not_written() -> None:
    request = verbs.read_request(_message("ha-collect-enable-req.txt"))
    with pytest.raises(OneCardError) as refused:
        wire.encode(verbs.request_text(request, "USER", "PASS"))
    assert refused.value.reason == ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER
    assert "姓名" in refused.value.detail


def test_henans_and_jilins_return_files_are_found_by_their_headers() -> None:
    (henan,) = read_returned(_returned("ha-instant-return-req.txt"))
    (jilin,) = read_returned(_returned("jl-instant-return-req.txt"))
    assert (henan.issue_day, henan.expiry_day, henan.bank, henan.bank_card_number) == ("20240315", "20340315", "", "")
    assert (jilin.issue_day, jilin.expiry_day, jilin.bank) == ("20240315", "20340315", "95588")
    assert jilin.bank_card_number == "6228480000000000000"
    assert henan.recognition_code == "419900D1560000059900000000000001"
    assert henan.is_made
    assert jilin.is_made


@pytest.mark.parametrize("name", ["ha-instant-return-req.txt", "jl-instant-return-req.txt"])
def test_any_order_of_columns_reads_the_same(name: str) -> None:
    table = _returned(name)
    turned = Table(columns=table.columns[::-1], rows=tuple(row[::-1] for row in table.rows))
    assert read_returned(turned) == read_returned(table)


def _changed(column: str, value: str) -> Table:
    table = _returned("jl-instant-return-req.txt")
    at = next(index for index, name in enumerate(table.columns) if name.startswith(column))
    (row,) = table.rows
    return Table(columns=table.columns, rows=((*row[:at], value, *row[at + 1 :]),))


def test_a_failed_line_says_where_and_why() -> None:
    (line,) = read_returned(_changed("失败环节", "银行"))
    assert not line.is_made
    (line,) = read_returned(_changed("失败原因", "开户失败"))
    assert not line.is_made


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("失败原因", "长" * 26, "more than 50 bytes"),
        ("社保卡号", "", "is missing"),
        ("卡识别码", "", "is missing"),
    ],
)
def test_a_line_that_says_neither_made_nor_failed_is_refused(column: str, value: str, problem: str) -> None:
    with pytest.raises(OneCardError, match=problem):
        read_returned(_changed(column, value))


def test_a_return_file_without_a_column_or_with_two_for_one_value_is_refused() -> None:
    table = _returned("jl-instant-return-req.txt")
    with pytest.raises(OneCardError, match="no column for 社保卡号"):
        read_returned(Table(columns=("序号", *(f"x{index}" for index in table.columns[1:])), rows=table.rows))
    both = Table(columns=(*table.columns, "制卡日期"), rows=tuple((*row, "20240315") for row in table.rows))
    with pytest.raises(OneCardError, match="two columns for 制卡日期"):
        read_returned(both)


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.verb.name)
def test_every_required_tag_is_asked_for_by_name(form: verbs.Form) -> None:
    table = Table(columns=("序号", "社保卡号"), rows=(("1", "A99000001"),)) if form.has_table else None
    values = dict.fromkeys(form.tags, "1")
    request = Request(form=form, values=values, table=table)
    assert verbs.read_request(verbs.request_text(request, "u", "p")).verb is form.verb
    for name in form.tags:
        with pytest.raises(OneCardError, match=f"{form.verb}.{name}: missing"):
            verbs.check(form, {**values, name: ""}, table)
    if form.has_table:
        with pytest.raises(OneCardError, match="lines of the table"):
            verbs.check(form, values, None)


@pytest.mark.parametrize(("name", "verb"), [("getRysj", Verb.RECORD), ("getZkjd", Verb.PROGRESS)])
def test_a_verb_is_known_by_its_name_at_another_office(name: str, verb: Verb) -> None:
    tags = "<操作*>{}</操作*><社会保障卡卡号>A99000001</社会保障卡卡号><社会保障号码>1</社会保障号码>"
    assert verbs.read_request(tagged_text.parse(tags.format(name))).verb is verb


def test_a_verb_that_is_none_is_refused() -> None:
    with pytest.raises(OneCardError) as refused:
        verbs.read_request(tagged_text.parse("<操作*>注销全部</操作*>"))
    assert refused.value.reason == ErrorReason.ERROR_REASON_UNSUPPORTED_TRADE
