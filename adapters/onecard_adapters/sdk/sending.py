"""One request or event of a stub, from its serialised payload to its reply's."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime import outbox
from onecard_adapters.runtime.outbox import OutboxState, Outgoing, StoredOutgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Operation, Store
from onecard_adapters.sdk.answers import Waiting
from onecard_adapters.sdk.calls import Calls
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.failures import CallFailed
from onecard_adapters.sdk.outgoing import Writer
from onecard_adapters.sdk.reading import Reads
from onecard_adapters.sdk.submission import Submission
from onecard_protocol import limits
from onecard_protocol.identifiers import message_time_ms
from onecard_protocol.methods import Method
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.tracing import TRACEPARENT

_Result = TypeVar("_Result")


class Tell(Protocol):
    """Leaves an event to the outbox within a transaction of the store."""

    def __call__(self, method: str, recipient: str, event: ProtoMessage) -> bytes:
        """The event's message id. Raises OneCardError UNKNOWN_METHOD or PAYLOAD_TOO_LARGE, which undoes the rest."""


Telling = Callable[[sqlite3.Connection, Tell], _Result]
"""An operation of the store that tells events; it may be run again after it was undone, so it keeps nothing itself."""


class Sending:
    """Decides what a call of a stub becomes: a request to send, a read, an event for the outbox, or what is known."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        methods: Mapping[str, Method],
        writer: Writer,
        waiting: Waiting,
        calls: Calls,
        submission: Submission,
        reads: Reads,
        clock: HubClock,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._methods = methods
        self._writer = writer
        self._waiting = waiting
        self._calls = calls
        self._submission = submission
        self._reads = reads
        self._clock = clock

    async def send(
        self,
        method: str,
        recipient: str,
        request: ProtoMessage,
        payload: bytes,
        *,
        message_id: bytes | None,
        timeout_s: float | None,
        traceparent: str,
    ) -> bytes:
        """The payload of the reply; of an event, empty once it is durable. Raises CallFailed."""
        known = self._method(method, payload)
        if known.is_read:
            return await self._reads.read(known, recipient, payload, timeout_s=timeout_s)
        limit_s = limits.TYPED_CALL_MS / 1000 if timeout_s is None else timeout_s
        while True:
            if message_id is not None:
                reply = await self._known_outcome(known, recipient, payload, message_id, limit_s)
                if reply is not None:
                    return reply
                may_be_forgotten = message_time_ms(message_id) < self._clock.now_ms() - outbox.KEPT_MS
                if may_be_forgotten and known.has_effect and known.carries_execute_before:
                    raise CallFailed(
                        errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL, "what was sent so long ago is not remembered"
                    )
            if self._clock.is_fresh or not known.carries_execute_before:
                break  # From the last look at what is known until the new request is known, nothing is awaited.
            await self._wait_for_hub_time(known, limit_s)
        outgoing = self._writer.request(
            known, recipient, request, payload, message_id=message_id, traceparent=traceparent
        )
        if known.is_event:
            try:
                await self._tell(outgoing)
            except sqlite3.IntegrityError:
                if message_id is None:
                    raise
                # Told under this id at the same moment: its outcome was looked for before it was written.
                await self._known_outcome(known, recipient, payload, message_id, limit_s)
            return b""
        is_durable = known.has_effect or not known.carries_execute_before or message_id is not None
        return (await self._calls.call(outgoing, timeout_s=limit_s, is_durable=is_durable)).payload

    async def write(self, operation: Telling[_Result]) -> _Result:
        """Run an operation of the store; the events that it tells are durable with what it writes, and sent then."""
        traceparent = TRACEPARENT.get()  # Here: the operation may run in a thread.

        def write(connection: sqlite3.Connection) -> tuple[_Result, list[Outgoing]]:
            told: list[Outgoing] = []

            def tell(method: str, recipient: str, event: ProtoMessage) -> bytes:
                payload = event.SerializeToString(deterministic=True)
                known = self._method(method, payload)
                outgoing = self._writer.request(known, recipient, event, payload, traceparent=traceparent)
                outbox.insert(connection, self._sealer, outgoing, OutboxState.QUEUED)
                told.append(outgoing)
                return outgoing.id

            return operation(connection, tell), told

        return await self._write(write)

    async def find(self, message_id: bytes) -> StoredOutgoing | None:
        """What the outbox knows of a message."""
        return await self._store.look(lambda store: outbox.find(store, self._sealer, message_id))

    def _method(self, name: str, payload: bytes) -> Method:
        known = self._methods.get(name)
        if known is None:
            raise CallFailed(errors_pb2.ERROR_REASON_UNKNOWN_METHOD, name)
        if len(payload) > known.policy.payload_bytes_max:
            raise CallFailed(
                errors_pb2.ERROR_REASON_PAYLOAD_TOO_LARGE,
                f"{len(payload)} bytes, {known.policy.payload_bytes_max} are allowed",
            )
        return known

    async def _write(self, operation: Operation[tuple[_Result, list[Outgoing]]], *, is_brief: bool = False) -> _Result:
        written = self._store.run(operation, is_brief=is_brief)
        # By the future and not by this task, which may be cancelled while the transaction is under way.
        written.add_done_callback(self._submit_told)
        return (await asyncio.shield(written))[0]

    def _submit_told(self, written: asyncio.Future[tuple[_Result, list[Outgoing]]]) -> None:
        if not written.cancelled() and written.exception() is None:
            for outgoing in written.result()[1]:
                self._submission.put(outgoing)

    async def _tell(self, outgoing: Outgoing) -> None:
        """Leave an event to the submission pump; it is kept until the hub has it."""

        def write(connection: sqlite3.Connection) -> tuple[None, list[Outgoing]]:
            outbox.insert(connection, self._sealer, outgoing, OutboxState.QUEUED)
            return None, [outgoing]

        await self._write(write, is_brief=True)

    async def _known_outcome(
        self, method: Method, recipient: str, payload: bytes, message_id: bytes, timeout_s: float
    ) -> bytes | None:
        """The reply to what was sent under this id before; None if nothing was. An event has an empty one."""
        stored = await self.find(message_id)
        pending = self._waiting.find(message_id)
        outgoing = pending.outgoing if pending is not None else stored.outgoing if stored is not None else None
        if outgoing is None:
            return None
        header = message_pb2.MessageHeader.FromString(outgoing.header)
        if (outgoing.method, outgoing.recipient, header.payload_digest) != (method.name, recipient, sm3(payload)):
            raise CallFailed(errors_pb2.ERROR_REASON_ID_CONFLICT, "the id was used for another request")
        if pending is not None:
            return (await self._calls.join(pending, timeout_s=timeout_s)).payload
        if stored is None or method.is_event:
            return b""
        # The outbox lets go of a payload that it owes nothing for.
        whole = dataclasses.replace(stored, outgoing=dataclasses.replace(stored.outgoing, payload=payload))
        return (await self._calls.resume(whole, timeout_s=timeout_s)).payload

    async def _wait_for_hub_time(self, method: Method, limit_s: float) -> None:
        try:
            async with asyncio.timeout(min(limit_s, method.policy.longest_duration_ms / 1000)):
                await self._clock.wait_fresh()
        except TimeoutError:
            raise CallFailed(
                errors_pb2.ERROR_REASON_EXPIRED, "the hub could not be reached in time; nothing was sent"
            ) from None
