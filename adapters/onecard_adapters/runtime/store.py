"""The adapter's durable store: SQLite, one transaction at a time, group commit in a thread.

Owns the thread and the transactions; what stands in the tables is the business of `outbox`, `inbox` and `memory`, how
the file is opened that of `store_file`. Whatever waits when the last commit has ended is one transaction: concurrent
writers share one fsync. A promise is kept when the awaited operation returns: it is on disk (WAL, synchronous=FULL).

Brief operations run on the event loop: a thread that computes in Python takes turns with the loop at every statement,
which costs both more than the statements. Their commit runs there too while the disk is quick, as the way to the thread
and back takes longer than such a commit; once one was slow, the thread waits for the disk for a while. What need not be
durable before something that follows is runs ahead, and is committed with it (ADR 0017).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.runtime.store_file import open_store
from onecard_protocol.quickness import Quickness

_Result = TypeVar("_Result")
Operation = Callable[[sqlite3.Connection], _Result]

OPERATIONS_PER_COMMIT_MAX: Final = 512
_BRIEF_PER_COMMIT_MAX: Final = 64
"""More of them hold up the event loop for too long, and are run in the thread."""

_AHEAD_SECONDS: Final = 0.05
"""What ran ahead, and was followed by nothing, is committed after this."""
_NEVER_S: Final = float("inf")
_INSIST_FIRST_S: Final = 0.5
_INSIST_MOST_S: Final = 8.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Batch:
    """The jobs of one transaction."""

    jobs: list[_Job]
    is_run: bool
    """Whether they were run and only the commit is missing."""


@dataclasses.dataclass(slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    is_brief: bool
    result: Any = None
    error: Exception | None = None


class Store:
    """One SQLite file. Operations are functions of the connection; they must not begin or end transactions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._gathered: list[_Job] = []
        self._ahead: list[_Job] = []
        """Run and told, in a transaction of the loop that is not committed."""
        self._is_committing = False
        self._beginning: asyncio.Handle | None = None
        self._begins_s = _NEVER_S
        """When what is gathered or ran ahead begins or goes on, by the loop's clock, unless a commit is under way."""
        self._idle = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._quickness = Quickness()
        self.commit_count = 0

    async def open(self) -> None:
        """Open or create the file and start the thread.

        Raises OneCardError: CONFIGURATION_INVALID if the file cannot be opened or another adapter uses it,
        STORE_TOO_NEW if a newer release made it.
        """
        self._loop = asyncio.get_running_loop()
        self._idle.set()
        lock, self._writing, self._reading = await asyncio.to_thread(open_store, self._path)
        self._thread = threading.Thread(target=self._work, args=(lock, self._writing), name="store", daemon=True)
        self._thread.start()

    def run(
        self, operation: Operation[_Result], *, is_brief: bool = False, within_s: float = 0.0
    ) -> asyncio.Future[_Result]:
        """Run an operation in the next transaction; the future ends after its commit.

        An operation that raises undoes only itself, and may be run again after it was undone with others. The operation
        runs even if the future is cancelled. `is_brief`: some statements by a key, which take microseconds. The next
        transaction begins after `within_s` seconds at most: for what can wait a little for others to share its commit.
        """
        if self._loop is None or self._thread is None:
            raise RuntimeError("the store is not open")
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._idle.clear()
        self._gathered.append(_Job(operation, future, is_brief))
        self._begin_within(0 if len(self._gathered) >= _BRIEF_PER_COMMIT_MAX else within_s)
        return future

    async def insist(
        self,
        operation: Operation[_Result],
        *,
        is_brief: bool = False,
        within_s: float = 0.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> _Result:
        """As `run`, again and again while the disk refuses it: for what happened and must be written down.

        `pause` waits so many seconds between two attempts.
        """
        for failure_count in itertools.count():
            try:
                return await self.run(operation, is_brief=is_brief, within_s=within_s)
            except sqlite3.OperationalError as error:
                _log.error(
                    "the store %s cannot be written (%s): it is tried again; make room on its disk"
                    " / 适配器存储无法写入，将自动重试：请清理磁盘空间",
                    self._path,
                    error,
                )
                await pause(backoff_s(failure_count, first_s=_INSIST_FIRST_S, most_s=_INSIST_MOST_S))
        raise AssertionError("counting has no end")

    def run_ahead(self, operation: Operation[_Result]) -> asyncio.Future[_Result]:
        """As `run` of a brief operation, but the future ends before the commit, if it can.

        It is committed before or with whatever is asked for later, and soon if nothing is. Where that fails, and fails
        again alone, the log says so and its caller does not learn of it: for what may be lost as if it had not been
        asked for, whatever follows.
        """
        if self._loop is None or self._thread is None or self._writing is None:
            raise RuntimeError("the store is not open")
        if self._is_committing or self._gathered or self._is_undone:
            return self.run(operation, is_brief=True)
        future: asyncio.Future[_Result] = self._loop.create_future()
        job = _Job(operation, future, is_brief=True)
        self._idle.clear()
        self._ahead.append(job)
        self._begin_within(_AHEAD_SECONDS)
        is_run = False
        try:
            _run(self._writing, [job])
            is_run = True
        except Exception:
            _log.debug("run again with the next transaction", exc_info=True)
        finally:
            if is_run:
                future.set_result(job.result)
            else:  # Nothing is left of what ran before it either.
                self._gathered, self._ahead = self._ahead, []
                self._begin_within(0)
        return future

    @property
    def _is_undone(self) -> bool:
        """Whether nothing is left of what ran ahead: SQLite itself ends a transaction where the disk fails it."""
        return bool(self._ahead) and self._writing is not None and not self._writing.in_transaction

    def read(self, question: Operation[_Result]) -> _Result:
        """What is committed, at once: for questions by a key, which take microseconds.

        What ran ahead is seen too, unless the thread works on its transaction: the way to the thread and back costs
        several times what a question does. RuntimeError for one that writes.
        """
        connection = self._reading if self._is_committing else self._writing
        if connection is None or self._thread is None:
            raise RuntimeError("the store is not open")
        # Not on the connection that cannot write: each commit of the other one empties its cache.
        before = connection.total_changes
        answer = question(connection)
        if connection.total_changes != before:
            raise RuntimeError("a question wrote to the store")
        return answer

    async def look(self, question: Operation[_Result]) -> _Result:
        """As `read`, but after all that was asked for before."""
        if self._is_committing or self._gathered:
            return await self.run(question, is_brief=True)
        return self.read(question)

    async def close(self) -> None:
        """Finish what was asked for, then close the file."""
        thread, self._thread = self._thread, None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()  # First, so that the last one to close, which cleans up, is the writer under the lock.
        if thread is not None:
            # Also where whoever closes is cancelled: the file and its lock must be let go.
            await asyncio.shield(asyncio.ensure_future(self._finish(thread)))

    async def _finish(self, thread: threading.Thread) -> None:
        self._begin()
        await self._idle.wait()
        self._batches.put(None)
        await asyncio.to_thread(thread.join)

    def _begin_within(self, seconds: float) -> None:
        if self._loop is None:
            return
        begins_s = self._loop.time() + seconds
        if begins_s < self._begins_s:
            self._begins_s = begins_s
            self._begin_in_time()

    def _begin_in_time(self) -> None:
        if self._loop is None or self._is_committing:
            return  # When the commit has ended, it is looked after.
        if self._beginning is not None:
            self._beginning.cancel()
        if self._begins_s > self._loop.time():
            self._beginning = self._loop.call_at(self._begins_s, self._begin)
        else:
            # After this turn of the loop: what other tasks ask for in it belongs to the same transaction.
            self._beginning = self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Begin the next transaction, or go on with that of what ran ahead, unless one is under way."""
        if self._is_committing or not (self._gathered or self._ahead):
            return
        self._is_committing = True
        new = self._gathered[:OPERATIONS_PER_COMMIT_MAX]
        del self._gathered[:OPERATIONS_PER_COMMIT_MAX]
        self._begins_s = 0.0 if self._gathered else _NEVER_S
        is_undone = self._is_undone
        jobs, self._ahead = [*self._ahead, *new], []
        is_run = False
        try:
            is_run = not is_undone and self._is_run_here(new)
            if is_run:
                is_run = self._is_committed_or_left_here()
        finally:  # Also after an interruption from the keyboard: the thread has the last word on what is not committed.
            if is_run and self._writing is not None and not self._writing.in_transaction:
                self._ended(jobs)
            else:
                self._batches.put(_Batch(jobs, is_run=is_run))

    def _is_run_here(self, jobs: list[_Job]) -> bool:
        """Run the operations without the commit, where they are brief and none fails; else nothing is left."""
        if self._writing is None:
            return False
        if len(jobs) > _BRIEF_PER_COMMIT_MAX or not all(job.is_brief for job in jobs):
            _undo(self._writing)  # What ran ahead is run again, in the thread.
            return False
        try:
            _run(self._writing, jobs)
        except Exception:
            return False  # The thread finds out which of them is at fault.
        return True

    def _is_committed_or_left_here(self) -> bool:
        """Commit what was run, or leave that to the thread on a slow disk; False where nothing of it is left."""
        if self._writing is None or not self._quickness.is_quick:
            return True
        try:
            with self._quickness:
                self._end(self._writing)
        except Exception:
            return False  # The thread runs it again, and tells whose fault it is.
        return True

    def _work(self, lock: sqlite3.Connection, connection: sqlite3.Connection) -> None:
        with contextlib.closing(lock), contextlib.closing(connection):
            while (batch := self._batches.get()) is not None:
                self._commit(connection, batch)

    def _commit(self, connection: sqlite3.Connection, batch: _Batch) -> None:
        try:
            if not batch.is_run:
                _run(connection, batch.jobs)
            self._end(connection)
        except Exception:
            # One of them is at fault: each gets a transaction of its own, so that only that one fails.
            for job in batch.jobs:
                try:
                    _run(connection, [job])
                    self._end(connection)
                except StopIteration:  # No future takes it: its caller would wait for ever.
                    job.error = RuntimeError("the operation raised StopIteration")
                except Exception as error:
                    job.error = error
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended, batch.jobs)

    def _end(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except Exception:  # An interruption from the keyboard may come behind the commit: nothing is undone then.
            _undo(connection)
            raise
        self.commit_count += 1

    def _ended(self, jobs: list[_Job]) -> None:
        self._is_committing = False
        _tell(jobs)
        if not self._gathered:
            self._idle.set()
        else:
            # After those who were told had their turn: what they ask for now belongs to the same transaction.
            self._begin_in_time()


def _run(connection: sqlite3.Connection, jobs: list[_Job]) -> None:
    """Run the operations in the transaction that is open, or in a new one; where one fails, nothing of it is left."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            job.result = job.operation(connection)
    except BaseException:
        _undo(connection)
        raise


def _undo(connection: sqlite3.Connection) -> None:
    # Some failures, such as a full disk, have undone it already.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _tell(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.error is not None:
            if not job.future.done():
                job.future.set_exception(job.error)
            else:
                _log.error("an abandoned operation of the store failed: %s", type(job.error).__name__)
        elif not job.future.done():
            job.future.set_result(job.result)
