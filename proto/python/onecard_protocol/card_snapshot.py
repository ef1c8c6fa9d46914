"""The file of a province's cards: a line that says whose and how many, the cards, a line that seals them.

Pure: reads and writes streams of bytes that others open. The form, in this order:

- ``onecard-cards 1 cn-11 5000000`` and a line feed: format, version, province, number of cards;
- each card as its length in 4 bytes (big-endian, not 0) and a serialised `SnapshotCard`;
- four zero bytes, then ``end 5000000 <SM3>`` and a line feed, the end of the file. SM3, in 64 hex digits, is of all
  bytes before the zero bytes, the first line included.

A file that is cut off, longer, or other than its digest is SNAPSHOT_INVALID, which is only known at its end: what was
read before must not be taken until then.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import PROVINCES
from onecard_protocol.signatures.sm3 import started_sm3

CARD_BYTES_MAX: Final = 32_768
BLOCK_BYTES: Final = 1 << 21
_LINE_BYTES_MAX: Final = 128
_FIRST_LINE: Final = re.compile(rb"onecard-cards 1 (cn-\d\d) (\d{1,12})\n")
_LAST_LINE: Final = re.compile(rb"end (\d{1,12}) ([0-9a-f]{64})\n")
_LENGTH: Final = struct.Struct(">I")
_END: Final = bytes(4)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHeader:
    """What the first line says."""

    province: str
    card_count: int


def write_snapshot(stream: BinaryIO, province: str, card_count: int, cards: Iterable[bytes]) -> None:
    """Write so many serialised cards. Raises ValueError if there are more, fewer, or one too large."""
    digest = started_sm3()

    def put(data: bytes) -> None:
        digest.update(data)
        stream.write(data)

    put(f"onecard-cards 1 {province} {card_count}\n".encode())
    count = 0
    for count, card in enumerate(cards, 1):
        if not 0 < len(card) <= CARD_BYTES_MAX:
            raise ValueError(f"card {count} has {len(card)} bytes")
        put(_LENGTH.pack(len(card)) + card)
    if count != card_count:
        raise ValueError(f"{count} cards came, {card_count} were promised")
    stream.write(_END + f"end {count} {digest.digest().hex()}\n".encode())


class SnapshotReader:
    """Reads a snapshot once, from its beginning."""

    def __init__(self, stream: BinaryIO, *, block_bytes: int = BLOCK_BYTES) -> None:
        """Reads the first line; of the rest so many bytes at once. Raises OneCardError SNAPSHOT_INVALID."""
        self._stream = stream
        self._block_bytes = block_bytes
        self._digest = started_sm3()
        line = stream.readline(_LINE_BYTES_MAX)
        found = _FIRST_LINE.fullmatch(line)
        if found is None or found[1].decode() not in PROVINCES:
            raise _invalid("its first line is not that of a snapshot of a province's cards")
        self._digest.update(line)
        self.header = SnapshotHeader(province=found[1].decode(), card_count=int(found[2]))

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Many cards at once as they stand in the file, each behind its length (`cards_of`), and the first one's place.

        The first place is 1. Only when the last block was given without an error are the cards what was written.
        Raises OneCardError SNAPSHOT_INVALID.
        """
        unpack, count, data = _LENGTH.unpack_from, 0, b""
        while True:
            more = self._stream.read(self._block_bytes)
            if not more:
                raise _invalid(f"it is cut off behind card {count}")
            data += more
            at, last, first = 0, len(data) - _LENGTH.size, count + 1
            is_end = False
            while at <= last:
                (length,) = unpack(data, at)
                if length > CARD_BYTES_MAX:
                    raise _invalid(f"card {count + 1} has an impossible length")
                behind = at + _LENGTH.size + length
                is_end = not length
                if is_end or behind > len(data):
                    break
                at = behind
                count += 1
            block = data[:at]
            self._digest.update(block)
            if block:
                yield first, block
            data = data[at:]
            if is_end:
                self._check_end(data[len(_END) :], count)
                return

    def _check_end(self, begun: bytes, count: int) -> None:
        """Check the last line, of which some may have been read."""
        last = _LAST_LINE.fullmatch(begun + self._stream.read(max(0, _LINE_BYTES_MAX - len(begun))))
        if last is None:
            raise _invalid("its last line is missing, or not the last")
        if not count == int(last[1]) == self.header.card_count:
            raise _invalid(f"it holds {count} cards and says {self.header.card_count}")
        if self._digest.digest().hex() != last[2].decode():
            raise _invalid("its content differs from its digest")


def cards_of(block: bytes) -> Iterator[bytes]:
    """The serialised cards of a block."""
    unpack, at = _LENGTH.unpack_from, 0
    while at < len(block):
        begin = at + _LENGTH.size
        at = begin + unpack(block, at)[0]
        yield block[begin:at]


def _invalid(detail: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_SNAPSHOT_INVALID, detail)
