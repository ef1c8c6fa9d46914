"""A small XML reader and writer for what local systems send: no DTD, no entities, bounded in size, depth and count.

Owns the tree and its text form; knows nothing of SOAP or trades. Names are local names: prefixes differ from system to
system and mean nothing here.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final
from xml.parsers import expat

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.local_text import masked
from onecard_protocol.errors import OneCardError
from onecard_protocol.value_class import value_class

DOCUMENT_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one document; 100 fee lines with every field filled take a tenth of it."""
DEPTH_MAX: Final = 24
ELEMENT_COUNT_MAX: Final = 20_000

_DECLARATION: Final = re.compile(r"<\?xml\b[^>]{0,200}\?>")
# Letters of any script: local systems name elements in Chinese too.
_NAME: Final = re.compile(r"[^\W\d][\w.-]{0,63}")
# XML 1.0, section 2.2: what may stand in a document at all.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@value_class(frozen=True, slots=True)
class Element:
    """An element with text or children; mixed content keeps both, the text joined. Attributes mean nothing here."""

    name: str
    text: str = ""
    children: tuple["Element", ...] = ()

    def find(self, name: str) -> "Element | None":
        """The first child of this name."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def find_all(self, name: str) -> Iterator["Element"]:
        """The children of this name, in order."""
        return (child for child in self.children if child.name == name)

    def value(self, name: str) -> str:
        """The text of a child without surrounding blanks; an absent child is an empty one in this form."""
        child = self.find(name)
        return "" if child is None else child.text.strip()


def leaf(name: str, text: str) -> Element:
    """An element that holds text."""
    return Element(name, text)


def parent(name: str, children: Iterable[Element]) -> Element:
    """An element that holds others."""
    return Element(name, "", tuple(children))


def form_invalid(detail: str) -> OneCardError:
    """LOCAL_FORM_INVALID, to be raised. The detail names elements, never values."""
    return OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, detail)


def parse(text: str, what: str) -> Element:
    """The root of a document given as decoded text; a declaration, true or false, is dropped.

    Raises LOCAL_FORM_INVALID naming `what` for anything that is not well-formed, holds a DTD or passes a bound.
    """
    # The encoding is known already: the text is decoded, and the declaration of these systems may be false.
    try:
        # It stands first or nowhere, and is not searched for: that takes the square of a run of blanks.
        found = _DECLARATION.match(text, len(text) - len(text.lstrip()))
        document = (text if found is None else text[found.end() :]).encode("utf-8")
    except UnicodeEncodeError:
        raise form_invalid(f"{what}: holds half of a surrogate pair") from None
    if len(document) > DOCUMENT_BYTES_MAX:
        raise form_invalid(f"{what}: {len(document)} bytes, at most {DOCUMENT_BYTES_MAX} are read")
    try:
        return _tree(document, what)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise form_invalid(
            f"{what}: not well-formed XML at line {error.lineno} column {error.offset}: {reason}"
        ) from None


def _tree(document: bytes, what: str) -> Element:
    """Expat's events to a tree, counting. Functions over variables: a class costs a look-up at each of its events."""
    count = 0
    # What is kept of each open element: its children and the pieces of its text. Here those of the innermost one.
    children: list[Element] = []
    texts: list[str] = []
    outer: list[tuple[list[Element], list[str]]] = []

    def start(_name: str, _attributes: object) -> None:
        nonlocal count, children, texts
        count += 1
        if count > ELEMENT_COUNT_MAX:
            raise form_invalid(f"{what}: more than {ELEMENT_COUNT_MAX} elements")
        if len(outer) >= DEPTH_MAX:
            raise form_invalid(f"{what}: elements lie more than {DEPTH_MAX} deep")
        outer.append((children, texts))
        children = []
        texts = []

    def end(name: str) -> None:
        nonlocal children, texts
        text = "".join(texts)
        # White space between children is layout, not content.
        if children and not text.strip():
            text = ""
        element = Element(name.rpartition(" ")[2] if " " in name else name, text, tuple(children))
        children, texts = outer.pop()
        children.append(element)

    def characters(text: str) -> None:
        texts.append(text)

    def refuse_doctype(*_: object) -> None:
        raise form_invalid(f"{what}: document type declarations are not read")

    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.Parse(document, True)
    return children[0]


def serialise(element: Element) -> str:
    """The text of an element, without declaration. Raises UNENCODABLE_CHARACTER for what no XML document may hold."""
    pieces: list[str] = []
    _write(element, pieces)
    return "".join(pieces)


def _write(element: Element, pieces: list[str]) -> None:
    name = element.name
    _require_name(name)
    pieces.append(f"<{name}>{escape(element.text, name)}")
    for child in element.children:
        _write(child, pieces)
    pieces.append(f"</{name}>")


# The forms have some hundred names, and each is written again and again.
@functools.lru_cache(maxsize=1_024)
def _require_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no element name of this form")
    name.encode("gbk")


def require_names(element: Element, path: str) -> None:
    """Raise LOCAL_FORM_INVALID, naming the place, where a name inside an element could not be written again."""
    for number, child in enumerate(element.children, 1):
        try:
            _require_name(child.name)
        except ValueError:
            # The name itself may be anything: it is not told. Those around it may be numbers.
            raise form_invalid(f"{masked(path)}: the name of element {number} in it is none of this form") from None
        require_names(child, f"{path}.{child.name}")


def writable(text: str) -> str:
    """A text for a person without what may not stand in a document."""
    return _NOT_XML.sub("", text)


def escape(text: str, path: str) -> str:
    """Text as it stands inside an element. Raises UNENCODABLE_CHARACTER naming `path`."""
    # What is printable may stand in a document, and is told in a third of the time.
    wrong = None if text.isprintable() else _NOT_XML.search(text)
    if wrong is not None:
        raise OneCardError(
            ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER,
            f"{path}: U+{ord(wrong.group()):04X} cannot stand in an XML document",
        )
    # The first one first: the others bring what it escapes. One after the other is faster than a table or a loop.
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if '"' in text:
        text = text.replace('"', "&quot;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text
