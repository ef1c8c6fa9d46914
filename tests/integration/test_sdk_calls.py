"""The typed call over the SDK, against the fake hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import coverage_pb2, coverage_pb2_grpc, settlement_pb2, settlement_pb2_grpc
from onecard_adapters.sdk.failures import CallFailed
from tests.support.sdk_country import Coverage, Insured, country, person, settle_request


async def test_a_generated_stub_and_a_generated_servicer_work_unchanged_over_the_exchange(tmp_path: Path) -> None:
    insured = Insured()
    async with (
        country(tmp_path) as one,
        one.province("cn-51", insured, Coverage()),
        one.province("cn-44") as care,
    ):
        settled = await settlement_pb2_grpc.SettlementServiceStub(care.to("cn-51")).Settle(
            settle_request(invoice="a"), timeout=10
        )
        covered = await coverage_pb2_grpc.CoverageServiceStub(care.to("cn-51")).QueryCoverage(
            coverage_pb2.QueryCoverageRequest(person=person())
        )

    assert settled == settlement_pb2.SettleResponse(settlement_id="s-a")
    assert covered.person == person()
    assert [context.sender for context in insured.contexts] == ["cn-44"]


async def test_a_method_that_the_servicer_does_not_implement_is_refused(tmp_path: Path) -> None:
    async with country(tmp_path) as one, one.province("cn-51", Insured()), one.province("cn-44") as care:
        stub = settlement_pb2_grpc.SettlementServiceStub(care.to("cn-51"))
        with pytest.raises(CallFailed) as failed:
            await stub.CancelSettlement(settlement_pb2.CancelSettlementRequest(person=person()))

    assert failed.value.reason == errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED
    assert failed.value.answer is not None
