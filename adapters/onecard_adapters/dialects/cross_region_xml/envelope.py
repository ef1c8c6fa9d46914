"""The envelope: SOAP 1.1 around a trade number and an inner document, in two sister operations.

`STYDJKService` carries the inner document as escaped text in a UTF-8 envelope; its declaration says GBK and is false.
`DataExchangeServiceEnc` carries Base64 of true GBK bytes, and its answer has a second status, of the transport. Both
are read; the profile says which one is written. Requests are `<input>`, answers `<result>` with errorcode, errormsg,
sign, transid and output. Samples: tests/samples/soap, tests/samples/xml-legacy.
"""

import base64
import binascii
import enum
import re
from dataclasses import field
from typing import Final, assert_never

from onecard_adapters.dialects.cross_region_xml import gbk
from onecard_adapters.dialects.cross_region_xml.safe_xml import (
    DOCUMENT_BYTES_MAX,
    Element,
    escape,
    form_invalid,
    leaf,
    parent,
    parse,
    serialise,
)
from onecard_protocol.errors import OneCardError
from onecard_protocol.value_class import value_class

CONTENT_TYPE: Final = "text/xml; charset=utf-8"

_SERVICE_NAMESPACE: Final = "http://pojo.webservice.service.example.invalid"
_TYPES_NAMESPACE: Final = "http://insurance.example.invalid/xsd"
_DECLARATION: Final = '<?xml version="1.0" encoding="GBK"?>'
_TRADE_NUMBER: Final = re.compile(r"[0-9]{4}")
_ERROR_CODE: Final = re.compile(r"[+-]?[0-9]{1,9}")
_MESSAGE_CHARACTERS_MAX: Final = 1_000


class Operation(enum.Enum):
    """The two sister operations of the service."""

    TEXT = "STYDJKService"
    BINARY = "DataExchangeServiceEnc"


_CALLS: Final = {operation.value: operation for operation in Operation}
_ANSWERS: Final = {f"{operation.value}Response": operation for operation in Operation}


@value_class(frozen=True, slots=True, kw_only=True)
class Call:
    """A request: which trade, with what."""

    operation: Operation
    trade: str
    input: Element
    inner: bytes
    """The inner document as it came (its UTF-8 text in the text operation): what a repeat is known by."""


@value_class(frozen=True, slots=True, kw_only=True)
class Result:
    """An answer. errorcode >= 0 is success; below it `error_message` says why not."""

    error_code: int
    error_message: str = ""
    transaction_id: str = ""
    output: Element = field(default_factory=lambda: Element(name="output"))

    @property
    def is_success(self) -> bool:
        """Whether the trade was carried out."""
        return self.error_code >= 0


def read_call(data: bytes) -> Call:
    """The call in an HTTP body. Raises LOCAL_FORM_INVALID naming the part that is wrong."""
    body = _soap_body(data)
    operation = _CALLS.get(body.name)
    if operation is None:
        raise form_invalid("Body: holds no operation of this service")
    trade = body.value("TransNo")
    if _TRADE_NUMBER.fullmatch(trade) is None:
        raise form_invalid("TransNo: not a trade number of four digits")
    text, inner = _inner_document(operation, body, "Inxml" if operation is Operation.TEXT else "inBytes")
    root = parse(text, "input")
    if root.name != "input":
        raise form_invalid("input: the inner document has another root")
    return Call(operation=operation, trade=trade, input=root, inner=inner)


def operation_asked(data: bytes) -> Operation:
    """The operation of a call that cannot be read, for the form of its refusal; TEXT if not even that can be told."""
    try:
        body = _soap_body(data)
    except OneCardError:
        return Operation.TEXT
    return _CALLS.get(body.name, Operation.TEXT)


def write_call(operation: Operation, trade: str, children: tuple[Element, ...]) -> bytes:
    """The HTTP body of a call. Raises UNENCODABLE_CHARACTER for what GBK cannot carry."""
    name = "Inxml" if operation is Operation.TEXT else "inBytes"
    inner = _write_inner(operation, parent("input", children))
    return _envelope(
        f'<{operation.value} xmlns="{_SERVICE_NAMESPACE}"><TransNo>{escape(trade, "TransNo")}</TransNo>'
        f"<{name}>{inner}</{name}></{operation.value}>"
    )


