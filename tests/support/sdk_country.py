"""Provinces on the SDK around the fake hub, with two gateways; and a province that settles."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from onecard.exchange.v1 import values_pb2
from onecard.medical.v1 import (
    coverage_pb2,
    coverage_pb2_grpc,
    encounter_pb2_grpc,
    filing_pb2,
    filing_pb2_grpc,
    settlement_pb2,
    settlement_pb2_grpc,
)
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.sealing import load_sealer
from onecard_adapters.sdk.assembly import Connection, Signatures, Timing
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.identity import check_digit
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.fake_gateway import FakeGateway
from tests.support.fake_hub import ENGINE, NETWORK, FakeHub

QUICK = Timing(gap_open_ms=300, silence_ms=1_000, resolution_poll_s=0.1, retry_first_s=0.02)
SETTLE = "/onecard.medical.v1.SettlementService/Settle"


def person(serial: int = 1) -> values_pb2.PersonIdentity:
    """A synthetic person with a valid check digit."""
    first_17 = f"51000019700101{serial % 1000:03d}"
    return values_pb2.PersonIdentity(number=first_17 + check_digit(first_17))


def settle_request(serial: int = 1, invoice: str = "i") -> settlement_pb2.SettleRequest:
    """A settlement, as far as the exchange looks at it."""
    return settlement_pb2.SettleRequest(person=person(serial), invoice_number=invoice)


def filing_event(serial: int = 1, filing_id: str = "f") -> filing_pb2.ReportFilingRequest:
    """An event."""
    return filing_pb2.ReportFilingRequest(person=person(serial), filing=filing_pb2.Filing(filing_id=filing_id))


class Insured(settlement_pb2_grpc.SettlementServiceServicer):
    """An insured province whose settlements are counted."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self.contexts: list[ExchangeContext] = []
        self.reversed: list[str] = []
        self.reversal_contexts: list[ExchangeContext] = []
        self.on_reverse: Callable[[settlement_pb2.ReverseRequest, ExchangeContext], object] | None = None
        self.on_settle: Callable[[settlement_pb2.SettleRequest, ExchangeContext], object] | None = None

    async def Settle(  # noqa: N802
        self, request: settlement_pb2.SettleRequest, context: ExchangeContext
    ) -> settlement_pb2.SettleResponse:
        """Settle, after whatever the test wants to happen."""
        self.contexts.append(context)
        if self.on_settle is not None:
            outcome = self.on_settle(request, context)
            if hasattr(outcome, "__await__"):
                await outcome
        self.settled.append(request.invoice_number)
        return settlement_pb2.SettleResponse(settlement_id=f"s-{request.invoice_number}")

    async def PreSettle(  # noqa: N802
        self, request: settlement_pb2.PreSettleRequest, context: ExchangeContext
    ) -> settlement_pb2.PreSettleResponse:
        """Compute nothing."""
        return settlement_pb2.PreSettleResponse()

    async def Reverse(  # noqa: N802
        self, request: settlement_pb2.ReverseRequest, context: ExchangeContext
    ) -> settlement_pb2.ReverseResponse:
        """Say that the original was never executed, after whatever the test wants to happen."""
        self.reversal_contexts.append(context)
        if self.on_reverse is not None:
            outcome = self.on_reverse(request, context)
            if hasattr(outcome, "__await__"):
                await outcome
        self.reversed.append(request.original_id)
        return settlement_pb2.ReverseResponse(
            result=settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED, original_id=request.original_id
        )


class Filings(filing_pb2_grpc.FilingServiceServicer):
    """Takes filings; only the event."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def ReportFiling(  # noqa: N802
        self, request: filing_pb2.ReportFilingRequest, context: ExchangeContext
    ) -> filing_pb2.ReportFilingResponse:
        """Take one."""
        self.told.append(request.filing.filing_id)
        return filing_pb2.ReportFilingResponse()


class Coverage(coverage_pb2_grpc.CoverageServiceServicer):
    """Answers every query with nothing; without effect."""

    async def QueryCoverage(  # noqa: N802
        self, request: coverage_pb2.QueryCoverageRequest, context: ExchangeContext
    ) -> coverage_pb2.QueryCoverageResponse:
        """Answer."""
        return coverage_pb2.QueryCoverageResponse(person=request.person)


@dataclasses.dataclass(slots=True)
class Country:
    """The hub, its gateways, and a way to run provinces."""

    hub: FakeHub
    gateways: list[FakeGateway]
    directory: Path

    def exchange(self, participant: str, *, timing: Timing = QUICK, signer: EngineSigner | None = None) -> Exchange:
        """A province's exchange; the same store each time."""
        if participant not in self.hub.signers:
            self.hub.add_participant(participant)
        store = self.directory / f"{participant}.sqlite"
        return Exchange(
            Connection(
                participant=participant,
                network=NETWORK,
                gateways=tuple(gateway.address for gateway in self.gateways),
                hub_keys={self.hub.signer.key_id: self.hub.signer.public_key},
            ),
            Signatures(signer=signer or self.hub.signers[participant], engine=ENGINE),
            store_file=store,
            sealer=load_sealer(self.directory / f"{participant}.key", store),
            timing=timing,
        )

    async def hub_down(self) -> None:
        """Kill all gateways."""
        for gateway in self.gateways:
            await gateway.kill()

    async def hub_up(self) -> None:
        """Start them again, where they were."""
        for gateway in self.gateways:
            await gateway.start()

    @contextlib.asynccontextmanager
    async def province(self, participant: str, *servicers: object, timing: Timing = QUICK) -> AsyncIterator[Exchange]:
        """A running province that is ready."""
        exchange = self.exchange(participant, timing=timing)
        for servicer in servicers:
            register(servicer, exchange)
        async with exchange:
            await exchange.wait_ready()
            yield exchange


def register(servicer: object, exchange: Exchange) -> None:
    """Register by the generated functions."""
    if isinstance(servicer, Insured):
        settlement_pb2_grpc.add_SettlementServiceServicer_to_server(servicer, exchange)
    elif isinstance(servicer, encounter_pb2_grpc.EncounterServiceServicer):
        encounter_pb2_grpc.add_EncounterServiceServicer_to_server(servicer, exchange)
    elif isinstance(servicer, filing_pb2_grpc.FilingServiceServicer):
        filing_pb2_grpc.add_FilingServiceServicer_to_server(servicer, exchange)
    elif isinstance(servicer, coverage_pb2_grpc.CoverageServiceServicer):
        coverage_pb2_grpc.add_CoverageServiceServicer_to_server(servicer, exchange)
    else:
        raise TypeError(type(servicer).__name__)


@contextlib.asynccontextmanager
async def country(directory: Path, *, gateway_count: int = 2) -> AsyncIterator[Country]:
    """A fake hub with its gateways."""
    hub = FakeHub()
    gateways = [FakeGateway(hub) for _ in range(gateway_count)]
    for gateway in gateways:
        await gateway.start()
    try:
        yield Country(hub, gateways, directory)
    finally:
        for gateway in gateways:
            await gateway.kill()
