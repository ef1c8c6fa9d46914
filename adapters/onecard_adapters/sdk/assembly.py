"""Composes the parts of one participant's end of the exchange: the one place that knows all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import grpc

from onecard_adapters.runtime.inbox import Place
from onecard_adapters.runtime.processing import Handler, Processing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.answers import Waiting
from onecard_adapters.sdk.calls import Calls
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.delivery import DeliveryStream
from onecard_adapters.sdk.directory import DirectoryView
from onecard_adapters.sdk.gateways import Gateways
from onecard_adapters.sdk.outgoing import Writer
from onecard_adapters.sdk.reading import Reads
from onecard_adapters.sdk.reception import Reception
from onecard_adapters.sdk.resolution import Resolution
from onecard_adapters.sdk.sending import Sending
from onecard_adapters.sdk.signing import AdaptiveSigning
from onecard_adapters.sdk.submission import Submission
from onecard_adapters.sdk.verification import Verification
from onecard_protocol import limits
from onecard_protocol.methods import Method
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import Engine
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.signatures.sm3 import sm3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Working times and sizes that tests shorten; the defaults are the protocol's."""

    gap_open_ms: int = limits.GAP_OPEN_MS
    silence_ms: int = limits.HUB_TIME_STALE_MS
    prompt_ms: int = 3 * limits.TICK_MS
    resolution_poll_s: float = 1.0
    retry_first_s: float = 0.5
    local_call_ms: int = limits.LOCAL_CALL_MS
    credit_count: int = limits.DELIVERY_CREDIT_COUNT_MAX
    typed_count_max: int = 4
    """While no more calls wait for answers, each is a typed call; of more, those that are ready leave together."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Who we are and where the hub is."""

    participant: str
    network: str
    gateways: tuple[str, ...]
    hub_keys: Mapping[str, bytes]
    """Public keys of the hub by key id, 65 bytes each."""
    credentials: grpc.ChannelCredentials | None = None
    server_name: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """How we sign and verify."""

    signer: Signer
    engine: Engine
    by_batch: bool = True
    """False gives each message a signature of its own: the benchmark's comparison."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that lives while an exchange is entered."""

    gateways: Gateways
    directory: DirectoryView
    signing: AdaptiveSigning
    verification: Verification
    submission: Submission
    resolution: Resolution
    calls: Calls
    sending: Sending
    processing: Processing
    delivery: DeliveryStream


def assemble(
    connection: Connection,
    signatures: Signatures,
    timing: Timing,
    *,
    store: Store,
    sealer: Sealer,
    clock: HubClock,
    methods: Mapping[str, Method],
    handlers: Mapping[str, Handler],
    place: Place,
    refused: Callable[[bytes], None],
) -> Parts:
    """Make the parts; the store is open, nothing runs yet. Needs a running event loop."""
    # Provinces begin at different gateways, so that each gateway gets its share.
    first = int.from_bytes(sm3(connection.participant.encode())[:4], "big")
    gateways = Gateways(connection.gateways, connection.credentials, server_name=connection.server_name, first=first)
    waiting = Waiting()
    verifier = BlockVerifier(signatures.engine)
    directory = DirectoryView(connection.hub_keys, verifier, network=connection.network)
    signing = AdaptiveSigning(signatures.signer, by_batch=signatures.by_batch)
    verification = Verification(
        directory, verifier, network=connection.network, participant=connection.participant, methods=methods
    )
    writer = Writer(network=connection.network, participant=connection.participant, sealer=sealer, now_ms=clock.now_ms)
    submission = Submission(
        store=store,
        sealer=sealer,
        gateways=gateways,
        signing=signing,
        verification=verification,
        clock=clock,
        writer=writer,
        making_count=lambda: processing.making_count,
    )
    resolution = Resolution(
        store=store,
        sealer=sealer,
        gateways=gateways,
        signing=signing,
        verification=verification,
        waiting=waiting,
        clock=clock,
        poll_s=timing.resolution_poll_s,
    )
    calls = Calls(
        store=store,
        sealer=sealer,
        gateways=gateways,
        signing=signing,
        verification=verification,
        waiting=waiting,
        clock=clock,
        submit=submission.put,
        ask=resolution.ask,
        is_delivered=lambda: delivery.is_prompt,
        typed_count_max=timing.typed_count_max,
    )
    processing = Processing(
        store=store,
        sealer=sealer,
        clock=clock,
        directory=directory,
        writer=writer,
        methods=methods,
        handlers=handlers,
        submit=submission.put,
        local_call_ms=timing.local_call_ms,
        retry_first_s=timing.retry_first_s,
    )
    reception = Reception(
        store=store,
        sealer=sealer,
        verification=verification,
        waiting=waiting,
        clock=clock,
        writer=writer,
        methods=methods,
        process=processing.add,
        submit=submission.put,
        refused=refused,
    )
    delivery = _delivery(connection.participant, gateways, clock, reception, place, processing, timing)
    return Parts(
        gateways=gateways,
        directory=directory,
        signing=signing,
        verification=verification,
        submission=submission,
        resolution=resolution,
        calls=calls,
        sending=Sending(
            store=store,
            sealer=sealer,
            methods=methods,
            writer=writer,
            waiting=waiting,
            calls=calls,
            submission=submission,
            reads=Reads(gateways),
            clock=clock,
        ),
        processing=processing,
        delivery=delivery,
    )


def _delivery(
    participant: str,
    gateways: Gateways,
    clock: HubClock,
    reception: Reception,
    place: Place,
    processing: Processing,
    timing: Timing,
) -> DeliveryStream:
    in_progress: Callable[[], int] = processing.__len__
    return DeliveryStream(
        participant=participant,
        gateways=gateways,
        clock=clock,
        receive=reception.receive,
        place=place,
        in_progress=in_progress,
        credit_count=timing.credit_count,
        gap_open_ms=timing.gap_open_ms,
        silence_ms=timing.silence_ms,
        prompt_ms=timing.prompt_ms,
    )
