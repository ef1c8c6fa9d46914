"""Reading inboxes, stored outputs and the directory through a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import control_pb2, service_pb2, service_pb2_grpc
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.gateway.cursors import Cursor, encode_cursor
from onecard_broker.operations.recipients import RecipientLag, recipient_lags
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import reason_name
from onecard_protocol.messages import parse_message
from tests.support.directories import certificate_name, put_participant
from tests.support.gateway import (
    Hub,
    change_directory,
    eventually,
    eventually_async,
    reasons,
    refusal_of,
    running_hub,
)
from tests.support.messages import (
    make_event,
)

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


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
    refusal = refusal_of(receiver.error)
    assert reason_name(refusal.reason) == reason
    if reason == "CERTIFICATE_MISMATCH":
        assert f"{certificate_name('cn-44')} as a certificate of cn-51" in refusal.detail


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
