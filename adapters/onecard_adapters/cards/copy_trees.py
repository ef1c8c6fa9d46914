"""Digest trees over the copies of cards: built once, in the background, then kept up range by range.

Building reads piece by piece, so that the store's thread serves others between; a tree holds digests and counts only.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Sequence
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.copies import RANGE_BITS, CardCopies
from onecard_adapters.runtime.store import Store
from onecard_protocol.card_digests import PARTS, DigestTree, TreeBuilding
from onecard_protocol.errors import OneCardError

PIECE_COUNT: Final = 8_192
"""Cards read at once."""
WAIT_S: Final = 5.0
"""A request waits so long for its tree, below the time that a call may take."""
_REBUILT_SHARE: Final = 16
_REFRESHED_COUNT: Final = 256

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Kept:
    depth: int
    building: asyncio.Task[DigestTree]


class CopyTrees:
    """The trees of issued and of followed cards."""

    def __init__(self, store: Store, copies: CardCopies, *, wait_s: float = WAIT_S) -> None:
        self._store = store
        self._copies = copies
        self._wait_s = wait_s
        self._kept: dict[bool, _Kept] = {}
        self._turn = {True: asyncio.Lock(), False: asyncio.Lock()}

    async def tree(self, depth: int, *, is_issued: bool) -> DigestTree:
        """The tree of the copy as it stands.

        Raises LOCAL_SYSTEM_DOWN while it is still being built: asked again, it will be there.
        """
        async with self._turn[is_issued]:
            kept = self._kept.get(is_issued)
            if kept is None or kept.depth != depth or self._is_worn(kept, is_issued=is_issued):
                if kept is not None:
                    kept.building.cancel()
                kept = _Kept(depth, asyncio.create_task(self._build(depth, is_issued=is_issued)))
                self._kept[is_issued] = kept
            await asyncio.wait((kept.building,), timeout=self._wait_s)
            if not kept.building.done():
                raise OneCardError(
                    errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, "digests of the copy are being computed; ask again"
                )
            try:
                tree = kept.building.result()
                await self._refresh(tree, is_issued=is_issued)
            except BaseException:
                del self._kept[is_issued]  # What was taken as touched may not have come into it.
                raise
            return tree

    def _is_worn(self, kept: _Kept, *, is_issued: bool) -> bool:
        """Whether so much was written that building anew costs less."""
        touched_count = self._copies.touched_count(is_issued=is_issued)
        return kept.building.done() and touched_count * _REBUILT_SHARE > PARTS**kept.depth

    async def _build(self, depth: int, *, is_issued: bool) -> DigestTree:
        def begin(connection: sqlite3.Connection) -> int:
            self._copies.take_touched(set(), is_issued=is_issued)  # All will be read.
            return self._copies.count(connection, is_issued=is_issued)

        count = await self._store.run(begin)
        step = max(1, (1 << RANGE_BITS) * PIECE_COUNT // max(count, 1))
        building = TreeBuilding(depth)
        for first in range(0, 1 << RANGE_BITS, step):
            (leaves,) = await self._leaves([(first, min(first + step, 1 << RANGE_BITS))], is_issued=is_issued)
            building.add(leaves)
        tree = await asyncio.to_thread(building.finish)
        _log.info("digests of %d cards are computed", tree.card_count)
        return tree

    async def _refresh(self, tree: DigestTree, *, is_issued: bool) -> None:
        """Compute anew what changed since; what changes meanwhile waits for the next time."""
        touched: set[int] = set()
        await self._store.run(lambda connection: self._copies.take_touched(touched, is_issued=is_issued))
        width = RANGE_BITS - 4 * tree.depth
        indices = sorted({touched_range >> width for touched_range in touched})
        for start in range(0, len(indices), _REFRESHED_COUNT):
            piece = indices[start : start + _REFRESHED_COUNT]
            bounds = [(index << width, (index + 1) << width) for index in piece]
            for index, leaves in zip(piece, await self._leaves(bounds, is_issued=is_issued), strict=True):
                tree.replace(index, [leaf for _, leaf in leaves])

    async def _leaves(self, bounds: Sequence[tuple[int, int]], *, is_issued: bool) -> list[list[tuple[bytes, bytes]]]:
        read = await self._store.run(
            lambda connection: [self._copies.rows(connection, first, end, is_issued=is_issued) for first, end in bounds]
        )
        return await asyncio.to_thread(lambda: [self._copies.leaves(rows) for rows in read])
