"""Registration of generated servicers."""

from __future__ import annotations

import pytest

from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceServicer, add_SettlementServiceServicer_to_server
from onecard_adapters.sdk.registration import Servicers
from onecard_protocol.methods import MethodRegistry


def test_every_method_of_a_generated_servicer_is_registered_by_its_full_name() -> None:
    servicers = Servicers(MethodRegistry.load())
    add_SettlementServiceServicer_to_server(SettlementServiceServicer(), servicers)

    assert set(servicers.handlers) == {
        f"/onecard.medical.v1.SettlementService/{name}"
        for name in ("PreSettle", "Settle", "CancelSettlement", "Reverse", "QuerySettlement")
    }


def test_a_second_servicer_of_a_service_is_an_error() -> None:
    servicers = Servicers(MethodRegistry.load())
    add_SettlementServiceServicer_to_server(SettlementServiceServicer(), servicers)
    with pytest.raises(ValueError, match="already"):
        add_SettlementServiceServicer_to_server(SettlementServiceServicer(), servicers)


def test_a_service_that_is_not_of_the_protocol_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a method"):
        Servicers({}).add_registered_method_handlers("onecard.other.v1.Service", {"Do": None})
