"""Text with tags that is not XML, as card offices and terminals send it: a tolerant reader, and a writer.

Met in real messages (tests/samples/card): names with `*` and brackets, a closing tag whose brackets are full-width
where the opening ones are half-width, blanks inside tags, several roots, no markup at all but one word, and tags
followed by lines of CSV with a header. Nothing is escaped in this form: text is taken and written as it stands.

Owns the form only; which word or code is success is the business of whoever knows the sender.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.local_text import masked
from onecard_protocol.errors import OneCardError

CHARACTERS_MAX: Final = 4 * 1024 * 1024
"""Of one message; a photograph in Base64 takes most of it."""
DEPTH_MAX: Final = 16
NODE_COUNT_MAX: Final = 5_000
ROW_COUNT_MAX: Final = 20_000

# A tag holds no angle bracket; one that stands alone in a text is a character of the text.
_TAG: Final = re.compile(r"<(\s{0,9}/)?([^<>]{1,80}?)(/\s{0,9})?>")
_DECLARATION: Final = re.compile(r"<\?xml\b[^<>]*\?>")
_SHOWN_CHARACTERS_MAX: Final = 40


def normal_name(name: str) -> str:
    """The name by which tags and columns are compared: half-width, without blanks and without the `*` of "required"."""
    half_width = unicodedata.normalize("NFKC", name)
    return "".join(half_width.split()).rstrip("*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedNode:
    """A tag with text or with other tags inside."""

    name: str
    """As the opening tag has it, without blanks around."""
    text: str = ""
    children: tuple["TaggedNode", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Lines of CSV. Columns are found by their header, never by position: offices order them differently."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def records(self) -> Iterator[dict[str, str]]:
        """The rows by normal column name."""
        names = [normal_name(column) for column in self.columns]
        return (dict(zip(names, row, strict=True)) for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedText:
    """A message: a word alone, or tags in order, then possibly a table."""

    word: str = ""
    nodes: tuple[TaggedNode, ...] = ()
    table: Table | None = field(default=None)

    def find_all(self, path: str) -> list[TaggedNode]:
        """The nodes at a path such as `result/code`; names are compared in their normal form."""
        found: Sequence[TaggedNode] = self.nodes
        *parents, last = (normal_name(part) for part in path.split("/"))
        for name in parents:
            found = [child for node in found if normal_name(node.name) == name for child in node.children]
        return [node for node in found if normal_name(node.name) == last]

    def value(self, path: str) -> str | None:
        """The text at a path, without surrounding blanks; None if the tag is absent, "" if it is empty.

        Raises LOCAL_FORM_INVALID if it stands more than once: which one is meant is not guessed.
        """
        found = self.find_all(path)
        if len(found) > 1:
            raise _invalid(f"tag {_shown(path)} stands {len(found)} times")
        return found[0].text.strip() if found else None

    def values(self) -> dict[str, str]:
        """The texts of the outermost tags by normal name, without surrounding blanks.

        Raises LOCAL_FORM_INVALID if a tag stands more than once.
        """
        found: dict[str, str] = {}
        for node in self.nodes:
            name = normal_name(node.name)
            if name in found:
                raise _invalid(f"tag {_shown(name)} stands more than once")
            found[name] = node.text.strip()
        return found


def parse(text: str) -> TaggedText:
    """Read a message. Raises LOCAL_FORM_INVALID naming the tag, or the line of the table, that is wrong."""
    if len(text) > CHARACTERS_MAX:
        raise _invalid(f"{len(text)} characters, at most {CHARACTERS_MAX} are read")
    found = _DECLARATION.match(text, len(text) - len(text.lstrip()))
    body = text if found is None else text[found.end() :]
    if _TAG.search(body) is None:
        return TaggedText(word=body.strip())
    reader = _Reader()
    for tag in _TAG.finditer(body):
        reader.take(body, tag)
    rest = reader.finish(body)
    return TaggedText(nodes=tuple(reader.roots), table=_table(rest))


class _Reader:
    """Tags to nodes. An open tag takes what follows until the closing one of the same normal name."""

    def __init__(self) -> None:
        self.roots: list[TaggedNode] = []
        self._open: list[tuple[str, list[str], list[TaggedNode]]] = []
        self._end = 0
        self._count = 0

    def take(self, body: str, tag: re.Match[str]) -> None:
        before = body[self._end : tag.start()]
        self._end = tag.end()
        if self._open:
            self._open[-1][1].append(before)
        elif before.strip():
            raise _invalid(f"text outside of all tags before tag {_shown(tag[2])}")
        name = tag[2].strip()
        if name.startswith(("!", "?")):
            raise _invalid("declarations and instructions are not read")
        if tag[1]:
            self._close(name)
            return
        self._count += 1
        if self._count > NODE_COUNT_MAX:
            raise _invalid(f"more than {NODE_COUNT_MAX} tags")
        if len(self._open) >= DEPTH_MAX:
            raise _invalid(f"tags lie more than {DEPTH_MAX} deep")
        self._open.append((name, [], []))
        if tag[3]:
            self._close(name)

    def _close(self, name: str) -> None:
        if not self._open:
            raise _invalid(f"closing tag {_shown(name)} without an opening one")
        opened, texts, children = self._open.pop()
        if normal_name(opened) != normal_name(name):
            raise _invalid(f"tag {_shown(opened)} is closed by {_shown(name)}")
        text = "".join(texts)
        node = TaggedNode(name=opened, text="" if children and not text.strip() else text, children=tuple(children))
        (self._open[-1][2] if self._open else self.roots).append(node)

    def finish(self, body: str) -> str:
        """What stands after the last tag."""
        if self._open:
            raise _invalid(f"tag {_shown(self._open[-1][0])} is not closed")
        return body[self._end :]


def _table(text: str) -> Table | None:
    try:
        lines = [line for line in csv.reader(io.StringIO(text.strip("\r\n"))) if line]
    except csv.Error as error:
        raise _invalid(f"the table cannot be read: {error}") from None
    if not lines or (len(lines) == 1 and not "".join(lines[0]).strip()):
        return None
    if len(lines) > ROW_COUNT_MAX:
        raise _invalid(f"the table has more than {ROW_COUNT_MAX} lines")
    columns, *rows = (tuple(line) for line in lines)
    names = [normal_name(column) for column in columns]
    if len(columns) < 2 or not all(names):
        raise _invalid("text after the tags that is no table with a header line")
    if len(set(names)) != len(names):
        raise _invalid("two columns of the table have one name")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise _invalid(f"row {number} of the table has {len(row)} cells, the header {len(columns)}")
    return Table(columns=columns, rows=tuple(rows))


def write(message: TaggedText) -> str:
    """The text of a message; a table follows after CRLF. Raises LOCAL_FORM_INVALID for what the form cannot carry."""
    if message.word:
        if message.nodes or message.table is not None or _TAG.search(message.word):
            raise _invalid("a word stands alone and holds no tag")
        return message.word
    parts = [piece for node in message.nodes for piece in _pieces(node)]
    if message.table is not None:
        if not message.nodes:
            raise _invalid("a table follows tags")
        parts += ["\r\n", _table_text(message.table)]
    return "".join(parts)


def _pieces(node: TaggedNode) -> Iterable[str]:
    name = node.name
    tag = _TAG.fullmatch(f"<{name}>")
    if name != name.strip() or tag is None or tag[1] or tag[3] or name.startswith(("!", "?")):
        raise _invalid(f"{_shown(name)} is no tag name")
    if _TAG.search(node.text) or "<" in node.text:
        raise _invalid(f"the text of tag {_shown(name)} holds an angle bracket, which nothing escapes in this form")
    yield f"<{name}>{node.text}"
    for child in node.children:
        yield from _pieces(child)
    yield f"</{name}>"


def _table_text(table: Table) -> str:
    if any("<" in cell for row in (table.columns, *table.rows) for cell in row):
        raise _invalid("a cell of the table holds an angle bracket, which nothing escapes in this form")
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows((table.columns, *table.rows))
    return text.getvalue()


def _shown(name: str) -> str:
    # A tag that lacks its end takes what follows for its name.
    return repr(masked(name)[:_SHOWN_CHARACTERS_MAX])


def _invalid(problem: str) -> OneCardError:
    return OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, problem)
