"""The way of messages through a gateway: cheap checks, signatures by micro-batches, the journal, signed receipts.

Owns no rule of admission (``admission/``) and nothing of gRPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.admission.rules import (
    Admission,
    Circumstances,
    HeaderChecked,
    check_content,
    check_form,
    check_header,
    identity_of,
    other_identity_of,
    parse_payload,
    wrong_signature,
)
from onecard_broker.admission.subject import Subjects
from onecard_broker.admission.times import check_age
from onecard_broker.directory.model import Directory
from onecard_broker.gateway.access_log import log_access, log_refused_access
from onecard_broker.gateway.answers_due import AnswersDue
from onecard_broker.gateway.code_systems import CodeSystems
from onecard_broker.gateway.micro_batches import MicroBatches
from onecard_broker.gateway.readiness import ClockWatch, Readiness
from onecard_broker.journal import message_record, question_record
from onecard_broker.log.port import COMING_S, Appended, AppendFailed, Log, LogError, Record
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import id_text, new_message_id
from onecard_protocol.messages import RECEIPT_CONTEXT, Message, timestamp
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, SignedContent, sign_batch
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.value_class import value_class

log = logging.getLogger(__name__)
Entered = TypeVar("Entered")

JOURNALING_SECONDS: Final = limits.JOURNALING_MS_MAX / 1000
SIGNATURES_AT_ONCE: Final = 2
# A verification under a remembered root costs little beside the change of threads, a receipt's signature 270 µs.
VERIFICATION_PAUSE_MS: Final = 2
RECEIPT_PAUSE_MS: Final = 5
# A large batch of one participant must not keep the calls of the others waiting.
MESSAGES_WITHOUT_A_BREAK: Final = 64
_ANSWERS: Final = frozenset(
    {
        message_pb2.MESSAGE_KIND_REPLY,
        message_pb2.MESSAGE_KIND_REJECTION,
        message_pb2.MESSAGE_KIND_DELIVERY_REPORT,
    }
)


@value_class(frozen=True, slots=True)
class Admitted:
    """A message that may be journaled, with its journal record."""

    message: Message
    record: Record
    admitted_ms: int
    directory_version: int
    is_answered: bool
    """Whether it is a request, which gets an answer."""
    access: Mapping[str, Any] | None
    """What the access log keeps of a request by which its sender gets to know of a person; None of any other."""


@value_class(frozen=True, slots=True)
class Journaled:
    """A message that is in the journal, by its receipt, still without signature."""

    receipt: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A GetOutcome that may be journaled."""

    id: bytes
    message: Message
    record: Record


