"""SubmissionService: batches of messages, each with a receipt or refusal of its own, and questions about outcomes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_broker.directory.model import Directory
from onecard_broker.gateway.admitting import Admitting
from onecard_broker.gateway.inbox_follower import InboxFollowers
from onecard_broker.gateway.journaling import Admitted, Journaled, Journaling
from onecard_broker.gateway.refusals import Refusals, entered
from onecard_broker.gateway.serving import certificate_names, check_known, serve
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

SUBMIT_SECONDS: Final = limits.SUBMIT_MS_MAX / 1000
CALL_SECONDS: Final = limits.TYPED_CALL_MS / 1000
DEADLINE_MARGIN_S: Final = 1.0
"""How long before its caller's own deadline a held call is answered: both ends may be busy, and the way is long."""
SUBMIT_METHOD: Final = "/onecard.exchange.v1.SubmissionService/SubmitBatch"
OUTCOME_METHOD: Final = "/onecard.exchange.v1.SubmissionService/GetOutcome"


class Submission(service_pb2_grpc.SubmissionServiceServicer):
    """The servicer."""

    def __init__(
        self,
        admitting: Admitting,
        journaling: Journaling,
        refusals: Refusals,
        followers: InboxFollowers,
        directory: Callable[[], Directory],
    ) -> None:
        """`directory` gives the present directory."""
        self._admitting = admitting
        self._journaling = journaling
        self._refusals = refusals
        self._followers = followers
        self._directory = directory
        self._under_way: Counter[str] = Counter()

    async def SubmitBatch(  # noqa: N802
        self,
        request: service_pb2.SubmitBatchRequest,
        context: ServicerContext[Any, Any],
    ) -> service_pb2.SubmitBatchResponse:
        """Admit and journal messages; the results stand in the order of the messages."""
        return await serve(context, SUBMIT_METHOD, lambda: self._submit(request, certificate_names(context)))

    async def GetOutcome(  # noqa: N802
        self,
        request: service_pb2.GetOutcomeRequest,
        context: ServicerContext[Any, Any],
    ) -> service_pb2.GetOutcomeResponse:
        """Ask the worker of the message's partition, and wait for its report."""
        return await serve(context, OUTCOME_METHOD, lambda: self._outcome_in_time(request, context))

    async def _submit(
        self, request: service_pb2.SubmitBatchRequest, names: frozenset[str]
    ) -> service_pb2.SubmitBatchResponse:
        try:
            participant = self._who_may_submit(request, names)
        except OneCardError as error:
            self._refusals.trace(error, None, names)
            raise
        self._under_way[participant] += 1
        try:
            # Past this time the caller no longer knows; cancelling takes nothing back that is being appended.
            async with asyncio.timeout(SUBMIT_SECONDS):
                return await self._admit_and_journal(request, participant, names)
        except TimeoutError:
            refusal = OneCardError(
                errors_pb2.ERROR_REASON_INTERNAL,
                "the journal did not acknowledge in time: send the same messages again or ask with GetOutcome",
                retry_after_ms=limits.TICK_MS,
            )
            self._refusals.trace(refusal, None, names)
            raise refusal from None
        finally:
            self._under_way[participant] -= 1

    def _who_may_submit(self, request: service_pb2.SubmitBatchRequest, names: frozenset[str]) -> str:
        participant = check_known(names, self._directory())
        if len(request.messages) > limits.SUBMIT_BATCH_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_MALFORMED,
                f"{len(request.messages)} messages, a batch has at most {limits.SUBMIT_BATCH_COUNT_MAX}",
            )
        if self._under_way[participant] >= limits.SUBMITS_PER_PARTICIPANT_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, "too many batches under way", retry_after_ms=limits.TICK_MS
            )
        return participant

    async def _admit_and_journal(
        self, request: service_pb2.SubmitBatchRequest, participant: str, names: frozenset[str]
    ) -> service_pb2.SubmitBatchResponse:
        outcomes = await self._admitting.admit(request.messages, names)
        loop = asyncio.get_running_loop()
        checked_s = loop.time()
        ends = await self._journaling.append([one for one in outcomes if isinstance(one, Admitted)])
        blocks = iter(await self._journaling.sign_receipts([one for one in ends if isinstance(one, Journaled)]))
        admitted_ends = iter(ends)
        # Filled in place: building each result apart would copy it twice.
        response = service_pb2.SubmitBatchResponse()
        for outcome in outcomes:
            end = next(admitted_ends) if isinstance(outcome, Admitted) else outcome
            result = response.results.add()
            if isinstance(end, Journaled):
                result.receipt.receipt = end.receipt
                result.receipt.signature = next(blocks)
            else:
                result.refusal.CopyFrom(refusal_message(end))
        response.gathering_ms = self._journaling.gathering_ms
        response.holding_ms = self._journaling.holding_ms(participant)
        response.journaling_ms = round((loop.time() - checked_s) * 1_000)
        return response

    async def _outcome_in_time(
        self, request: service_pb2.GetOutcomeRequest, context: ServicerContext[Any, Any]
    ) -> service_pb2.GetOutcomeResponse:
        time = CallTime(context)
        try:
            async with time.whole():
                return await self._outcome(request, certificate_names(context), time)
        except TimeoutError:
            raise OneCardError(
                errors_pb2.ERROR_REASON_HUB_NOT_READY, "no report in time; ask again", retry_after_ms=limits.TICK_MS
            ) from None

    async def _outcome(
        self, request: service_pb2.GetOutcomeRequest, names: frozenset[str], time: CallTime
    ) -> service_pb2.GetOutcomeResponse:
        question = await self._admitting.ask(request.original, names)
        message = question.message
        holding = self._followers.awaiting(message.header.sender, ("question", question.id), message.digest)
        async with entered(holding, lambda error: self._refusals.trace(error, message, names)) as awaited:
            await self._journaling.append_question(question)
            report = await awaited.within(time.left_seconds())
        if report is None:
            raise TimeoutError
        if report.header.kind == message_pb2.MESSAGE_KIND_REJECTION:
            rejection = message_pb2.Rejection.FromString(report.payload)
            raise OneCardError(rejection.reason, rejection.detail)
        return service_pb2.GetOutcomeResponse(report=report.to_wire())


class CallTime:
    """How long a call may take: the exchange's limit, or a little less than the caller's own deadline.

    So the caller gets OUTCOME_UNKNOWN from the hub, rather than a bare DEADLINE_EXCEEDED from its own library.
    """

    def __init__(self, context: ServicerContext[Any, Any]) -> None:
        """Begins now."""
        remaining = context.time_remaining()
        seconds, margin = CALL_SECONDS, DEADLINE_MARGIN_S
        if remaining is not None:
            margin = max(0.0, min(margin, remaining / 4))
            seconds = max(0.0, min(seconds, remaining - margin))
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + seconds
        self._grace = margin / 2

    def left_seconds(self) -> float:
        """What is left to wait for an answer."""
        return max(0.0, self._ends_at - self._loop.time())

    def whole(self) -> asyncio.Timeout:
        """Ends whatever the call does, journaling and signatures included; raises TimeoutError behind the block."""
        return asyncio.timeout_at(self._ends_at + self._grace)


def refusal_message(error: OneCardError) -> service_pb2.Refusal:
    """An error as the refusal of one message."""
    return service_pb2.Refusal(
        reason=error.reason,  # type: ignore[arg-type]
        detail=error.detail,
        violations=[message_pb2.FieldViolation(field=field, description=what) for field, what in error.violations],
        retry_after_ms=error.retry_after_ms,
    )
