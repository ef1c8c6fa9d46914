"""Follows `onecard.control`: the present directory, and whether it is fresh (rule 15).

The past is read from the store, because the topic holds a tick for every second of its life; the log gives what comes
from now on. Every record's signature is verified, whatever it was read from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import psycopg

from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory
from onecard_broker.directory.signing import read_control
from onecard_broker.journal import CONTROL_TOPIC, CONTROL_TYPE, NUMBER
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import Log, LogError, LoggedRecord, Reader
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.signatures.blocks import BlockVerifier

log = logging.getLogger(__name__)

_READ_COUNT: Final = 500
_READ_BYTES: Final = 1_048_576
_READ_WAIT_MS: Final = 1_000
_RETRY_SECONDS: Final = 0.5


class ControlHistory(Protocol):
    """Where past control records are read from."""

    async def records(self, first_number: int, count_max: int = ...) -> list[Message]:
        """Signed control records from a number on, in order."""
        ...


class TickListener(Protocol):
    """Told of each record of the control topic as it is read at the topic's end."""

    def __call__(self, *, append_time_ms: int, read_ms: int) -> None:
        """The log's clock when the record was appended, and our own clock when it was read."""
        ...


class DirectoryFollower:
    """Keeps `directory` up to date. A record that cannot be trusted stops the following, and freshness ends."""

    def __init__(
        self,
        control_log: Log,
        history: ControlHistory,
        *,
        network: str,
        hub_keys: Mapping[str, bytes],
        verifier: BlockVerifier,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        listeners: Sequence[TickListener] = (),
    ) -> None:
        """`hub_keys`: configured public keys of the hub by id, where trust begins; `clock_ms` is for the listeners."""
        self._log = control_log
        self._history = history
        self._network = network
        self._hub_keys = dict(hub_keys)
        self._verifier = verifier
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._listeners = tuple(listeners)
        self._directory = EMPTY_DIRECTORY
        self._last_read_s: float | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def directory(self) -> Directory:
        """The directory as of the newest record that was read."""
        return self._directory

    @property
    def has_stopped(self) -> bool:
        """Whether a record that cannot be trusted, or a fault, ended the following."""
        return self._task is not None and self._task.done()

    @property
    def is_fresh(self) -> bool:
        """Whether a record or tick came within `limits.CONTROL_STALE_MS`: otherwise admission must stop."""
        if self._last_read_s is None or self.has_stopped:
            return False
        return self._monotonic() - self._last_read_s <= limits.CONTROL_STALE_MS / 1000

    async def start(self) -> None:
        """Read the past and begin to follow. Raises LogError, psycopg.Error, or OneCardError for a forged record."""
        _, end = (await self._log.bounds(CONTROL_TOPIC))[0]
        # A record that stands in the log before this end was committed to the store before: nothing falls between.
        await self._read_history()
        reader = self._log.open_reader(CONTROL_TOPIC, {0: end})
        self._task = asyncio.create_task(self._follow(reader), name="directory follower")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def wait_for_change(self, version: int, timeout_ms: int) -> Directory:
        """The directory as soon as it is newer than `version`, or the present one after the time."""
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        while self._directory.version <= version:
            changed = self._changed
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left)
        return self._directory

    async def _read_history(self) -> None:
        while page := await self._history.records(self._directory.version + 1):
            for message in page:
                self._apply(message)

    async def _follow(self, reader: Reader) -> None:
        try:
            while True:
                try:
                    records = await reader.read(_READ_COUNT, _READ_BYTES, _READ_WAIT_MS)
                    for record in records:
                        await self._take(record)
                    if records:
                        self._note_reading(records[-1])
                except OneCardError as error:
                    # Admission stops with freshness; going on would apply what nobody signed.
                    log.critical("the control topic holds a record that cannot be trusted: %s", error)
                    return
                except (LogError, psycopg.Error) as error:
                    log.warning("control topic: %s; trying again", error)
                    await asyncio.sleep(_RETRY_SECONDS)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("following the control topic failed")
        finally:
            await reader.close()

    async def _take(self, record: LoggedRecord) -> None:
        event = decode(record)
        number = int(event.extensions[NUMBER])
        if event.type == CONTROL_TYPE and number == self._directory.version + 1:
            self._apply(trusted_message(event.header, event.data, event.signature))
        elif number > self._directory.version:
            await self._read_history()  # We missed something, also where only a tick tells; the store has it.

    def _apply(self, message: Message) -> None:
        record = read_control(
            message,
            network=self._network,
            directory=self._directory,
            hub_keys=self._hub_keys,
            verifier=self._verifier,
        )
        self._directory = self._directory.apply(record)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _note_reading(self, newest: LoggedRecord) -> None:
        self._last_read_s = self._monotonic()
        read_ms = self._clock_ms()
        for listener in self._listeners:
            listener(append_time_ms=newest.append_time_ms, read_ms=read_ms)
