"""Delivery to the SDK: numbers, gaps, repeats, cursors, and what does not verify."""

from __future__ import annotations

import asyncio

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2
from onecard.medical.v1 import settlement_pb2_grpc
from onecard_adapters.sdk.assembly import Timing
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol import limits
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import from_wire
from tests.support.eventually import eventually
from tests.support.fake_hub import Known, new_signer
from tests.support.sdk_country import Country, Insured, settle_request
from tests.support.sdk_messages import replies, report_reasons, settlement

pytest_plugins = ("tests.support.fake_hub_of_two",)


async def test_deliveries_are_taken_once_also_when_they_come_twice_and_out_of_order(one: Country) -> None:
    insured = Insured()

    def disturb(deliveries: list[service_pb2.Delivery]) -> list[service_pb2.Delivery]:
        return [*deliveries, *reversed(deliveries), *deliveries]

    one.hub.faults.deliver = disturb
    async with one.province("cn-51", insured):
        for index in range(5):
            one.hub.admit(settlement(one, str(index)))
        await eventually(lambda: len(insured.settled) == 5)
        await eventually(lambda: sum(known.outcome is not None for known in one.hub.known.values()) == 5)

    assert insured.settled == ["0", "1", "2", "3", "4"]


async def test_nothing_behind_a_gap_is_taken_until_stored_outputs_fill_it(one: Country) -> None:
    insured = Insured()
    lost = [False]

    def lose_the_second(deliveries: list[service_pb2.Delivery]) -> list[service_pb2.Delivery]:
        kept = [delivery for delivery in deliveries if delivery.number != 2]
        lost[0] = lost[0] or len(kept) < len(deliveries)
        return kept

    one.hub.faults.deliver = lose_the_second
    async with one.province("cn-51", insured):
        for index in range(3):
            one.hub.admit(settlement(one, str(index)))
        await eventually(lambda: len(insured.settled) == 3)

    assert lost == [True]
    assert insured.settled == ["0", "1", "2"]
    assert [(request.first_number, request.last_number) for request in one.hub.outputs_read] == [(2, 3)]


async def test_stored_outputs_that_come_in_pages_lose_nothing(one: Country, caplog: pytest.LogCaptureFixture) -> None:
    insured = Insured()
    one.hub.faults.deliver = lambda deliveries: []
    one.hub.faults.outputs_page = 2
    async with one.province("cn-51", insured):
        for index in range(5):
            one.hub.admit(settlement(one, str(index)))
        await eventually(lambda: len(insured.settled) == 5)

    assert insured.settled == ["0", "1", "2", "3", "4"]
    assert "no longer kept" not in caplog.text


