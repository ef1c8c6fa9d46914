"""Any set of differences between two copies of cards is found, exactly, and cheaply."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecard.card.v1 import values_pb2
from onecard_protocol.card_digests import (
    DIGEST_BYTES,
    PREFIXES_PER_REQUEST_MAX,
    DigestTree,
    TreeBuilding,
    data_digest,
    depth_for,
    find_differing_ranges,
    key_bounds,
    key_of,
    leaf_digest,
)

Copy = dict[bytes, bytes]

keys = st.binary(min_size=8, max_size=8) | st.integers(0, 40).map(lambda n: b"\x12\x34\x56" + n.to_bytes(5, "big"))
states = st.integers(0, 3)
copies = st.dictionaries(keys, states, max_size=80).map(
    lambda cards: {key: leaf_digest(key, state, 1, 0, 0, bytes(16)) for key, state in cards.items()}
)


def range_index(key: bytes, depth: int) -> int:
    """Number of the range of `depth` digits in which a key lies."""
    return int.from_bytes(key[:4], "big") >> (32 - 4 * depth)


def tree_of(copy: Copy, depth: int) -> DigestTree:
    return built(sorted(copy.items()), depth)


def built(cards: Iterable[tuple[bytes, bytes]], depth: int) -> DigestTree:
    building = TreeBuilding(depth)
    building.add(cards)
    return building.finish()


def walk(ours: DigestTree, theirs: DigestTree) -> tuple[list[str], list[int]]:
    """The ranges that differ, and how many prefixes each request had."""
    asked: list[int] = []
    steps = find_differing_ranges(ours)
    try:
        prefixes = next(steps)
        while True:
            asked.append(len(prefixes))
            prefixes = steps.send([theirs.parts(prefix) for prefix in prefixes])
    except StopIteration as end:
        return end.value, asked


def prefix_of(key: bytes, depth: int) -> str:
    return key.hex()[:depth]


@settings(max_examples=150, deadline=None)
@given(copies, copies, st.integers(0, 4))
def test_the_ranges_found_are_those_of_the_cards_that_differ(ours: Copy, theirs: Copy, depth: int) -> None:
    found, asked = walk(tree_of(ours, depth), tree_of(theirs, depth))
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    if depth:
        assert found == sorted({prefix_of(key, depth) for key in differing})
    else:
        assert found == [""]
    assert all(count <= PREFIXES_PER_REQUEST_MAX for count in asked)


@settings(max_examples=100, deadline=None)
@given(copies, copies, st.integers(0, 4))
def test_a_tree_whose_ranges_were_replaced_is_the_tree_built_anew(before: Copy, after: Copy, depth: int) -> None:
    tree = tree_of(before, depth)
    for index in {range_index(key, depth) for key in before.keys() | after.keys()}:
        tree.replace(index, [leaf for key, leaf in after.items() if range_index(key, depth) == index])
    anew = tree_of(after, depth)
    assert (tree.root, tree.card_count) == (anew.root, anew.card_count)
    assert walk(tree, anew)[0] == ([] if depth else [""])


@given(keys, st.integers(0, 5))
def test_a_key_lies_between_the_bounds_of_its_range(key: bytes, depth: int) -> None:
    first, last = key_bounds(prefix_of(key, depth))
    assert first <= key <= last
    assert range_index(first, depth) == range_index(key, depth) == range_index(last, depth)


def test_keys_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        built([(b"\x22" * 8, bytes(16)), (b"\x11" * 8, bytes(16))], 1)


def test_every_field_of_a_leaf_counts() -> None:
    fields: list[Sequence[object]] = [(b"k" * 8, b"l" * 8), (1, 2), (1, 2), (0, 1), (0, 1), (bytes(16), b"d" * 16)]
    base = [values[0] for values in fields]
    digests = {leaf_digest(*base)}  # type: ignore[arg-type]
    for place, values in enumerate(fields):
        digests.add(leaf_digest(*(values[1] if at == place else value for at, value in enumerate(base))))  # type: ignore[arg-type]
    assert len(digests) == 1 + len(fields)
    assert all(len(digest) == DIGEST_BYTES for digest in digests)


def test_every_field_that_the_issuer_alone_tells_counts_and_the_others_do_not() -> None:
    base = values_pb2.CardData(generation=3, specification_version="3.00", residence_area="450300")
    counted: set[str] = set()
    left_out: set[str] = set()
    for field in values_pb2.CardData.DESCRIPTOR.fields:
        changed = values_pb2.CardData()
        changed.CopyFrom(base)
        if field.message_type is not None:
            part = getattr(changed, field.name)
            first = part.DESCRIPTOR.fields_by_name["code" if "code" in part.DESCRIPTOR.fields_by_name else "year"]
            setattr(part, first.name, 7 if first.cpp_type == first.CPPTYPE_INT32 else "7")
        else:
            kind = type(getattr(base, field.name))
            setattr(changed, field.name, {bool: True, int: 2, str: "7", bytes: b"7"}[kind])
        (counted if data_digest(changed) != data_digest(base) else left_out).add(field.name)
    assert left_out == {"bank_card_number", "electronic_card_id"}
    assert len(counted) == 15


def test_text_that_moves_from_one_field_to_the_next_is_another_text() -> None:
    first = values_pb2.CardData(specification_version="3.001", card_class="")
    second = values_pb2.CardData(specification_version="3.00", card_class="1")
    assert data_digest(first) != data_digest(second)


def test_keys_and_digests_are_those_that_were_written_down() -> None:
    # Anchors: both sides store these, so another release must not compute others.
    assert key_of("cn-11", "A00000001", 1).hex() == key_of("cn-11", "A00000001", 0).hex()
    assert key_of("cn-11", "A00000001", 1).hex() == "ba28e7d1c7334503"
    assert data_digest(values_pb2.CardData(generation=3)).hex() == "305b152a66191b024ce3b6bf1caac5d0"
    assert (
        leaf_digest(key_of("cn-11", "A00000001", 1), 2, 5, 2, 1, bytes(16)).hex() == "3ffba7776be24614fdf2aa39955cdeed"
    )


def test_depth_grows_with_the_cards_up_to_its_bound() -> None:
    assert [depth_for(count) for count in (0, 16, 17, 256, 257, 65_536, 65_537, 1_000_000, 10**9)] == [
        0, 0, 1, 1, 2, 3, 4, 4, 5,
    ]  # fmt: skip


def test_one_wrong_card_among_a_million_is_found_with_a_few_kilobytes() -> None:
    started = time.monotonic()
    cards = sorted((key_of("cn-42", f"A{number:08}", 1), number) for number in range(1_000_000))
    leaves = [leaf_digest(key, 2, 1, 2, 1, bytes(16)) for key, _ in cards]
    ours = built(((key, leaf) for (key, _), leaf in zip(cards, leaves, strict=True)), depth_for(len(cards)))
    wrong = 123_456
    leaves[wrong] = leaf_digest(cards[wrong][0], 4, 1, 2, 1, bytes(16))
    theirs = built(((key, leaf) for (key, _), leaf in zip(cards, leaves, strict=True)), ours.depth)
    found, asked = walk(ours, theirs)
    assert found == [prefix_of(cards[wrong][0], ours.depth)]
    around = sum(prefix_of(key, ours.depth) == found[0] for key, _ in cards)
    # Each prefix costs its sixteen digests; a card in an answer less than 80 bytes.
    assert sum(asked) * 16 * DIGEST_BYTES + around * 80 < 10_000
    assert time.monotonic() - started < 60
