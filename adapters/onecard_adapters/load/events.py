"""The two ends of the load of events: no store and no local system, so that what is measured is the exchange.

The sender submits batches, the receiver reads its inbox; both use the SDK's connections, signing and verification.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Final

from onecard.exchange.v1 import message_pb2, service_pb2
from onecard_adapters.load import messages
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
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import build_header, from_wire
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier

METHOD: Final = "/onecard.medical.v1.FilingService/ReportFiling"
BATCH_COUNT: Final = 250
PERSON_COUNT: Final = 2_000
_SUBMIT_SECONDS: Final = 60.0


@contextlib.asynccontextmanager
async def _gateway(settings: AdapterSettings) -> AsyncIterator[tuple[Gateways, Gateway]]:
    connection = connection_of(settings)
    gateways = Gateways(connection.gateways, connection.credentials, server_name=connection.server_name)
    try:
        yield gateways, await gateways.ready()
    finally:
        await gateways.close()


async def send_events(
    settings: AdapterSettings,
    sent: Sent,
    *,
    until_ms: int,
    concurrency: int,
    rate_per_s: float | None,
    by_batch: bool,
) -> None:
    """Submit until the time, `concurrency` batches at once; at the rate given, or as fast as receipts come back."""
    signing = AdaptiveSigning(signatures_of(settings).signer, by_batch=by_batch)
    payloads = itertools.cycle(
        [messages.filing_report(serial).SerializeToString() for serial in range(1, PERSON_COUNT + 1)]
    )
    loop = asyncio.get_running_loop()
    begun = loop.time()
    numbers = itertools.count(1)

    async def submit_batches(gateway: Gateway) -> None:
        while now_ms() < until_ms:
            number = next(numbers)
            if rate_per_s is not None:
                await asyncio.sleep(max(0.0, begun + number * BATCH_COUNT / rate_per_s - loop.time()))
            started_ms = now_ms()
            headers, bodies = [], []
            for _ in range(BATCH_COUNT):
                payload = next(payloads)
                bodies.append(payload)
                headers.append(
                    build_header(
                        network=settings.network,
                        sender=settings.participant,
                        recipient=RECIPIENT,
                        method=METHOD,
                        kind=message_pb2.MESSAGE_KIND_EVENT,
                        message_id=new_message_id(now_ms()),
                        payload=payload,
                    )
                )
            blocks = await signing.sign_all(headers)
            request = service_pb2.SubmitBatchRequest(
                messages=[
                    message_pb2.SignedMessage(header=header, payload=payload, signature=block)
                    for header, payload, block in zip(headers, bodies, blocks, strict=True)
                ]
            )
            response: service_pb2.SubmitBatchResponse = await gateway.submission.SubmitBatch(
                request, timeout=_SUBMIT_SECONDS
            )
            refused = [result.refusal for result in response.results if result.HasField("refusal")]
            sent.failures += [reason_name(refusal.reason) for refusal in refused]
            sent.note(started_ms, BATCH_COUNT - len(refused))

    async with _gateway(settings) as (_, gateway):
        await asyncio.gather(*[submit_batches(gateway) for _ in range(concurrency)])
    signing.close()


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
        async with _gateway(settings) as (gateways, gateway):
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
                self._received.note(message.header.id)

    def _is_next(self, delivery: service_pb2.Delivery) -> bool:
        last = self._numbers.get(delivery.partition, 0)
        if delivery.number > last + 1:
            raise RuntimeError(f"a gap before number {delivery.number} of partition {delivery.partition}")
        self._numbers[delivery.partition] = max(last, delivery.number)
        return delivery.number == last + 1
