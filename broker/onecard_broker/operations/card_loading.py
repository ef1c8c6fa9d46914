"""A province's snapshot into the registry: read, checked and encoded by several processes, staged, taken over.

Nothing reaches the registry before the file has proved whole. Cards that contradict themselves or the registry are left
out and named by their place in the file; personal numbers are in no error.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import multiprocessing
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Final

import psycopg
from google.protobuf.message import DecodeError

from onecard.card.v1 import snapshot_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.domain.card_changes import card_told
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.card_stage import (
    COPY_END,
    COPY_START,
    CardStage,
    Chunk,
    Left,
    prepare_for_loading,
    staged_row,
)
from onecard_broker.records.pool import connect
from onecard_protocol.card_snapshot import SnapshotHeader, SnapshotReader
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import normalise_identity

BATCH_COUNT: Final = 1_000
PROCESSES: Final = 2
"""Encoding takes as long as all that PostgreSQL does with a card."""
WRITERS: Final = 2
LEFT_COUNT_MAX: Final = 1_000
"""Cards left out that are named one by one; more of them are only counted."""

_STATES: Final = frozenset(values_pb2.SocialState.values()) - {values_pb2.SOCIAL_STATE_UNSPECIFIED}


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
"""Told what is being done ("read", "order", "write"), how many are done and of how many."""


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

        Raises OneCardError SNAPSHOT_INVALID, or CONFIGURATION_INVALID where another load is under way.
        """
        with file.open("rb", buffering=1 << 20) as stream:
            reader = SnapshotReader(stream)
            loaded = Loaded(header=reader.header)
            stage = CardStage()
            async with await connect(self._dsn, application_name="onecard card load") as connection:
                try:
                    await stage.create(connection)
                except TimeoutError:
                    raise OneCardError(
                        errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                        "another load of cards is under way / 另一个持卡库导入正在进行",
                    ) from None
                try:
                    await CardRegistry().prepare(connection, range(self._partition_count))
                    async with connection.cursor() as cursor, cursor.copy(stage.copy_statement) as copy:
                        await copy.write(COPY_START)
                        async for rows in self._encoded(reader, loaded, systems := set[tuple[str, str]]()):
                            await copy.write(rows)
                        await copy.write(COPY_END)
                    self._progress("order", 0, 1)
                    await CardRegistry().add_systems(connection, systems)
                    loaded.leave(await stage.finish(connection))
                    await self._take_over(stage, await stage.chunks(connection), loaded)
                finally:
                    await stage.drop(connection)
        loaded.left.sort(key=lambda one: one.ordinal)
        return loaded

    async def _encoded(
        self, reader: SnapshotReader, loaded: Loaded, systems: set[tuple[str, str]]
    ) -> AsyncIterator[bytes]:
        """Rows for the stage, batch by batch in the order of the file."""
        total = loaded.header.card_count
        with ProcessPoolExecutor(
            max_workers=PROCESSES,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self._subject_key, self._partition_count, loaded.header.province),
        ) as pool:
            waiting: deque[Future[_Encoded]] = deque()
            try:
                for ordinal, batch in _batches(reader):
                    waiting.append(pool.submit(_encode, ordinal, batch))
                    loaded.read_count += len(batch)
                    if len(waiting) > 2 * PROCESSES:
                        yield await self._next(waiting, loaded, systems)
                        self._progress("read", loaded.read_count, total)
                while waiting:
                    yield await self._next(waiting, loaded, systems)
            finally:
                for future in waiting:
                    future.cancel()
        self._progress("read", loaded.read_count, total)

    async def _next(self, waiting: deque[Future[_Encoded]], loaded: Loaded, systems: set[tuple[str, str]]) -> bytes:
        encoded = await asyncio.wrap_future(waiting.popleft())
        systems |= encoded.systems
        loaded.leave(encoded.left)
        return encoded.rows

    async def _take_over(self, stage: CardStage, chunks: list[Chunk], loaded: Loaded) -> None:
        """Chunks of different partitions side by side; those of one partition would wait for each other's lock."""
        by_partition: dict[int, list[Chunk]] = {}
        for chunk in chunks:
            by_partition.setdefault(chunk.partition, []).append(chunk)
        rows = list(by_partition.values())
        done = 0

        async def write(part: list[list[Chunk]]) -> None:
            nonlocal done
            async with await connect(self._dsn, application_name="onecard card load") as connection:
                await prepare_for_loading(connection)
                for chunk in itertools.chain.from_iterable(part):
                    taken, left = await stage.take_over(connection, chunk)
                    loaded.taken_count += taken
                    loaded.leave(left)
                    done += 1
                    self._progress("write", done, len(chunks))

        writers = [asyncio.create_task(write(rows[index::WRITERS])) for index in range(WRITERS)]
        try:
            await asyncio.gather(*writers)
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)


# ---- in the encoding processes -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    rows: bytes
    systems: set[tuple[str, str]]
    left: list[Left]


_subjects: Subjects
_province: str


def _begin(subject_key: bytes, partition_count: int, province: str) -> None:
    global _subjects, _province
    _subjects, _province = Subjects(subject_key, partition_count), province


def _encode(first_ordinal: int, batch: list[bytes]) -> _Encoded:
    rows: list[bytes] = []
    systems: set[tuple[str, str]] = set()
    left: list[Left] = []
    for ordinal, raw in enumerate(batch, first_ordinal):
        try:
            rows.append(_encode_one(ordinal, raw, systems))
        except OneCardError as error:
            if error.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID:
                raise
            left.append(Left(ordinal=ordinal, subject=b"", cause="identity"))
        except psycopg.DataError:
            left.append(Left(ordinal=ordinal, subject=b"", cause="data"))
    return _Encoded(rows=b"".join(rows), systems=systems, left=left)


def _encode_one(ordinal: int, raw: bytes, systems: set[tuple[str, str]]) -> bytes:
    try:
        told = snapshot_pb2.SnapshotCard.FromString(raw)
    except DecodeError:
        raise OneCardError(errors_pb2.ERROR_REASON_SNAPSHOT_INVALID, f"card {ordinal} is none") from None
    social = told.social
    if social.card.issuer != _province:
        raise OneCardError(errors_pb2.ERROR_REASON_SNAPSHOT_INVALID, f"card {ordinal} was not issued by {_province}")
    if social.state not in _STATES or not social.version or not social.card.number:
        raise psycopg.DataError("a card without number, state or version")
    kind = social.person.kind.code
    identity = normalise_identity(kind, social.person.number)
    subject = _subjects.pseudonym(identity)
    card = card_told(social, told.financial if told.HasField("financial") else None)
    systems.add((card.social.local.system, card.social.local.version))
    systems.add((card.financial.local.system, card.financial.local.version))
    try:
        return staged_row(
            _subjects.partition_of_pseudonym(subject),
            bytes.fromhex(subject),
            kind,
            identity.partition("|")[2],
            social.holder.name,
            card,
            ordinal,
        )
    except struct.error:
        raise psycopg.DataError("a number is out of the range of its column") from None


def _batches(reader: SnapshotReader) -> Iterator[tuple[int, list[bytes]]]:
    cards, ordinal = reader.cards(), 1
    while batch := list(itertools.islice(cards, BATCH_COUNT)):
        yield ordinal, batch
        ordinal += len(batch)