def read_result(data: bytes) -> Result:
    """The answer in an HTTP body. Raises LOCAL_FORM_INVALID naming the part that is wrong."""
    body = _soap_body(data)
    operation = _ANSWERS.get(body.name)
    if operation is None:
        raise form_invalid("Body: a SOAP fault" if body.name == "Fault" else "Body: holds no answer of this service")
    returned = body.find("return")
    if returned is None:
        raise form_invalid("return: missing")
    if operation is Operation.BINARY:
        status = returned.value("syscode")
        if status not in {"", "0"}:
            raise form_invalid("syscode: the transport of the local system failed")
        text, _ = _inner_document(operation, returned, "outxml")
    else:
        text = returned.text
    return _result(parse(text, "result"))


def write_result(operation: Operation, result: Result) -> bytes:
    """The HTTP body of an answer. Raises UNENCODABLE_CHARACTER for what GBK cannot carry."""
    children = [
        leaf("errorcode", str(result.error_code)),
        leaf("errormsg", result.error_message),
        leaf("sign", ""),
        leaf("transid", result.transaction_id),
    ]
    if result.is_success:
        children.append(result.output)
    inner = _write_inner(operation, parent("result", children))
    name = f"{operation.value}Response"
    match operation:
        case Operation.TEXT:
            returned = f"<ns:return>{inner}</ns:return>"
        case Operation.BINARY:
            returned = (
                f'<ns:return xmlns:ax23="{_TYPES_NAMESPACE}"><ax23:outxml>{inner}</ax23:outxml>'
                "<ax23:syscode>0</ax23:syscode></ns:return>"
            )
        case _:
            assert_never(operation)
    return _envelope(f'<ns:{name} xmlns:ns="{_SERVICE_NAMESPACE}">{returned}</ns:{name}>')


def _soap_body(data: bytes) -> Element:
    if len(data) > DOCUMENT_BYTES_MAX:
        raise form_invalid(f"Envelope: {len(data)} bytes, at most {DOCUMENT_BYTES_MAX} are read")
    root = parse(gbk.decode(data, "Envelope"), "Envelope")
    if root.name != "Envelope":
        raise form_invalid("Envelope: the document has another root")
    body = root.find("Body")
    if body is None or not body.children:
        raise form_invalid("Body: missing or empty")
    return body.children[0]


def _inner_document(operation: Operation, holder: Element, name: str) -> tuple[str, bytes]:
    element = holder.find(name)
    if element is None or not element.text.strip():
        raise form_invalid(f"{name}: missing or empty")
    match operation:
        case Operation.TEXT:
            return element.text, element.text.encode("utf-8")
        case Operation.BINARY:
            try:
                inner = base64.b64decode("".join(element.text.split()), validate=True)
            except (binascii.Error, ValueError):
                raise form_invalid(f"{name}: not Base64") from None
            return gbk.decode(inner, name), inner
        case _:
            assert_never(operation)


def _write_inner(operation: Operation, root: Element) -> str:
    try:
        document = _DECLARATION + serialise(root)
        inner = document.encode("gbk")
    except (OneCardError, ValueError):
        # The document tells only that something is wrong; the walk finds the element, which comes before other errors.
        require_encodable(root, root.name)
        raise
    match operation:
        case Operation.TEXT:
            return escape(document, root.name)
        case Operation.BINARY:
            return base64.b64encode(inner).decode("ascii")
        case _:
            assert_never(operation)


def require_encodable(element: Element, path: str) -> None:
    """Raise UNENCODABLE_CHARACTER, naming the place, if GBK cannot carry what stands in an element."""
    gbk.require_encodable(element.text, path)
    for child in element.children:
        require_encodable(child, f"{path}.{child.name}")


def _envelope(body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    ).encode()


def _result(root: Element) -> Result:
    if root.name != "result":
        raise form_invalid("result: the inner document has another root")
    code = root.value("errorcode")
    if _ERROR_CODE.fullmatch(code) is None:
        raise form_invalid("errorcode: missing or not a whole number")
    output = root.find("output")
    return Result(
        error_code=int(code),
        error_message=root.value("errormsg")[:_MESSAGE_CHARACTERS_MAX],
        transaction_id=root.value("transid"),
        output=output or Element(name="output"),
    )
