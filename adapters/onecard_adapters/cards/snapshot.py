"""A card office's snapshot: every card as it was told or, where it was not, as the adapter would tell it.

What the version book told stands in the file word for word, so that the reports are repeats when they come again. A
card that the book does not know has the version that it would be told with: a later first reading finds the registry to
have it, and tells nothing. So a snapshot can be written before the adapter is first run, and at any time while it runs.

The file is there when it is whole; until then there are only unnamed files and one that is no snapshot by its name.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from onecard.card.v1 import change_pb2, snapshot_pb2
from onecard_adapters.cards import book, changes
from onecard_adapters.cards.port import CardListing, Change, ListedCard, LocalCard
from onecard_adapters.runtime.sealing import Sealer
from onecard_protocol.card_snapshot import write_snapshot
from onecard_protocol.errors import OneCardError

LEFT_COUNT_MAX: Final = 10_000
"""Cards left out that are named; all of them are counted."""
_LENGTH: Final = struct.Struct(">I")
_PROGRESS_COUNT: Final = 500

Progress = Callable[[str, int, int | None], None]
"""Told what is being done ("book", "local", "write"), how many are done, and of how many where that is known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A card that is not in the snapshot."""

    where: str
    reason: int
    """ErrorReason."""
    detail: str


@dataclasses.dataclass(slots=True, kw_only=True)
class Written:
    """What came of it."""

    told_count: int = 0
    """Cards as the version book told them."""
    local_count: int = 0
    """Cards as the local system shows them."""
    registry_count: int = 0
    """Cards of which the book has no report, but the registry's word: not in the file, and in the registry."""
    left_count: int = 0
    left: list[LeftOut] = dataclasses.field(default_factory=list)
    """The first of them."""

    @property
    def card_count(self) -> int:
        """Cards in the file."""
        return self.told_count + self.local_count


class SnapshotWriter:
    """Writes one province's snapshot from its store, if there is one, and its local system, if it can be listed."""

    def __init__(
        self,
        province: str,
        *,
        book: tuple[sqlite3.Connection, Sealer] | None,
        listing: CardListing | None,
        progress: Progress,
    ) -> None:
        """`book` is the store, which is only read, with what opens it."""
        self._province = province
        self._book = book
        self._listing = listing
        self._progress = progress

    async def write(self, file: Path) -> Written:
        """Write the file, or put it in the place of one. Raises OSError, and OneCardError where the listing fails."""
        written = Written()
        with tempfile.TemporaryFile(dir=file.parent) as spool:
            if self._book is not None:
                self._spool_told(spool, *self._book, written)
            if self._listing is not None:
                async for page in self._listing.pages():
                    for listed in page:
                        self._spool_local(spool, listed, written)
                    self._progress("local", written.local_count + written.left_count, None)
            spool.seek(0)
            self._finish(file, spool, written.card_count)
        return written

    def _spool_told(self, spool: BinaryIO, store: sqlite3.Connection, sealer: Sealer, written: Written) -> None:
        total = book.event_count(store)
        written.registry_count = book.registry_count(store)
        for event in book.events(store, sealer):
            _spool(spool, change_pb2.ReportSocialChangeRequest.FromString(event))
            written.told_count += 1
            if not written.told_count % _PROGRESS_COUNT:
                self._progress("book", written.told_count, total)
        self._progress("book", written.told_count, written.told_count)

    def _spool_local(self, spool: BinaryIO, listed: ListedCard, written: Written) -> None:
        if isinstance(listed.card, OneCardError):
            written.left_count += 1
            if written.left_count <= LEFT_COUNT_MAX:
                left = LeftOut(where=listed.where, reason=listed.card.reason, detail=listed.card.detail)
                written.left.append(left)
            return
        version = self._version(listed.card, written)
        if version is not None:
            _spool(spool, changes.event_of(listed.card, changes.content_of(listed.card), version=version, old_state=0))
            written.local_count += 1

    def _version(self, card: LocalCard, written: Written) -> int | None:
        """The version of a card that was not told; None of one that was, or that the registry has otherwise."""
        if self._book is None:
            return card.version or 1
        store, sealer = self._book
        key = book.book_key(sealer, card.card, change_pb2.CARD_MACHINE_SOCIAL)
        entry = book.find(store, key)
        if entry is None:
            return card.version or 1
        content = changes.content_of(card).SerializeToString(deterministic=True)
        is_shown = entry.digest == book.content_digest(sealer, content)
        if not is_shown or book.find_event(store, sealer, key) is not None:
            return None
        written.registry_count -= 1
        return entry.version

    def _finish(self, file: Path, spool: BinaryIO, card_count: int) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with open(descriptor, "wb") as stream:
                write_snapshot(stream, self._province, card_count, self._counted(spool, card_count))
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise

    def _counted(self, spool: BinaryIO, card_count: int) -> Iterator[bytes]:
        for count in range(1, card_count + 1):
            (length,) = _LENGTH.unpack(spool.read(_LENGTH.size))
            yield spool.read(length)
            if not count % _PROGRESS_COUNT:
                self._progress("write", count, card_count)
        self._progress("write", card_count, card_count)


def _spool(spool: BinaryIO, event: Change) -> None:
    assert isinstance(event, change_pb2.ReportSocialChangeRequest)
    card = snapshot_pb2.SnapshotCard(social=event).SerializeToString(deterministic=True)
    spool.write(_LENGTH.pack(len(card)) + card)
