"""A province's snapshot into the registry: several processes check and encode it, and take it over from the spool.

Nothing reaches the registry before the file has proved whole. Cards that contradict themselves or the registry are left
out and named by their place in the file; personal numbers are in no error.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Final

import psycopg
from google.protobuf.message import DecodeError

from onecard.card.v1 import snapshot_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.domain.card_checks import check_payload
from onecard_broker.operations.card_spool import Buckets, Piece, Spool
from onecard_broker.records.card_columns import NOBODY
from onecard_broker.records.card_copy import (
    PERSON_COUNT,
    Left,
    Statuses,
    card_start,
    copied_card,
    copied_cards,
    lock_loading,
    persons_of,
    take_over,
)
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import Connection, connect
from onecard_protocol import limits
from onecard_protocol.card_snapshot import SnapshotHeader, SnapshotReader, cards_of
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import normalise_identity

PROCESSES: Final = 2
"""Each encodes, and later writes some partitions; encoding takes twice as long as all that PostgreSQL does with a card.
"""
LEFT_COUNT_MAX: Final = 1_000
"""Cards left out that are named one by one; more of them are only counted."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Loaded:
    """What a load did so far."""

    header: SnapshotHeader
    read_count: int = 0
    taken_count: int = 0
    """Cards that are new to the registry."""
    left_count: int = 0
    """Cards that were left out, for a person to look at."""
    left: list[Left] = dataclasses.field(default_factory=list)
    """The first of them, in the order of the file."""

    @property
    def known_count(self) -> int:
        """Cards that the registry had already, as they stand there or newer; or twice in the file."""
        return self.read_count - self.taken_count - self.left_count

    def leave(self, left: list[Left]) -> None:
        """Note cards that were left out."""
        self.left_count += len(left)
        self.left += left[: LEFT_COUNT_MAX - len(self.left)]


Progress = Callable[[str, int, int], None]
"""Told what is being done ("read", "write"), how many are done and of how many."""


class CardLoader:
    """Loads snapshots into one registry."""

    def __init__(self, dsn: str, *, subject_key: bytes, partition_count: int, progress: Progress) -> None:
        """`partition_count` is the journal's."""
        self._dsn = dsn
        self._subject_key = subject_key
        self._partition_count = partition_count
        self._progress = progress

    async def load(self, file: Path) -> Loaded:
        """Load a file.

        Raises OneCardError SNAPSHOT_INVALID, or CONFIGURATION_INVALID where another load is under way or the disk full.
        """
        with file.open("rb") as stream, Spool() as spool:
            reader = SnapshotReader(stream)
            loaded = Loaded(header=reader.header)
            buckets = Buckets.for_cards(reader.header.card_count, self._partition_count)
            async with await connect(self._dsn, application_name="onecard card load") as connection:
                if not await lock_loading(connection):
                    raise OneCardError(
                        errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                        "another load of cards is under way / 另一个持卡库导入正在进行",
                    )
                with ProcessPoolExecutor(
                    max_workers=PROCESSES,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_begin,
                    initargs=(self._dsn, self._subject_key, buckets, reader.header.province),
                ) as pool:
                    statuses = await self._read(pool, reader, spool, loaded)
                    systems = {pair for piece in statuses for told in piece for pair in (told[:2], told[2:])}
                    if len(systems) > limits.CARD_CODE_SYSTEMS_PER_SNAPSHOT_COUNT_MAX:
                        raise OneCardError(
                            errors_pb2.ERROR_REASON_SNAPSHOT_INVALID,
                            f"its local statuses name {len(systems)} code systems with their versions, more than"
                            f" {limits.CARD_CODE_SYSTEMS_PER_SNAPSHOT_COUNT_MAX}",
                        )
                    registry = CardRegistry()
                    await registry.prepare(connection, range(self._partition_count))
                    await registry.add_systems(connection, dict.fromkeys(systems, NOBODY))
                    numbers = await registry.systems(connection)
                    starts = [
                        [card_start(numbers[told[:2]], numbers[told[2:]]) for told in piece] for piece in statuses
                    ]
                    await self._write(pool, spool, buckets, starts, loaded)
        loaded.left.sort(key=lambda one: one.ordinal)
        return loaded

    async def _read(
        self, pool: ProcessPoolExecutor, reader: SnapshotReader, spool: Spool, loaded: Loaded
    ) -> list[list[Statuses]]:
        """Put the whole file's cards into the spool; returns each piece's statuses by number."""
        total = loaded.header.card_count
        statuses: list[list[Statuses]] = []

        async def take(future: Future[_Encoded]) -> None:
            encoded = await asyncio.wrap_future(future)
            spool.add(encoded.piece)
            statuses.append(encoded.statuses)
            loaded.read_count += encoded.card_count
            loaded.leave(encoded.left)
            self._progress("read", loaded.read_count, total)

        waiting: deque[Future[_Encoded]] = deque()
        try:
            for ordinal, block in reader.blocks():
                waiting.append(pool.submit(_encode, ordinal, block))
                if len(waiting) > 2 * PROCESSES:
                    await take(waiting.popleft())
            while waiting:
                await take(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()
        return statuses

    async def _write(
        self,
        pool: ProcessPoolExecutor,
        spool: Spool,
        buckets: Buckets,
        starts: Sequence[Sequence[bytes]],
        loaded: Loaded,
    ) -> None:
        """Partitions side by side, bucket after bucket; those of one partition would wait for each other's lock."""
        done = 0

        async def write(partitions: range) -> None:
            nonlocal done
            for partition in partitions:
                for bucket in buckets.of_partition(partition):
                    future = pool.submit(_write, partition, list(spool.bucket(bucket)), starts)
                    taken, left = await asyncio.wrap_future(future)
                    loaded.taken_count += taken
                    loaded.leave(left)
                    done += 1
                    self._progress("write", done, buckets.count)

        writers = [
            asyncio.create_task(write(range(index, self._partition_count, PROCESSES))) for index in range(PROCESSES)
        ]
        try:
            await asyncio.gather(*writers)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)


