"""Reading cards at a gateway: from its cache, never staler than two seconds, and logged without a number."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message as ProtoMessage
from google.rpc import status_pb2 as rpc_status_pb2

from onecard.card.v1 import change_pb2, feed_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import message_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, from_status, reason_name
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import from_wire
from tests.support.card_adapters import ISSUER, tell
from tests.support.card_reports import (
    BATCH_GET_STATUS,
    FOLLOW_PERSON,
    GET_STATUS,
    LINK_NUMBER,
    VERIFY_CARD,
    card,
    recognition_code,
    social_report,
)
from tests.support.gateway import Hub, eventually_async, running_hub
from tests.support.messages import citizen_number, coverage_query, make_signed, person

pytest_plugins = ("tests.support.engines",)

ENABLED = {"version": 2, "change": change_pb2.SOCIAL_CHANGE_ENABLED, "state": values_pb2.SOCIAL_STATE_ACTIVE}
LOST = {"version": 3, "change": change_pb2.SOCIAL_CHANGE_LOST, "state": values_pb2.SOCIAL_STATE_LOST}


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    participants = ("cn-00", "cn-11", "cn-45", "bank-102")
    async with running_hub(postgres_dsn, tmp_path, participants=participants, patterns=("/onecard.*",)) as running:
        yield running


class Counter:
    """A participant's program that reads cards."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def _read(self, method: str, request: ProtoMessage) -> bytes:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        return await call(request.SerializeToString(), timeout=10)

    async def status(self, serial: int, of_card: values_pb2.CardReference | None = None) -> status_pb2.CardAnswer:
        question = status_pb2.CardQuestion(person=person(serial), card=of_card)
        request = status_pb2.GetCardStatusRequest(question=question, purpose="counter")
        return status_pb2.GetCardStatusResponse.FromString(await self._read(GET_STATUS, request)).answer

    async def statuses(self, *serials: int) -> list[status_pb2.CardAnswer]:
        questions = [status_pb2.CardQuestion(person=person(serial)) for serial in serials]
        request = status_pb2.BatchGetCardStatusRequest(questions=questions, purpose="settlement")
        response = await self._read(BATCH_GET_STATUS, request)
        return list(status_pb2.BatchGetCardStatusResponse.FromString(response).answers)

    async def verify(self, serial: int, **what: Any) -> str:
        request = status_pb2.VerifyCardRequest(
            **{
                "person": person(serial),
                "card_number": card(serial).number,
                "recognition_code": recognition_code(serial),
                "purpose": "counter",
                "terminal": "GL-0001",
                **what,
            }
        )
        response = status_pb2.VerifyCardResponse.FromString(await self._read(VERIFY_CARD, request))
        assert response.is_valid == (response.verdict == status_pb2.CARD_VERDICT_VALID)
        return status_pb2.CardVerdict.Name(response.verdict).removeprefix("CARD_VERDICT_")

    async def refusal(self, method: str, request: ProtoMessage) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self._read(method, request)
        details = dict(raised.value.trailing_metadata() or ())[STATUS_DETAILS_KEY]
        assert isinstance(details, bytes)
        return reason_name(from_status(rpc_status_pb2.Status.FromString(details)).reason)

    async def fresh(self, serial: int) -> None:
        """Wait until the gateway heard of the person's partition."""

        async def is_fresh() -> bool:
            return (await self.status(serial)).freshness == status_pb2.FRESHNESS_FRESH

        await eventually_async(is_fresh)


@pytest.fixture
async def counter(hub: Hub) -> AsyncIterator[Counter]:
    async with hub.channel("cn-45") as channel:
        yield Counter(channel)


async def report(hub: Hub, serial: int, **what: Any) -> None:
    """Beijing tells of a card."""
    await tell(hub, ISSUER, social_report(serial, at_ms=now_ms(), **what))


async def enabled(hub: Hub, counter: Counter, *serials: int) -> None:
    """Cards that were produced and enabled, as the counter sees them."""
    for serial in serials:
        await report(hub, serial)
        await report(hub, serial, **ENABLED)

        async def is_enabled(serial: int = serial) -> bool:
            return await counter.verify(serial) == "VALID"

        await eventually_async(is_enabled)
        seen_ms = now_ms()

        async def is_followed(serial: int = serial, seen_ms: int = seen_ms) -> bool:
            # By then the gateway has heard of the change, whose row it may have read before.
            return (await counter.status(serial)).as_of_time.ToMilliseconds() > seen_ms

        await eventually_async(is_followed)


# ---- from the cache ------------------------------------------------------------------------------------------------


async def test_what_was_asked_for_once_needs_no_database(hub: Hub, counter: Counter) -> None:
    await enabled(hub, counter, 1)
    stats = hub.gateways[0].stats
    await counter.status(1)
    before = stats["card_statements"]

    for _ in range(20):
        answer = await counter.status(1)
        assert await counter.verify(1) == "VALID"

    assert stats["card_statements"] == before
    assert [one.card.number for one in answer.cards] == ["A00000001"]
    assert answer.cards[0].social_state == values_pb2.SOCIAL_STATE_ACTIVE
    assert 0 <= now_ms() - answer.as_of_time.ToMilliseconds() < limits.CARD_STALE_MS


