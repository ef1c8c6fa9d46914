"""A success that the hub refuses because its reversal came first is undone by the adapter, durably, once (rule 12)."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import settlement_pb2, settlement_pb2_grpc
from onecard.medical.v1 import values_pb2 as medical_values
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.reversal import reversal_of
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message
from tests.support.crashing_adapter import CrashingAdapter
from tests.support.eventually import eventually
from tests.support.fake_hub import METHODS
from tests.support.sdk_country import SETTLE, Country, Insured, person
from tests.support.sdk_messages import refuse, replies, reports, settlement, stores

pytest_plugins = ("tests.support.fake_hub_of_two",)

Stub = settlement_pb2_grpc.SettlementServiceStub


async def settled(one: Country, invoice: str = "a") -> tuple[Message, Message]:
    """A settlement that cn-51 executed, and its reply."""
    message = one.hub.admit(settlement(one, invoice))
    await eventually(lambda: one.hub.known[message.key].outcome is not None)
    reply = one.hub.known[message.key].outcome
    assert reply is not None
    return message, reply


async def states(exchange: Exchange, sender: str) -> list[int]:
    """States of the messages of a sender in the adapter's inbox, in order."""
    query = "SELECT state FROM inbox WHERE sender = ? ORDER BY id"
    rows = await exchange.store.run(lambda connection: connection.execute(query, (sender,)).fetchall())
    return [row[0] for row in rows]


async def test_a_late_success_is_undone_by_the_reversal_of_its_original_and_nobody_is_answered(one: Country) -> None:
    insured = Insured()
    asked: list[tuple[settlement_pb2.ReverseRequest, list[int]]] = []

    async def look(request: settlement_pb2.ReverseRequest, context: ExchangeContext) -> None:
        asked.append((request, await states(exchange, "cn-51")))

    insured.on_reverse = look
    async with one.province("cn-51", insured) as exchange:
        message, reply = await settled(one)
        refuse(one.hub, reply)
        await eventually(lambda: len(insured.reversed) == 1)
        # What comes after it shows that an answer to the undo would have come too.
        await settled(one, "b")
        assert await states(exchange, "cn-51") == [2]

    (request, attempting) = asked[0]
    assert request.person == person()
    assert (request.original_id, request.original_method) == (id_text(message.header.id), SETTLE)
    assert attempting == [1], "ATTEMPTING is durable before the call"
    context = insured.reversal_contexts[0]
    assert not context.is_recovery
    assert context.local_transaction_id not in {"", insured.contexts[0].local_transaction_id}
    assert [answer.header.method for answer in replies(one.hub)] == [SETTLE, SETTLE]
    assert one.hub.reports == []


async def test_a_cancellation_that_came_late_is_undone_with_its_own_names(one: Country) -> None:
    class Cancelling(Insured):
        async def CancelSettlement(  # noqa: N802
            self, request: settlement_pb2.CancelSettlementRequest, context: ExchangeContext
        ) -> settlement_pb2.CancelSettlementResponse:
            return settlement_pb2.CancelSettlementResponse(red_settlement_id="red")

    insured, asked = Cancelling(), list[settlement_pb2.ReverseRequest]()
    insured.on_reverse = lambda request, context: asked.append(request)
    cancellation = settlement_pb2.CancelSettlementRequest(
        person=person(),
        insured_number=medical_values.InsuredNumber(insurance_area="510100", personal_number="51000000000000000001"),
        encounter=medical_values.EncounterReference(encounter_id="e", institution_code="H44010099901", visit_id="v"),
        local_transaction_id="t",
    )
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        await Stub(care.to("cn-51")).CancelSettlement(cancellation)
        reply = replies(one.hub)[-1]
        refuse(one.hub, reply)
        await eventually(lambda: len(asked) == 1)

    assert asked == [
        settlement_pb2.ReverseRequest(
            person=person(),
            insured_number=cancellation.insured_number,
            original_id=id_text(reply.header.reply_to.id),
            original_method="/onecard.medical.v1.SettlementService/CancelSettlement",
            original_local_transaction_id="t",
            encounter=cancellation.encounter,
        )
    ]


async def test_a_refusal_that_comes_twice_is_one_undo(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured):
        _, reply = await settled(one)
        signed = refuse(one.hub, reply)
        await eventually(lambda: len(insured.reversed) == 1)
        one.hub.deliver("cn-51", signed, one.hub.known[reply.key].partition)
        await settled(one, "b")

    assert len(insured.reversed) == 1


@pytest.mark.parametrize(
    "reason", [errors_pb2.ERROR_REASON_ALREADY_ANSWERED, errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT]
)
async def test_an_answer_that_is_refused_for_another_reason_stays_as_it_is(one: Country, reason: int) -> None:
    insured = Insured()
    async with one.province("cn-51", insured):
        _, reply = await settled(one)
        refuse(one.hub, reply, reason)
        _, second = await settled(one, "b")
        refuse(one.hub, second)
        await eventually(lambda: len(insured.reversed) == 1)

    assert insured.reversed == [id_text(second.header.reply_to.id)]


