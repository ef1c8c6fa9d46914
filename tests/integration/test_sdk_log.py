"""What whoever runs an adapter reads in its log: why something was refused, and when it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceStub as Stub
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError
from tests.support.eventually import eventually
from tests.support.sdk_country import Country, Insured, country, settle_request


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        made.hub.add_participant("cn-44")
        made.hub.add_participant("cn-51")
        yield made


async def test_whoever_runs_the_adapter_reads_why_a_servicer_refused(
    one: Country, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    insured = Insured()

    def refuse(request: object, context: ExchangeContext) -> None:
        violation = ("insuinfo[0].psn_type", "code '11' is not in table psn_type")
        raise OneCardError(errors_pb2.ERROR_REASON_UNMAPPED_CODE, violations=[violation])

    insured.on_settle = refuse
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        with pytest.raises(CallFailed):
            await Stub(care.to("cn-51")).Settle(settle_request())

    assert "insuinfo[0].psn_type: code '11' is not in table psn_type" in caplog.text


async def test_whoever_runs_the_adapter_reads_why_its_streams_are_refused_and_that_they_go_on(
    one: Country, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    why = "the directory names none of cn-51.onecard.test as a certificate of cn-51"
    one.hub.faults.stream_refusal = OneCardError(errors_pb2.ERROR_REASON_CERTIFICATE_MISMATCH, why)

    def said(start: str, end: str) -> bool:
        lines = [record.getMessage() for record in caplog.records]
        return any(line.startswith(start) and line.endswith(end) for line in lines)

    async with one.exchange("cn-51"):
        await eventually(lambda: said("delivery from ", why))
        await eventually(lambda: said("the directory at ", why))
        one.hub.faults.stream_refusal = None
        await eventually(lambda: said("delivery goes on from ", ""))
