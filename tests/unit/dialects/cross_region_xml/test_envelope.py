"""The envelope on the samples, in both operations, and against hostile and broken documents."""

import base64

import pytest

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.cross_region_xml import envelope, gbk, safe_xml
from onecard_adapters.dialects.cross_region_xml.envelope import Operation, Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, leaf, parent
from onecard_protocol.errors import OneCardError
from tests.support.samples import sample

SOAP = '<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
END = "</s:Body></s:Envelope>"


def _call(inner: str, trade: str = "0211") -> bytes:
    escaped = inner.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f'{SOAP}<STYDJKService xmlns="http://x.invalid"><TransNo>{trade}</TransNo><Inxml>{escaped}</Inxml>'
        f"</STYDJKService>{END}"
    ).encode()


def _binary_call(inner: bytes) -> bytes:
    return (
        f'{SOAP}<DataExchangeServiceEnc xmlns="http://x.invalid"><TransNo>0211</TransNo>'
        f"<inBytes>{base64.b64encode(inner).decode()}</inBytes></DataExchangeServiceEnc>{END}"
    ).encode()


def test_the_text_operations_sample_is_read_although_its_inner_declaration_is_false() -> None:
    call = envelope.read_call(sample("soap/gd-STYDJKService-req.xml"))
    assert (call.operation, call.trade) == (Operation.TEXT, "0211")
    assert call.input.value("aab301") == "441400"
    assert call.input.value("yab060") == ""
    assert call.input.value("ake007") == "20240302"
    assert b'encoding="GBK"' in call.inner


def test_the_binary_operations_sample_is_read_as_the_same_call() -> None:
    text = envelope.read_call(sample("soap/gd-STYDJKService-req.xml"))
    binary = envelope.read_call(sample("soap/gd-DataExchangeServiceEnc-req.xml"))
    assert binary.operation is Operation.BINARY
    assert (binary.trade, binary.input) == (text.trade, text.input)


@pytest.mark.parametrize("name", ["gd-STYDJKService-resp.xml", "gd-DataExchangeServiceEnc-resp.xml"])
def test_the_answers_of_both_operations_are_read_as_the_same_result(name: str) -> None:
    result = envelope.read_result(sample(f"soap/{name}"))
    assert result.is_success
    assert result.transaction_id == "4408002403020000990001"
    assert result.output.value("aac003") == "陈小明"


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    ("name", "error_code", "is_success"),
    [
        ("gd-0211-identify-resp.xml", 0, True),
        ("gd-0304-settle-resp.xml", 1, True),
        ("gd-0304-settle-resp-failed.xml", -1, False),
    ],
)
def test_success_is_any_errorcode_from_zero_up(
    operation: Operation, name: str, error_code: int, is_success: bool
) -> None:
    root = safe_xml.parse(gbk.decode(sample(f"xml-legacy/{name}"), "result"), "result")
    output = root.find("output")
    result = Result(
        error_code=int(root.value("errorcode")),
        error_message=root.value("errormsg"),
        transaction_id=root.value("transid"),
        output=output or Element(name="output"),
    )
    again = envelope.read_result(envelope.write_result(operation, result))
    assert again == result
    assert (again.error_code, again.is_success) == (error_code, is_success)


@pytest.mark.parametrize(
    "name",
    [
        "gd-0211-identify-req.xml",
        "gd-0302-undo-all-details-req.xml",
        "gd-0304-settle-req.xml",
        "gd-0707-query-details-req.xml",
    ],
)
def test_every_inner_request_of_the_samples_passes_through_both_operations(name: str) -> None:
    data = sample(f"xml-legacy/{name}")
    from_text = envelope.read_call(_call(data.decode("gbk")))
    from_binary = envelope.read_call(_binary_call(data))
    assert from_text.input == from_binary.input
    assert from_binary.inner == data
    for operation in Operation:
        again = envelope.read_call(envelope.write_call(operation, "0304", from_text.input.children))
        assert again.input == from_text.input


def test_rows_stay_rows_even_when_there_is_one() -> None:
    root = safe_xml.parse(gbk.decode(sample("xml-legacy/gd-pp-bizh200102-req.xml"), "pp"), "pp")
    detail = root.find("detail")
    assert detail is not None
    assert [row.value("yzy201") for row in detail.find_all("row")] == ["1", "1"]


def test_a_rare_character_is_read_from_the_four_byte_sequence_of_a_sender_that_says_gbk() -> None:
    inner = b'<?xml version="1.0" encoding="GBK"?><input><aac003>' + bytes.fromhex("82328d37") + b"</aac003>"
    call = envelope.read_call(_binary_call(inner + b"</input>"))
    assert call.input.value("aac003") == "㼆"


