"""The file of a province's cards: what was written is read, and any damage shows at the latest at its end."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.card_snapshot import (
    BLOCK_BYTES,
    CARD_BYTES_MAX,
    SnapshotHeader,
    SnapshotReader,
    cards_of,
    write_snapshot,
)
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.sm3 import sm3

CARDS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
BLOCKS = st.sampled_from([1, 3, 7, 50, BLOCK_BYTES])


def written(cards: Sequence[bytes]) -> bytes:
    stream = io.BytesIO()
    write_snapshot(stream, "cn-42", len(cards), cards)
    return stream.getvalue()


def read(content: bytes, block_bytes: int = BLOCK_BYTES) -> list[bytes]:
    blocks = SnapshotReader(io.BytesIO(content), block_bytes=block_bytes).blocks()
    return [card for _, block in blocks for card in cards_of(block)]


@given(CARDS, BLOCKS)
def test_what_was_written_is_read_however_many_bytes_at_once(cards: list[bytes], block_bytes: int) -> None:
    content = written(cards)
    assert SnapshotReader(io.BytesIO(content)).header == SnapshotHeader(province="cn-42", card_count=len(cards))
    assert read(content, block_bytes) == cards


@given(CARDS, BLOCKS)
def test_a_block_says_which_card_is_its_first(cards: list[bytes], block_bytes: int) -> None:
    count = 0
    for first, block in SnapshotReader(io.BytesIO(written(cards)), block_bytes=block_bytes).blocks():
        assert first == count + 1
        count += len(list(cards_of(block)))
    assert count == len(cards)


@given(CARDS, BLOCKS, st.data())
def test_a_file_that_is_cut_off_anywhere_is_refused(cards: list[bytes], block_bytes: int, data: st.DataObject) -> None:
    content = written(cards)
    with pytest.raises(OneCardError) as caught:
        read(content[: data.draw(st.integers(0, len(content) - 1))], block_bytes)
    assert caught.value.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID


@given(CARDS, BLOCKS, st.data())
def test_a_file_with_any_byte_changed_is_refused(cards: list[bytes], block_bytes: int, data: st.DataObject) -> None:
    content = bytearray(written(cards))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(OneCardError) as caught:
        read(bytes(content), block_bytes)
    assert caught.value.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID


def test_the_form_is_the_one_that_is_documented() -> None:
    content = written([b"ab"])
    sealed, _, last = content.rpartition(bytes(4))
    assert sealed == b"onecard-cards 1 cn-42 1\n\x00\x00\x00\x02ab"
    assert last == f"end 1 {sm3(sealed).hex()}\n".encode()


@pytest.mark.parametrize(
    ("cards", "promised"), [([b"a"], 2), ([b"a", b"b"], 1), ([b""], 1), ([bytes(CARD_BYTES_MAX + 1)], 1)]
)
def test_what_could_not_be_read_again_is_not_written(cards: list[bytes], promised: int) -> None:
    with pytest.raises(ValueError, match="card"):
        write_snapshot(io.BytesIO(), "cn-42", promised, cards)
