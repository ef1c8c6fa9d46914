"""Bytes of a card office: tagged text in GBK, its answers, and which of them mean done, done already, or no.

Owns ERR: "OK" for a question and "00" for a deed are done, "01" is done already, every other text is a refusal in the
office's words (domain.md 2.2). A bare word is an answer to getCard.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects import tagged_text
from onecard_adapters.dialects.cross_region_xml.gbk import is_encodable, require_encodable
from onecard_adapters.dialects.tagged_text import Table, TaggedNode, TaggedText, normal_name
from onecard_protocol.errors import OneCardError

CONTENT_TYPE: Final = "text/plain; charset=GBK"
DONE: Final = "00"
ALREADY: Final = "01"
GIVEN: Final = "OK"
ERR_TAG: Final = "ERR"

_SUCCESSES: Final = frozenset({DONE, ALREADY, GIVEN})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as received, or to be given."""

    err: str = GIVEN
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    """Tags by their normal name."""
    table: Table | None = None
    word: str = ""

    @property
    def is_success(self) -> bool:
        """Whether it was done, given, or done already."""
        return self.err in _SUCCESSES

    @property
    def is_already(self) -> bool:
        """Whether it had been done before."""
        return self.err == ALREADY


def decode(body: bytes) -> TaggedText:
    """A message. GB 18030 reads all of GBK, and the four bytes by which senders of GBK write rare characters."""
    try:
        text = body.decode("gb18030")
    except UnicodeDecodeError as error:
        raise OneCardError(
            errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"message: byte {error.start} is not GBK"
        ) from None
    return tagged_text.parse(text)


def encode(message: TaggedText) -> bytes:
    """The bytes of a message, GBK and nothing else. Raises UNENCODABLE_CHARACTER naming the tag or the column."""
    require_encodable(message.word, "word")
    for node in message.nodes:
        require_encodable(node.name, "tag")
        require_encodable(node.text, normal_name(node.name))
    if message.table is not None:
        for row in (message.table.columns, *message.table.rows):
            for column, cell in zip(message.table.columns, row, strict=True):
                require_encodable(cell, normal_name(column))
    return tagged_text.write(message).encode("gbk")


def can_carry(text: str) -> bool:
    """Whether a tag's text can be written: nothing escapes an angle bracket in this form."""
    return is_encodable(text) and "<" not in text


def read_answer(body: bytes) -> Answer:
    """An answer. Raises LOCAL_FORM_INVALID for what has neither ERR nor a word."""
    message = decode(body)
    if message.word:
        return Answer(word=message.word)
    err = message.value(ERR_TAG)
    if not err:
        raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{ERR_TAG}: missing")
    values = message.values()
    values.pop(ERR_TAG)
    return Answer(err=err, values=values, table=message.table)


def write_answer(answer: Answer) -> bytes:
    """The bytes of an answer."""
    if answer.word:
        return encode(TaggedText(word=answer.word))
    nodes = [TaggedNode(name=name, text=text) for name, text in {ERR_TAG: answer.err, **answer.values}.items()]
    return encode(TaggedText(nodes=tuple(nodes), table=answer.table))
