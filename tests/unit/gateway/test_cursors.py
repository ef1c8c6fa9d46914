"""The receiver's cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_broker.gateway.cursors import Cursor, decode_cursor, encode_cursor
from onecard_protocol.errors import OneCardError, reason_name

POSITIONS = st.dictionaries(st.integers(min_value=0, max_value=95), st.integers(min_value=0, max_value=2**63 - 1))


def decoded(data: bytes, epoch: str = "epoch", participant: str = "cn-44") -> Cursor:
    return decode_cursor(data, log_epoch=epoch, participant=participant, partition_count=96)


def reason_of(data: bytes, **expected: str) -> str:
    with pytest.raises(OneCardError) as raised:
        decoded(data, **expected)
    return reason_name(raised.value.reason)


@given(positions=POSITIONS)
def test_a_cursor_comes_back_as_it_was_given(positions: dict[int, int]) -> None:
    cursor = Cursor(log_epoch="epoch", participant="cn-44", positions=positions)

    assert decoded(encode_cursor(cursor)) == cursor


def test_a_cursor_of_another_epoch_is_never_reinterpreted() -> None:
    data = encode_cursor(Cursor(log_epoch="old", participant="cn-44", positions={1: 2}))

    assert reason_of(data) == "CURSOR_FOREIGN_EPOCH"


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(log_epoch="epoch", participant="cn-51", positions={}),
        Cursor(log_epoch="epoch", participant="cn-44", positions={96: 0}),
    ],
)
def test_a_cursor_of_another_inbox_is_refused(cursor: Cursor) -> None:
    assert reason_of(encode_cursor(cursor)) == "MALFORMED"


@given(data=st.binary(max_size=60))
def test_whatever_bytes_come_are_a_cursor_or_refused(data: bytes) -> None:
    try:
        outcome = decoded(data).positions
    except OneCardError:
        outcome = {}
    assert isinstance(outcome, dict)


@given(cut=st.integers(min_value=0, max_value=40))
def test_a_cursor_that_was_cut_is_refused_or_names_fewer_partitions(cut: int) -> None:
    data = encode_cursor(Cursor(log_epoch="epoch", participant="cn-44", positions={0: 5, 1: 6}))
    if cut >= len(data):
        return
    try:
        outcome = dict(decoded(data[:cut]).positions)
    except OneCardError:
        return
    assert outcome.items() < {0: 5, 1: 6}.items()
