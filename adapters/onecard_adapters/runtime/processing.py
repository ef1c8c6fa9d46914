"""Processing of what was received: the servicer is invoked, its answer fixed in the outbox, all through kill -9.

The one retry point of this hop (rule 13). Before a call with effect an ATTEMPTING row is durable; after a crash, or
when an attempt ended in doubt, the servicer is told that it recovers (rule 11). One message of a person at a time.
An undo that we owe ourselves (rule 12) is a message like those received, with nobody to answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
import sqlite3
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.runtime.context import ExchangeContext, local_transaction_id_of, not_taken, rejection_of
from onecard_adapters.runtime.inbox import InboxState, Received
from onecard_adapters.runtime.outbox import OutboxState, Outgoing
from onecard_adapters.runtime.reversal import method_undone_by, promised_never, reversal_of
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.runtime.subjects import OrderedWork
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.directory import DirectoryView
from onecard_adapters.sdk.outgoing import Writer
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt, reason_name
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message, reference_to
from onecard_protocol.methods import Method
from onecard_protocol.tracing import continue_trace

Handler = Callable[[Any, ExchangeContext], Any]

CONCURRENCY: Final = 256
ATTEMPTS_MAX: Final = 6
# About ten minutes, for what carries no execute_before: nothing of it was executed, or nobody will ask for it again.
ATTEMPTS_PATIENT_MAX: Final = 100
_WAITED_FOR: Final = frozenset({errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, errors_pb2.ERROR_REASON_HUB_NOT_READY})
"""A servicer may need the hub as well: the versions of cards are in its registry."""
RETRY_FIRST_S: Final = 0.5
RETRY_MOST_S: Final = 8.0

_COMPANY_S: Final = 0.004
"""So long an answer waits for others that are in the making: they share a commit and a submission. Of what was
delivered together, what has effect is answered so much later, as its attempt is made durable first."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    """A received message, parsed as far as it can be."""

    received: Received
    method: Method | None
    payload: ProtoMessage | None
    subject: bytes

    @property
    def undoes(self) -> message_pb2.RequestReference | None:
        """The request whose success is undone by this, if it is an undo that we owe ourselves."""
        header = self.received.message.header
        return header.reply_to if header.HasField("reply_to") else None


class Processing:
    """Invokes servicers for received requests and events."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        clock: HubClock,
        directory: DirectoryView,
        writer: Writer,
        methods: Mapping[str, Method],
        handlers: Mapping[str, Handler],
        submit: Callable[[Outgoing], None],
        local_call_ms: int = limits.LOCAL_CALL_MS,
        attempts_max: int = ATTEMPTS_MAX,
        retry_first_s: float = RETRY_FIRST_S,
    ) -> None:
        """`handlers` by full method name; it may be filled until the first message is added."""
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._directory = directory
        self._writer = writer
        self._methods = methods
        self._handlers = handlers
        self._submit = submit
        self._local_call_s = local_call_ms / 1000
        self._attempts_max = attempts_max
        self._retry_first_s = retry_first_s
        self._finishing_count = 0
        self._work: OrderedWork[_Task] = OrderedWork(self._process, concurrency=CONCURRENCY)

    def __len__(self) -> int:
        return len(self._work)

    @property
    def making_count(self) -> int:
        """Messages that are worked on at this moment; most of them are answered soon."""
        return self._work.active_count

    async def load(self) -> int:
        """Take up what a former process left; returns how many messages."""
        left = await self._store.run(lambda connection: inbox.unfinished(connection, self._sealer))
        for received in left:
            self.add(received)
        return len(left)

    def add(self, received: Received) -> None:
        """Process a message that is durable in the inbox."""
        header = received.message.header
        method = self._methods.get(header.method)
        payload = None if method is None else _parsed(method, received.message.payload)
        if method is None or payload is None:
            subject = self._writer.own_subject(header.sender, header.id)
        else:
            subject = self._writer.subject_of(method, payload, header.sender, header.id)
        self._work.add(subject, _Task(received, method, payload, subject))

    async def close(self, grace_s: float) -> None:
        """Let calls that are under way finish; what is cut off is recovered at the next start."""
        await self._work.close(grace_s)

    async def _process(self, task: _Task) -> None:
        message = task.received.message
        if task.method is None or message.header.method not in self._handlers:
            await self._refuse(task, not_taken(message.header.method))
        elif task.payload is None:
            await self._refuse(task, OneCardError(errors_pb2.ERROR_REASON_MALFORMED, task.method.input_class.__name__))
        else:
            await self._try(task, task.method, task.payload)

    async def _try(self, task: _Task, method: Method, payload: ProtoMessage) -> None:
        """Attempt until there is an answer, or give up and report."""
        is_recovery = task.received.state is InboxState.ATTEMPTING
        attempt = 0
        while True:
            try:
                response = await self._attempt(task, method, payload, is_recovery=is_recovery)
            except OutcomeInDoubt as error:
                failure: OneCardError = error
                is_recovery = method.has_effect
            except OneCardError as error:
                if not self._is_worth_waiting(method, error):
                    await self._refuse(task, error)
                    return
                failure = error
            except Exception as error:
                # The text of an unforeseen error may quote the payload: only its kind and place are logged.
                kind, place = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
                _log.error("the servicer of %s failed: %s\n%s", method.name, kind, place)
                failure = OneCardError(errors_pb2.ERROR_REASON_PROCESSING_FAILED, f"the servicer failed: {kind}")
                if not method.has_effect:
                    await self._refuse(task, failure)
                    return
                is_recovery = True
            else:
                await self._answer(task, response)
                return
            attempt += 1
            is_patient = failure.reason in _WAITED_FOR or task.undoes is not None
            if attempt >= (ATTEMPTS_PATIENT_MAX if is_patient else self._attempts_max):
                await self._give_up(task, failure, attempt)
                return
            if attempt == 1:
                header = task.received.message.header
                _log.warning("%s from %s is tried again: %s", id_text(header.id), header.sender, failure)
            await self._work.pause(backoff_s(attempt - 1, first_s=self._retry_first_s, most_s=RETRY_MOST_S))

    def _is_worth_waiting(self, method: Method, error: OneCardError) -> bool:
        """Whether local system or hub may be back in time: what carries no execute_before must not be lost."""
        return error.reason in _WAITED_FOR and not method.carries_execute_before

    async def _attempt(self, task: _Task, method: Method, payload: ProtoMessage, *, is_recovery: bool) -> ProtoMessage:
        message = task.received.message
        local_transaction_id = local_transaction_id_of(message.header.id)
        if method.has_effect:
            await self._clock.wait_fresh()
        await self._directory.wait_fresh()
        # A recovery must find out what became of the call, whatever became of the key and the time.
        if not is_recovery:
            self._check_key(message)
            if method.has_effect:
                await self._begin(message, local_transaction_id)
                self._check_key(message)  # Once more behind the last wait: it may have been revoked meanwhile.
            self._check_time(message)
        context = ExchangeContext(
            sender=message.header.sender,
            method=method.name,
            message_id=message.header.id,
            is_recovery=is_recovery,
            local_transaction_id=local_transaction_id,
            execute_before_ms=message.execute_before_ms,
        )
        continue_trace(message.header.traceparent)
        try:
            async with asyncio.timeout(self._local_call_s):
                response = self._handlers[method.name](payload, context)
                if inspect.isawaitable(response):
                    response = await response
        except TimeoutError:
            raise OutcomeInDoubt(f"the servicer took longer than {self._local_call_s:g} s") from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise OutcomeInDoubt("something that the servicer waited for was cancelled") from None
        except NotImplementedError:
            if context.is_unimplemented:
                raise not_taken(method.name) from None
            raise
        if not isinstance(response, method.output_class):
            raise TypeError(f"{method.name} must return {method.output_class.__name__}")
        return response

    def _check_key(self, message: Message) -> None:
        """Raise KEY_REVOKED if the key was revoked since the message came: it may have waited long (rule 15)."""
        if message.signature:  # Reception takes nothing unsigned from another.
            block = message_pb2.SignatureBlock.FromString(message.signature)
            self._directory.key(block.key_id).check_before_acting(self._clock.now_ms())

    async def _begin(self, message: Message, local_transaction_id: str) -> None:
        """Make ATTEMPTING durable; raises NOT_EXECUTED where we promised that it would not be executed."""

        def begin(connection: sqlite3.Connection) -> bool:
            if inbox.is_buried(connection, message.header.id):
                return False
            inbox.attempting(connection, message, local_transaction_id)
            return True

        if not await self._store.insist(begin, is_brief=True, pause=self._work.pause):
            raise OneCardError(errors_pb2.ERROR_REASON_NOT_EXECUTED, "it was told that this would not be executed")

    def _check_time(self, message: Message) -> None:
        execute_before_ms = message.execute_before_ms
        if execute_before_ms is not None and self._clock.now_ms() >= execute_before_ms:
            raise OneCardError(
                errors_pb2.ERROR_REASON_NOT_EXECUTED,
                f"{self._clock.now_ms() - execute_before_ms} ms past execute_before",
            )

    async def _answer(self, task: _Task, response: ProtoMessage) -> None:
        header = task.received.message.header
        buried = undo = None
        if task.payload is not None:
            buried = promised_never(task.payload, response)
            undo = reversal_of(task.payload, header.id, header.method)
        if task.undoes is not None:
            _log.warning("nothing stands any more of %s, whose success came too late", id_text(task.undoes.id))
        if header.kind != message_pb2.MESSAGE_KIND_REQUEST:
            await self._finish(task, None, InboxState.DONE, buried=buried)
            return
        reply = self._answer_of(task, message_pb2.MESSAGE_KIND_REPLY, response.SerializeToString())
        await self._finish(task, reply, InboxState.DONE, buried=buried, undo=undo)

    async def _refuse(self, task: _Task, error: OneCardError) -> None:
        message = task.received.message
        _log.info("%s from %s is refused: %s", id_text(message.header.id), message.header.sender, error)
        if message.header.kind != message_pb2.MESSAGE_KIND_REQUEST:
            await self._give_up(task, error, 1)
            return
        rejection = rejection_of(error).SerializeToString()
        answer = self._answer_of(task, message_pb2.MESSAGE_KIND_REJECTION, rejection)
        await self._finish(task, answer, InboxState.DONE)

    async def _give_up(self, task: _Task, failure: OneCardError, attempt_count: int) -> None:
        received = task.received
        _log.error(
            "gave up on %s from %s after %d attempts: %s",
            id_text(received.message.header.id),
            received.message.header.sender,
            attempt_count,
            failure,
        )
        # What is given up of an undo of ours concerns the original: nobody else knows of the undo.
        report = self._writer.delivery_report(
            errors_pb2.ERROR_REASON_PROCESSING_FAILED,
            f"{reason_name(failure.reason)}: {failure.detail}",
            method=received.message.header.method if task.undoes is None else method_undone_by(task.payload),
            reference=task.undoes or self._reference(received),
            attempt_count=attempt_count,
        )
        await self._finish(task, report, InboxState.GIVEN_UP)

    async def _finish(
        self,
        task: _Task,
        outgoing: Outgoing | None,
        state: InboxState,
        *,
        buried: bytes | None = None,
        undo: ProtoMessage | None = None,
    ) -> None:
        """The answer, the inbox row and the tombstone in one transaction; then the answer is sent."""
        message = task.received.message
        answer_id = outgoing.id if outgoing is not None and state is InboxState.DONE else None
        now_ms = self._clock.now_ms()

        def finish(connection: sqlite3.Connection) -> None:
            if outgoing is not None:
                outbox.insert(connection, self._sealer, outgoing, OutboxState.QUEUED)
            inbox.finish(
                connection,
                self._sealer,
                message,
                state,
                answer_id=answer_id,
                undo=None if undo is None else undo.SerializeToString(),
            )
            if buried is not None:
                inbox.bury(connection, buried, now_ms)

        self._finishing_count += 1
        is_more_coming = self._work.active_count > self._finishing_count
        try:
            within_s = _COMPANY_S if is_more_coming else 0
            await self._store.insist(finish, is_brief=True, within_s=within_s, pause=self._work.pause)
        finally:
            self._finishing_count -= 1
        if outgoing is not None:
            self._submit(outgoing)

    def _answer_of(self, task: _Task, kind: message_pb2.MessageKind, payload: bytes) -> Outgoing:
        return self._writer.answer(
            kind,
            payload,
            method=task.received.message.header.method,
            reference=self._reference(task.received),
            subject=task.subject,
        )

    def _reference(self, received: Received) -> message_pb2.RequestReference:
        return reference_to(received.message, log_epoch=received.log_epoch, partition=received.partition)


def _is_cancelled() -> bool:
    """Whether it is this task that was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _parsed(method: Method, payload: bytes) -> ProtoMessage | None:
    try:
        return method.input_class.FromString(payload)
    except DecodeError:
        return None
