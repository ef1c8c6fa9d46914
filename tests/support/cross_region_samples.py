"""The cross-region samples as they travel: each inner document, bytes unchanged, in the frame of a SOAP sample."""

import base64
import re
from xml.sax.saxutils import escape

from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from tests.support.samples import sample

_TRADE = re.compile(rb"(?<=<TransNo>)[0-9]+(?=</TransNo>)")
_REQUEST = {Operation.TEXT: b"Inxml", Operation.BINARY: b"inBytes"}
_ANSWER = {Operation.TEXT: b"ns:return", Operation.BINARY: b"ax23:outxml"}


def posted(name: str, trade: str, operation: Operation) -> bytes:
    """A request sample, as a hospital posts it."""
    frame = _TRADE.sub(trade.encode(), sample(f"soap/gd-{operation.value}-req.xml"))
    return _framed(frame, _REQUEST[operation], sample(name), operation)


def answered(name: str, operation: Operation) -> bytes:
    """An answer sample, as a core sends it."""
    return _framed(sample(f"soap/gd-{operation.value}-resp.xml"), _ANSWER[operation], sample(name), operation)


def _framed(frame: bytes, element: bytes, document: bytes, operation: Operation) -> bytes:
    if operation is Operation.TEXT:
        # It says GBK and is sent as UTF-8; the sister operation sends the bytes as they are.
        encoding = "gb18030" if b'encoding="GBK"' in document else "utf-8"
        inner = escape(document.decode(encoding)).encode()
    else:
        inner = base64.b64encode(document)
    pattern = b"(<" + element + b"(?: [^>]*)?>).*(</" + element + b">)"
    framed, count = re.subn(pattern, lambda found: found[1] + inner + found[2], frame)
    assert count == 1, element
    return framed
