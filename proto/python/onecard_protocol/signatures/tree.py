"""The hash tree of a batch: RFC 6962 shape over SM3, its proofs, and the root that a proof leads to.

Leaves come here as digests that their makers separated from nodes (0x00 before a leaf's content, 0x01 before a node's
two children), so that no node can pass for a leaf. The root does not tell how many leaves there are: who signs a root
signs the count with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final

from onecard_protocol.signatures.sm3 import DIGEST_BYTES, sm3_after

LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"

_KNOWN_SIDES_MAX: Final = 4096

digest_of_node: Final[Callable[[bytes], bytes]] = sm3_after(NODE_PREFIX)
"""SM3(0x01 ‖ left ‖ right) of left ‖ right, 32 bytes."""


class BatchTree:
    """All levels of the tree over some leaves, so that each proof is only a walk through them.

    Pairing neighbours level by level, an odd last node going up unchanged, gives the shape of RFC 6962, 2.1, which
    splits at the largest power of two below the count.
    """

    __slots__ = ("_levels",)

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Raises ValueError where there is no leaf, or one is not 32 bytes."""
        if not leaves:
            raise ValueError("a tree has at least one leaf")
        if any(len(leaf) != DIGEST_BYTES for leaf in leaves):
            raise ValueError("a leaf is a digest of 32 bytes")
        level = list(leaves)
        self._levels = [level]
        while len(level) > 1:
            above = [digest_of_node(level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
            if len(level) % 2:
                above.append(level[-1])
            self._levels.append(above)
            level = above

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[-1][0]

    def proof(self, index: int) -> tuple[bytes, ...]:
        """The siblings of leaf `index` (from 0) from its own level up to the root (RFC 6962, 2.1.1).

        Raises:
            IndexError: no such leaf.
        """
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(f"no leaf {index} among {len(self._levels[0])}")
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return tuple(path)


@functools.lru_cache(_KNOWN_SIDES_MAX)
def sibling_sides(index: int, count: int) -> tuple[bool, ...]:
    """For each sibling on the way from leaf `index` to the root of `count` leaves, whether it stands on the left.

    Raises:
        ValueError: no such leaf in a tree of that count.
    """
    if not 0 <= index < count:
        raise ValueError(f"no leaf {index} among {count}")
    sides = []
    last = count - 1
    while last:
        if index & 1 or index < last:
            sides.append(bool(index & 1))
        index >>= 1
        last >>= 1
    return tuple(sides)


def root_of_proof(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """The root that a proof leads to (RFC 9162, 2.1.3.2); whether it is the right root is the caller's question.

    Raises:
        ValueError: no such leaf in a tree of that count, a digest that is not 32 bytes, or a path that is shorter or
            longer than this leaf of this tree has.
    """
    sides = sibling_sides(index, count)
    if len(path) != len(sides):
        raise ValueError(f"a path of {len(path)} siblings where this leaf has {len(sides)}")
    if len(leaf) != DIGEST_BYTES or any(len(sibling) != DIGEST_BYTES for sibling in path):
        raise ValueError("leaf and siblings are digests of 32 bytes")
    node = leaf
    for sibling, is_left in zip(path, sides, strict=True):
        node = digest_of_node(sibling + node if is_left else node + sibling)
    return node
