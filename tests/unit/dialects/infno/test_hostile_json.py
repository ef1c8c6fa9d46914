"""JSON that would take all memory, lie between characters, or talk without end: refused in words, or read past."""

import json

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import envelope, json_text
from onecard_protocol.errors import OneCardError


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"infno":"1101","msgid":1e500000000,"input":{}}', "a number is out of range"),
        (b'{"infno":"1101","msgid":"1","input":{"a":[1E-999]}}', "a number is out of range"),
        (b'{"infno":"1101","msgid":1e9999999999999999999,"input":{}}', "a number is out of range"),
        (rb'{"infno":"\ud86c","msgid":"1","input":{}}', "half of a surrogate pair"),
        (rb'{"infno":"1101","msgid":"1","input":{"a":{"\uDC56":1}}}', "half of a surrogate pair"),
    ],
)
def test_what_is_malformed_is_refused_by_name(body: bytes, said: str) -> None:
    with pytest.raises(OneCardError) as refused:
        envelope.parse_request(body)
    assert refused.value.reason == errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID
    assert said in refused.value.detail


def test_what_only_looks_so_is_read() -> None:
    body = rb'{"infno":"1101","msgid":"3E1234","input":{"name":"\ud86c\udf56","path":"\\ud800","sum":1.5e3}}'
    request = envelope.parse_request(body)
    assert request.msgid == "3E1234"
    assert (request.input["name"], request.input["path"]) == ("\U0002b356", "\\ud800")
    assert json_text.write(request.input["sum"]) == "1500"


def test_half_of_a_character_in_an_answer_to_what_was_done_is_read_past() -> None:
    answer = envelope.parse_answer(rb'{"infcode":0,"output":{"mdtrt_id":"1","psn_name":"\ud86c"}}')
    assert answer.output == {"mdtrt_id": "1", "psn_name": "\ufffd"}


@pytest.mark.parametrize("warning", [[], {}, False, "x" * 5_000])
def test_what_a_core_says_beside_its_code_changes_nothing(warning: object) -> None:
    trace = "java.lang.IllegalStateException: 不予结算 " + "at cn.hsa.Settle.run(Settle.java:1)\n" * 150
    refused = envelope.parse_answer(json.dumps({"infcode": -1, "err_msg": trace, "warn_msg": warning}).encode())
    assert (refused.code, refused.text.startswith("java.lang.IllegalStateException: 不予结算")) == ("-1", True)
    done = envelope.parse_answer(json.dumps({"infcode": 0, "warn_msg": warning, "output": {"a": "1"}}).encode())
    assert (done.code, done.output) == (envelope.SUCCESS, {"a": "1"})
