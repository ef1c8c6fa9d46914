"""Digests by which two copies of many cards are compared: of a card, of its data, and of ranges of cards.

Owns what both sides must compute alike, and knows neither stores nor messages. A card's key is SM3 of its reference,
so keys are spread evenly; a range is a prefix of the key in hex digits. The digest of a range is that of its sixteen
parts, at the tree's depth that of its cards. So one wrong card among a million is found by asking for 256 bytes a level
(`find_differing_ranges`) and then for the fifteen cards around it.
"""

from __future__ import annotations

import functools
import struct
from array import array
from collections.abc import Generator, Iterable, Sequence
from typing import Final

from onecard.card.v1 import values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_protocol.signatures.sm3 import sm3, sm3_after

KEY_BYTES: Final = 8
"""Bytes of a card's key that are kept and compared."""
DIGEST_BYTES: Final = 16
"""SM3, cut: against accident and a careless hand, which is what makes copies drift."""
DEPTH_MAX: Final = 5
"""Digits at which the largest tree's ranges end: a million ranges, 17 MB, whatever the number of cards."""
PARTS: Final = 16
PREFIXES_PER_REQUEST_MAX: Final = 64

_CARDS_PER_RANGE: Final = 16
_NOTHING: Final = bytes(DIGEST_BYTES)
_NO_PARTS: Final = bytes(PARTS * DIGEST_BYTES)
_LEAF: Final = struct.Struct(">BQBQ")


class _Lengths(dict[int, str]):
    def __missing__(self, length: int) -> str:
        return f"{length}:"


_LENGTHS: Final = _Lengths({length: f"{length}:" for length in range(256)})
"""What stands before a field: kept, because making it costs four times what looking it up does."""
_BOOLS: Final = ("1:0", "1:1")
_leaf_sm3: Final = sm3_after(b"onecard.v1.card.leaf")
_parts_sm3: Final = sm3_after(b"onecard.v1.card.parts")
_cards_sm3: Final = sm3_after(b"onecard.v1.card.cards")


def key_of(issuer: str, number: str, sequence: int, size: int = KEY_BYTES) -> bytes:
    """A card's key: the first bytes of SM3(issuer ‖ "|" ‖ number ‖ "|" ‖ sequence), a sequence not stated being 1."""
    return sm3(f"{issuer}|{number}|{sequence or 1}".encode())[:size]


def compared_digest(
    *,
    generation: int,
    specification_version: str,
    card_class: str,
    recognition_code: str,
    institution_code: str,
    issue_day: int,
    expiry_day: int,
    is_contactless: bool,
    has_transit_mark: bool,
    certificate_serial: str,
    production_kind: str,
    production_way: str,
    bank: str,
    residence_area: str,
    photo_digest: bytes,
) -> bytes:
    """Digest of a card's data, 16 bytes; days are yyyymmdd, 0 where there is none, kinds the bare code.

    What the issuer alone tells is compared. The account's number (the bank's word, which comes with the account's
    version) and the e-card (which a replacement moves) are not: they change without a version of the issuer's.
    Independent of protobuf: each field in this order as length in characters, ":" and text, numbers in decimal.
    """
    photo = photo_digest.hex()
    # What many cards have alike is put together once.
    text = (
        f"{_fields(generation, specification_version, card_class)}"
        f"{_LENGTHS[len(recognition_code)]}{recognition_code}{_fields(institution_code)}"
        f"{_fields(issue_day)}{_fields(expiry_day)}{_BOOLS[is_contactless]}{_BOOLS[has_transit_mark]}"
        f"{_LENGTHS[len(certificate_serial)]}{certificate_serial}"
        f"{_fields(production_kind, production_way, bank, residence_area)}{_LENGTHS[len(photo)]}{photo}"
    )
    return sm3(text.encode())[:DIGEST_BYTES]


@functools.lru_cache(maxsize=16_384)
def _fields(*values: str | int) -> str:
    return "".join([f"{len(field)}:{field}" for field in map(str, values)])


def data_digest(data: values_pb2.CardData) -> bytes:
    """`compared_digest` of data as they travel."""
    return compared_digest(
        generation=data.generation,
        specification_version=data.specification_version,
        card_class=data.card_class,
        recognition_code=data.recognition_code,
        institution_code=data.institution_code,
        issue_day=day_number(data.issue_day),
        expiry_day=day_number(data.expiry_day),
        is_contactless=data.is_contactless,
        has_transit_mark=data.has_transit_mark,
        certificate_serial=data.certificate_serial,
        production_kind=data.production_kind.code,
        production_way=data.production_way.code,
        bank=data.bank,
        residence_area=data.residence_area,
        photo_digest=data.photo_digest,
    )


def day_number(day: exchange_values_pb2.CalendarDay) -> int:
    """A day as yyyymmdd; 0 for one that is absent."""
    return day.year * 10_000 + day.month * 100 + day.day


def leaf_digest(
    key: bytes,
    social_state: int,
    social_version: int,
    financial_state: int,
    financial_version: int,
    data_digest: bytes,
) -> bytes:
    """Digest of one card as a copy holds it, 16 bytes."""
    return _leaf_sm3(key + _LEAF.pack(social_state, social_version, financial_state, financial_version) + data_digest)[
        :DIGEST_BYTES
    ]


