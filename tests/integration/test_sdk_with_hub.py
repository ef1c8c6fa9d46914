"""The SDK against the real hub: worker, two gateways, mTLS, on the embedded log."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import control_pb2, errors_pb2
from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, settlement_pb2, values_pb2
from onecard.medical.v1.coverage_pb2_grpc import CoverageServiceStub
from onecard.medical.v1.encounter_pb2_grpc import EncounterServiceServicer, EncounterServiceStub
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub, add_FilingServiceServicer_to_server
from onecard.medical.v1.settlement_pb2_grpc import SettlementServiceStub
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.failures import CallFailed
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import Held, list_held
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import id_text, new_message_id
from onecard_protocol.messages import timestamp
from onecard_stubs.dev.free_ports import free_ports
from tests.support.directories import NETWORK, new_signer, put_key, revoke_key
from tests.support.gateway import Hub, change_directory, eventually, running_hub
from tests.support.hub_provinces import exchange_of
from tests.support.messages import coverage_query, filing_report
from tests.support.sdk_country import SETTLE, Coverage, Filings, Insured, register
from tests.support.stays import SyntheticStay, coded, day, make_split

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path / "hub") as running:
        await running.add_gateway()
        yield running


def covered(query: coverage_pb2.QueryCoverageRequest) -> coverage_pb2.QueryCoverageResponse:
    """What the insured province knows of whoever is asked about."""
    return coverage_pb2.QueryCoverageResponse(
        person=query.person,
        insured_number=values_pb2.InsuredNumber(insurance_area="510100", personal_number="5100000991"),
    )


class Answering(Coverage):
    """Answers a query as an insured province would."""

    async def QueryCoverage(  # noqa: N802
        self, request: coverage_pb2.QueryCoverageRequest, context: ExchangeContext
    ) -> coverage_pb2.QueryCoverageResponse:
        """Answer, or refuse whoever asks without an area."""
        if not request.insurance_area:
            await context.refuse(errors_pb2.ERROR_REASON_NOT_INSURED, "no area")
        return covered(request)


@contextlib.asynccontextmanager
async def province(hub: Hub, directory: Path, participant: str, *servicers: object) -> AsyncIterator[Exchange]:
    exchange = exchange_of(hub, directory, participant)
    for servicer in servicers:
        register(servicer, exchange)
    async with exchange:
        await exchange.wait_ready()
        # The gateways tell each other once a second who reads where.
        await eventually(lambda: all(gateway._recipients.is_reading(participant) for gateway in hub.gateways))
        yield exchange


async def test_a_call_an_event_and_a_refusal_travel_through_the_real_hub(hub: Hub, tmp_path: Path) -> None:
    filings = Filings()
    async with (
        province(hub, tmp_path, "cn-51", Answering()) as home,
        province(hub, tmp_path, "cn-44", filings) as care,
    ):
        asked = coverage_query()
        stub = CoverageServiceStub(care.to("cn-51"))
        assert await stub.QueryCoverage(asked, timeout=20) == covered(asked)

        await FilingServiceStub(home.to("cn-44")).ReportFiling(filing_report())
        await eventually(lambda: len(filings.told) == 1)

        asked.insurance_area = ""
        with pytest.raises(CallFailed) as failed:
            await stub.QueryCoverage(asked, timeout=20)

    assert failed.value.reason == errors_pb2.ERROR_REASON_NOT_INSURED
    assert failed.value.answer is not None
    assert failed.value.answer.header.sender == "cn-51"


class Registering(EncounterServiceServicer):
    """Registers every visit."""

    async def Register(  # noqa: N802
        self, request: encounter_pb2.RegisterRequest, context: ExchangeContext
    ) -> encounter_pb2.RegisterResponse:
        """Register."""
        encounter = values_pb2.EncounterReference(
            encounter_id=id_text(context.message_id),
            institution_code=request.institution.code,
            visit_id=request.visit_id,
        )
        return encounter_pb2.RegisterResponse(encounter=encounter)


class SettlingLate(Insured):
    """Settles when it is let go, and undoes what it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()

    async def Settle(  # noqa: N802
        self, request: settlement_pb2.SettleRequest, context: ExchangeContext
    ) -> settlement_pb2.SettleResponse:
        """Settle."""
        self.begun.set()
        await self.let_go.wait()
        return settlement_pb2.SettleResponse(
            settlement_id="A510100260109000001",
            settled_time=timestamp(context.execute_before_ms or 0),
            split=make_split(),
            local_transaction_id=request.terms.local_transaction_id,
        )

    async def Reverse(  # noqa: N802
        self, request: settlement_pb2.ReverseRequest, context: ExchangeContext
    ) -> settlement_pb2.ReverseResponse:
        """Reverse."""
        await super().Reverse(request, context)
        return settlement_pb2.ReverseResponse(
            result=settlement_pb2.REVERSAL_RESULT_REVERSED,
            original_id=request.original_id,
            reversed_time=timestamp(context.execute_before_ms or 0),
        )


