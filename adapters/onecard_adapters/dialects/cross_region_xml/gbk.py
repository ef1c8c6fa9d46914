"""Text of systems that say GBK.

What we write is GBK and nothing else: a character outside it is refused, never replaced. What we read may hold the
four-byte sequences of GB 18030, which such senders use for rare characters; GB 18030 decodes all of GBK the same way.
"""

import re
from typing import Final

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.cross_region_xml.safe_xml import form_invalid
from onecard_adapters.dialects.local_text import masked
from onecard_protocol.errors import OneCardError

_DECLARED: Final = re.compile(rb"""^\s*<\?xml\b[^>]{0,150}?\bencoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})["']""")
_GB_NAMES: Final = frozenset({"gbk", "gb2312", "gb18030", "cp936", "gb_2312-80"})
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_SUBSTITUTES: Final = frozenset("?？�")


def is_encodable(text: str) -> bool:
    """Whether GBK can carry the text."""
    try:
        text.encode("gbk")
    except UnicodeEncodeError:
        return False
    return True


def require_encodable(text: str, path: str) -> None:
    """Raise UNENCODABLE_CHARACTER, naming `path` and the code point, if GBK cannot carry the text."""
    try:
        text.encode("gbk")
    except UnicodeEncodeError as error:
        code_point = ord(text[error.start])
        raise OneCardError(
            ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER, f"{path}: GBK has no character U+{code_point:04X}"
        ) from None


def decode(data: bytes, what: str) -> str:
    """The text of a document by its declaration: GBK and its kin, or UTF-8, which is also meant by none.

    Raises LOCAL_FORM_INVALID for another encoding, or for bytes that are not of the declared one.
    """
    declared = _DECLARED.match(data)
    name = declared.group(1).decode("ascii").lower() if declared else "utf-8"
    if name in _GB_NAMES:
        codec = "gb18030"
    elif name in {"utf-8", "utf8"}:
        codec = "utf-8"
    else:
        raise form_invalid(f"{what}: encoding {masked(name)!r} is not read here")
    try:
        return data.removeprefix(_UTF8_BOM).decode(codec)
    except UnicodeDecodeError as error:
        raise form_invalid(f"{what}: byte {error.start} is not {name.upper()}") from None


def is_damaged(name: str) -> bool:
    """Whether a name holds a substitute for a character that some system lost (? or U+FFFD): no repair is possible,
    and the name is kept as received. Names are never matched, so nothing but a note follows.
    """
    return any(character in _SUBSTITUTES for character in name)