def depth_for(card_count: int) -> int:
    """Digits at which the ranges of so many cards are no longer parted: about sixteen cards or fewer in each."""
    depth = 0
    while depth < DEPTH_MAX and PARTS**depth * _CARDS_PER_RANGE < card_count:
        depth += 1
    return depth


def key_bounds(prefix: str) -> tuple[bytes, bytes]:
    """First and last key of a range."""
    return (
        bytes.fromhex(prefix.ljust(2 * KEY_BYTES, "0")),
        bytes.fromhex(prefix.ljust(2 * KEY_BYTES, "f")),
    )


def is_prefix(text: str, depth: int) -> bool:
    """Whether the text names a range of at most so many digits."""
    return len(text) <= depth and all(digit in "0123456789abcdef" for digit in text)


class DigestTree:
    """Digests of all ranges of a set of cards, held as one array of bytes a level."""

    __slots__ = ("_counts", "_levels", "card_count", "depth")

    def __init__(self, depth: int) -> None:
        """A tree without cards. Raises ValueError if the depth is too great."""
        if not 0 <= depth <= DEPTH_MAX:
            raise ValueError(f"depth {depth} is not within 0 and {DEPTH_MAX}")
        self.depth = depth
        self.card_count = 0
        self._counts = array("I", bytes(4 * PARTS**depth))
        self._levels = [bytearray(DIGEST_BYTES * PARTS**level) for level in range(depth + 1)]

    def replace(self, index: int, leaves: Sequence[bytes]) -> None:
        """Put other cards, by their digests, into one of the lowest ranges."""
        self.put(index, leaves)
        for level in range(self.depth - 1, -1, -1):
            index //= PARTS
            self._join(level, index)

    def put(self, index: int, leaves: Sequence[bytes]) -> None:
        """`replace` without the ranges above, which `join` does at last for all."""
        # In the order of the digests: two cards of one key have none by their keys.
        digest = _cards_sm3(b"".join(sorted(leaves)))[:DIGEST_BYTES] if leaves else _NOTHING
        self._levels[self.depth][index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES] = digest
        self.card_count += len(leaves) - self._counts[index]
        self._counts[index] = len(leaves)

    def join(self) -> None:
        """Compute the ranges above the lowest."""
        for level in range(self.depth - 1, -1, -1):
            for index in range(PARTS**level):
                self._join(level, index)

    def parts(self, prefix: str) -> bytes:
        """Digests of a range's sixteen parts, joined. Raises ValueError if it has none at this depth."""
        if not is_prefix(prefix, self.depth - 1):
            raise ValueError(f"no range of a tree of {self.depth} digits that has parts")
        size = PARTS * DIGEST_BYTES
        index = int(prefix, 16) if prefix else 0
        return bytes(self._levels[len(prefix) + 1][index * size : (index + 1) * size])

    @property
    def root(self) -> bytes:
        """The digest of all cards."""
        return bytes(self._levels[0])

    def _join(self, level: int, index: int) -> None:
        size = PARTS * DIGEST_BYTES
        parts = self._levels[level + 1][index * size : (index + 1) * size]
        digest = _NOTHING if parts == _NO_PARTS else _parts_sm3(bytes(parts))[:DIGEST_BYTES]
        self._levels[level][index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES] = digest


class TreeBuilding:
    """A tree in the making, from cards that come in the order of their keys; nothing else of them is kept."""

    def __init__(self, depth: int) -> None:
        """Raises ValueError if the depth is too great."""
        self._tree = DigestTree(depth)
        self._index = 0
        self._leaves: list[bytes] = []

    def add(self, cards: Iterable[tuple[bytes, bytes]]) -> None:
        """Take more cards as (key, leaf digest). Raises ValueError if their keys go back to a range that ended."""
        shift = 32 - 4 * self._tree.depth
        for key, leaf in cards:
            index = int.from_bytes(key[:4], "big") >> shift
            if index != self._index:
                if index < self._index:
                    raise ValueError("cards are not in the order of their keys")
                self._tree.put(self._index, self._leaves)
                self._index, self._leaves = index, []
            self._leaves.append(leaf)

    def finish(self) -> DigestTree:
        """The tree."""
        self._tree.put(self._index, self._leaves)
        self._tree.join()
        return self._tree


def find_differing_ranges(tree: DigestTree) -> Generator[list[str], Sequence[bytes], list[str]]:
    """Walk down beside another copy's tree of the same depth; returns the lowest ranges that differ.

    Yields prefixes, at most 64 at once, and wants sent the other tree's `parts` of each in that order. Ranges that are
    equal are not gone into, so what is asked grows with the differences and not with the cards.
    """
    level = [""]
    for _ in range(tree.depth):
        below: list[str] = []
        for start in range(0, len(level), PREFIXES_PER_REQUEST_MAX):
            asked = level[start : start + PREFIXES_PER_REQUEST_MAX]
            answers = yield asked
            for prefix, theirs in zip(asked, answers, strict=True):
                ours = tree.parts(prefix)
                below += [
                    f"{prefix}{part:x}"
                    for part in range(PARTS)
                    if ours[part * DIGEST_BYTES : (part + 1) * DIGEST_BYTES]
                    != theirs[part * DIGEST_BYTES : (part + 1) * DIGEST_BYTES]
                ]
        level = below
    return level
