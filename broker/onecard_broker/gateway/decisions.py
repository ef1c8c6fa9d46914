"""Follows the workers' decisions, by the outputs and ticks in the hub's own inbox, for caches that must not be stale.

An output tells of whom something was decided: what is remembered of that person is dropped. A tick tells up to which
time everything that was decided stands before it. What is not known for sure is not fresh: a partition without a tick,
all of them while the inbox cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from onecard_broker.journal import DELIVERY_TYPE, NUMBER, PSEUDONYM, TICK_TYPE, inbox_topic
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import Log, LogError, LoggedRecord, Reader
from onecard_protocol.identifiers import HUB

log = logging.getLogger(__name__)

_READ_COUNT: Final = 2_000
_READ_BYTES: Final = 8 * 1_048_576
_READ_WAIT_MS: Final = 1_000
_RETRY_SECONDS: Final = 0.2
_DELIVERY_TYPE: Final = DELIVERY_TYPE.encode()
_TICK_TYPE: Final = TICK_TYPE.encode()
_NUMBER: Final = f"ce_{NUMBER}"
_PSEUDONYM: Final = f"ce_{PSEUDONYM}"


class DecisionListener(Protocol):
    """What remembers something of persons."""

    def drop(self, subject: str) -> None:
        """Something was decided about the person of this pseudonym."""

    def clear(self) -> None:
        """It is not known about whom something was decided."""


class Decisions:
    """Up to which time this gateway knows of everything that was decided, by partition."""

    def __init__(self, inboxes: Log, listeners: Sequence[DecisionListener]) -> None:
        """`inboxes` is the log that the hub's inbox lies on."""
        self._log = inboxes
        self._topic = inbox_topic(HUB)
        self._listeners = tuple(listeners)
        self._known_ms: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def known_ms(self) -> dict[int, int]:
        """By partition, the time in ms up to which everything decided is known; no entry where nothing is sure."""
        return self._known_ms

    def start(self) -> None:
        """Follow from the inbox's end."""
        self._task = asyncio.create_task(self._run(), name=f"follow {self._topic}")

    async def stop(self) -> None:
        """Stop following; nothing is fresh then."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._forget()

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except asyncio.CancelledError:
                raise
            except LogError as error:
                log.warning("%s: %s; nothing is known to be fresh", self._topic, error)
            except Exception:
                log.exception("following %s failed; nothing is known to be fresh", self._topic)
            self._forget()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        """Read until the log says that something is wrong."""
        ends = {partition: end for partition, (_, end) in (await self._log.bounds(self._topic)).items()}
        reader = self._log.open_reader(self._topic, ends)
        try:
            await self._read(reader)
        finally:
            with contextlib.suppress(LogError):
                await reader.close()

    async def _read(self, reader: Reader) -> None:
        while True:
            for record in await reader.read(_READ_COUNT, _READ_BYTES, _READ_WAIT_MS):
                self._take(record)

    def _take(self, record: LoggedRecord) -> None:
        headers = dict(record.headers)
        kind = headers.get("ce_type")
        partition = record.partition
        if kind == _DELIVERY_TYPE:
            number = int(headers[_NUMBER])
            self._check_number(partition, number, number - 1)
            if subject := headers.get(_PSEUDONYM, b""):
                for listener in self._listeners:
                    listener.drop(subject.decode())
        elif kind == _TICK_TYPE:
            number = int(headers[_NUMBER])
            if number < self._numbers.get(partition, 0):
                return  # Of an owner that another one has followed since.
            self._check_number(partition, number, number)
            known_ms = decode(record).time_ms
            if known_ms > self._known_ms.get(partition, 0):
                self._known_ms[partition] = known_ms

    def _check_number(self, partition: int, number: int, before: int) -> None:
        """Note the highest output number; one that is missing may be about anybody."""
        newest = self._numbers.setdefault(partition, before)
        if before > newest:
            log.error("%s partition %d has no output %d; the cache is cleared", self._topic, partition, newest + 1)
            self._clear()
        if number > newest:
            self._numbers[partition] = number

    def _forget(self) -> None:
        self._known_ms.clear()
        self._numbers.clear()
        self._clear()

    def _clear(self) -> None:
        for listener in self._listeners:
            listener.clear()
