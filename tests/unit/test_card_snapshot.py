"""The file of a province's cards: what was written is read, and any damage shows at the latest at its end."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.card_snapshot import CARD_BYTES_MAX, SnapshotHeader, SnapshotReader, write_snapshot
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.sm3 import sm3

CARDS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def written(cards: Sequence[bytes]) -> bytes:
    stream = io.BytesIO()
    write_snapshot(stream, "cn-42", len(cards), cards)
    return stream.getvalue()


def read(content: bytes) -> list[bytes]:
    return list(SnapshotReader(io.BytesIO(content)).cards())


@given(CARDS)
def test_what_was_written_is_read(cards: list[bytes]) -> None:
    content = written(cards)
    assert SnapshotReader(io.BytesIO(content)).header == SnapshotHeader(province="cn-42", card_count=len(cards))
    assert read(content) == cards


@given(CARDS, st.data())
def test_a_file_that_is_cut_off_anywhere_is_refused(cards: list[bytes], data: st.DataObject) -> None:
    content = written(cards)
    with pytest.raises(OneCardError) as caught:
        read(content[: data.draw(st.integers(0, len(content) - 1))])
    assert caught.value.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID


@given(CARDS, st.data())
def test_a_file_with_any_byte_changed_is_refused(cards: list[bytes], data: st.DataObject) -> None:
    content = bytearray(written(cards))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(OneCardError) as caught:
        read(bytes(content))
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
