"""Cards that wait for the end of their file: each bucket comes back whole, in the order in which it was added."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onecard_broker.operations.card_spool import Buckets, Piece, Spool

COUNT = 5
RECORDS = st.lists(st.tuples(st.integers(0, COUNT - 1), st.binary(max_size=20)), max_size=20)
SUBJECTS = st.binary(min_size=32, max_size=32)


@given(st.lists(RECORDS, max_size=4))
def test_a_bucket_gives_what_each_piece_held_of_it(pieces: list[list[tuple[int, bytes]]]) -> None:
    with Spool() as spool:
        for records in pieces:
            spool.add(Piece.of(records, COUNT))
        for bucket in range(COUNT):
            held = [b"".join(record for one, record in records if one == bucket) for records in pieces]
            assert list(spool.bucket(bucket)) == held


@given(st.integers(0, 10**12), st.integers(1, 1_024), SUBJECTS, SUBJECTS, st.data())
def test_persons_follow_each_other_through_the_buckets_of_their_partition(
    card_count: int, partition_count: int, one: bytes, other: bytes, data: st.DataObject
) -> None:
    buckets = Buckets.for_cards(card_count, partition_count)
    partition = data.draw(st.integers(0, partition_count - 1))

    first, second = (buckets.of(partition, subject) for subject in sorted((one, other)))

    assert partition_count <= buckets.count <= 1_024
    assert first <= second
    assert {first, second} <= set(buckets.of_partition(partition))


def test_buckets_are_the_more_the_more_cards_there_are() -> None:
    assert [Buckets.for_cards(count, 8).count for count in (0, 64_000, 64_001, 10**9)] == [8, 8, 16, 1_024]