async def test_a_success_that_comes_after_its_reversal_is_refused_by_the_hub_and_undone(
    hub: Hub, tmp_path: Path
) -> None:
    stay, insured = SyntheticStay(), SettlingLate()
    asked: list[settlement_pb2.ReverseRequest] = []
    insured.on_reverse = lambda request, context: asked.append(request)
    async with (
        province(hub, tmp_path, "cn-51", Registering(), insured) as home,
        province(hub, tmp_path, "cn-44") as care,
    ):
        registration = encounter_pb2.RegisterRequest(
            person=stay.person,
            insured_number=stay.insured_number,
            institution=stay.institution,
            visit_id=stay.visit_id,
            care_kind=coded("nhsa.med_type", "21"),
            insurance_kind=coded("nhsa.insutype", "310"),
            first_day=day(2),
            filing_id="F1",
        )
        registered = await EncounterServiceStub(care.to("cn-51")).Register(registration, timeout=20)
        settle_id = new_message_id(care.hub_time_ms())
        terms = stay.terms()
        terms.encounter.CopyFrom(registered.encounter)
        settling = asyncio.create_task(
            SettlementServiceStub(care.to("cn-51", message_id=settle_id)).Settle(
                settlement_pb2.SettleRequest(person=stay.person, terms=terms), timeout=20
            )
        )
        await insured.begun.wait()
        reversal = settlement_pb2.ReverseRequest(
            person=stay.person,
            insured_number=stay.insured_number,
            original_id=id_text(settle_id),
            original_method=SETTLE,
            original_local_transaction_id=terms.local_transaction_id,
            encounter=registered.encounter,
        )
        reversing = asyncio.create_task(SettlementServiceStub(care.to("cn-51")).Reverse(reversal, timeout=20))
        await eventually(lambda: len(home._parts.processing) == 2)
        insured.let_go.set()
        assert (await reversing).result == settlement_pb2.REVERSAL_RESULT_REVERSED
        with pytest.raises(CallFailed) as failed:
            await settling
        await eventually(lambda: len(asked) == 2)

    assert failed.value.reason == errors_pb2.ERROR_REASON_REVERSED
    assert [context.sender for context in insured.reversal_contexts] == ["cn-44", "cn-51"]
    assert asked[1] == reversal, "the undo is the same reversal, without an asking system's own number"


async def test_calls_of_many_persons_at_once_each_get_their_own_answer(hub: Hub, tmp_path: Path) -> None:
    async with province(hub, tmp_path, "cn-51", Answering()), province(hub, tmp_path, "cn-44") as care:
        stub = CoverageServiceStub(care.to("cn-51"))
        queries = [coverage_query(serial) for serial in range(60)]
        answers = await asyncio.gather(*[stub.QueryCoverage(query, timeout=20) for query in queries])

    assert [answer.person for answer in answers] == [query.person for query in queries]