class Admitting:
    """Takes messages to the journal. More than a few signatures are the executor's threads' work."""

    def __init__(
        self,
        *,
        journal: Log,
        directory: Callable[[], Directory],
        methods: MethodRegistry,
        network: str,
        subjects: Subjects,
        signer: Signer,
        verifier: BlockVerifier,
        readiness: Readiness,
        clock: ClockWatch,
        clock_ms: Callable[[], int],
        is_reading: Callable[[str], bool],
        answers_due: AnswersDue,
        executor: Executor,
        stats: Counter[str],
    ) -> None:
        """`directory` gives the present directory; `stats` counts admitted messages and refusals by reason."""
        self._journal = journal
        self._directory = directory
        self._methods = methods
        self._network = network
        self._subjects = subjects
        self._signer = signer
        self._readiness = readiness
        self._clock = clock
        self._clock_ms = clock_ms
        self._is_reading = is_reading
        self._answers_due = answers_due
        self._code_systems = CodeSystems()
        self._stats = stats
        self._verifications: MicroBatches[SignedContent, bool] = MicroBatches(
            verifier.verify_batch,
            executor,
            items_max=limits.SUBMIT_BATCH_COUNT_MAX,
            batches_max=SIGNATURES_AT_ONCE,
            pause_ms=VERIFICATION_PAUSE_MS,
        )
        self._receipts: MicroBatches[bytes, bytes] = MicroBatches(
            self._sign_receipts,
            executor,
            items_max=limits.SUBMIT_BATCH_COUNT_MAX,
            batches_max=SIGNATURES_AT_ONCE,
            pause_ms=RECEIPT_PAUSE_MS,
        )

    async def admit(
        self, signed: Sequence[message_pb2.SignedMessage], certificate_names: frozenset[str]
    ) -> list[Admitted | OneCardError]:
        """Each message ready for the journal, or why it is refused, in their order."""
        one = object()
        self._journal.coming(one)
        try:
            return await self._admit(signed, certificate_names)
        finally:
            self._journal.came(one)

    async def _admit(
        self, signed: Sequence[message_pb2.SignedMessage], certificate_names: frozenset[str]
    ) -> list[Admitted | OneCardError]:
        before = self._circumstances(certificate_names)
        checked: list[HeaderChecked | OneCardError] = []
        for index, one in enumerate(signed, 1):
            if not index % MESSAGES_WITHOUT_A_BREAK:
                await asyncio.sleep(0)
            message: Message | None = None
            try:
                message = check_form(one.header, one.payload, one.signature)
                self._readiness.check(is_answer=message.header.kind in _ANSWERS)
                checked.append(check_header(message, before))
            except OneCardError as error:
                self.note_refusal(error, message, certificate_names)
                checked.append(error)
        contents = [one.signed_content() for one in checked if isinstance(one, HeaderChecked)]
        are_valid = iter(await self._verifications.run(contents))
        results: list[Admitted | OneCardError] = []
        for index, outcome in enumerate(checked, 1):
            if not index % MESSAGES_WITHOUT_A_BREAK:
                await asyncio.sleep(0)
            if isinstance(outcome, OneCardError):
                results.append(outcome)
                continue
            try:
                if not next(are_valid):
                    raise wrong_signature()
                admission = check_content(outcome, before)
                self._code_systems.check(outcome.message.header.sender, admission.payload)
                results.append(self._admitted(admission, before))
            except OneCardError as error:
                self.note_refusal(error, outcome.message, certificate_names)
                results.append(error)
        return results

    async def ask(self, signed: message_pb2.SignedMessage, certificate_names: frozenset[str]) -> Question:
        """A question about a message, ready for the journal; raises OneCardError.

        Who asks is shown by the certificate, which must be the sender's. The message must be whole and validly signed,
        but its key may have ended since, and its recipient may be away: asking executes nothing.
        """
        message: Message | None = None
        try:
            self._readiness.check()
            message = check_form(signed.header, signed.payload, signed.signature)
            return await self._question(message, self._circumstances(certificate_names))
        except OneCardError as error:
            self.trace_refusal(error, message, certificate_names)
            raise

    async def _question(self, message: Message, circumstances: Circumstances) -> Question:
        try:
            check_age(message, circumstances.now_ms)
        except OneCardError as error:
            if error.reason == errors_pb2.ERROR_REASON_TOO_OLD:
                raise OneCardError(errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL) from None
            raise
        # The key is judged at the message's own time: a question must stay possible when the key has ended since.
        at_its_time = dataclasses.replace(circumstances, now_ms=min(message.created_ms, circumstances.now_ms))
        checked = check_header(message, at_its_time)
        if message.header.kind in _ANSWERS:
            raise OneCardError(
                errors_pb2.ERROR_REASON_HEADER_INVALID, violations=[("kind", "one asks about requests and events")]
            )
        if not (await self._verifications.run([checked.signed_content()]))[0]:
            raise wrong_signature()
        payload = parse_payload(message, checked.method)
        pseudonym, partition = self._place(message, identity_of(checked.method, payload))
        other_identity = other_identity_of(checked.method, payload)
        question_id = new_message_id(circumstances.now_ms)
        record = question_record(
            message,
            partition=partition,
            pseudonym=pseudonym,
            admitted_ms=circumstances.now_ms,
            directory_version=circumstances.directory.version,
            question_id=question_id,
            other_pseudonym=self._pseudonym(other_identity),
        )
        return Question(question_id, message, record)

    async def append_question(self, question: Question) -> None:
        """Journal a question; raises OneCardError."""
        outcome = (await self._append([question.record]))[0]
        if isinstance(outcome, OneCardError):
            self.trace_refusal(outcome, question.message, frozenset())
            raise outcome

    @property
    def gathering_ms(self) -> int:
        """How long from now messages are gathered for the journal's next append; 0 if it does not gather."""
        return math.ceil(self._journal.gathering_s * 1_000)

    def holding_ms(self, participant: str) -> int:
        """How much longer they are gathered while answers of a participant are missing that are due."""
        return round(COMING_S * 1_000) if self.gathering_ms and self._answers_due.is_prompt(participant) else 0

    async def append(self, admitted: Sequence[Admitted]) -> list[Journaled | OneCardError]:
        """Append the messages; each is in the journal, or it is not known to be."""
        for one in admitted:
            # Before: what is not acknowledged may stand in the journal all the same.
            if one.access is not None:
                log_access(one.message.header.sender, one.message.header.method, one.access)
            if one.message.header.kind in _ANSWERS:
                self._answers_due.answered(one.message.header.sender, one.message.header.reply_to.id)
        appended = await self._append([one.record for one in admitted])
        results: list[Journaled | OneCardError] = []
        for one, where in zip(admitted, appended, strict=True):
            if isinstance(where, OneCardError):
                self.trace_refusal(where, one.message, frozenset())
                results.append(where)
            else:
                self._stats["admitted"] += 1
                results.append(Journaled(self._receipt(one, where)))
        return results

    def sign_receipts(self, journaled: Sequence[Journaled]) -> asyncio.Future[Sequence[bytes]]:
        """The signature blocks of receipts, the hub's word for messages that are in the journal, in their order.

        They are signed together with whatever else waits.
        """
        return self._receipts.run([one.receipt for one in journaled])

    def _circumstances(self, certificate_names: frozenset[str]) -> Circumstances:
        return Circumstances(
            directory=self._directory(),
            methods=self._methods,
            network=self._network,
            log_epoch=self._journal.epoch,
            partition_count=self._journal.partition_count,
            now_ms=self._clock_ms(),
            is_reading=self._is_reading,
            certificate_names=certificate_names,
        )

    def note_refusal(self, error: OneCardError, message: Message | None, certificate_names: frozenset[str]) -> None:
        """Trace a refusal, in the access log too where the message asked to be told of a person."""
        self.trace_refusal(error, message, certificate_names)
        self._note_refused_access(error, message, certificate_names)

    def trace_refusal(self, error: OneCardError, message: Message | None, certificate_names: frozenset[str]) -> None:
        """Count a refusal and leave a trace of it: who, what, why; never anything of the payload."""
        reason = reason_name(error.reason)
        self._stats[f"refused_{reason}"] += 1
        log.info(
            "refused %s: %s id %s over %s: %s",
            reason,
            "a message" if message is None else f"{message.header.sender} {message.header.method}",
            "unknown" if message is None else id_text(message.header.id),
            ", ".join(sorted(certificate_names)) or "the journal",
            error.detail or "; ".join(f"{field} {what}" for field, what in error.violations),
        )

    def _note_refused_access(
        self, error: OneCardError, message: Message | None, certificate_names: frozenset[str]
    ) -> None:
        if message is None or message.header.kind != message_pb2.MESSAGE_KIND_REQUEST:
            return
        method = self._methods.get(message.header.method)
        if method is not None and method.access_purpose_field is not None:
            sender = self._directory().participants.get(message.header.sender)
            is_sender = sender is not None and bool(certificate_names & sender.certificate_names)
            log_refused_access(message.header.sender if is_sender else "", method.name, reason_name(error.reason))

    def _pseudonym(self, identity: str | None) -> str:
        return "" if identity is None else self._subjects.pseudonym(identity)

    def _place(self, message: Message, identity: str | None) -> tuple[str, int]:
        if identity is None:
            return "", self._subjects.partition_of_id(message.header.id)
        pseudonym = self._pseudonym(identity)
        return pseudonym, self._subjects.partition_of_pseudonym(pseudonym)

    def _admitted(self, admission: Admission, circumstances: Circumstances) -> Admitted:
        message = admission.message
        if admission.partition is not None:
            pseudonym, partition = "", admission.partition
        else:
            pseudonym, partition = self._place(message, admission.identity)
        record = message_record(
            message,
            partition=partition,
            pseudonym=pseudonym,
            admitted_ms=circumstances.now_ms,
            directory_version=circumstances.directory.version,
            other_pseudonym=self._pseudonym(admission.other_identity),
        )
        return Admitted(
            message,
            record,
            circumstances.now_ms,
            circumstances.directory.version,
            message.header.kind == message_pb2.MESSAGE_KIND_REQUEST,
            _access(admission, pseudonym),
        )

    async def _append(self, records: Sequence[Record]) -> Sequence[Appended | OneCardError]:
        if not records:
            return []
        sent_ms = self._clock_ms()
        try:
            # Past this time the caller no longer knows; cancelling takes nothing back that is being appended.
            async with asyncio.timeout(JOURNALING_SECONDS):
                appended = await self._journal.append(records)
        except AppendFailed as error:
            self._readiness.note_failed_append()
            return [_not_acknowledged() if result is None else result for result in error.results]
        except TimeoutError:
            self._readiness.note_failed_append()
            return [_not_acknowledged()] * len(records)
        except LogError:
            self._readiness.note_failed_append()
            return [
                OneCardError(
                    errors_pb2.ERROR_REASON_HUB_NOT_READY,
                    "the journal cannot be written",
                    retry_after_ms=limits.TICK_MS,
                )
            ] * len(records)
        acknowledged_ms = self._clock_ms()
        for append_time_ms in {one.append_time_ms for one in appended}:
            self._clock.note_append(sent_ms=sent_ms, append_time_ms=append_time_ms, acknowledged_ms=acknowledged_ms)
        return appended

    def _receipt(self, admitted: Admitted, where: Appended) -> bytes:
        header = admitted.message.header
        return message_pb2.Receipt(
            network=header.network,
            sender=header.sender,
            id=header.id,
            digest=admitted.message.digest,
            admitted_time=timestamp(admitted.admitted_ms),
            log_epoch=self._journal.epoch,
            partition=admitted.record.partition,
            position=where.position,
            directory_version=admitted.directory_version,
        ).SerializeToString()

    def _sign_receipts(self, receipts: list[bytes]) -> list[bytes]:
        return sign_batch(self._signer, RECEIPT_CONTEXT, receipts)


def _not_acknowledged() -> OneCardError:
    """It may stand in the journal all the same, so this does not claim that nothing was accepted."""
    return OneCardError(
        errors_pb2.ERROR_REASON_INTERNAL,
        "the journal did not acknowledge it: send the same message again or ask with GetOutcome",
        retry_after_ms=limits.TICK_MS,
    )


@contextlib.asynccontextmanager
async def entered(
    block: contextlib.AbstractAsyncContextManager[Entered], on_refusal: Callable[[OneCardError], None]
) -> AsyncIterator[Entered]:
    """The block; tells of a refusal to enter it, not of what is raised inside."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            inside = await stack.enter_async_context(block)
        except OneCardError as error:
            on_refusal(error)
            raise
        yield inside


def _access(admission: Admission, pseudonym: str) -> Mapping[str, Any] | None:
    field = admission.method.access_purpose_field
    if field is None or admission.partition is not None:
        return None
    return {
        "purpose": getattr(admission.payload, field),
        "subjects": [pseudonym],
        "id": id_text(admission.message.header.id),
    }