async def test_a_refusal_of_what_was_not_executed_undoes_nothing(one: Country) -> None:
    """A rejection of ours is no success, whatever the hub says of it."""
    insured = Insured()

    def not_executed(request: settlement_pb2.SettleRequest, context: ExchangeContext) -> None:
        if request.invoice_number == "a":
            raise OneCardError(errors_pb2.ERROR_REASON_NOT_INSURED)

    insured.on_settle = not_executed
    async with one.province("cn-51", insured):
        _, rejection = await settled(one)
        refuse(one.hub, rejection)
        _, reply = await settled(one, "b")
        refuse(one.hub, reply)
        await eventually(lambda: len(insured.reversed) == 1)

    assert insured.reversed == [id_text(reply.header.reply_to.id)]


async def test_the_undo_waits_behind_what_is_under_way_for_the_same_person(one: Country) -> None:
    insured = Insured()
    order: list[str] = []
    insured.on_reverse = lambda request, context: order.append(context.sender)
    async with one.province("cn-51", insured), one.province("cn-44") as care:
        message, reply = await settled(one)
        await Stub(care.to("cn-51")).Reverse(
            settlement_pb2.ReverseRequest(person=person(), original_id=id_text(message.header.id))
        )
        refuse(one.hub, reply)
        await eventually(lambda: len(order) == 2)

    assert order == ["cn-44", "cn-51"]


async def test_an_undo_in_doubt_recovers_and_outlasts_the_attempts_of_a_request(one: Country) -> None:
    insured = Insured()

    def doubt(request: settlement_pb2.ReverseRequest, context: ExchangeContext) -> None:
        if len(insured.reversal_contexts) < 8:
            raise OutcomeInDoubt("the core does not tell")

    insured.on_reverse = doubt
    async with one.province("cn-51", insured) as exchange:
        exchange._parts.processing._attempts_max = 3
        _, reply = await settled(one)
        refuse(one.hub, reply)
        await eventually(lambda: len(insured.reversed) == 1)

    assert [context.is_recovery for context in insured.reversal_contexts] == [False] + [True] * 7
    assert len({context.local_transaction_id for context in insured.reversal_contexts}) == 1
    assert one.hub.reports == []


async def test_an_undo_that_the_core_refuses_is_reported_of_the_original_and_left_to_a_person(one: Country) -> None:
    insured = Insured()

    async def refused(request: settlement_pb2.ReverseRequest, context: ExchangeContext) -> None:
        await context.refuse(errors_pb2.ERROR_REASON_REVERSAL_REFUSED, "the core refused")

    insured.on_reverse = refused
    async with one.province("cn-51", insured):
        message, reply = await settled(one)
        signed = refuse(one.hub, reply)
        await eventually(lambda: len(one.hub.reports) == 1)
        # The hub may have learnt by a query that the original stands: its refusal told again must not undo that.
        insured.on_reverse = None
        one.hub.deliver("cn-51", signed, one.hub.known[reply.key].partition)
        _, second = await settled(one, "b")
        refuse(one.hub, second)
        await eventually(lambda: len(insured.reversed) == 1)

    header = one.hub.reports[0].header
    assert (header.method, header.reply_to.sender, header.reply_to.id) == (SETTLE, "cn-44", message.header.id)
    assert header.reply_to.digest == message.digest
    assert reports(one.hub)[0].detail == "REVERSAL_REFUSED: the core refused"
    assert insured.reversed == [id_text(second.header.reply_to.id)]


async def test_an_adapter_killed_in_the_middle_of_an_undo_recovers_it(one: Country, tmp_path: Path) -> None:
    adapter = CrashingAdapter(one, tmp_path, hanging="Reverse")
    await adapter.start()
    try:
        _, reply = await settled(one)
        refuse(one.hub, reply)
        await eventually(lambda: adapter.calls() == ["Settle False", "Reverse False"])
        await adapter.kill()
        await adapter.start()
        # What comes for the same person waits until the undo is done.
        await settled(one, "b")
        await adapter.kill()
        await adapter.start()
        await settled(one, "c")
    finally:
        await adapter.kill()

    assert adapter.calls() == ["Settle False", "Reverse False", "Reverse True", "Settle False", "Settle False"]


async def test_what_would_undo_a_settlement_is_kept_sealed(one: Country, tmp_path: Path) -> None:
    insured = Insured()
    number = person().number.encode()
    async with one.province("cn-51", insured) as exchange:
        await settled(one)
        query = "SELECT payload FROM inbox WHERE sender = 'cn-44'"
        kept = await exchange.store.run(lambda connection: connection.execute(query).fetchone()[0])

    assert kept
    assert number not in kept
    for path in stores(tmp_path):
        assert number not in path.read_bytes(), path.name


def test_only_what_a_reversal_undoes_is_kept() -> None:
    """The methods that name a reversing method are those that the runtime makes a reversal of."""
    for method in METHODS.values():
        reversal = reversal_of(method.input_class(), bytes(16), method.name)
        expected = method.policy.reversing_method
        assert (reversal is not None) == bool(expected), method.name
        if reversal is not None:
            assert isinstance(reversal, METHODS[expected].input_class)
