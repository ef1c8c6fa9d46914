"""One trace from a Guangdong hospital's call through the exchange to Sichuan's core."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import message_pb2
from onecard.medical.v1 import coverage_pb2_grpc
from onecard_adapters.connectors.http import HttpAnswer, LocalHttpClient
from onecard_protocol.tracing import TRACEPARENT
from tests.support.infno_country import guangdong_hospital
from tests.support.sdk_country import country
from tests.support.sichuan import sichuan

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_hospitals_trace_reaches_the_core_of_the_other_province(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[tuple[str, str]] = []
    post = LocalHttpClient.post

    async def noted(client: LocalHttpClient, *args: Any, **options: Any) -> HttpAnswer:
        posted.append((client._url, TRACEPARENT.get()))
        return await post(client, *args, **options)

    async with contextlib.AsyncExitStack() as stack:
        insured = await stack.enter_async_context(sichuan(tmp_path))
        one = await stack.enter_async_context(country(tmp_path))
        sichuans = one.exchange("cn-51")
        coverage_pb2_grpc.add_CoverageServiceServicer_to_server(insured.servicers.coverage, sichuans)
        await stack.enter_async_context(sichuans)
        await sichuans.wait_ready()
        national = await stack.enter_async_context(one.province("cn-44"))
        hospital = await stack.enter_async_context(guangdong_hospital(tmp_path, national))
        await hospital.sign_in()
        assert hospital._session is not None
        hospital._session.headers["traceparent"] = TRACE
        monkeypatch.setattr(LocalHttpClient, "post", noted)
        area = insured.person.active_enrolments[0].insurance_area
        answer = await hospital.identify(insured.person, insurance_area=area)
        assert answer.is_success, answer.text

    requests = [one for one in one.hub.journal if one.header.kind == message_pb2.MESSAGE_KIND_REQUEST]
    assert [request.header.traceparent for request in requests] == [TRACE]
    assert (insured.core.url, TRACE) in posted
