"""Finding out (rule 3): what became of requests whose answer did not come in time.

Asking closes a message that the hub never saw, so only requests are asked about that must not be sent any more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import grpc.aio

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2
from onecard_adapters.runtime import outbox
from onecard_adapters.runtime.outbox import StoredOutgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.answers import Waiting, check_binding, outcome_of
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.gateways import Gateways, brought
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.verification import Verification
from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.messages import Message, from_wire

_POLL_S: Final = 1.0
_BATCH_COUNT: Final = 32
_ASK_TIMEOUT_S: Final = 10.0
_UNREACHABLE_MS: Final = 5_000
_OPEN_DELAYS_MS: Final = (5_000, 30_000, 60_000, 300_000, 1_800_000)

_log = logging.getLogger(__name__)


class Resolution:
    """Asks about requests in the background, and on demand."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        gateways: Gateways,
        signing: AdaptiveSigning,
        verification: Verification,
        waiting: Waiting,
        clock: HubClock,
        poll_s: float = _POLL_S,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._gateways = gateways
        self._signing = signing
        self._verification = verification
        self._waiting = waiting
        self._clock = clock
        self._poll_s = poll_s

    async def run(self) -> None:
        """Ask about what is overdue, for ever."""
        while True:
            await asyncio.sleep(self._poll_s)
            now_ms = self._clock.now_ms()
            due = await self._store.run(
                lambda connection, now_ms=now_ms: outbox.to_ask_about(  # type: ignore[misc]
                    connection, self._sealer, now_ms, _BATCH_COUNT
                )
            )
            await asyncio.gather(
                *[self.ask(stored) for stored in due if self._waiting.find(stored.outgoing.id) is None]
            )

    async def ask(self, stored: StoredOutgoing) -> Message | None:
        """Ask once: the answer if there is one now; None if it stays open. Whatever is learnt is stored."""
        outgoing = stored.outgoing
        try:
            report = await self._report(stored)
            content, answer = outcome_of(report)
            if answer is not None:
                check_binding(outgoing.header, outgoing.recipient, outgoing.method, answer)
                await self._verification.check(answer)
        except (OneCardError, grpc.aio.AioRpcError, TimeoutError) as error:
            await self._not_told(stored, error)
            return None
        if answer is not None:
            await self._store.insist(lambda connection: outbox.answer(connection, self._sealer, outgoing.id, answer))
            self._waiting.take(answer)
            return answer
        if content.state == message_pb2.OUTCOME_STATE_NEVER_SEEN:
            _log.warning("the hub never saw %s to %s; it is closed", id_text(outgoing.id), outgoing.recipient)
            await self._end(stored, OneCardError(errors_pb2.ERROR_REASON_OUTCOME_ALREADY_TOLD))
        else:
            await self._later(stored, _OPEN_DELAYS_MS[min(stored.attempts, len(_OPEN_DELAYS_MS) - 1)])
        return None

    async def _report(self, stored: StoredOutgoing) -> Message:
        outgoing = stored.outgoing
        signature = await self._signing.sign(outgoing.header)
        original = message_pb2.SignedMessage(header=outgoing.header, payload=outgoing.payload, signature=signature)
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            gateway = await self._gateways.ready()
            response: service_pb2.GetOutcomeResponse = await brought(
                gateway.submission.GetOutcome(service_pb2.GetOutcomeRequest(original=original), timeout=_ASK_TIMEOUT_S)
            )
        report = from_wire(response.report)
        header = report.header
        if header.sender != HUB or header.kind != message_pb2.MESSAGE_KIND_OUTCOME_REPORT:
            raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, "the answer is no report of the hub")
        check_binding(outgoing.header, outgoing.recipient, outgoing.method, report)
        await self._verification.check(report)
        return report

    async def _not_told(self, stored: StoredOutgoing, error: Exception) -> None:
        refusal: OneCardError | None = None
        if isinstance(error, grpc.aio.AioRpcError):
            refusal = refusal_of(error)
        elif isinstance(error, OneCardError):
            refusal = error
        if refusal is not None and refusal.reason == errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL:
            await self._end(stored, refusal)
            return
        _log.warning(
            "the outcome of %s was not told: %s",
            id_text(stored.outgoing.id),
            type(error).__name__ if refusal is None else reason_name(refusal.reason),
        )
        await self._later(stored, _UNREACHABLE_MS)

    async def _end(self, stored: StoredOutgoing, error: OneCardError) -> None:
        await self._store.insist(lambda connection: outbox.end(connection, stored.outgoing.id, error))

    async def _later(self, stored: StoredOutgoing, delay_ms: int) -> None:
        due_ms = self._clock.now_ms() + delay_ms
        await self._store.insist(lambda connection: outbox.ask_again(connection, stored.outgoing.id, due_ms))