async def test_a_batch_keeps_its_order_and_reads_all_that_is_missing_at_once(hub: Hub, counter: Counter) -> None:
    await enabled(hub, counter, 1, 2)
    await counter.fresh(3)
    stats = hub.gateways[0].stats
    before = stats["card_statements"]

    answers = await counter.statuses(2, 903, 1, 904, 2)

    numbers = [[one.card.number for one in answer.cards] for answer in answers]
    assert numbers == [["A00000002"], [], ["A00000001"], [], ["A00000002"]]
    assert {answer.freshness for answer in answers} == {status_pb2.FRESHNESS_FRESH}
    assert stats["card_statements"] == before + 1


async def test_a_batch_of_500_is_answered_one_by_one_in_one_statement(hub: Hub, counter: Counter) -> None:
    await enabled(hub, counter, 1)
    await counter.fresh(3)
    before = hub.gateways[0].stats["card_statements"]

    answers = await counter.statuses(*range(100, 599), 1)

    assert len(answers) == 500
    assert [len(answer.cards) for answer in answers] == [0] * 499 + [1]
    assert hub.gateways[0].stats["card_statements"] == before + 1


async def test_one_card_of_a_person_can_be_asked_for(hub: Hub, counter: Counter) -> None:
    await enabled(hub, counter, 1)

    assert len((await counter.status(1, card(1))).cards) == 1
    assert not (await counter.status(1, card(2))).cards


async def test_a_loss_is_seen_at_every_gateway_and_never_unseen_again(hub: Hub, counter: Counter) -> None:
    await hub.add_gateway()
    await enabled(hub, counter, 1)
    async with hub.channel("cn-45", 1) as channel:
        other = Counter(channel)
        await other.fresh(1)
        seen: dict[int, list[str]] = {0: [], 1: []}

        async def watch(index: int, at: Counter) -> None:
            while seen[index][-20:] != ["LOST"] * 20:
                seen[index].append(await at.verify(1))

        watching = [asyncio.create_task(watch(index, at)) for index, at in enumerate((counter, other))]
        await report(hub, 1, **LOST)
        await asyncio.wait_for(asyncio.gather(*watching), 20)

    for verdicts in seen.values():
        assert "VALID" not in verdicts[verdicts.index("LOST") :]


async def test_cards_of_a_linked_number_are_found_under_both(hub: Hub, counter: Counter) -> None:
    await enabled(hub, counter, 1)
    request = feed_pb2.LinkNumberRequest(person=person(1), primary=person(2), document="D1")
    signed = make_signed(
        hub.signers["cn-11"],
        request,
        now_ms=now_ms(),
        sender="cn-11",
        recipient="cn-00",
        method=LINK_NUMBER,
    )
    assert not (await counter.statuses(2))[0].cards
    results = await hub.submit("cn-11", signed)
    assert results[0].HasField("receipt"), results

    async def is_under_both() -> bool:
        answers = await counter.statuses(1, 2)
        return [[one.card.number for one in answer.cards] for answer in answers] == [["A00000001"]] * 2

    await eventually_async(is_under_both)
    assert await counter.verify(1) == "VALID"
    assert await counter.verify(1, person=person(2)) == "VALID"


# ---- never stale ---------------------------------------------------------------------------------------------------


async def test_without_ticks_for_two_seconds_nothing_is_told(hub: Hub, counter: Counter) -> None:
    await enabled(hub, counter, 1)
    await counter.status(1)
    statements = hub.gateways[0].stats["card_statements"]

    hub.worker.stop()

    async def is_stale() -> bool:
        asked_ms = now_ms()
        answer = await counter.status(1)
        # However late the question is answered, what it tells as fresh was so within the bound.
        if answer.freshness == status_pb2.FRESHNESS_FRESH:
            assert answer.as_of_time.ToMilliseconds() > asked_ms - limits.CARD_STALE_MS
        return answer.freshness == status_pb2.FRESHNESS_STALE

    await eventually_async(is_stale)
    assert await counter.verify(1) == "STALE"
    answer = await counter.status(1)
    assert (answer.freshness, len(answer.cards)) == (status_pb2.FRESHNESS_STALE, 0)
    assert hub.gateways[0].stats["card_statements"] == statements


async def test_a_gateway_that_starts_says_stale_before_the_first_tick_and_never_anything_wrong(
    hub: Hub, counter: Counter
) -> None:
    await enabled(hub, counter, 1)
    await hub.start_gateway()
    verdicts: list[str] = []
    async with hub.channel("cn-45", 1) as channel:
        at = Counter(channel)
        while verdicts[-1:] != ["VALID"]:
            try:
                verdicts.append(await at.verify(1))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017

    assert set(verdicts) <= {"STALE", "VALID"}


# ---- who may -------------------------------------------------------------------------------------------------------