async def test_outputs_that_are_no_longer_kept_are_told_and_passed_over(
    one: Country, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READ_OUTPUTS_COUNT_MAX", 2)
    insured = Insured()
    one.hub.faults.deliver = lambda deliveries: []
    one.hub.faults.outputs_kept_from = 4
    for index in range(5):
        one.hub.admit(settlement(one, str(index)))
    async with one.province("cn-51", insured):
        await eventually(lambda: len(insured.settled) == 2)

    assert insured.settled == ["3", "4"]
    assert "2 of numbers 1 to 2 are no longer kept" in caplog.text
    assert "1 of numbers 3 to 4 are no longer kept" in caplog.text


async def test_an_expired_cursor_is_made_up_for_at_once_when_the_hub_tells_what_was_published(one: Country) -> None:
    insured = Insured()
    patient = Timing(gap_open_ms=600_000, silence_ms=1_000)
    async with one.province("cn-51", insured, timing=patient):
        one.hub.admit(settlement(one, "before"))
        await eventually(lambda: insured.settled == ["before"])
    one.hub.admit(settlement(one, "while away"))
    one.hub.faults.inbox_start = len(one.hub.inboxes["cn-51"])
    one.hub.faults.watermarks = False
    async with one.province("cn-51", insured, timing=patient):
        reported = len(one.hub.received_cursors)
        await eventually(lambda: len(one.hub.received_cursors) > reported + 3)
        assert insured.settled == ["before"]
        one.hub.faults.watermarks = True
        await eventually(lambda: insured.settled == ["before", "while away"])

    assert [(request.first_number, request.last_number) for request in one.hub.outputs_read] == [(2, 2)]


async def test_after_an_expired_cursor_was_made_up_for_a_gap_waits_again_to_be_published(one: Country) -> None:
    insured = Insured()
    patient = Timing(gap_open_ms=600_000, silence_ms=1_000)
    async with one.province("cn-51", insured, timing=patient):
        one.hub.admit(settlement(one, "before"))
        await eventually(lambda: insured.settled == ["before"])
    one.hub.admit(settlement(one, "while away"))
    one.hub.faults.inbox_start = len(one.hub.inboxes["cn-51"])
    held: list[service_pb2.Delivery] = []

    def late(deliveries: list[service_pb2.Delivery]) -> list[service_pb2.Delivery]:
        held.extend(deliveries)
        return held if len(held) > 1 else []

    async with one.province("cn-51", insured, timing=patient):
        await eventually(lambda: len(insured.settled) == 2)
        one.hub.faults.deliver = late
        one.hub.admit(settlement(one, "late"))
        await eventually(lambda: len(held) == 1)
        reported = len(one.hub.received_cursors)
        await eventually(lambda: len(one.hub.received_cursors) > reported + 3)
        assert insured.settled == ["before", "while away"]
        one.hub.admit(settlement(one, "last"))
        await eventually(lambda: len(insured.settled) == 4)

    assert len(one.hub.outputs_read) == 1


async def test_a_lost_last_delivery_is_seen_by_the_watermark(one: Country) -> None:
    insured = Insured()
    one.hub.faults.deliver = lambda deliveries: []
    async with one.province("cn-51", insured):
        one.hub.admit(settlement(one, "last"))
        await eventually(lambda: insured.settled == ["last"])


async def test_a_republished_delivery_closes_the_gap_without_reading_outputs(one: Country) -> None:
    insured = Insured()
    held: list[service_pb2.Delivery] = []

    def late(deliveries: list[service_pb2.Delivery]) -> list[service_pb2.Delivery]:
        if not held:
            held.extend(deliveries)
            return []
        return [*deliveries, *held, *deliveries]

    one.hub.faults.deliver = late
    async with one.province("cn-51", insured, timing=Timing(gap_open_ms=20_000, silence_ms=1_000)):
        one.hub.admit(settlement(one, "first"))
        await eventually(lambda: len(held) == 1)
        one.hub.admit(settlement(one, "second"))
        await eventually(lambda: len(insured.settled) == 2)

    assert insured.settled == ["first", "second"]
    assert one.hub.outputs_read == []


async def test_reception_goes_on_from_its_own_cursor_after_a_restart(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured):
        one.hub.admit(settlement(one, "before"))
        await eventually(lambda: len(insured.settled) == 1)
    one.hub.admit(settlement(one, "while down"))
    delivered: list[int] = []

    def count(deliveries: list[service_pb2.Delivery]) -> list[service_pb2.Delivery]:
        delivered.extend(delivery.number for delivery in deliveries)
        return deliveries

    one.hub.faults.deliver = count
    async with one.province("cn-51", insured):
        await eventually(lambda: len(insured.settled) == 2)

    assert insured.settled == ["before", "while down"]
    assert delivered == [2]


async def test_a_foreign_epoch_is_refused_and_nothing_is_reinterpreted(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured):
        one.hub.admit(settlement(one, "before"))
        await eventually(lambda: len(insured.settled) == 1)
    one.hub.epoch = "epoch-2"
    exchange = one.exchange("cn-51")
    async with exchange:
        failure = await exchange.wait_failed()

    assert failure.reason == errors_pb2.ERROR_REASON_CURSOR_FOREIGN_EPOCH


async def test_what_does_not_verify_is_reported_and_never_executed(one: Country) -> None:
    insured = Insured()
    stranger = new_signer("cn-44-1")
    forged = settlement(one, "forged", signer=stranger)
    unknown_key = settlement(one, "unknown", signer=new_signer("nobody"), serial=2)
    other_province = settlement(one, "other", signer=one.hub.signers["cn-51"], serial=3)
    other_network = settlement(one, "network", network="test-other", serial=4)
    changed = settlement(one, "changed", serial=5)
    changed.payload = settle_request(5, "more money").SerializeToString()
    good = settlement(one, "good", serial=6)
    async with one.province("cn-51", insured):
        for bad in (forged, unknown_key, other_province, other_network, changed, good):
            one.hub.deliver("cn-51", bad, 0)
        one.hub.known[from_wire(good).key] = _known(good)
        await eventually(lambda: len(one.hub.reports) == 5)
        await eventually(lambda: insured.settled == ["good"])

    assert sorted(report_reasons(one.hub)) == sorted(
        [
            errors_pb2.ERROR_REASON_SIGNATURE_INVALID,
            errors_pb2.ERROR_REASON_KEY_UNKNOWN,
            errors_pb2.ERROR_REASON_KEY_OF_OTHER_PARTICIPANT,
            errors_pb2.ERROR_REASON_WRONG_NETWORK,
            errors_pb2.ERROR_REASON_PAYLOAD_DIGEST_MISMATCH,
        ]
    )


def _known(signed: message_pb2.SignedMessage) -> Known:
    message = from_wire(signed)
    return Known(message, message.digest, 0)


async def test_a_request_of_a_key_revoked_since_is_not_executed(one: Country) -> None:
    insured = Insured()
    early = settlement(one, "early")
    async with one.province("cn-51", insured) as exchange:
        one.hub.revoke("cn-44-1", one.hub.now_ms())
        await eventually(lambda: exchange._parts.directory.number == len(one.hub.controls))
        one.hub.deliver("cn-51", early, 0)
        await eventually(lambda: len(one.hub.reports) == 1)

    assert report_reasons(one.hub) == [errors_pb2.ERROR_REASON_KEY_REVOKED]
    assert insured.settled == []


async def test_one_id_with_other_content_or_from_two_partitions_is_reported_as_conflict(one: Country) -> None:
    insured = Insured()
    message_id = new_message_id(one.hub.now_ms())
    first = settlement(one, "first", message_id=message_id)
    async with one.province("cn-51", insured):
        one.hub.known[from_wire(first).key] = _known(first)
        one.hub.deliver("cn-51", first, 0)
        one.hub.deliver("cn-51", settlement(one, "second", message_id=message_id), 0)
        one.hub.deliver("cn-51", first, 1)
        await eventually(lambda: len(one.hub.reports) == 2)
        await eventually(lambda: len(insured.settled) == 1)

    assert report_reasons(one.hub) == [errors_pb2.ERROR_REASON_ID_CONFLICT] * 2
    assert insured.settled == ["first"]


async def test_a_repeated_request_gets_the_stored_answer_under_the_same_header(one: Country) -> None:
    insured = Insured()
    signed = settlement(one, "a")
    async with one.province("cn-51", insured) as exchange:
        message = one.hub.admit(signed)
        await eventually(lambda: one.hub.known[message.key].outcome is not None)
        # While the answer is on its way, a repeat asks for nothing more.
        await eventually(lambda: exchange._parts.submission.is_idle)
        one.hub.deliver("cn-51", signed, one.hub.known[message.key].partition)
        await eventually(lambda: len(replies(one.hub)) == 2)

    assert insured.settled == ["a"]
    assert replies(one.hub)[0].header_bytes == replies(one.hub)[1].header_bytes


async def test_the_messages_of_one_person_are_processed_in_order_and_others_at_once(one: Country) -> None:
    insured = Insured()
    release = asyncio.Event()
    insured.on_settle = lambda request, context: release.wait() if request.invoice_number == "slow" else None
    async with one.province("cn-51", insured):
        one.hub.admit(settlement(one, "slow", serial=1))
        one.hub.admit(settlement(one, "behind", serial=1))
        one.hub.admit(settlement(one, "other", serial=2))
        await eventually(lambda: insured.settled == ["other"])
        release.set()
        await eventually(lambda: len(insured.settled) == 3)

    assert insured.settled == ["other", "slow", "behind"]


async def test_credit_bounds_what_is_in_progress(one: Country) -> None:
    insured = Insured()
    release = asyncio.Event()
    insured.on_settle = lambda request, context: release.wait()
    timing = Timing(gap_open_ms=20_000, silence_ms=1_000, credit_count=4)
    async with one.province("cn-51", insured, timing=timing) as exchange:
        for index in range(12):
            one.hub.admit(settlement(one, str(index), serial=index))
        await eventually(lambda: len(exchange._parts.processing) == 4)
        await eventually(lambda: len(one.hub.received_cursors) > 5)
        assert len(exchange._parts.processing) == 4
        release.set()
        await eventually(lambda: len(insured.settled) == 12)


async def test_a_silent_gateway_is_left_for_the_other(one: Country) -> None:
    insured = Insured()
    async with one.province("cn-51", insured) as exchange:
        before = exchange._parts.gateways._current
        one.hub.faults.is_silent = True
        await eventually(lambda: exchange._parts.gateways._current is not before)
        one.hub.faults.is_silent = False
        one.hub.admit(settlement(one, "after"))
        await eventually(lambda: insured.settled == ["after"])
        assert exchange._clock.is_fresh


async def test_an_adapter_whose_directory_is_signed_by_another_hub_gets_nothing_from_it(one: Country) -> None:
    one.hub.control(signer=new_signer("hub-1"))
    exchange: Exchange = one.exchange("cn-51")
    settlement_pb2_grpc.add_SettlementServiceServicer_to_server(Insured(), exchange)
    async with exchange:
        await eventually(lambda: exchange._parts.directory.number == len(one.hub.controls) - 1)
        assert not exchange._parts.directory.is_fresh
