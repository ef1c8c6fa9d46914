"""The reader and writer of XML: what a document may hold, what becomes of it, and what is refused in which words."""

import re

import pytest

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.cross_region_xml import envelope, safe_xml
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, leaf, parent
from onecard_protocol.errors import OneCardError


@pytest.mark.parametrize(
    ("document", "read"),
    [
        ("<a>x&lt;&amp;&#65;&#13;</a>", leaf("a", "x<&A\r")),
        ("<a>x<![CDATA[<b>&]]>y</a>", leaf("a", "x<b>&y")),
        ("<a>x<!-- c -->y<?pi z?>z</a>", leaf("a", "xyz")),
        ("<a>x\r\ny\rz</a>", leaf("a", "x\ny\nz")),
        ("<a> </a>", leaf("a", " ")),
        ("<a/>", leaf("a", "")),
        ('<a b="1" xml:lang="zh">x</a>', leaf("a", "x")),
        ('<p:a xmlns:p="urn:x"><b xmlns="urn:y"><p:c/></b></p:a>', parent("a", [parent("b", [leaf("c", "")])])),
        ("<a>\n  <b>x</b>\n  <b/>\n</a>", parent("a", [leaf("b", "x"), leaf("b", "")])),
        ("<a>x<b>1</b>y<c>2</c>z</a>", Element("a", "xyz", (leaf("b", "1"), leaf("c", "2")))),
        ("<a>x<b>1<c>2</c>3</b>y</a>", Element("a", "xy", (Element("b", "13", (leaf("c", "2"),)),))),
        ("<a> <b/>x </a>", Element("a", " x ", (leaf("b", ""),))),
        ("<a>" + "é" * 30_000 + "</a>", leaf("a", "é" * 30_000)),
        ('<?xml version="1.0" encoding="UTF-16"?><a>\u4e2d</a>', leaf("a", "\u4e2d")),
        ('<x:a xmlns:x="u"><名>1</名></x:a>', parent("a", [leaf("名", "1")])),
    ],
)
def test_a_document_becomes_elements(document: str, read: Element) -> None:
    assert safe_xml.parse(document, "w") == read


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("<a><p:b/></a>", "w: not well-formed XML at line 1: unbound prefix"),
        ('<a xmlns:p="x y"/>', "w: not well-formed XML at line 1: syntax error"),
        ('<a b="1" b="2"/>', "w: not well-formed XML at line 1: duplicate attribute"),
        ("<a>]]></a>", "w: not well-formed XML at line 1: not well-formed (invalid token)"),
        ("<a>\x01</a>", "w: not well-formed XML at line 1: not well-formed (invalid token)"),
        ("<a>\ufffe</a>", "w: not well-formed XML at line 1: not well-formed (invalid token)"),
        ("<a>&nbsp;</a>", "w: not well-formed XML at line 1: undefined entity"),
        ("<a/><b/>", "w: not well-formed XML at line 1: junk after document element"),
        ("<a>\n</b>", "w: not well-formed XML at line 2: mismatched tag"),
        ("", "w: not well-formed XML at line 1: no element found"),
        ("<a>\ud83d</a>", "w: holds half of a surrogate pair"),
        ("<!DOCTYPE a><a/>", "w: document type declarations are not read"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "w: document type declarations are not read"),
        # What comes first is told, whatever is wrong behind it.
        ("<!DOCTYPE a><a>", "w: document type declarations are not read"),
        ("<a>" * 25 + "<", "w: elements lie more than 24 deep"),
        ("<a>" + "<b/>" * 20_000 + "<", "w: more than 20000 elements"),
        ("<a>" + "x" * safe_xml.DOCUMENT_BYTES_MAX, "w: 2097155 bytes, at most 2097152 are read"),
    ],
)
def test_a_document_is_refused_in_these_words(document: str, said: str) -> None:
    with pytest.raises(OneCardError) as caught:
        safe_xml.parse(document, "w")
    assert caught.value.reason == ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID
    # The columns are expat's own and differ from one version to the next.
    assert re.sub(r" column \d+(?=: )", "", caught.value.detail) == said


