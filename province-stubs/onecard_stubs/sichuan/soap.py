"""The wire form on the local systems' side: SOAP 1.1 around escaped text that says GBK, or Base64 of true GBK.

Written by itself, not shared with the adapter: two programs that meet on the wire must agree there and nowhere else.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

TEXT_OPERATION: Final = "STYDJKService"
BINARY_OPERATION: Final = "DataExchangeServiceEnc"
CONTENT_TYPE: Final = "text/xml; charset=utf-8"

_DECLARATION: Final = '<?xml version="1.0" encoding="GBK"?>'
_NAMESPACE: Final = "http://pojo.webservice.service.example.invalid"
_DECLARED: Final = re.compile(r"^\s*<\?xml[^>]*\?>")

Row = Mapping[str, str]
Fields = Mapping[str, "str | Sequence[Row]"]
"""Elements in order; a sequence of rows is written as `<name><row>…</row></name>`."""


class SoapError(Exception):
    """The bytes are not a message of this service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request's or an answer's inner document."""

    operation: str
    trade: str
    root: ElementTree.Element

    def value(self, name: str) -> str:
        """The text of a child, empty if absent."""
        return (self.root.findtext(name) or "").strip()

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a list."""
        return [{cell.tag: (cell.text or "").strip() for cell in row} for row in self.root.findall(f"{name}/row")]


def read(data: bytes) -> Message:
    """A request, or an answer (whose trade is empty). Raises SoapError."""
    try:
        body = ElementTree.fromstring(data).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
        if body is None or len(body) != 1:
            raise SoapError("no single element in Body")
        call = body[0]
        operation = _local(call.tag).removesuffix("Response")
        inner, trade = "", ""
        for element in call.iter():
            match _local(element.tag):
                case "TransNo":
                    trade = (element.text or "").strip()
                case "Inxml" | "return" if operation == TEXT_OPERATION:
                    inner = element.text or ""
                case "inBytes" | "outxml":
                    inner = base64.b64decode(element.text or "").decode("gb18030")
        return Message(
            operation=operation, trade=trade, root=ElementTree.fromstring(_DECLARED.sub("", inner).encode("utf-8"))
        )
    except (ElementTree.ParseError, ValueError) as error:
        raise SoapError(str(error)) from error


def write_call(operation: str, trade: str, fields: Fields) -> bytes:
    """A request of a local system."""
    document = f"{_DECLARATION}<input>{_elements(fields)}</input>"
    if operation == TEXT_OPERATION:
        inner = f"<Inxml>{escape(document)}</Inxml>"
    else:
        inner = f"<inBytes>{base64.b64encode(document.encode('gb18030')).decode()}</inBytes>"
    return _envelope(f'<{operation} xmlns="{_NAMESPACE}"><TransNo>{trade}</TransNo>{inner}</{operation}>').encode()


def write_answer(
    operation: str,
    *,
    error_code: str,
    error_message: str = "",
    transid: str = "",
    output: Fields | None = None,
    is_wrongly_encoded: bool = False,
) -> bytes:
    """An answer; without output it is a failure's. Wrongly encoded, its bytes are of another encoding than they say."""
    head = f"<errorcode>{error_code}</errorcode><errormsg>{escape(error_message)}</errormsg><sign/>"
    tail = "" if output is None else f"<output>{_elements(output)}</output>"
    document = f"{_DECLARATION}<result>{head}<transid>{transid}</transid>{tail}</result>"
    if operation == TEXT_OPERATION:
        answer = _envelope(
            f'<ns:{operation}Response xmlns:ns="{_NAMESPACE}"><ns:return>{escape(document)}</ns:return>'
            f"</ns:{operation}Response>"
        )
        return answer.encode("gb18030" if is_wrongly_encoded else "utf-8")
    inner = base64.b64encode(document.encode("utf-16" if is_wrongly_encoded else "gb18030")).decode()
    return _envelope(
        f'<ns:{operation}Response xmlns:ns="{_NAMESPACE}"><ns:return xmlns:ax23="http://insurance.example.invalid/xsd">'
        f"<ax23:outxml>{inner}</ax23:outxml><ax23:syscode>0</ax23:syscode></ns:return></ns:{operation}Response>"
    ).encode()


def _elements(fields: Fields) -> str:
    return "".join(_element(name, content) for name, content in fields.items())


def _element(name: str, content: str | Sequence[Row]) -> str:
    if isinstance(content, str):
        return f"<{name}>{escape(content)}</{name}>"
    return f"<{name}>{''.join(_row(row.items()) for row in content)}</{name}>"


def _row(cells: Iterable[tuple[str, str]]) -> str:
    return f"<row>{''.join(f'<{name}>{escape(text)}</{name}>' for name, text in cells)}</row>"


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
