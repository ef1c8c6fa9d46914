"""The insured end of the load: answers at once, and notes what it was asked."""

from __future__ import annotations

import array
from typing import Any

from onecard.medical.v1 import (
    coverage_pb2,
    coverage_pb2_grpc,
    encounter_pb2,
    encounter_pb2_grpc,
    settlement_pb2,
    settlement_pb2_grpc,
)
from onecard_adapters.load import messages
from onecard_adapters.runtime.context import ExchangeContext
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import id_text, message_time_ms


class Received:
    """What arrived: how many, under how many ids at whom, with times of arrival and latencies since creation, in ms."""

    def __init__(self) -> None:
        self.ids: set[tuple[str, bytes]] = set()
        self.arrived_ms = array.array("q")
        self.latency_ms = array.array("q")

    def note(self, message_id: bytes, participant: str = "") -> None:
        """One message arrived now, at one of several participants."""
        at_ms = now_ms()
        self.ids.add((participant, message_id))
        self.arrived_ms.append(at_ms)
        self.latency_ms.append(at_ms - message_time_ms(message_id))


class Insured(
    coverage_pb2_grpc.CoverageServiceServicer,
    encounter_pb2_grpc.EncounterServiceServicer,
    settlement_pb2_grpc.SettlementServiceServicer,
):
    """Servicers with a local system that costs nothing."""

    def __init__(self, received: Received) -> None:
        self._received = received

    async def QueryCoverage(  # noqa: N802
        self, request: coverage_pb2.QueryCoverageRequest, context: Any
    ) -> coverage_pb2.QueryCoverageResponse:
        """One enrolment."""
        self._note(context)
        return messages.coverage_answer(request)

    async def Register(  # noqa: N802
        self, request: encounter_pb2.RegisterRequest, context: Any
    ) -> encounter_pb2.RegisterResponse:
        """Registered."""
        known: ExchangeContext = context
        response = encounter_pb2.RegisterResponse()
        response.encounter.encounter_id = id_text(known.message_id)
        response.encounter.institution_code = request.institution.code
        response.encounter.visit_id = request.visit_id
        return response

    async def PreSettle(  # noqa: N802
        self, request: settlement_pb2.PreSettleRequest, context: Any
    ) -> settlement_pb2.PreSettleResponse:
        """The split."""
        self._note(context)
        return settlement_pb2.PreSettleResponse(split=messages.split())

    async def Settle(  # noqa: N802
        self, request: settlement_pb2.SettleRequest, context: Any
    ) -> settlement_pb2.SettleResponse:
        """Settled."""
        known: ExchangeContext = context
        self._note(known)
        return messages.settled(request, known.message_id)

    def _note(self, context: ExchangeContext) -> None:
        self._received.note(context.message_id)


def register(insured: Insured, server: Any) -> None:
    """Register all servicers with an exchange."""
    coverage_pb2_grpc.add_CoverageServiceServicer_to_server(insured, server)
    encounter_pb2_grpc.add_EncounterServiceServicer_to_server(insured, server)
    settlement_pb2_grpc.add_SettlementServiceServicer_to_server(insured, server)
