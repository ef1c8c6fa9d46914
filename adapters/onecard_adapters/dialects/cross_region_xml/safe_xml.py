"""A small XML reader and writer for what local systems send: no DTD, no entities, bounded in size, depth and count.

Owns the tree and its text form; knows nothing of SOAP or trades. Names are local names: prefixes differ from system to
system and mean nothing here.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final
from xml.parsers import expat

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_protocol.errors import OneCardError
from onecard_protocol.value_class import value_class

DOCUMENT_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one document; 100 fee lines with every field filled take a tenth of it."""
DEPTH_MAX: Final = 24
ELEMENT_COUNT_MAX: Final = 20_000

_DECLARATION: Final = re.compile(r"\s*<\?xml\b[^>]{0,200}\?>")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
# XML 1.0, section 2.2: what may stand in a document at all.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("\r", "&#13;"))
"""The first one first: the others bring what it escapes."""


@value_class(frozen=True, slots=True, kw_only=True)
class Element:
    """An element with text or children; mixed content keeps both, the text joined."""

    name: str
    text: str = ""
    children: tuple["Element", ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()

    def find(self, name: str) -> "Element | None":
        """The first child of this name."""
        return next(self.find_all(name), None)

    def find_all(self, name: str) -> Iterator["Element"]:
        """The children of this name, in order."""
        return (child for child in self.children if child.name == name)

    def value(self, name: str) -> str:
        """The text of a child without surrounding blanks; an absent child is an empty one in this form."""
        child = self.find(name)
        return "" if child is None else child.text.strip()


def leaf(name: str, text: str) -> Element:
    """An element that holds text."""
    return Element(name=name, text=text)


def parent(name: str, children: Iterable[Element]) -> Element:
    """An element that holds others."""
    return Element(name=name, children=tuple(children))


def form_invalid(detail: str) -> OneCardError:
    """LOCAL_FORM_INVALID, to be raised. The detail names elements, never values."""
    return OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, detail)


def parse(text: str, what: str) -> Element:
    """The root of a document given as decoded text; a declaration, true or false, is dropped.

    Raises LOCAL_FORM_INVALID naming `what` for anything that is not well-formed, holds a DTD or passes a bound.
    """
    # The encoding is known already: the text is decoded, and the declaration of these systems may be false.
    try:
        document = _DECLARATION.sub("", text, count=1).encode("utf-8")
    except UnicodeEncodeError:
        raise form_invalid(f"{what}: holds half of a surrogate pair") from None
    if len(document) > DOCUMENT_BYTES_MAX:
        raise form_invalid(f"{what}: {len(document)} bytes, at most {DOCUMENT_BYTES_MAX} are read")
    builder = _TreeBuilder(what)
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = builder.refuse_doctype
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise form_invalid(
            f"{what}: not well-formed XML at line {error.lineno} column {error.offset}: {reason}"
        ) from None
    return builder.root()


class _TreeBuilder:
    """Expat's events to a tree, counting."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._open: list[tuple[str, tuple[tuple[str, str], ...], list[str], list[Element]]] = [("", (), [], [])]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENT_COUNT_MAX:
            raise form_invalid(f"{self._what}: more than {ELEMENT_COUNT_MAX} elements")
        if len(self._open) > DEPTH_MAX:
            raise form_invalid(f"{self._what}: elements lie more than {DEPTH_MAX} deep")
        local = tuple((_local_name(key), value) for key, value in attributes.items())
        self._open.append((_local_name(name), local, [], []))

    def end(self, _: str) -> None:
        name, attributes, texts, children = self._open.pop()
        text = "".join(texts)
        # White space between children is layout, not content.
        element = Element(
            name=name,
            text="" if children and not text.strip() else text,
            children=tuple(children),
            attributes=attributes,
        )
        self._open[-1][3].append(element)

    def characters(self, text: str) -> None:
        self._open[-1][2].append(text)

    def refuse_doctype(self, *_: object) -> None:
        raise form_invalid(f"{self._what}: document type declarations are not read")

    def root(self) -> Element:
        return self._open[0][3][0]


def _local_name(name: str) -> str:
    return name.rpartition(" ")[2]


def serialise(element: Element) -> str:
    """The text of an element, without declaration. Raises UNENCODABLE_CHARACTER for what no XML document may hold."""
    pieces: list[str] = []
    _write(element, pieces)
    return "".join(pieces)


def _write(element: Element, pieces: list[str]) -> None:
    if _NAME.fullmatch(element.name) is None:
        raise ValueError(f"{element.name!r} is no element name of this form")
    pieces.append(f"<{element.name}>")
    pieces.append(escape(element.text, element.name))
    for child in element.children:
        _write(child, pieces)
    pieces.append(f"</{element.name}>")


def escape(text: str, path: str) -> str:
    """Text as it stands inside an element. Raises UNENCODABLE_CHARACTER naming `path`."""
    wrong = _NOT_XML.search(text)
    if wrong is not None:
        raise OneCardError(
            ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER,
            f"{path}: U+{ord(wrong.group()):04X} cannot stand in an XML document",
        )
    # One replacement after the other is faster than a table: a document inside a document is escaped as a whole.
    for character, escaped in _ESCAPES:
        if character in text:
            text = text.replace(character, escaped)
    return text
