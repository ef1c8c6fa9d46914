"""Late successes through both dialects: whatever the order of reversal and refusal, the core undoes once (rule 12)."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import types
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from onecard.medical.v1 import settlement_pb2
from onecard.medical.v1.coverage_pb2_grpc import add_CoverageServiceServicer_to_server
from onecard.medical.v1.encounter_pb2_grpc import add_EncounterServiceServicer_to_server
from onecard.medical.v1.settlement_pb2_grpc import add_SettlementServiceServicer_to_server
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.cross_region_xml.insured import build_insured as build_xml_insured
from onecard_adapters.dialects.infno.insured import build_insured as build_infno_insured
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.population import Person, Population
from onecard_stubs.sichuan import settling
from onecard_stubs.sichuan.core import SichuanCore
from onecard_stubs.sichuan.state import CoreState
from tests.support import infno_country, sichuan
from tests.support.fake_hub import METHODS
from tests.support.sdk_country import SETTLE, Country, country
from tests.support.sdk_messages import refuse, replies
from tests.support.sichuan import BILL, Stay

CANCEL = "/onecard.medical.v1.SettlementService/CancelSettlement"
REVERSED = settlement_pb2.REVERSAL_RESULT_REVERSED


@dataclasses.dataclass(slots=True, kw_only=True)
class Side:
    """A core, its adapter on the runtime, and cn-44 that asks it; as much of it as `Stay` uses."""

    one: Country
    care: Exchange
    insured: Exchange
    core: Any
    behaviours: Any
    person: Person
    reverse_trade: str
    standing_count: Callable[[], int]
    reversal_count: Callable[[], int]
    """How often the core undid something by a trade."""
    undo_at_the_core: Callable[[], None]
    """Undo the only settlement there, as an operator does, without the adapter."""

    async def call(self, method: str, request: Any) -> Any:
        """A call of cn-44 over the exchange."""
        policy = METHODS[method]
        call = self.care.to("cn-51").unary_unary(
            method, policy.input_class.SerializeToString, policy.output_class.FromString
        )
        return await call(request, timeout=20)

    def answer_of(self, method: str) -> Message:
        """The last reply of a method."""
        return [reply for reply in replies(self.one.hub) if reply.header.method == method][-1]

    async def undos_done(self) -> int:
        """How many undos the adapter has carried out."""
        query = "SELECT count(*) FROM inbox WHERE sender = 'cn-51' AND state = 2"
        return int((await self.insured.store.run(lambda store: store.execute(query).fetchone()))[0])

    async def undone(self, stay: Stay, answer: Message) -> None:
        """Refuse an answer as late; what is asked behind it for the same person waits until that is over."""
        before = await self.undos_done()
        refuse(self.one.hub, answer)
        await stay.coverage()
        assert await self.undos_done() == before + 1


@contextlib.asynccontextmanager
async def infno_side(one: Country, directory: Path) -> AsyncIterator[Side]:
    core = GuangdongCore(Population(province_area="510000", count=60), province_area="510000")
    person = next(
        person
        for person in core.population
        if [enrolment.insurance_kind for enrolment in person.active_enrolments] == ["310"]
    )
    core.benefits.file(
        person,
        insurance_area=person.active_enrolments[0].insurance_area,
        destination_area="440000",
        filing_type="12",
        first_day=datetime.date(2024, 1, 1),
    )
    undone: list[object] = []
    reverse = core._trades["2601"]

    def count(head: Any, content: Any) -> dict[str, Any]:
        answer = reverse(head, content)
        undone.append(content)
        return answer

    core._trades["2601"] = count
    await core.start()
    settings = infno_country.insured_settings(core.url)
    async with _running(one, core, lambda memory, client: build_infno_insured(settings, memory, client)) as both:
        yield Side(
            one=one,
            care=both[0],
            insured=both[1],
            core=types.SimpleNamespace(file_outwards=_nothing),
            behaviours=core.behaviours,
            person=person,
            reverse_trade="2601",
            standing_count=lambda: sum(record.is_standing for record in core.benefits.settlements),
            reversal_count=lambda: len(undone),
            undo_at_the_core=lambda: setattr(core.benefits.settlements[0], "is_valid", False),
        )


@contextlib.asynccontextmanager
async def xml_side(one: Country, directory: Path) -> AsyncIterator[Side]:
    core = SichuanCore(Population("510000", seed=1, count=60), operation=Operation.TEXT.value)
    await core.start()
    settings = sichuan.insured_settings(core.url, Operation.TEXT)
    person = next(
        person
        for person in core.state.population
        if [enrolment.person_class for enrolment in person.active_enrolments] == ["1201"]
    )
    async with _running(one, core, lambda memory, client: build_xml_insured(settings, memory, client)) as both:
        yield Side(
            one=one,
            care=both[0],
            insured=both[1],
            core=core,
            behaviours=core.behaviours,
            person=person,
            reverse_trade="0306",
            standing_count=lambda: core.state.counts()["settlements_standing"],
            reversal_count=lambda: sum(item.trade == "0306" for item in core.state.transactions.values()),
            undo_at_the_core=lambda: _undo_in(core.state),
        )


def _undo_in(state: CoreState) -> None:
    (transaction,) = (item for item in state.transactions.values() if item.trade == "0304")
    settling.reverse(state, transaction)
    transaction.is_undone = True


async def _nothing(_: object) -> dict[str, str]:
    return {"filing_id": ""}


@contextlib.asynccontextmanager
async def _running(
    one: Country, core: Any, build: Callable[[EdgeMemory, LocalHttpClient], Any]
) -> AsyncIterator[tuple[Exchange, Exchange]]:
    client = LocalHttpClient(url=core.url, answer_ms_max=2_000)
    exchange = one.exchange("cn-51")
    served = build(EdgeMemory(exchange.store, exchange.sealer), client)
    add_CoverageServiceServicer_to_server(served.coverage, exchange)
    add_EncounterServiceServicer_to_server(served.encounter, exchange)
    add_SettlementServiceServicer_to_server(served.settlement, exchange)
    try:
        async with exchange, one.province("cn-44") as care:
            await exchange.wait_ready()
            yield care, exchange
    finally:
        await client.close()
        await core.stop()


@pytest.fixture(params=[infno_side, xml_side], ids=["infno", "cross-region-xml"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    async with country(tmp_path) as one, request.param(one, tmp_path) as made:
        yield made


@pytest.fixture
async def settled(side: Side) -> tuple[Side, Stay, Message]:
    """A settled stay, and the answer that told so."""
    stay = Stay(side, side.person)  # type: ignore[arg-type]
    await stay.file()
    await stay.register()
    await stay.upload(*BILL)
    await stay.discharge()
    await stay.settle()
    assert side.standing_count() == 1
    return side, stay, side.answer_of(SETTLE)


def original_of(answer: Message) -> str:
    return id_text(answer.header.reply_to.id)


async def test_reversal_first_then_the_late_success_is_refused(settled: tuple[Side, Stay, Message]) -> None:
    side, stay, answer = settled
    first = await stay.reverse(original_of(answer))
    await side.undone(stay, answer)
    assert first.result == REVERSED
    assert (side.standing_count(), side.reversal_count()) == (0, 1)
    assert await stay.reverse(original_of(answer)) == first


async def test_the_late_success_is_refused_first_then_comes_the_reversal(settled: tuple[Side, Stay, Message]) -> None:
    side, stay, answer = settled
    await side.undone(stay, answer)
    assert (side.standing_count(), side.reversal_count()) == (0, 1)
    first = await stay.reverse(original_of(answer))
    assert first.result == REVERSED
    assert await stay.reverse(original_of(answer)) == first
    told = await stay.query(original_of(answer))
    assert told.finding == settlement_pb2.SETTLEMENT_FINDING_UNDONE
    assert side.reversal_count() == 1
    # The stay is free: it can be settled again, and that is not undone by what was refused before.
    await stay.settle()
    await side.undone(stay, answer)
    assert (side.standing_count(), side.reversal_count()) == (1, 1)


async def test_repeated_refusals_undo_once(settled: tuple[Side, Stay, Message]) -> None:
    side, stay, answer = settled
    for _ in range(3):
        await side.undone(stay, answer)
    assert (side.standing_count(), side.reversal_count()) == (0, 1)


async def test_a_late_cancellation_is_undone_and_the_settlement_stands_again(
    settled: tuple[Side, Stay, Message],
) -> None:
    side, stay, answer = settled
    settlement = settlement_pb2.SettleResponse.FromString(answer.payload)
    await stay.cancel(original_of(answer), settlement.settlement_id)
    assert side.standing_count() < 2
    cancellation = side.answer_of(CANCEL)
    await side.undone(stay, cancellation)
    told = await stay.query(original_of(answer))
    assert told.finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED
    assert (await stay.reverse(original_of(cancellation), "CancelSettlement")).result == REVERSED
    assert side.reversal_count() == 1


async def test_an_undo_whose_answer_is_lost_is_found_and_not_made_again(settled: tuple[Side, Stay, Message]) -> None:
    side, stay, answer = settled
    side.behaviours.set(side.reverse_trade, Switches(lose_answer=True), calls=1)
    await side.undone(stay, answer)
    assert side.behaviours.describe() == {}, "the fault was met"
    assert (side.standing_count(), side.reversal_count()) == (0, 1)
    assert (await stay.reverse(original_of(answer))).result == REVERSED


async def test_an_undo_waits_for_a_core_that_does_not_answer(settled: tuple[Side, Stay, Message]) -> None:
    side, stay, answer = settled
    side.behaviours.set("*", Switches(down=True), calls=9)
    await side.undone(stay, answer)
    assert (side.standing_count(), side.reversal_count()) == (0, 1)
    assert side.one.hub.reports == []


async def test_a_core_that_says_it_is_undone_already_is_taken_at_its_word(settled: tuple[Side, Stay, Message]) -> None:
    side, stay, answer = settled
    side.undo_at_the_core()
    assert side.standing_count() == 0
    await side.undone(stay, answer)
    assert (side.one.hub.reports, side.reversal_count()) == ([], 0)
    assert (await stay.reverse(original_of(answer))).result == REVERSED
