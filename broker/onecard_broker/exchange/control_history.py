"""The control records so far, as the worker needs them: to copy them into its partitions, and to know the directory
that is in force at a number (rule 15). Every record's signature is verified, whatever it was read from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import psycopg

from onecard.exchange.v1 import control_pb2
from onecard_broker.directory.follower import ControlHistory as StoredHistory
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory, NumberGap
from onecard_broker.directory.signing import read_control
from onecard_broker.journal import CONTROL_TOPIC, CONTROL_TYPE, NUMBER
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import Log, LogError, LoggedRecord
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.signatures.blocks import BlockVerifier

log = logging.getLogger(__name__)

READ_COUNT: Final = 500
READ_BYTES: Final = 4 * 1024 * 1024


class ControlHistory:
    """Reads the past from the store, then follows `onecard.control`; a record that the hub did not sign ends that."""

    def __init__(
        self,
        journal: Log,
        stored: StoredHistory,
        *,
        network: str,
        hub_keys: Mapping[str, bytes],
        verifier: BlockVerifier,
    ) -> None:
        """`journal` is the log that the topic lies on, `stored` keeps all records that were ever made.

        `hub_keys`: configured public keys of the hub by id, where trust begins.
        """
        self._log = journal
        self._stored = stored
        self._network = network
        self._hub_keys = dict(hub_keys)
        self._verifier = verifier
        self._messages: list[Message] = []
        self._directories: list[Directory] = [EMPTY_DIRECTORY]
        self._reached = asyncio.Condition()
        self._fault: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def newest_number(self) -> int:
        """Number of the newest control record read."""
        return len(self._messages)

    def message(self, number: int) -> Message:
        """The signed control record of a number, from 1."""
        return self._messages[number - 1]

    async def directory_at(self, number: int) -> Directory:
        """The directory after the record of a number; waits until it was read, and raises what ended the reading."""
        async with self._reached:
            await self._reached.wait_for(lambda: len(self._directories) > number or self._fault is not None)
        if self._fault is not None and len(self._directories) <= number:
            raise self._fault
        return self._directories[number]

    def check(self, message: Message, directory: Directory) -> None:
        """Raise OneCardError unless the hub signed this record, which follows `directory`.

        What was verified here before is compared, so that the copies in the partitions cost no second verification.
        """
        known = self._messages[directory.version] if directory.version < self.newest_number else None
        if message != known:
            self._read(message, directory)

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run(), name="control history")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._read_on()
        except Exception as error:  # What is in force stays; going on would copy what nobody signed.
            if not isinstance(error, OneCardError):
                log.exception("following the control topic failed")
            async with self._reached:
                self._fault = error
                self._reached.notify_all()

    async def _read_on(self) -> None:
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
                try:
                    await self._add(message)
                except OneCardError as error:
                    log.critical("stored control record %d cannot be trusted: %s", self.newest_number + 1, error)
                    raise

    async def _follow(self, position: int) -> None:
        reader = self._log.open_reader(CONTROL_TOPIC, {0: position})
        try:
            while True:
                for record in await reader.read(READ_COUNT, READ_BYTES, 1_000):
                    await self._take(record)
        finally:
            await reader.close()

    async def _take(self, record: LoggedRecord) -> None:
        event = decode(record)
        if event.type != CONTROL_TYPE:
            return
        number = int(event.extensions[NUMBER])
        if number > self.newest_number + 1:
            await self._catch_up()
        if number != self.newest_number + 1:
            return  # A repeated number does nothing.
        try:
            await self._add(trusted_message(event.header, event.data, event.signature))
        except OneCardError as error:
            log.critical(
                "control record %d, at %s %d, cannot be trusted; control records are followed no further: %s",
                number,
                CONTROL_TOPIC,
                record.position,
                error,
            )
            raise

    async def _add(self, message: Message) -> None:
        control = self._read(message, self._directories[-1])
        if control.number != self.newest_number + 1:
            raise NumberGap(self.newest_number + 1, control.number)
        async with self._reached:
            self._messages.append(message)
            self._directories.append(self._directories[-1].apply(control))
            self._reached.notify_all()

    def _read(self, message: Message, directory: Directory) -> control_pb2.ControlRecord:
        return read_control(
            message, network=self._network, directory=directory, hub_keys=self._hub_keys, verifier=self._verifier
        )
