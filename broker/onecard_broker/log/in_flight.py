"""What both logs share of appending: the order of calls and the bound on bytes in flight.

A call waits here until there is room, is then started, and ends with its results. Knows nothing of any engine.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from onecard_broker.log.port import Appended, AppendFailed, LogUnavailable, Record, RecordTooLarge, record_size_bytes


class AppendCall:
    """One call of `append` on its way: its records and, filled in by the engine, their results."""

    __slots__ = ("_future", "failure", "number", "open_count", "records", "results", "size_bytes", "sizes")

    def __init__(
        self, number: int, records: Sequence[Record], sizes: Sequence[int], future: "asyncio.Future[list[Appended]]"
    ) -> None:
        """Take the records and the size of each in bytes; `number` grows with each call of a log."""
        self.number = number
        self.records = records
        self.sizes = sizes
        self.size_bytes = sum(sizes)
        self.results: list[Appended | None] = [None] * len(records)
        # How many parts of this call the engine still has under way, and why one of them failed; the engine's own.
        self.open_count = 0
        self.failure: str | None = None
        self._future = future

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._future.cancelled()

    def resolve(self, failure: str | None) -> None:
        """Tell the caller: its results, or what was acknowledged of them and why the rest was not."""
        if self._future.done():
            return
        acknowledged = [result for result in self.results if result is not None]
        if len(acknowledged) == len(self.results):
            self._future.set_result(acknowledged)
        else:
            self._future.set_exception(AppendFailed(self.results, failure or "not acknowledged"))


class InFlight:
    """Starts append calls in their order while the bytes in flight stay under a bound.

    A call larger than the bound goes alone. `start` is called on the event loop, in the order of the calls; the
    engine ends each started call with `finish`.
    """

    def __init__(self, *, bytes_max: int, record_bytes_max: int, start: Callable[[AppendCall], None]) -> None:
        """`bytes_max` bounds what is in flight, `record_bytes_max` a single record."""
        self._bytes_max = bytes_max
        self._record_bytes_max = record_bytes_max
        self._start = start
        self._waiting: deque[AppendCall] = deque()
        self._bytes = 0
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.last_number = 0

    @property
    def size_bytes(self) -> int:
        """Bytes in flight now."""
        return self._bytes

    async def run(self, records: Sequence[Record]) -> list[Appended]:
        """Carry one call through and return its results; raises as `Log.append`."""
        if self._closed:
            raise LogUnavailable("the log is closed")
        if not records:
            return []
        sizes = list(map(record_size_bytes, records))
        for record, size_bytes in zip(records, sizes, strict=True):
            if size_bytes > self._record_bytes_max:
                raise RecordTooLarge(record.topic, size_bytes, self._record_bytes_max)
        future: asyncio.Future[list[Appended]] = asyncio.get_running_loop().create_future()
        self.last_number += 1
        self._waiting.append(AppendCall(self.last_number, records, sizes, future))
        self._idle.clear()
        self._admit()
        return await future

    def finish(self, call: AppendCall, failure: str | None) -> None:
        """End a started call and start what it made room for."""
        self._bytes -= call.size_bytes
        self._count -= 1
        call.resolve(failure)
        self._admit()

    def fail_waiting(self, failure: str, partitions: frozenset[tuple[str, int]] | None = None) -> None:
        """Fail the calls not started yet that touch one of the partitions (None: all): they stand behind a failure."""
        kept: deque[AppendCall] = deque()
        for call in self._waiting:
            if partitions is None or any((record.topic, record.partition) in partitions for record in call.records):
                call.resolve(failure)
            else:
                kept.append(call)
        self._waiting = kept
        self._admit()

    async def drain(self) -> None:
        """Accept no further call and wait until every call has ended."""
        self._closed = True
        await self._idle.wait()

    def _admit(self) -> None:
        while self._waiting:
            call = self._waiting[0]
            if self._count and self._bytes + call.size_bytes > self._bytes_max:
                break
            self._waiting.popleft()
            if call.abandoned:
                continue
            self._bytes += call.size_bytes
            self._count += 1
            self._start(call)
        if not self._waiting and not self._count:
            self._idle.set()
