"""The batch tree against the words of RFC 6962, section 2.1, and the walk that stops early against the whole walk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_protocol.signatures.proved import ProvedTree
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.signatures.tree import BatchTree, root_of_proof, sibling_sides

digests = st.binary(min_size=32, max_size=32)
leaf_lists = st.lists(digests, min_size=1, max_size=40)


def split(count: int) -> int:
    """The largest power of two smaller than the count."""
    return 1 << ((count - 1).bit_length() - 1)


def root_by_rfc(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sm3(b"\x01" + root_by_rfc(leaves[:k]) + root_by_rfc(leaves[k:]))


def path_by_rfc(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path_by_rfc(index, leaves[:k]), root_by_rfc(leaves[k:])]
    return [*path_by_rfc(index - k, leaves[k:]), root_by_rfc(leaves[:k])]


@given(leaf_lists)
def test_root_and_proofs_have_the_shape_of_rfc_6962(leaves: list[bytes]) -> None:
    tree = BatchTree(leaves)
    assert tree.root == root_by_rfc(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.proof(index)
        assert list(path) == path_by_rfc(index, leaves)
        assert root_of_proof(leaf, index, len(leaves), path) == tree.root


@given(leaf_lists, st.data())
def test_a_proof_leads_elsewhere_or_nowhere_for_another_leaf_index_or_sibling(
    leaves: list[bytes], data: st.DataObject
) -> None:
    tree, count = BatchTree(leaves), len(leaves)
    index = data.draw(st.integers(0, count - 1))
    path = list(tree.proof(index))
    other_leaf = data.draw(digests.filter(lambda digest: digest != leaves[index]))
    assert root_of_proof(other_leaf, index, count, path) != tree.root
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        changed = [*path]
        changed[place] = data.draw(digests.filter(lambda digest: digest != path[place]))
        assert root_of_proof(leaves[index], index, count, changed) != tree.root
    if len(set(leaves)) == count:
        other_index = data.draw(
            st.integers(0, count - 1).filter(lambda other: other != index) if count > 1 else st.none()
        )
        if other_index is not None and len(sibling_sides(other_index, count)) == len(path):
            assert root_of_proof(leaves[index], other_index, count, path) != tree.root


@given(leaf_lists, st.data())
def test_a_path_of_another_length_or_a_crooked_digest_is_an_error(leaves: list[bytes], data: st.DataObject) -> None:
    count = len(leaves)
    index = data.draw(st.integers(0, count - 1))
    path = BatchTree(leaves).proof(index)
    for wrong in {path[:-1], (*path, bytes(32)), (*path, *path, bytes(32))} - {path}:
        with pytest.raises(ValueError, match="siblings"):
            root_of_proof(leaves[index], index, count, wrong)
    with pytest.raises(ValueError, match="32 bytes"):
        root_of_proof(leaves[index][:-1], index, count, path)
    if path:
        with pytest.raises(ValueError, match="32 bytes"):
            root_of_proof(leaves[index], index, count, (path[0] + b"\x00", *path[1:]))
    for outside in (count, count + 1, -1):
        with pytest.raises(ValueError, match="no leaf"):
            root_of_proof(leaves[index], outside, count, path)
        with pytest.raises(IndexError, match="no leaf"):
            BatchTree(leaves).proof(outside)


def test_no_leaf_or_a_crooked_leaf_makes_no_tree() -> None:
    for leaves in ([], [bytes(31)], [bytes(32), bytes(33)]):
        with pytest.raises(ValueError, match="leaf"):
            BatchTree(leaves)


@given(st.lists(digests, min_size=2, max_size=20), st.data())
def test_the_walk_that_stops_early_judges_like_the_whole_walk(leaves: list[bytes], data: st.DataObject) -> None:
    tree, count = BatchTree(leaves), len(leaves)
    proved = ProvedTree(count)
    for _ in range(data.draw(st.integers(1, 30))):
        index = data.draw(st.integers(0, count - 1))
        leaf, path = leaves[index], list(tree.proof(index))
        match data.draw(st.sampled_from(["right", "right", "leaf", "sibling", "short", "long", "index", "crooked"])):
            case "leaf":
                leaf = data.draw(digests)
            case "sibling" if path:
                path[data.draw(st.integers(0, len(path) - 1))] = data.draw(digests)
            case "crooked" if path:
                path[data.draw(st.integers(0, len(path) - 1))] += b"\x00"
            case "short":
                path = path[:-1]
            case "long":
                path.append(data.draw(digests))
            case "index":
                index = data.draw(st.integers(0, count - 1))
            case _:
                pass
        try:
            expected = root_of_proof(leaf, index, count, path) == tree.root
        except ValueError:
            expected = False
        assert proved.prove(leaf, index, path, lambda root: root == tree.root) is expected


@given(st.integers(2, 200))
def test_a_whole_batch_asks_for_its_root_once_and_hashes_each_node_once(count: int) -> None:
    leaves = [sm3(str(place).encode()) for place in range(count)]
    tree, proved, asked = BatchTree(leaves), ProvedTree(count), []

    def is_signed(root: bytes) -> bool:
        asked.append(root)
        return root == tree.root

    assert all(proved.prove(leaf, index, tree.proof(index), is_signed) for index, leaf in enumerate(leaves))
    assert asked == [tree.root]
