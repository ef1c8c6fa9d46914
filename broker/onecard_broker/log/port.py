"""The log port: what the hub asks of its log, whichever engine keeps it.

What it promises: within a partition, records stand in the order of the calls that appended them and keep their
positions for ever; an acknowledged record survives the loss of the process that wrote it (and of one broker of
three); reads are bounded; an appender waits while too many bytes are in flight.

What it does not: no order between partitions; no exactly-once append (a failed append may have been written all
the same, so whoever repeats it must be recognised by its content); no fencing of writers, which is the business of
the records (design, rule 7). Cancelling a call of `append` that has begun does not take its records back.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol, runtime_checkable

from onecard_protocol.value_class import value_class

COMING_S: Final = 0.015
"""So long a batch that gathered waits for what is about to come: what misses it waits for the next one."""


@value_class(frozen=True, slots=True, kw_only=True)
class Record:
    """A record to append: the partition is chosen by the caller, the key is never personal data."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@value_class(frozen=True, slots=True, kw_only=True)
class Appended:
    """Where an acknowledged record stands, and the log's own clock at that moment, in Unix milliseconds."""

    position: int
    append_time_ms: int


@value_class(frozen=True, slots=True, kw_only=True)
class LoggedRecord:
    """A record as read from the log; `append_time_ms` never falls from one record of a partition to the next."""

    topic: str
    partition: int
    position: int
    append_time_ms: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic as it must be; `retention_ms` None keeps its records for ever."""

    name: str
    partition_count: int
    retention_ms: int | None = None


class LogError(Exception):
    """Whatever goes wrong with the log."""


class LogUnavailable(LogError):
    """The log does not answer or cannot be written now; trying again later is right."""


class LogMisconfigured(LogError):
    """The log, a topic or this program's equipment for it is not as it must be; the text says what to change."""


class TopicMismatch(LogMisconfigured):
    """Topics exist with other properties than asked; `differences` names each of them."""

    def __init__(self, differences: Sequence[str]) -> None:
        """Keep the differences, one line for each property."""
        super().__init__("topics differ from what the exchange needs: " + "; ".join(differences))
        self.differences = tuple(differences)


class RecordTooLarge(LogError):
    """A record exceeds what the log carries; nothing of its call was appended."""

    def __init__(self, topic: str, size_bytes: int, limit_bytes: int) -> None:
        """Name the topic, the record's size and the limit, both in bytes."""
        super().__init__(f"a record of {size_bytes} bytes for {topic} exceeds the log's limit of {limit_bytes} bytes")
        self.topic = topic
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class AppendFailed(LogUnavailable):
    """Some records of a call were not acknowledged.

    `results` stands in the order of the call's records: None for a record that was not acknowledged, which may or may
    not be in the log. Within a partition nothing behind an unacknowledged record is acknowledged either, in this call
    or in a call made before this error was raised.
    """

    def __init__(self, results: Sequence["Appended | None"], cause: str) -> None:
        """Keep what was acknowledged, and say why the rest was not."""
        missing_count = sum(result is None for result in results)
        super().__init__(f"{missing_count} of {len(results)} records were not acknowledged: {cause}")
        self.results = tuple(results)
        self.cause = cause


class PositionBeforeStart(LogError):
    """A reader's position lies before the first record that the log still keeps, which is at `start`."""

    def __init__(self, topic: str, partition: int, start: int) -> None:
        """Name the partition and its first kept position."""
        super().__init__(f"{topic} partition {partition} begins at position {start}, what stood before is gone")
        self.topic = topic
        self.partition = partition
        self.start = start


class PositionAfterEnd(LogError):
    """A reader's position lies beyond the log's end: made on another life of the log, or the log lost records."""

    def __init__(self, topic: str, partition: int, position: int, end: int) -> None:
        """Name the partition, the position asked for and the next position to be written."""
        super().__init__(f"{topic} partition {partition} ends at position {end}, position {position} was never written")
        self.topic = topic
        self.partition = partition
        self.position = position
        self.end = end