@pytest.mark.parametrize("operation", Operation)
def test_a_rare_character_is_never_written_and_never_replaced(operation: Operation) -> None:
    rows = parent("detail", [parent("row", [leaf("aac003", "刘𬱖")])])
    with pytest.raises(OneCardError) as caught:
        envelope.write_call(operation, "0221", (rows,))
    assert caught.value.reason == ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER
    assert caught.value.detail == "input.detail.row.aac003: GBK has no character U+2CC56"


def test_a_control_character_is_refused_in_writing() -> None:
    with pytest.raises(OneCardError) as caught:
        envelope.write_call(Operation.TEXT, "0221", (leaf("aae013", "a\x00b"),))
    assert caught.value.reason == ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER


def test_a_name_with_a_substitute_character_is_noted_and_kept() -> None:
    root = safe_xml.parse(gbk.decode(sample("xml-legacy/gd-0211-identify-resp.xml"), "result"), "result")
    output = root.find("output")
    assert output is not None
    name = output.value("aac003")
    assert name == "陈?"
    assert gbk.is_damaged(name)
    assert gbk.is_damaged("陈\ufffd明")
    assert not gbk.is_damaged("陈小明")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><input><aac003>&b;</aac003></input>'
FILE_ENTITY = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><input><aac003>&a;</aac003></input>'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_call(LAUGHS), "document type"),
        (_call(FILE_ENTITY), "document type"),
        (_call('<!DOCTYPE input SYSTEM "http://example.invalid/x.dtd"><input/>'), "document type"),
        (_call("<input>" + "<a>" * 40 + "</a>" * 40 + "</input>"), "24 deep"),
        (_call("<input>" + "<a/>" * 20_001 + "</input>"), "20000 elements"),
        (_call("<input>&nbsp;</input>"), "not well-formed"),
        (_call("<input><aac003></input>"), "not well-formed"),
        (_call("<pp/>"), "another root"),
        (_call(""), "Inxml: missing or empty"),
        (_call("<input/>", trade="02 11"), "TransNo"),
        (b"not xml", "not well-formed"),
        (b"", "not well-formed"),
        (b"\xff\xfe<\x00", "byte 0 is not UTF-8"),
        (SOAP.encode() + END.encode(), "Body: missing or empty"),
        (f"{SOAP}<Other/>{END}".encode(), "no operation"),
        (b"<input/>", "another root"),
        (b'<?xml version="1.0" encoding="UTF-7"?><a/>', "'utf-7' is not read"),
        (_binary_call(b'<?xml version="1.0" encoding="GBK"?><input>\xff</input>'), "is not GBK"),
        (_binary_call(b"<input>\xb3\xc2</input>"), "is not UTF-8"),
        (_binary_call(b"x").replace(b"eA==", b"!!!!"), "not Base64"),
        (b'<?xml version="1.0"?>' + b" " * (3 * 1024 * 1024), "at most"),
    ],
)
def test_a_broken_or_hostile_request_is_refused_by_name(body: bytes, said: str) -> None:
    with pytest.raises(OneCardError) as caught:
        envelope.read_call(body)
    assert caught.value.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
    assert said in caught.value.detail


def _text_answer(inner: str) -> bytes:
    escaped = inner.replace("<", "&lt;")
    return f"{SOAP}<STYDJKServiceResponse><return>{escaped}</return></STYDJKServiceResponse>{END}".encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"{SOAP}<s:Fault><faultstring>boom</faultstring></s:Fault>{END}".encode(), "SOAP fault"),
        (f"{SOAP}<STYDJKServiceResponse/>{END}".encode(), "return: missing"),
        (_text_answer(""), "not well-formed"),
        (_text_answer("<input/>"), "another root"),
        (_text_answer("<result><errorcode>OK</errorcode></result>"), "errorcode"),
        (_text_answer("<result/>"), "errorcode"),
        (sample("soap/gd-DataExchangeServiceEnc-resp.xml").replace(b"syscode>0<", b"syscode>-9<"), "syscode"),
        (sample("soap/gd-DataExchangeServiceEnc-req.xml"), "no answer"),
    ],
)
def test_an_answer_that_is_none_is_refused_by_name(body: bytes, said: str) -> None:
    with pytest.raises(OneCardError) as caught:
        envelope.read_result(body)
    assert caught.value.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
    assert said in caught.value.detail


def test_an_envelope_that_is_gbk_throughout_is_read_by_its_declaration() -> None:
    body = _call("<input><aac003>陈小明</aac003></input>").decode().replace('encoding="utf-8"', 'encoding="GB2312"')
    assert envelope.read_call(body.encode("gbk")).input.value("aac003") == "陈小明"
