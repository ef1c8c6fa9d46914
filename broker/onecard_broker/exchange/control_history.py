"""The control records so far, as the worker needs them: to copy them into its partitions, and to know the directory
that is in force at a number (rule 15)."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import psycopg

from onecard.exchange.v1 import control_pb2
from onecard_broker.directory.follower import ControlHistory as StoredHistory
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory
from onecard_broker.journal import CONTROL_TOPIC, CONTROL_TYPE
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import Log, LogError
from onecard_protocol.messages import Message, trusted_message

log = logging.getLogger(__name__)

READ_COUNT: Final = 500
READ_BYTES: Final = 4 * 1024 * 1024


class ControlHistory:
    """Reads the past from the store, then follows `onecard.control`; only the hub writes there."""

    def __init__(self, journal: Log, stored: StoredHistory) -> None:
        """`journal` is the log that the topic lies on, `stored` keeps all records that were ever made."""
        self._log = journal
        self._stored = stored
        self._messages: list[Message] = []
        self._directories: list[Directory] = [EMPTY_DIRECTORY]
        self._reached = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def newest_number(self) -> int:
        """Number of the newest control record read."""
        return len(self._messages)

    def message(self, number: int) -> Message:
        """The signed control record of a number, from 1."""
        return self._messages[number - 1]

    async def directory_at(self, number: int) -> Directory:
        """The directory after the record of a number; waits until it was read."""
        async with self._reached:
            await self._reached.wait_for(lambda: len(self._directories) > number)
        return self._directories[number]

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run(), name="control history")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                _, position = (await self._log.bounds(CONTROL_TOPIC))[0]
                await self._catch_up()
                await self._follow(position)
            except (LogError, psycopg.Error) as error:
                log.warning("control records cannot be read, trying again: %s", type(error).__name__)
                await asyncio.sleep(0.5)

    async def _catch_up(self) -> None:
        while page := await self._stored.records(self.newest_number + 1):
            for message in page:
                await self._add(message)

    async def _follow(self, position: int) -> None:
        reader = self._log.open_reader(CONTROL_TOPIC, {0: position})
        try:
            while True:
                for record in await reader.read(READ_COUNT, READ_BYTES, 1_000):
                    event = decode(record)
                    if event.type == CONTROL_TYPE:
                        await self._add(trusted_message(event.header, event.data, event.signature))
        finally:
            await reader.close()

    async def _add(self, message: Message) -> None:
        control = control_pb2.ControlRecord.FromString(message.payload)
        if control.number > self.newest_number + 1:
            await self._catch_up()
        if control.number <= self.newest_number:
            return  # A repeated number does nothing.
        async with self._reached:
            self._messages.append(message)
            self._directories.append(self._directories[-1].apply(control))
            self._reached.notify_all()
