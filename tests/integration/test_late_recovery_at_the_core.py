"""A restart long after a crash between ATTEMPTING and the call: no core executes then (rule 10), in both dialects."""

from __future__ import annotations

import asyncio
import dataclasses
import types
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import encounter_pb2_grpc
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.cross_region_xml.insured import build_insured as build_xml_insured
from onecard_adapters.dialects.infno.insured import EncounterServicer
from onecard_adapters.dialects.infno.insured_desk import InsuredDesk, wall_clock_ms
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_adapters.sdk import exchange as exchange_module
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.population import Person, Population
from onecard_stubs.sichuan.core import SichuanCore
from tests.support import infno_country, sichuan
from tests.support.eventually import eventually
from tests.support.fake_hub import METHODS
from tests.support.sdk_country import Country, country

AN_HOUR_MS = 3_600_000


class NeverCalls(encounter_pb2_grpc.EncounterServiceServicer):
    """An adapter that is cut off after ATTEMPTING, before its dialect does anything."""

    def __init__(self) -> None:
        self.calls = 0

    async def Register(self, request: object, context: object) -> Any:  # noqa: N802
        """Hang."""
        self.calls += 1
        return await asyncio.Event().wait()


@dataclasses.dataclass(slots=True, kw_only=True)
class Side:
    """A core, and the servicer that asks it an hour later."""

    core: Any
    person: Person
    build: Callable[[EdgeMemory, LocalHttpClient], Any]
    visit_count: Callable[[], int]


def _infno() -> Side:
    core = GuangdongCore(Population(province_area="510000", count=20), province_area="510000")
    settings = infno_country.insured_settings("http://127.0.0.1/unused")

    def build(memory: EdgeMemory, client: LocalHttpClient) -> EncounterServicer:
        return EncounterServicer(InsuredDesk(settings, memory, client, now_ms=lambda: wall_clock_ms() + AN_HOUR_MS))

    person = next(item for item in core.population if item.active_enrolments)
    return Side(core=core, person=person, build=build, visit_count=lambda: len(core.visits._visits))


def _xml() -> Side:
    core = SichuanCore(Population("510000", seed=1, count=20), operation=Operation.TEXT.value)

    def build(memory: EdgeMemory, client: LocalHttpClient) -> Any:
        return build_xml_insured(sichuan.insured_settings(core.url, Operation.TEXT), memory, client).encounter

    person = next(item for item in core.state.population if item.active_enrolments)
    return Side(core=core, person=person, build=build, visit_count=lambda: len(core.state.visits))


@pytest.fixture(params=[_infno, _xml], ids=["infno", "cross-region-xml"])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    made = request.param()
    await made.core.start()
    yield made
    await made.core.stop()


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        yield made


async def test_a_registration_cut_off_before_the_call_is_not_executed_an_hour_later(
    one: Country, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "STOP_GRACE_S", 0.1)
    cut_off = NeverCalls()
    async with one.province("cn-51", cut_off), one.province("cn-44") as care:

        async def call(method: str, request: Any) -> Any:
            policy = METHODS[method]
            invoke = care.to("cn-51").unary_unary(
                method, policy.input_class.SerializeToString, policy.output_class.FromString
            )
            return await invoke(request, timeout=20)

        stay = sichuan.Stay(types.SimpleNamespace(call=call), side.person)  # type: ignore[arg-type]
        asking = asyncio.create_task(stay.register())
        await eventually(lambda: cut_off.calls == 1)
        asking.cancel()
    (registration,) = one.hub.known.values()
    client = LocalHttpClient(url=side.core.url, answer_ms_max=2_000)
    exchange = one.exchange("cn-51")
    servicer = side.build(EdgeMemory(exchange.store, exchange.sealer), client)
    encounter_pb2_grpc.add_EncounterServiceServicer_to_server(servicer, exchange)
    try:
        async with exchange:
            await eventually(lambda: registration.outcome is not None)
    finally:
        await client.close()
    assert registration.outcome is not None
    rejection = message_pb2.Rejection.FromString(registration.outcome.payload)
    assert rejection.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    assert side.visit_count() == 0
