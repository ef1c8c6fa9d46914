"""Submitting, asking, delivering and reading the directory through a gateway; its start, draining and faults."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from onecard.exchange.v1 import control_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_broker.admission.rules import check_form
from onecard_broker.directory.follower import DirectoryFollower
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.gateway.cursors import Cursor, encode_cursor
from onecard_broker.log.port import AppendFailed
from onecard_broker.operations.recipients import RecipientLag, recipient_lags
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_status, reason_name
from onecard_protocol.messages import MESSAGE_CONTEXT, RECEIPT_CONTEXT, from_wire, parse_message
from onecard_protocol.signatures.blocks import BlockVerifier, sign_batch
from onecard_protocol.signatures.engine import native_engine
from tests.support.bad_messages import RefusalSigners, refusal_records, refusals, wrong_digit
from tests.support.certificates import Authority
from tests.support.directories import NETWORK, certificate_name, country, numbered, put_participant, revoke_key
from tests.support.gateway import Hub, eventually, eventually_async, running_hub, until_serving
from tests.support.messages import (
    citizen_number,
    covered,
    make_event,
    make_request,
    person,
)

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


def refusal_of(error: grpc.aio.AioRpcError) -> OneCardError:
    details = dict(error.trailing_metadata() or ())[STATUS_DETAILS_KEY]
    assert isinstance(details, bytes)
    return from_status(status_pb2.Status.FromString(details))


def reasons(results: list[service_pb2.SubmitResult]) -> list[str]:
    return [reason_name(result.refusal.reason) if result.HasField("refusal") else "RECEIPT" for result in results]


# ---- submitting ----------------------------------------------------------------------------------------------------


async def test_each_message_of_a_batch_gets_its_own_receipt_or_refusal(hub: Hub) -> None:
    signer = hub.signers["cn-51"]
    good = [make_event(signer, now_ms(), serial=serial) for serial in range(3)]
    forged = make_event(signer, now_ms())
    forged.signature = good[0].signature
    foreign = make_event(hub.signers["cn-44"], now_ms(), sender="cn-44", recipient="cn-51")

    results = await hub.submit("cn-51", good[0], forged, good[1], foreign, nothing(), good[2])

    assert reasons(results) == [
        "RECEIPT",
        "SIGNATURE_INVALID",
        "RECEIPT",
        "CERTIFICATE_MISMATCH",
        "MALFORMED",
        "RECEIPT",
    ]
    verifier = BlockVerifier(native_engine())
    for index, signed in ((0, good[0]), (2, good[1]), (5, good[2])):
        receipt = message_pb2.Receipt.FromString(results[index].receipt.receipt)
        assert receipt.digest == from_wire(signed).digest
        assert verifier.verify(
            RECEIPT_CONTEXT,
            results[index].receipt.receipt,
            message_pb2.SignatureBlock.FromString(results[index].receipt.signature),
            hub.signers["cn-00"].public_key,
        )


def nothing() -> message_pb2.SignedMessage:
    return message_pb2.SignedMessage(header=b"\xff")


async def test_a_batch_signed_as_a_whole_is_admitted_and_delivered_message_by_message(hub: Hub) -> None:
    signer = hub.signers["cn-51"]
    events = [make_event(signer, now_ms(), serial=serial) for serial in range(100)]
    for event, block in zip(
        events, sign_batch(signer, MESSAGE_CONTEXT, [event.header for event in events]), strict=True
    ):
        event.signature = block

    results = await hub.submit("cn-51", *events)
    async with hub.receiver("cn-44", credit_count=1_000) as receiver:
        received = await receiver.messages(100)

    assert reasons(results) == ["RECEIPT"] * 100
    assert {message.header_bytes for message in received} == {event.header for event in events}
    verifier = BlockVerifier(native_engine())
    for message in received:
        own_block = message_pb2.SignatureBlock.FromString(message.signature)
        assert verifier.verify(MESSAGE_CONTEXT, message.header_bytes, own_block, signer.public_key)


async def test_every_refusal_leaves_a_trace_and_disturbs_nothing_behind_it(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """The whole list of bad input in one batch, and behind each a good message, which is admitted and delivered."""
    signers = RefusalSigners(hub.signers["cn-44"], hub.signers["cn-51"])
    records = refusal_records(signers, now_ms())
    await change_directory(hub, *records)
    await eventually(lambda: hub.gateways[0].directory.version == len(country(hub.signers)) + len(records))
    caplog.set_level(logging.DEBUG)
    async with hub.receiver("cn-51", credit_count=1_000) as insured:
        await eventually(lambda: insured.ticks)
        bad = refusals(signers, now_ms(), future_ms=600_000)
        good = [make_request(signers.care, now_ms(), serial=serial) for serial in range(len(bad))]
        pairs = [one for (_, wrong), right in zip(bad.values(), good, strict=True) for one in (wrong, right)]
        results = reasons(await hub.submit("cn-44", *pairs))
        received = await insured.messages(len(good))

    assert dict(zip(bad, results[::2], strict=True)) == {what: reason for what, (reason, _) in bad.items()}
    assert set(results[1::2]) == {"RECEIPT"}
    assert {message.header_bytes for message in received} == {one.header for one in good}
    traces = Counter(record.getMessage() for record in caplog.records if record.getMessage().startswith("refused "))
    assert sum(traces.values()) == len(bad)
    for what, (reason, signed) in bad.items():
        begins = f"refused {reason}: {origin_of(signed)} over 127.0.0.1, {certificate_name('cn-44')}: "
        trace = next((text for text in traces if traces[text] and text.startswith(begins)), None)
        assert trace is not None, what
        traces[trace] -= 1
    for number in (person().number, wrong_digit().person.number):
        assert number not in caplog.text


def origin_of(signed: message_pb2.SignedMessage) -> str:
    """What a trace can tell of a message: nothing, if its form is wrong."""
    try:
        header = check_form(signed.header, signed.payload, signed.signature).header
    except OneCardError:
        return "a message id unknown"
    return f"{header.sender} {header.method} id {header.id.hex()}"


async def test_too_many_messages_in_a_batch_are_refused(hub: Hub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.submit("cn-51", *[nothing()] * (limits.SUBMIT_BATCH_COUNT_MAX + 1))

    assert reason_name(refusal_of(raised.value).reason) == "MALFORMED"


async def test_a_certificate_of_nobody_submits_nothing(hub: Hub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.submit("cn-65", nothing())

    assert reason_name(refusal_of(raised.value).reason) == "CERTIFICATE_MISMATCH"


async def test_a_certificate_of_another_authority_connects_to_nothing(hub: Hub, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other").issue(certificate_name("cn-44"))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=hub.authority.certificate_file.read_bytes(),
        private_key=stranger.private_key_file.read_bytes(),
        certificate_chain=stranger.certificate_file.read_bytes(),
    )
    async with grpc.aio.secure_channel(f"127.0.0.1:{hub.gateways[0].port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service_pb2_grpc.SubmissionServiceStub(channel).SubmitBatch(
                service_pb2.SubmitBatchRequest(), timeout=10
            )

    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_revoked_key_is_refused_although_its_batch_was_verified_before(hub: Hub) -> None:
    signer = hub.signers["cn-51"]
    events = [make_event(signer, now_ms(), serial=serial) for serial in range(2)]
    for event, block in zip(
        events, sign_batch(signer, MESSAGE_CONTEXT, [event.header for event in events]), strict=True
    ):
        event.signature = block
    assert reasons(await hub.submit("cn-51", events[0])) == ["RECEIPT"]

    await change_directory(hub, revoke_key("cn-51-1", now_ms()))
    await eventually(lambda: "cn-51-1" in hub.gateways[0].directory.revocations)

    assert reasons(await hub.submit("cn-51", events[1])) == ["KEY_REVOKED"]


async def change_directory(hub: Hub, *records: control_pb2.ControlRecord) -> None:
    database = LiveConnection(hub.dsn, application_name="test")
    try:
        store = DirectoryStore(database)
        version = (await store.load()).version
        await store.append(
            numbered(*records, first=version + 1), hub.signers["cn-00"], network=NETWORK, now_ms=now_ms()
        )
    finally:
        await database.close()


# ---- asking --------------------------------------------------------------------------------------------------------


async def ask(hub: Hub, participant: str, original: message_pb2.SignedMessage) -> message_pb2.OutcomeReport:
    async with hub.channel(participant) as channel:
        response = await service_pb2_grpc.SubmissionServiceStub(channel).GetOutcome(
            service_pb2.GetOutcomeRequest(original=original), timeout=20
        )
    report = from_wire(response.report)
    assert report.header.sender == "cn-00"
    assert report.header.reply_to.digest == from_wire(original).digest
    return message_pb2.OutcomeReport.FromString(report.payload)


async def test_asking_about_a_message_never_seen_closes_it(hub: Hub) -> None:
    event = make_event(hub.signers["cn-51"], now_ms())

    report = await ask(hub, "cn-51", event)
    await hub.submit("cn-51", event)
    async with hub.receiver("cn-51") as receiver:
        messages = await receiver.messages(2)

    assert report.state == message_pb2.OUTCOME_STATE_NEVER_SEEN
    rejection = message_pb2.Rejection.FromString(messages[1].payload)
    assert reason_name(rejection.reason) == "OUTCOME_ALREADY_TOLD"


async def test_asking_about_an_open_request_says_open(hub: Hub) -> None:
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51") as insured:
        assert reasons(await hub.submit("cn-44", request)) == ["RECEIPT"]
        await insured.messages(1)

        report = await ask(hub, "cn-44", request)

    assert report.state == message_pb2.OUTCOME_STATE_OPEN


@pytest.mark.parametrize(
    ("asker", "change", "reason"),
    [
        ("cn-33", lambda _: None, "CERTIFICATE_MISMATCH"),
        ("cn-51", lambda event: setattr(event, "payload", b""), "PAYLOAD_DIGEST_MISMATCH"),
        ("cn-51", lambda event: setattr(event, "signature", b""), "SIGNATURE_MISSING"),
    ],
)
async def test_a_question_by_another_or_about_other_bytes_is_refused(
    hub: Hub, asker: str, change: Callable[[message_pb2.SignedMessage], None], reason: str
) -> None:
    event = make_event(hub.signers["cn-51"], now_ms())
    change(event)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(hub, asker, event)

    assert reason_name(refusal_of(raised.value).reason) == reason


async def test_outcomes_older_than_seven_days_are_told_no_more(hub: Hub) -> None:
    event = make_event(hub.signers["cn-51"], now_ms() - limits.MESSAGE_AGE_MS_MAX - 1_000)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(hub, "cn-51", event)

    assert reason_name(refusal_of(raised.value).reason) == "TOO_OLD_TO_TELL"


# ---- delivering ----------------------------------------------------------------------------------------------------


async def submit_events(hub: Hub, count: int) -> None:
    events = [make_event(hub.signers["cn-51"], now_ms(), serial=serial) for serial in range(count)]
    assert reasons(await hub.submit("cn-51", *events)) == ["RECEIPT"] * count


async def test_a_receiver_goes_on_from_its_cursor_without_gap_or_repeat(hub: Hub) -> None:
    await submit_events(hub, 20)
    async with hub.receiver("cn-44", credit_count=7) as first:
        await first.messages(7)
        cursor = first.cursor
    async with hub.receiver("cn-44", cursor=cursor) as second:
        await second.messages(13)

    numbers: dict[int, list[int]] = {}
    for delivery in [*first.deliveries, *second.deliveries]:
        numbers.setdefault(delivery.partition, []).append(delivery.number)
    assert sum(map(len, numbers.values())) == 20
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


async def test_no_more_is_sent_than_the_credit_allows(hub: Hub) -> None:
    await submit_events(hub, 10)
    async with hub.receiver("cn-44", credit_count=4) as receiver:
        await receiver.messages(4)
        await eventually(lambda: len(receiver.ticks) >= 2)
        assert len(receiver.deliveries) == 4

        await receiver.write(credit_count=3)
        await receiver.messages(7)


async def test_a_receiver_that_only_listens_gets_what_its_first_credit_allows(hub: Hub) -> None:
    await submit_events(hub, 5)
    opening = service_pb2.DeliveryOpening(participant="cn-44", credit_count=5)
    async with hub.channel("cn-44") as channel:
        stream = service_pb2_grpc.DeliveryServiceStub(channel).Deliver(
            iter([service_pb2.DeliverRequest(opening=opening)]), timeout=20
        )
        batches = [response.batch async for response in stream if response.HasField("batch")]

    assert sum(len(batch.deliveries) for batch in batches) == 5


async def test_ticks_tell_hub_time_and_the_highest_published_numbers(hub: Hub) -> None:
    await submit_events(hub, 10)
    async with hub.receiver("cn-44", credit_count=0) as receiver:
        await eventually(lambda: receiver.ticks and sum(mark.number for mark in receiver.ticks[-1].watermarks) == 10)
        assert abs(receiver.ticks[-1].hub_time.ToMilliseconds() - now_ms()) < 5_000

    assert receiver.deliveries == []


@pytest.mark.parametrize(
    ("inbox_of", "cursor", "reason"),
    [
        ("cn-51", b"", "CERTIFICATE_MISMATCH"),
        ("cn-44", b"\x01nonsense", "MALFORMED"),
        (
            "cn-44",
            encode_cursor(Cursor(log_epoch="another", participant="cn-44", positions={})),
            "CURSOR_FOREIGN_EPOCH",
        ),
    ],
)
async def test_a_wrong_opening_is_refused(hub: Hub, inbox_of: str, cursor: bytes, reason: str) -> None:
    async with hub.receiver("cn-44", inbox_of=inbox_of, cursor=cursor) as receiver:
        await eventually(lambda: receiver.error)

    assert receiver.error is not None
    assert reason_name(refusal_of(receiver.error).reason) == reason


@pytest.mark.parametrize(
    ("positions", "truncated", "reason"),
    [({0: 0, 1: 0, 2: 0, 3: 0}, True, "CURSOR_EXPIRED"), ({0: 10**6}, False, "CURSOR_FOREIGN_EPOCH")],
)
async def test_a_cursor_outside_the_log_is_refused(
    hub: Hub, positions: dict[int, int], truncated: bool, reason: str
) -> None:
    await submit_events(hub, 20)
    async with hub.receiver("cn-44") as receiver:
        await receiver.messages(20)
    if truncated:
        bounds = await hub.log.bounds("onecard.inbox.cn-44")
        await hub.log.truncate("onecard.inbox.cn-44", {partition: end for partition, (_, end) in bounds.items()})
    cursor = encode_cursor(Cursor(log_epoch=hub.log.epoch, participant="cn-44", positions=positions))

    async with hub.receiver("cn-44", cursor=cursor) as receiver:
        await eventually(lambda: receiver.error)

    assert receiver.error is not None
    assert reason_name(refusal_of(receiver.error).reason) == reason


async def lag_of(hub: Hub, participant: str) -> RecipientLag:
    database = LiveConnection(hub.dsn, application_name="test")
    try:
        lags = await recipient_lags(await database.get(), hub.log, await DirectoryStore(database).load())
    finally:
        await database.close()
    assert [lag.behind_count for lag in lags] == sorted((lag.behind_count for lag in lags), reverse=True)
    return next(lag for lag in lags if lag.participant == participant)


async def test_what_a_receiver_reports_shows_how_far_it_is_behind(hub: Hub) -> None:
    before_ms = now_ms()
    await submit_events(hub, 20)
    async with hub.receiver("cn-44", credit_count=7) as receiver:
        await receiver.messages(7)
        await receiver.write(received_cursor=b"")
        assert (await lag_of(hub, "cn-44")).behind_count == 20

        await receiver.write(received_cursor=receiver.cursor)

        async def is_known() -> bool:
            return (await lag_of(hub, "cn-44")).behind_count == 13

        await eventually_async(is_known)
    lag = await lag_of(hub, "cn-44")
    assert lag.read_ms is not None
    assert lag.read_ms >= before_ms - 1_000
    assert await lag_of(hub, "cn-33") == RecipientLag(participant="cn-33", read_ms=None, behind_count=0)


async def test_a_reported_cursor_of_another_inbox_is_refused(hub: Hub) -> None:
    foreign = encode_cursor(Cursor(log_epoch=hub.log.epoch, participant="cn-51", positions={0: 1}))
    async with hub.receiver("cn-44") as receiver:
        await receiver.write(received_cursor=foreign)
        await eventually(lambda: receiver.error)

    assert receiver.error is not None
    assert reason_name(refusal_of(receiver.error).reason) == "MALFORMED"


async def test_stored_outputs_fill_a_gap(hub: Hub) -> None:
    await submit_events(hub, 20)
    async with hub.receiver("cn-44") as receiver:
        await receiver.messages(20)
    partition = max(delivery.partition for delivery in receiver.deliveries)
    expected = [delivery for delivery in receiver.deliveries if delivery.partition == partition]

    async with hub.channel("cn-44") as channel:
        response = await service_pb2_grpc.DeliveryServiceStub(channel).ReadOutputs(
            service_pb2.ReadOutputsRequest(participant="cn-44", partition=partition, first_number=1, last_number=512)
        )

    assert list(response.deliveries) == expected


async def test_more_stored_outputs_than_an_answer_carries_come_in_pages(hub: Hub) -> None:
    count, payload_bytes = 400, limits.PAYLOAD_BYTES_MAX // 8
    database = LiveConnection(hub.dsn, application_name="test")
    await (await database.get()).execute(
        "INSERT INTO outputs SELECT 0, 'cn-33', 0, number, 'cn-51', 'id', 'header', repeat('p', %s)::bytea,"
        " 'signature', '', 0, 0 FROM generate_series(1, %s) AS number WHERE number <> 300",
        (payload_bytes, count),
    )
    await database.close()
    numbers: list[int] = []
    pages: list[int] = []
    async with hub.channel("cn-33") as channel:
        while not numbers or numbers[-1] < count:
            response = await service_pb2_grpc.DeliveryServiceStub(channel).ReadOutputs(
                service_pb2.ReadOutputsRequest(
                    participant="cn-33", partition=0, first_number=max(numbers, default=0) + 1, last_number=count
                )
            )
            pages.append(response.ByteSize())
            numbers += [delivery.number for delivery in response.deliveries]

    assert numbers == [number for number in range(1, count + 1) if number != 300]
    assert sum(pages) > limits.SUBMIT_BATCH_BYTES_MAX
    assert len(pages) == 4


async def test_one_stored_output_is_read_however_large_it_is(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecard_broker.gateway.delivery._BATCH_BYTES_MAX", 1)
    await submit_events(hub, 20)
    async with hub.receiver("cn-44") as receiver:
        await receiver.messages(20)
    last = max(receiver.deliveries, key=lambda delivery: delivery.number)
    assert last.number > 1

    async with hub.channel("cn-44") as channel:
        response = await service_pb2_grpc.DeliveryServiceStub(channel).ReadOutputs(
            service_pb2.ReadOutputsRequest(
                participant="cn-44", partition=last.partition, first_number=1, last_number=last.number
            )
        )

    assert [one.number for one in response.deliveries] == [1]


# ---- the directory -------------------------------------------------------------------------------------------------


async def test_the_directory_is_watched_from_any_number_with_ticks(hub: Hub) -> None:
    async with hub.channel("cn-44") as channel:
        watch = service_pb2_grpc.DirectoryServiceStub(channel).WatchDirectory(
            service_pb2.WatchDirectoryRequest(first_number=3)
        )
        numbers: list[int] = []
        tick_count = 0
        async for response in watch:
            if response.HasField("record"):
                numbers.append(control_pb2.ControlRecord.FromString(response.record.payload).number)
                parse_message(response.record.header, response.record.payload, response.record.signature)
            else:
                tick_count += 1
                if tick_count == 1:
                    await change_directory(hub, put_participant("cn-65"))
            if len(numbers) == 7 and tick_count >= 2:
                break
        watch.cancel()

    assert numbers == [3, 4, 5, 6, 7, 8, 9]


async def test_the_directory_is_listed(hub: Hub) -> None:
    async with hub.channel("cn-44") as channel:
        listed = await service_pb2_grpc.DirectoryServiceStub(channel).ListParticipants(
            service_pb2.ListParticipantsRequest()
        )

    assert [participant.id for participant in listed.participants] == ["cn-00", "cn-33", "cn-44", "cn-51"]
    assert (len(listed.keys), listed.directory_version) == (4, 8)


# ---- the server ----------------------------------------------------------------------------------------------------


async def test_reflection_names_every_service_and_describes_its_methods(hub: Hub) -> None:
    async with hub.channel("cn-44") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="onecard.medical.v1.SettlementService"),
        ]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]

    names = {service.name for service in answers[0].list_services_response.service}
    assert {
        "onecard.exchange.v1.SubmissionService",
        "onecard.exchange.v1.DeliveryService",
        "onecard.medical.v1.SettlementService",
        "grpc.health.v1.Health",
    } <= names
    assert b"SettleRequest" in b"".join(answers[1].file_descriptor_response.file_descriptor_proto)


async def test_a_taken_port_is_named(hub: Hub) -> None:
    with pytest.raises(OneCardError, match="is taken") as raised:
        await hub.add_gateway(f"127.0.0.1:{hub.gateways[0].port}")

    assert str(hub.gateways[0].port) in str(raised.value)


async def test_draining_finishes_the_calls_it_holds_and_admits_no_more(hub: Hub) -> None:
    gateway = hub.gateways[0]
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51") as insured, hub.channel("cn-44") as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/onecard.medical.v1.CoverageService/QueryCoverage"
        )
        metadata = (("onecard-header-bin", request.header), ("onecard-signature-bin", request.signature))
        calling = method(request.payload, metadata=metadata, timeout=20)
        await insured.messages(1)
        draining = asyncio.create_task(gateway.drain())
        await eventually_async(lambda: is_not_serving(channel))
        refused = await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()))
        assert not draining.done()

        insured.answer = covered
        await insured.respond(insured.deliveries[0])
        body = await calling
        await draining

    assert body
    assert reasons(refused) == ["HUB_NOT_READY"]
    assert refused[0].refusal.retry_after_ms > 0


async def is_not_serving(channel: grpc.aio.Channel, service: str = "") -> bool:
    health = health_pb2_grpc.HealthStub(channel)
    response = await health.Check(health_pb2.HealthCheckRequest(service=service))  # type: ignore[attr-defined]
    return bool(response.status == health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_a_gateway_says_that_it_serves_once_a_tick_has_confirmed_its_directory(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ticks:
        ticks.setattr(DirectoryFollower, "_note_reading", lambda *_: None)
        await hub.start_gateway()
        async with hub.channel("cn-44", 1) as channel:
            for service in ("", "onecard.exchange.v1.SubmissionService", "onecard.medical.v1.CoverageService"):
                assert await is_not_serving(channel, service)
            refused = await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()), gateway=1)
    async with hub.channel("cn-44", 1) as channel:
        await until_serving(channel)
    admitted = await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()), gateway=1)

    assert reasons(refused) == ["HUB_NOT_READY"]
    assert reasons(admitted) == ["RECEIPT"]


async def test_a_journal_that_does_not_answer_is_told_with_a_time_to_come_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(records: list[object]) -> None:
        raise AppendFailed([None] * len(records), "no leader")

    log = hub.gateways[0].journal
    monkeypatch.setattr(log, "append", fail)
    event = make_event(hub.signers["cn-51"], now_ms())

    first = await hub.submit("cn-51", event)
    second = await hub.submit("cn-51", event)

    # The first may stand in the journal all the same, so nothing claims that it was not accepted.
    assert reasons(first) == ["INTERNAL"]
    assert reasons(second) == ["HUB_NOT_READY"]
    assert second[0].refusal.retry_after_ms > 0


async def test_a_handler_that_fails_is_logged_without_what_it_handled(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = citizen_number(991)

    async def fail(*_: object) -> None:
        raise RuntimeError(number)

    monkeypatch.setattr(hub.gateways[0].submission, "_admit_and_journal", fail)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.submit("cn-51", make_event(hub.signers["cn-51"], now_ms()))

    assert reason_name(refusal_of(raised.value).reason) == "INTERNAL"
    assert "RuntimeError" in caplog.text
    assert number not in caplog.text
