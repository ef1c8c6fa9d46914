"""Tags that are not XML, card strings and lines of CSV, in GBK, on the card office's side.

Written by itself, not shared with the adapter: two programs that meet on the wire must agree there and nowhere else.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; charset=GBK"
CARD_STRING = "卡串"

_TAG = re.compile(r"<([^<>/]+)>(.*?)</[^<>]*>", re.DOTALL)
_STRING_FIELDS = (
    "area",
    "number",
    "card",
    "code",
    "name",
    "reset",
    "version",
    "issued",
    "expires",
    "terminal",
    "device",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A message: tags by name without `*`, then lines by column, or a word alone."""

    values: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[Mapping[str, str]] = ()
    word: str = ""


def read(body: bytes) -> Text:
    """A message of the adapter, a counter or a point. Raises ValueError for what is not GBK or has uneven lines."""
    text = body.decode("gb18030")
    values, end = {}, 0
    for found in _TAG.finditer(text):
        values[_name(found[1])] = found[2].strip()
        end = found.end()
    rest = text[end:].strip("\r\n")
    if not values:
        return Text(word=rest.strip())
    rows = list(csv.reader(io.StringIO(rest))) if rest else []
    columns = [_name(column) for column in rows[0]] if rows else []
    return Text(values=values, lines=[dict(zip(columns, row, strict=True)) for row in rows[1:]])


def write(values: Mapping[str, str], lines: Sequence[Mapping[str, str]] = (), starred: Sequence[str] = ()) -> bytes:
    """A message; `starred` tags carry the `*` of "required"."""
    text = "".join(
        f"<{name}{'*' * (name in starred)}>{value}</{name}{'*' * (name in starred)}>" for name, value in values.items()
    )
    if lines:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\r\n")
        writer.writerow(lines[0])
        writer.writerows(line.values() for line in lines)
        text += "\r\n" + table.getvalue()
    return text.encode("gbk")


def write_word(word: str) -> bytes:
    """An answer without any markup."""
    return word.encode("gbk")


def card_string(**fields: str) -> str:
    """The driver string of 11 values; those that are not given are empty."""
    return "".join(f"{fields.get(name, '')}|" for name in _STRING_FIELDS)


def _name(tag: str) -> str:
    return "".join(unicodedata.normalize("NFKC", tag).split()).rstrip("*")