class ForeignEpoch(LogError):
    """A position was made on another life of the log and means nothing on this one (design, rule 8)."""

    def __init__(self, expected: str, found: str) -> None:
        """Name both epochs."""
        super().__init__(f"the position belongs to log epoch {found!r}, this log's epoch is {expected!r}")
        self.expected = expected
        self.found = found


class Reader(Protocol):
    """Reads one topic from given positions. One task uses a reader at a time."""

    async def read(self, max_records: int, max_bytes: int, wait_ms: int) -> list[LoggedRecord]:
        """Return the next records, in order within each partition, or nothing after `wait_ms` without any.

        A record that comes after a quiet time is given at once; while records keep coming, a reader may wait some
        milliseconds for more of them. At most `max_records`; record sizes (key, value and headers) add up to at most
        `max_bytes`, except that a first record larger than that is returned alone. Cancelling loses no record.

        Raises PositionBeforeStart, PositionAfterEnd, LogUnavailable.
        """
        ...

    def seek(self, partition: int, position: int) -> None:
        """Continue this partition from `position`."""
        ...

    def positions(self) -> dict[int, int]:
        """Return the next position to read of each partition."""
        ...

    async def close(self) -> None:
        """Let go of everything; the reader is of no use afterwards."""
        ...


@runtime_checkable
class Log(Protocol):
    """A log of topics, each cut into partitions."""

    @property
    def epoch(self) -> str:
        """Identity of this life of the log: recreating its topics or tables gives another.

        Raises LogMisconfigured while the log's topics do not exist.
        """
        ...

    @property
    def partition_count(self) -> int:
        """Number of partitions of the journal and of each inbox, as the configuration says."""
        ...

    @property
    def made_partition_count(self) -> int | None:
        """Number of partitions that the journal was made with, as the opening found it; None while there is none."""
        ...

    async def append(self, records: Sequence[Record]) -> list[Appended]:
        """Append records and return, in their order, where they stand, once all are durable.

        Within a partition the order is that of the calls, also of calls in flight together, which are combined.
        Waits while too many bytes are in flight.

        Raises AppendFailed (the log is usable again at once: a later call starts anew), RecordTooLarge.
        """
        ...

    @property
    def gathering_s(self) -> float:
        """How long from now what is appended gathers before it is written, in seconds; 0 if it is written at once."""
        ...

    def coming(self, what: Hashable, *, within_s: float | None = None) -> None:
        """Something is being made that is appended then, or, where a time is given, comes in about so many seconds.

        A batch that gathers waits for it, up to `COMING_S`, until it `came`. It need not come.
        """
        ...

    def came(self, what: Hashable) -> None:
        """It is about to be appended, or does not come any more; once, whether it was waited for or not."""
        ...

    def open_reader(self, topic: str, positions: Mapping[int, int]) -> Reader:
        """Return a reader of these partitions of a topic, each from its next position to read."""
        ...

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return, by partition, the first kept position and the end, which is the next position to be written.

        Raises LogMisconfigured when the topic does not exist, LogUnavailable.
        """
        ...

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing and check those that exist.

        Raises TopicMismatch naming everything that differs; LogUnavailable.
        """
        ...

    async def apply_retention(self) -> None:
        """Drop what the topics' retention lets go; an engine that does so by itself does nothing here.

        Raises LogUnavailable.
        """
        ...

    def check_epoch(self, epoch: str) -> None:
        """Raise ForeignEpoch unless `epoch` is this log's."""
        ...

    async def close(self) -> None:
        """Finish what is in flight and let go of everything; closing again does nothing."""
        ...


def record_size_bytes(record: Record | LoggedRecord) -> int:
    """Return the size by which reads and bytes in flight are bounded: key, value and headers."""
    return len(record.key) + len(record.value) + sum(map(len, chain.from_iterable(record.headers)))
