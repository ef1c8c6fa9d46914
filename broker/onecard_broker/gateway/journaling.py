"""What may be journaled goes into the journal, and its receipt, the hub's word for that, is signed.

Knows nothing of what a message must be to come here (``admitting``), and nothing of gRPC.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.gateway.access_log import log_access
from onecard_broker.gateway.answers_due import AnswersDue
from onecard_broker.gateway.micro_batches import SIGNATURES_AT_ONCE, MicroBatches
from onecard_broker.gateway.readiness import ClockWatch, Readiness
from onecard_broker.gateway.refusals import Refusals
from onecard_broker.log.port import COMING_S, Appended, AppendFailed, Log, LogError, Record
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import RECEIPT_CONTEXT, Message, timestamp
from onecard_protocol.signatures.blocks import sign_batch
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.value_class import value_class

JOURNALING_SECONDS: Final = limits.JOURNALING_MS_MAX / 1000
RECEIPT_PAUSE_MS: Final = 5
"""A receipt's signature takes 270 µs."""
ANSWERS: Final = frozenset(
    {
        message_pb2.MESSAGE_KIND_REPLY,
        message_pb2.MESSAGE_KIND_REJECTION,
        message_pb2.MESSAGE_KIND_DELIVERY_REPORT,
    }
)
"""Kinds of messages that answer a request."""


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


class Journaling:
    """Appends to the journal and signs receipts. More than a few signatures are the executor's threads' work."""

    def __init__(
        self,
        *,
        journal: Log,
        signer: Signer,
        readiness: Readiness,
        clock: ClockWatch,
        clock_ms: Callable[[], int],
        answers_due: AnswersDue,
        executor: Executor,
        refusals: Refusals,
        stats: Counter[str],
    ) -> None:
        """`stats` counts admitted messages."""
        self._journal = journal
        self._signer = signer
        self._readiness = readiness
        self._clock = clock
        self._clock_ms = clock_ms
        self._answers_due = answers_due
        self._refusals = refusals
        self._stats = stats
        self._receipts: MicroBatches[bytes, bytes] = MicroBatches(
            self._sign_receipts,
            executor,
            items_max=limits.SUBMIT_BATCH_COUNT_MAX,
            batches_max=SIGNATURES_AT_ONCE,
            pause_ms=RECEIPT_PAUSE_MS,
        )

    async def append(self, admitted: Sequence[Admitted]) -> list[Journaled | OneCardError]:
        """Append the messages; each is in the journal, or it is not known to be."""
        for one in admitted:
            # Before: what is not acknowledged may stand in the journal all the same.
            if one.access is not None:
                log_access(one.message.header.sender, one.message.header.method, one.access)
            if one.message.header.kind in ANSWERS:
                self._answers_due.answered(one.message.header.sender, one.message.header.reply_to.id)
        appended = await self._append([one.record for one in admitted])
        results: list[Journaled | OneCardError] = []
        for one, where in zip(admitted, appended, strict=True):
            if isinstance(where, OneCardError):
                self._refusals.trace(where, one.message, frozenset())
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

    async def append_question(self, question: Question) -> None:
        """Journal a question; raises OneCardError."""
        outcome = (await self._append([question.record]))[0]
        if isinstance(outcome, OneCardError):
            self._refusals.trace(outcome, question.message, frozenset())
            raise outcome

    @property
    def gathering_ms(self) -> int:
        """How long from now messages are gathered for the journal's next append; 0 if it does not gather."""
        return math.ceil(self._journal.gathering_s * 1_000)

    def holding_ms(self, participant: str) -> int:
        """How much longer they are gathered while answers of a participant are missing that are due."""
        return round(COMING_S * 1_000) if self.gathering_ms and self._answers_due.is_prompt(participant) else 0

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
