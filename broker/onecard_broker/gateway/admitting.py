"""What comes to a gateway is checked until it may be journaled: cheap checks, then signatures by micro-batches.

Owns no rule of admission (``admission/``) and nothing of gRPC.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

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
from onecard_broker.gateway.code_systems import CodeSystemReader, CodeSystems
from onecard_broker.gateway.journaling import ANSWERS, Admitted, Question
from onecard_broker.gateway.micro_batches import SIGNATURES_AT_ONCE, MicroBatches
from onecard_broker.gateway.readiness import Readiness
from onecard_broker.gateway.refusals import Refusals
from onecard_broker.journal import message_record, question_record
from onecard_broker.log.port import Log
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import id_text, new_message_id
from onecard_protocol.messages import Message
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, SignedContent

# A verification under a remembered root costs little beside the change of threads.
VERIFICATION_PAUSE_MS: Final = 2
# A large batch of one participant must not keep the calls of the others waiting.
MESSAGES_WITHOUT_A_BREAK: Final = 64


class Admitting:
    """Admits messages. More than a few signatures are the executor's threads' work."""

    def __init__(
        self,
        *,
        journal: Log,
        directory: Callable[[], Directory],
        methods: MethodRegistry,
        network: str,
        subjects: Subjects,
        verifier: BlockVerifier,
        readiness: Readiness,
        clock_ms: Callable[[], int],
        is_reading: Callable[[str], bool],
        code_systems: CodeSystemReader,
        executor: Executor,
        refusals: Refusals,
    ) -> None:
        """`directory` gives the present directory."""
        self._journal = journal
        self._directory = directory
        self._methods = methods
        self._network = network
        self._subjects = subjects
        self._readiness = readiness
        self._clock_ms = clock_ms
        self._is_reading = is_reading
        self._code_systems = CodeSystems(code_systems)
        self._refusals = refusals
        self._verifications: MicroBatches[SignedContent, bool] = MicroBatches(
            verifier.verify_batch,
            executor,
            items_max=limits.SUBMIT_BATCH_COUNT_MAX,
            batches_max=SIGNATURES_AT_ONCE,
            pause_ms=VERIFICATION_PAUSE_MS,
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
                self._readiness.check(is_answer=message.header.kind in ANSWERS)
                checked.append(check_header(message, before))
            except OneCardError as error:
                self._refusals.note(error, message, certificate_names)
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
                await self._code_systems.check(outcome.message.header.sender, admission.payload)
                results.append(self._admitted(admission, before))
            except OneCardError as error:
                self._refusals.note(error, outcome.message, certificate_names)
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
            self._refusals.trace(error, message, certificate_names)
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
        if message.header.kind in ANSWERS:
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


def _access(admission: Admission, pseudonym: str) -> Mapping[str, Any] | None:
    field = admission.method.access_purpose_field
    if field is None or admission.partition is not None:
        return None
    return {
        "purpose": getattr(admission.payload, field),
        "subjects": [pseudonym],
        "id": id_text(admission.message.header.id),
    }