@pytest.mark.timeout(30)
def test_a_run_of_blanks_is_read_once() -> None:
    blanks = " " * (safe_xml.DOCUMENT_BYTES_MAX - 100)
    assert safe_xml.parse(f"<a>{blanks}</a>", "w").text == blanks
    assert safe_xml.parse(f'{blanks}<?xml version="1.0"?><a/>', "w") == leaf("a", "")


def test_the_bounds_themselves_are_kept() -> None:
    element = safe_xml.parse("<a>" * 24 + "</a>" * 24, "w")
    for _ in range(23):
        (element,) = element.children
    assert element == leaf("a", "")
    assert len(safe_xml.parse("<a>" + "<b/>" * 19_999 + "</a>", "w").children) == 19_999


def test_the_first_of_children_of_one_name_is_found() -> None:
    element = parent("a", [leaf("b", " 1 "), leaf("c", "2"), leaf("b", "3")])
    assert element.find("b") == leaf("b", " 1 ")
    assert (element.value("b"), element.value("d"), element.find("d")) == ("1", "", None)
    assert [child.text for child in element.find_all("b")] == [" 1 ", "3"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("&lt;", "&amp;lt;"),
        ('<a b="c">', "&lt;a b=&quot;c&quot;&gt;"),
        ("]]>", "]]&gt;"),
        ("'\t\n\r", "'\t\n&#13;"),
        # Not printable, and yet XML: a line separator, a joiner, private use, the unassigned, beyond the first plane.
        ("\u2028\u200d\ue000\u0378\U0002cc56\x85", "\u2028\u200d\ue000\u0378\U0002cc56\x85"),
        ("陈小明 618.00", "陈小明 618.00"),
    ],
)
def test_a_text_is_escaped_and_read_back(text: str, written: str) -> None:
    assert safe_xml.serialise(leaf("a", text)) == f"<a>{written}</a>"
    assert safe_xml.parse(f"<a>{written}</a>", "w") == leaf("a", text)


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_what_no_document_may_hold_is_refused_by_name(character: str) -> None:
    with pytest.raises(OneCardError) as caught:
        safe_xml.serialise(parent("a", [leaf("b", f"x<{character}")]))
    assert caught.value.reason == ErrorReason.ERROR_REASON_UNENCODABLE_CHARACTER
    assert caught.value.detail == f"b: U+{ord(character):04X} cannot stand in an XML document"


@pytest.mark.parametrize("name", ["", "1a", "a b", "a>", "名" * 65, "a" * 65, "p:a"])
def test_another_name_is_never_written(name: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="no element name of this form"):
            safe_xml.serialise(leaf(name, ""))


@pytest.mark.parametrize("operation", Operation)
def test_what_gbk_lacks_is_told_before_anything_else_and_by_its_path(operation: Operation) -> None:
    children = (leaf("b", "\x00"), parent("c", [leaf("d", "刘𬱖")]))
    with pytest.raises(OneCardError) as caught:
        envelope.write_call(operation, "0221", children)
    assert caught.value.detail == "input.c.d: GBK has no character U+2CC56"
    with pytest.raises(OneCardError) as caught:
        envelope.write_call(operation, "0221", (leaf("1", ""), leaf("a", "\ud800")))
    assert caught.value.detail == "input.a: GBK has no character U+D800"
    with pytest.raises(OneCardError) as caught:
        envelope.write_call(operation, "0221", (leaf("a", "\x00"), leaf("1", "")))
    assert caught.value.detail == "a: U+0000 cannot stand in an XML document"
    with pytest.raises(ValueError, match="no element name"):
        envelope.write_call(operation, "0221", (leaf("1", ""),))
