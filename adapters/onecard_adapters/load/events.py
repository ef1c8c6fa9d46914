"""The two ends of the load of events: no store and no local system, so that what is measured is the exchange.

The sender submits batches, the receiver reads its inbox; both use the SDK's connections, signing and verification.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Final

from onecard.exchange.v1 import message_pb2, service_pb2
from onecard_adapters.load import card_messages, messages
from onecard_adapters.load.receiving import Received
from onecard_adapters.load.sending import RECIPIENT, Sent
from onecard_adapters.sdk.directory import DirectoryView
from onecard_adapters.sdk.following import follow_directory
from onecard_adapters.sdk.gateways import Gateway, Gateways
from onecard_adapters.sdk.opening import connection_of, signatures_of
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.verification import Verification
from onecard_adapters.settings import AdapterSettings
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import reason_name
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import build_header, from_wire
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier

BATCH_COUNT: Final = 250
PERSON_COUNT: Final = 2_000
_SUBMIT_SECONDS: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventStream:
    """What events are sent: payloads without end."""

    method: str
    recipient: str
    payloads: Iterator[bytes]


def filings() -> EventStream:
    """Filings told to the other province, by persons in turn."""
    return EventStream(
        method="/onecard.medical.v1.FilingService/ReportFiling",
        recipient=RECIPIENT,
        payloads=itertools.cycle(
            [messages.filing_report(serial).SerializeToString() for serial in range(1, PERSON_COUNT + 1)]
        ),
    )


def card_changes(first_serial: int, card_count: int) -> EventStream:
    """Changes of cards told to the hub."""
    return EventStream(
        method=card_messages.REPORT_METHOD, recipient=HUB, payloads=card_messages.changes(first_serial, card_count)
    )


@contextlib.asynccontextmanager
async def open_gateway(settings: AdapterSettings) -> AsyncIterator[tuple[Gateways, Gateway]]:
    """A connection of its own to the hub."""
    connection = connection_of(settings)
    gateways = Gateways(connection.gateways, connection.credentials, server_name=connection.server_name)
    try:
        yield gateways, await gateways.ready()
    finally:
        await gateways.close()


class EventSender:
    """Signs and submits batches of a stream."""

    def __init__(self, settings: AdapterSettings, gateway: Gateway, stream: EventStream, sent: Sent, *, by_batch: bool):
        self._settings = settings
        self._gateway = gateway
        self._stream = stream
        self._sent = sent
        self._signing = AdaptiveSigning(signatures_of(settings).signer, by_batch=by_batch)

    async def submit(self, count: int = BATCH_COUNT) -> None:
        """Submit the next `count` events of the stream as one batch."""
        settings, stream = self._settings, self._stream
        started_ms = now_ms()
        bodies = list(itertools.islice(stream.payloads, count))
        headers = [
            build_header(
                network=settings.network,
                sender=settings.participant,
                recipient=stream.recipient,
                method=stream.method,
                kind=message_pb2.MESSAGE_KIND_EVENT,
                message_id=new_message_id(now_ms()),
                payload=payload,
            )
            for payload in bodies
        ]
        blocks = await self._signing.sign_all(headers)
        request = service_pb2.SubmitBatchRequest(
            messages=[
                message_pb2.SignedMessage(header=header, payload=payload, signature=block)
                for header, payload, block in zip(headers, bodies, blocks, strict=True)
            ]
        )
        response: service_pb2.SubmitBatchResponse = await self._gateway.submission.SubmitBatch(
            request, timeout=_SUBMIT_SECONDS
        )
        refused = [result.refusal for result in response.results if result.HasField("refusal")]
        self._sent.failures += [reason_name(refusal.reason) for refusal in refused]
        self._sent.note(started_ms, len(bodies) - len(refused))

    async def repeat(self, *, until_ms: int, concurrency: int, rate_per_s: float | None) -> None:
        """Submit until the time, `concurrency` batches at once, at the rate or as fast as receipts come back."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        numbers = itertools.count(1)

        async def submit_batches() -> None:
            while now_ms() < until_ms:
                if rate_per_s is not None:
                    await asyncio.sleep(max(0.0, begun + next(numbers) * BATCH_COUNT / rate_per_s - loop.time()))
                await self.submit()

        await asyncio.gather(*[submit_batches() for _ in range(concurrency)])

    def close(self) -> None:
        """Stop signing."""
        self._signing.close()


@contextlib.asynccontextmanager
async def open_sender(
    settings: AdapterSettings, stream: EventStream, sent: Sent, *, by_batch: bool
) -> AsyncIterator[EventSender]:
    """A sender with a connection of its own."""
    async with open_gateway(settings) as (_, gateway):
        sender = EventSender(settings, gateway, stream, sent, by_batch=by_batch)
        try:
            yield sender
        finally:
            sender.close()


class EventReceiver:
    """Reads an inbox, verifies every message, and takes exactly the next number of each partition."""

    def __init__(self, settings: AdapterSettings, received: Received) -> None:
        self._settings = settings
        self._received = received
        self._numbers: dict[int, int] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Receive until cancelled."""
        settings = self._settings
        verifier = BlockVerifier(signatures_of(settings).engine)
        view = DirectoryView(connection_of(settings).hub_keys, verifier, network=settings.network)
        verification = Verification(
            view,
            verifier,
            network=settings.network,
            participant=settings.participant,
            methods=MethodRegistry.load(),
        )
        async with open_gateway(settings) as (gateways, gateway):
            following = asyncio.create_task(follow_directory(gateways, view))
            try:
                await self._receive(gateway, verification)
            finally:
                following.cancel()
                verification.close()

    async def _receive(self, gateway: Gateway, verification: Verification) -> None:
        stream = gateway.delivery.Deliver()
        opening = service_pb2.DeliveryOpening(
            participant=self._settings.participant, credit_count=limits.DELIVERY_CREDIT_COUNT_MAX
        )
        await stream.write(service_pb2.DeliverRequest(opening=opening))
        async for response in stream:
            self.ready.set()
            if response.WhichOneof("response") != "batch":
                continue
            deliveries = list(response.batch.deliveries)
            await stream.write(service_pb2.DeliverRequest(credit_count=len(deliveries)))
            fresh = [delivery for delivery in deliveries if self._is_next(delivery)]
            arrived = [from_wire(delivery.message) for delivery in fresh]
            for error in await verification.check_all(arrived):
                if error is not None:
                    raise error
            for message in arrived:
                self._received.note(message.header.id, self._settings.participant)

    def _is_next(self, delivery: service_pb2.Delivery) -> bool:
        last = self._numbers.get(delivery.partition, 0)
        if delivery.number > last + 1:
            raise RuntimeError(f"a gap before number {delivery.number} of partition {delivery.partition}")
        self._numbers[delivery.partition] = max(last, delivery.number)
        return delivery.number == last + 1
