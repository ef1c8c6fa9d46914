"""A receiver that gave credit and does not read: bounded, told, dropped, and nothing lost when it comes again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2 as rpc_status_pb2

from onecard.exchange.v1 import control_pb2, message_pb2, service_pb2, service_pb2_grpc
from onecard_broker.gateway.bounded_writes import BoundedWrites
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_status, reason_name
from onecard_protocol.identifiers import HUB
from tests.support.card_reports import CARDS, REPORT_SOCIAL, recognition_code, social_report
from tests.support.directories import MEDICAL, certificate_name, put_participant
from tests.support.gateway import Hub, eventually, eventually_async, running_hub
from tests.support.messages import make_event, make_signed

pytest_plugins = ("tests.support.engines",)

# So that little is on the wire before HTTP/2 stops the hub; a line of usual size takes some megabytes more.
SMALL_WINDOW = (("grpc.http2.lookahead_bytes", 16_384), ("grpc.http2.bdp_probe", 0))
BATCHES = 4

Making = Callable[[Hub, int], message_pb2.SignedMessage]


def filing(hub: Hub, serial: int) -> message_pb2.SignedMessage:
    """Addressed to the receiver."""
    return make_event(hub.signers["cn-51"], now_ms(), serial=serial)


def card_change(hub: Hub, serial: int) -> message_pb2.SignedMessage:
    """Told to the hub; the receiver gets it by its subscription."""
    report = social_report(serial, issuer="cn-51")
    report.data.recognition_code = recognition_code(serial, "510100")
    return make_signed(
        hub.signers["cn-51"],
        report,
        now_ms=now_ms(),
        sender="cn-51",
        recipient=HUB,
        method=REPORT_SOCIAL,
        kind=message_pb2.MESSAGE_KIND_EVENT,
    )


def subscription() -> control_pb2.ControlRecord:
    """To the changes of cards whose holders live in Beijing."""
    record = put_participant("cn-44", (MEDICAL, CARDS))
    record.put_participant.feeds.add(package="onecard.card.v1", residents_of=["cn-11"])
    return record


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(limits, "RECEIVER_SLOW_MS", 500)
    async with running_hub(postgres_dsn, tmp_path, patterns=(MEDICAL, CARDS), changes=[subscription()]) as running:
        yield running


@pytest.fixture
def given_up(monkeypatch: pytest.MonkeyPatch) -> list[BoundedWrites]:
    """The streams whose batch lay unread for too long, as the hub comes to see it."""
    streams: list[BoundedWrites] = []
    write = BoundedWrites.write

    async def noted(self: BoundedWrites, response: object) -> None:
        try:
            await write(self, response)
        except OneCardError:
            streams.append(self)
            raise

    monkeypatch.setattr(BoundedWrites, "write", noted)
    return streams


class Sleeper:
    """Opens a delivery with all credit and reads nothing until it is told to."""

    def __init__(self, channel: grpc.aio.Channel, cursor: bytes = b"") -> None:
        self.call = service_pb2_grpc.DeliveryServiceStub(channel).Deliver()
        self._cursor = cursor
        self.ids: list[bytes] = []
        self.cursor = b""

    async def open(self) -> None:
        opening = service_pb2.DeliveryOpening(
            participant="cn-44", cursor=self._cursor, credit_count=limits.DELIVERY_CREDIT_COUNT_MAX
        )
        await self.call.write(service_pb2.DeliverRequest(opening=opening))

    async def read(self, count: int) -> str:
        """Read until so many messages came, or the hub ended the delivery; returns its reason or nothing."""
        try:
            while len(self.ids) < count:
                response = await self.call.read()
                assert isinstance(response, service_pb2.DeliverResponse), await self.call.code()
                if response.HasField("batch"):
                    self.ids += [one.message.header for one in response.batch.deliveries]
                    self.cursor = response.batch.cursor
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017
            details = dict(error.trailing_metadata() or ())[STATUS_DETAILS_KEY]
            assert isinstance(details, bytes)
            return reason_name(from_status(rpc_status_pb2.Status.FromString(details)).reason)
        return ""


async def fill_inbox(hub: Hub, make: Making = filing) -> list[bytes]:
    headers = []
    for batch in range(BATCHES):
        events = [make(hub, batch * 250 + serial) for serial in range(250)]

        async def are_taken(events: Sequence[message_pb2.SignedMessage] = tuple(events)) -> bool:
            # The very same again, if the hub was not ready for a moment.
            return all(result.HasField("receipt") for result in await hub.submit("cn-51", *events))

        await eventually_async(are_taken)
        headers += [event.header for event in events]
    return headers


def sleepy_channel(hub: Hub) -> grpc.aio.Channel:
    credentials = hub.authority.issue(certificate_name("cn-44")).channel_credentials()
    return grpc.aio.secure_channel(f"127.0.0.1:{hub.gateways[0].port}", credentials, options=SMALL_WINDOW)


def open_deliveries(hub: Hub) -> int:
    return hub.gateways[0]._delivery._streams["cn-44"]


@pytest.mark.parametrize("make", [filing, card_change])
async def test_one_that_never_reads_is_told_and_dropped_and_loses_nothing(
    hub: Hub, given_up: list[BoundedWrites], make: Making
) -> None:
    headers = await fill_inbox(hub, make)
    async with sleepy_channel(hub) as channel:
        sleeper = Sleeper(channel)
        await sleeper.open()
        await eventually(lambda: open_deliveries(hub) == 1)
        await eventually(lambda: len(given_up) == 1)

        assert await sleeper.read(len(headers)) == "RECEIVER_TOO_SLOW"
        # What was on the wire, or stuck in the one batch behind it, and no more of the inbox than that.
        assert 0 < len(sleeper.ids) < len(headers)
        await eventually(lambda: open_deliveries(hub) == 0)

        awake = Sleeper(channel, sleeper.cursor)
        await awake.open()
        assert await asyncio.wait_for(awake.read(len(headers) - len(sleeper.ids)), 20) == ""
        awake.call.cancel()

    received = [*sleeper.ids, *awake.ids]
    assert sorted(received) == sorted(headers)


async def test_one_that_never_reads_keeps_its_places_until_it_reads_or_goes(
    hub: Hub, given_up: list[BoundedWrites], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELIVERIES_PER_PARTICIPANT_COUNT_MAX", 2)
    headers = await fill_inbox(hub)
    async with sleepy_channel(hub) as channel:
        sleepers = [Sleeper(channel), Sleeper(channel)]
        for sleeper in sleepers:
            await sleeper.open()
        await eventually(lambda: open_deliveries(hub) == 2)
        await eventually(lambda: len(given_up) == 2)
        one_more = Sleeper(channel)
        await one_more.open()

        assert await one_more.read(1) == "QUOTA_EXCEEDED"
        sleepers[0].call.cancel()
        await eventually(lambda: open_deliveries(hub) == 1)
        awake = Sleeper(channel)
        await awake.open()
        assert await asyncio.wait_for(awake.read(len(headers)), 20) == ""
        awake.call.cancel()


async def test_one_that_reads_slowly_but_reads_is_served(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each batch is read well within this time, all of them together are not.
    monkeypatch.setattr(limits, "RECEIVER_SLOW_MS", 2_000)
    headers = await fill_inbox(hub)
    async with sleepy_channel(hub) as channel:
        slow = Sleeper(channel)
        await slow.open()
        while len(slow.ids) < len(headers):
            assert await slow.read(len(slow.ids) + 1) == ""
            await asyncio.sleep(0.6)
        slow.call.cancel()
    assert sorted(slow.ids) == sorted(headers)