# ---- in the processes ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    card_count: int
    piece: Piece
    statuses: list[Statuses]
    left: list[Left]


_dsn: str
_subjects: Subjects
_buckets: Buckets
_province: str


def _begin(dsn: str, subject_key: bytes, buckets: Buckets, province: str) -> None:
    global _dsn, _subjects, _buckets, _province
    _dsn, _subjects, _buckets, _province = dsn, Subjects(subject_key, buckets.partition_count), buckets, province


def _encode(first_ordinal: int, block: bytes) -> _Encoded:
    records: list[tuple[int, bytes]] = []
    statuses: dict[Statuses, int] = {}
    left: list[Left] = []
    ordinal = first_ordinal - 1
    for ordinal, raw in enumerate(cards_of(block), first_ordinal):
        try:
            records.append(_encode_one(ordinal, raw, statuses))
        except OneCardError as error:
            if error.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID:
                raise
            cause = "identity" if error.reason == errors_pb2.ERROR_REASON_IDENTITY_INVALID else "data"
            left.append(Left(ordinal=ordinal, subject=b"", cause=cause, detail="; ".join(error.particulars)))
        except psycopg.DataError as error:
            left.append(Left(ordinal=ordinal, subject=b"", cause="data", detail=str(error)))
    return _Encoded(
        card_count=ordinal + 1 - first_ordinal,
        piece=Piece.of(records, _buckets.count),
        statuses=list(statuses),
        left=left,
    )


def _encode_one(ordinal: int, raw: bytes, statuses: dict[Statuses, int]) -> tuple[int, bytes]:
    try:
        told = snapshot_pb2.SnapshotCard.FromString(raw)
    except DecodeError:
        raise OneCardError(errors_pb2.ERROR_REASON_SNAPSHOT_INVALID, f"card {ordinal} is none") from None
    social = told.social
    if social.card.issuer != _province:
        raise OneCardError(errors_pb2.ERROR_REASON_SNAPSHOT_INVALID, f"card {ordinal} was not issued by {_province}")
    check_payload(told)  # What the door would refuse: else the card's next report, which holds the same, were refused.
    kind = social.person.kind.code
    identity = normalise_identity(kind, social.person.number)
    partition, subject = _subjects.place(identity)
    number = identity.partition("|")[2]
    return _buckets.of(partition, subject), copied_card(partition, subject, kind, number, told, ordinal, statuses)


@functools.cache
def _connected() -> tuple[asyncio.Runner, Connection]:
    """Made when the process first writes; it ends with the process."""
    runner = asyncio.Runner()
    return runner, runner.run(connect(_dsn, application_name="onecard card load"))


def _write(partition: int, content: Sequence[bytes], starts: Sequence[Sequence[bytes]]) -> tuple[int, list[Left]]:
    """Take over the cards of a bucket; `content` and `starts` are by piece."""
    runner, connection = _connected()
    pieces = zip(content, starts, strict=True)
    persons = persons_of(itertools.chain.from_iterable(itertools.starmap(copied_cards, pieces)))
    taken, left = 0, list[Left]()
    for at in range(0, len(persons), PERSON_COUNT):
        new, others = runner.run(take_over(connection, partition, persons[at : at + PERSON_COUNT]))
        taken += new
        left += others
    return taken, left
