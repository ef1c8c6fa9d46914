"""Where the cards of a snapshot wait until its end has proved it whole: a file without a name, by bucket.

Owns the file and where in it what stands; knows nothing of what it holds. A bucket is some thousand persons of one
journal partition whose pseudonyms follow each other, so that they are written beside each other in every index.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError

_BUCKET_CARDS: Final = 8_000
_BUCKET_COUNT_MAX: Final = 1_024
"""Above that buckets become larger: where they begin is kept in memory for each piece that is added."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """How persons are divided: each journal partition into as many ranges of pseudonyms."""

    partition_count: int
    ranges: int

    @classmethod
    def for_cards(cls, card_count: int, partition_count: int) -> Buckets:
        """So many that one is about a transaction of a load of so many cards."""
        wanted = -(-card_count // (partition_count * _BUCKET_CARDS))
        return cls(partition_count=partition_count, ranges=max(1, min(wanted, _BUCKET_COUNT_MAX // partition_count)))

    @property
    def count(self) -> int:
        """How many there are; those of a partition follow each other."""
        return self.partition_count * self.ranges

    def of(self, partition: int, subject: bytes) -> int:
        """The bucket of a person of a partition."""
        return partition * self.ranges + (int.from_bytes(subject[:4]) * self.ranges >> 32)

    def of_partition(self, partition: int) -> range:
        """The buckets of a partition."""
        return range(partition * self.ranges, (partition + 1) * self.ranges)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some content of every bucket, one after the other."""

    content: bytes
    bounds: array[int]
    """Where each bucket begins in it, and its end."""

    @classmethod
    def of(cls, records: Iterable[tuple[int, bytes]], bucket_count: int) -> Piece:
        """From records with their bucket."""
        by_bucket: list[list[bytes]] = [[] for _ in range(bucket_count)]
        for bucket, record in records:
            by_bucket[bucket].append(record)
        parts = [b"".join(one) for one in by_bucket]
        return cls(content=b"".join(parts), bounds=array("I", itertools.accumulate(map(len, parts), initial=0)))


class Spool:
    """The file; it needs about one and a half times the room of the snapshot. `with Spool() as spool:`."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__.
        self._pieces: list[tuple[int, array[int]]] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, piece: Piece) -> None:
        """Keep a piece. Raises OneCardError CONFIGURATION_INVALID where the disk is full."""
        try:
            self._file.write(piece.content)
            self._file.flush()
        except OSError as error:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                f"the snapshot finds no room in {tempfile.gettempdir()} (TMPDIR): {error.strerror} / 临时目录空间不足",
            ) from None
        self._pieces.append((self._size, piece.bounds))
        self._size += len(piece.content)

    def bucket(self, number: int) -> Iterator[bytes]:
        """What every piece holds of a bucket, piece after piece in the order in which they were added."""
        file = self._file.fileno()
        for start, bounds in self._pieces:
            yield os.pread(file, bounds[number + 1] - bounds[number], start + bounds[number])