async def test_what_waited_while_its_province_got_a_new_key_is_told(hub: Hub, tmp_path: Path) -> None:
    home = exchange_of(hub, tmp_path, "cn-51")
    home._connection = dataclasses.replace(home._connection, gateways=(f"127.0.0.1:{free_ports(1)[0]}",))
    async with home:
        waiting = home.to("cn-44", message_id=new_message_id(now_ms() - 60_000))
        await FilingServiceStub(waiting).ReportFiling(filing_report())
    old, new = hub.signers["cn-51"], new_signer("cn-51-2")
    await change_directory(hub, revoke_key(old.key_id, now_ms()), put_key("cn-51", new, not_before_ms=now_ms() - 1_000))
    hub.signers["cn-51"] = new
    filings, care = Filings(), exchange_of(hub, tmp_path, "cn-44")
    add_FilingServiceServicer_to_server(filings, care)
    async with care, exchange_of(hub, tmp_path, "cn-51"):
        await eventually(lambda: len(filings.told) == 1)


async def test_a_gateway_that_stops_costs_no_call_and_no_event(hub: Hub, tmp_path: Path) -> None:
    filings = Filings()
    async with (
        province(hub, tmp_path, "cn-51", Answering()) as home,
        province(hub, tmp_path, "cn-44", filings) as care,
    ):
        stub = CoverageServiceStub(care.to("cn-51"))
        queries = [coverage_query(serial) for serial in range(20)]
        calling = [asyncio.create_task(stub.QueryCoverage(query, timeout=20)) for query in queries]
        await hub.gateways[0].stop()
        for serial in range(5):
            report: filing_pb2.ReportFilingRequest = filing_report(serial)
            await FilingServiceStub(home.to("cn-44")).ReportFiling(report)
        answers = await asyncio.gather(*calling)
        await eventually(lambda: len(filings.told) == 5)

    assert answers == [covered(query) for query in queries]


class Failing(Filings):
    """Takes no filing until it is mended."""

    is_mended = False

    async def ReportFiling(  # noqa: N802
        self, request: filing_pb2.ReportFilingRequest, context: ExchangeContext
    ) -> filing_pb2.ReportFilingResponse:
        """Refuse, which an event's sender cannot be told: the adapter gives up on it."""
        if not self.is_mended:
            raise OneCardError(errors_pb2.ERROR_REASON_UNMAPPED_CODE, "filing_type")
        return await super().ReportFiling(request, context)


async def until_given_up(database: LiveConnection) -> list[Held]:
    """What is held or given up on, as soon as there is something."""
    async with asyncio.timeout(30):
        while True:
            if held := await list_held(await database.get()):
                return held
            await asyncio.sleep(0.05)


async def test_an_event_that_an_adapter_gave_up_on_is_a_dead_letter_and_its_replay_is_processed(
    hub: Hub, tmp_path: Path
) -> None:
    filings = Failing()
    first, second = filing_report(1), filing_report(1)
    second.filing.filing_id = "the later one"
    database = LiveConnection(hub.dsn, application_name="test")
    async with province(hub, tmp_path, "cn-51") as home, province(hub, tmp_path, "cn-44", filings):
        stub = FilingServiceStub(home.to("cn-44"))
        await stub.ReportFiling(first)
        held = await until_given_up(database)
        filings.is_mended = True
        await stub.ReportFiling(second)
        (letter,) = held
        assert letter.cause == "given up by cn-44: PROCESSING_FAILED"
        store = DirectoryStore(database)
        replay = control_pb2.ControlRecord(
            number=(await store.load()).version + 1,
            dispose_message=control_pb2.MessageDisposition(
                partition=letter.partition,
                sender=letter.sender,
                id=letter.id,
                disposition=control_pb2.DISPOSITION_REPLAY,
                cause="the code was added",
            ),
        )
        await store.append([replay], hub.signers["cn-00"], network=NETWORK, now_ms=now_ms())
        await eventually(lambda: len(filings.told) == 2)
        await database.close()

    assert filings.told == [first.filing.filing_id, second.filing.filing_id]