async def test_reads_are_refused_with_the_catalogues_reasons(hub: Hub, counter: Counter) -> None:
    question = status_pb2.CardQuestion(person=person(1))
    good = status_pb2.GetCardStatusRequest(question=question, purpose="counter")
    many = [question] * (limits.CARD_QUESTION_COUNT_MAX + 1)

    async def refusal(**what: Any) -> str:
        request = status_pb2.GetCardStatusRequest()
        request.CopyFrom(good)
        request.MergeFrom(status_pb2.GetCardStatusRequest(**what))
        return await counter.refusal(GET_STATUS, request)

    assert await refusal(purpose=citizen_number(1)) == "PAYLOAD_INVALID"
    wrong = exchange_values_pb2.PersonIdentity(number=citizen_number(1)[:-1] + "A")
    assert await refusal(question=status_pb2.CardQuestion(person=wrong)) in {"IDENTITY_INVALID", "PAYLOAD_INVALID"}
    nothing = status_pb2.BatchGetCardStatusRequest(purpose="counter")
    assert await counter.refusal(BATCH_GET_STATUS, nothing) == "PAYLOAD_INVALID"
    crowd = status_pb2.BatchGetCardStatusRequest(questions=many, purpose="counter")
    assert await counter.refusal(BATCH_GET_STATUS, crowd) == "PAYLOAD_INVALID"
    unread = status_pb2.VerifyCardRequest(person=person(1), purpose="counter")
    assert await counter.refusal(VERIFY_CARD, unread) == "PAYLOAD_INVALID"
    assert await counter.refusal(GET_STATUS, coverage_query()) in {"MALFORMED", "PAYLOAD_INVALID"}
    large = status_pb2.GetCardStatusRequest(question=question, purpose="x" * 5_000)
    assert await counter.refusal(GET_STATUS, large) == "PAYLOAD_TOO_LARGE"


async def test_the_hub_may_ask_for_a_status_and_shows_no_card_at_a_counter(hub: Hub) -> None:
    async with hub.channel("cn-00") as channel:
        program = Counter(channel)
        await program.fresh(1)
        request = status_pb2.VerifyCardRequest(person=person(1), card_number="A00000001", purpose="counter")

        assert await program.refusal(VERIFY_CARD, request) == "SENDER_NOT_ALLOWED"


# ---- the access log ------------------------------------------------------------------------------------------------


async def test_each_read_is_logged_with_who_and_why_and_no_number(
    hub: Hub, counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    await enabled(hub, counter, 1)
    await counter.fresh(2)
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        await counter.status(1)
        await counter.statuses(1, 2, 1)
        await counter.verify(1)
        await counter.refusal(GET_STATUS, status_pb2.GetCardStatusRequest(purpose="counter"))

    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "onecard.access"]
    assert [line["participant"] for line in lines] == ["cn-45"] * 4
    assert [line["method"] for line in lines] == [GET_STATUS, BATCH_GET_STATUS, VERIFY_CARD, GET_STATUS]
    assert [line.get("purpose") for line in lines] == ["counter", "settlement", "counter", None]
    one, many, verified, refused = lines
    assert many["subjects"] == [one["subjects"][0], many["subjects"][1], one["subjects"][0]]
    assert (one["fresh"], many["fresh"], many["stale"]) == (1, 3, 0)
    assert (verified["verdict"], verified["terminal"]) == ("CARD_VERDICT_VALID", "GL-0001")
    assert refused["refused"] in {"IDENTITY_INVALID", "PAYLOAD_INVALID"}
    for secret in (citizen_number(1), card(1).number, recognition_code(1)):
        assert secret not in caplog.text


async def test_following_a_person_is_logged_like_a_read_and_so_is_its_refusal(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    def following(sender: str, **what: Any) -> message_pb2.SignedMessage:
        request = feed_pb2.FollowPersonRequest(**{"person": person(1), "purpose": "benefit-payment", **what})
        signer = hub.signers[sender]
        return make_signed(signer, request, now_ms=now_ms(), sender=sender, recipient="cn-00", method=FOLLOW_PERSON)

    good, other, nameless = following("cn-45"), following("cn-45", person=person(2)), following("cn-45", purpose="")
    foreign = following("cn-11")
    with caplog.at_level(logging.DEBUG):
        results = await hub.submit("cn-45", good, other, nameless, foreign)

    refused = [reason_name(one.refusal.reason) for one in results if one.HasField("refusal")]
    assert refused == ["PAYLOAD_INVALID", "CERTIFICATE_MISMATCH"]
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "onecard.access"]
    assert {line["method"] for line in lines} == {FOLLOW_PERSON}
    told = {line["id"]: line for line in lines if "refused" not in line}
    assert set(told) == {id_text(from_wire(one).header.id) for one in (good, other)}
    assert {(line["participant"], line["purpose"]) for line in told.values()} == {("cn-45", "benefit-payment")}
    subjects = [subject for line in told.values() for subject in line["subjects"]]
    assert [len(subject) for subject in subjects] == [64, 64]
    assert len(set(subjects)) == 2
    assert {(line["participant"], line["refused"]) for line in lines if "refused" in line} == {
        ("cn-45", "PAYLOAD_INVALID"),
        ("", "CERTIFICATE_MISMATCH"),
    }
    assert citizen_number(1) not in caplog.text
