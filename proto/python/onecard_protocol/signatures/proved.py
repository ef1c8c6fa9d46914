"""A signed tree of which some nodes are proved already: a further proof is walked only up to the first of them.

So a batch that is at hand as a whole costs each node once, not each proof from leaf to root; and still every proof is
compared to its end, because a message must remain verifiable alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onecard_protocol.signatures.sm3 import DIGEST_BYTES
from onecard_protocol.signatures.tree import digest_of_node


class ProvedTree:
    """The proved nodes of one tree, by level (leaves are level 0) and index. Not for use from threads at once.

    With a node its sibling is proved, and all nodes above it with theirs.
    """

    __slots__ = ("_last", "_levels")

    def __init__(self, count: int) -> None:
        """A tree of `count` leaves, at least one, of which nothing is proved."""
        self._last = count - 1
        self._levels: list[dict[int, bytes]] = [{} for _ in range(self._last.bit_length() + 1)]

    def prove(self, leaf: bytes, index: int, path: Sequence[bytes], is_signed: Callable[[bytes], bool]) -> bool:
        """Whether leaf, index (below the count) and path lead to a signed root; what does is proved from then on.

        `is_signed` is asked for the root where the walk meets no proved node. A path that is shorter or longer than
        this leaf has, or that holds a digest of another length, is wrong.
        """
        node, position, last, taken = leaf, index, self._last, 0
        walked: list[tuple[dict[int, bytes], int, bytes]] = []
        for height, level in enumerate(self._levels):
            proved = level.get(position)
            if proved is not None:
                if proved != node or not self._is_rest_of_proof(height, position, last, path[taken:]):
                    return False
                break
            walked.append((level, position, node))
            if position & 1 or position < last:
                if taken == len(path) or len(path[taken]) != DIGEST_BYTES:
                    return False
                sibling = path[taken]
                taken += 1
                walked.append((level, position ^ 1, sibling))
                node = digest_of_node(sibling + node if position & 1 else node + sibling)
            elif not last and (taken != len(path) or not is_signed(node)):
                return False
            position >>= 1
            last >>= 1
        for level, place, digest in walked:
            level[place] = digest
        return True

    def _is_rest_of_proof(self, height: int, position: int, last: int, path: Sequence[bytes]) -> bool:
        siblings = []
        for level in self._levels[height:]:
            if position & 1 or position < last:
                siblings.append(level[position ^ 1])
            position >>= 1
            last >>= 1
        return siblings == list(path)
