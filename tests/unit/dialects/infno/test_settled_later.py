"""A settlement before which the coverage is asked for: what is told if that fails, and what the repeat does."""

import asyncio

import pytest

from onecard_adapters.dialects.infno import trades
from onecard_protocol.identifiers import message_time_ms
from onecard_stubs.guangdong.counter import Stay
from tests.support.eventually import eventually
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, Country

pytest_plugins = ("tests.support.infno_country_of_two",)


async def _filed_late(running: Country) -> Stay:
    """A stay that waits to be settled, filed after its admission: the settlement looks for the filing."""
    hospital = running.hospital
    person, enrolment = running.employee()
    area = enrolment.insurance_area
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=area)
    admitted, stay = await hospital.admit(
        person, insurance_area=area, insurance_kind="310", number="ZY9900001", day=ADMITTED
    )
    for answer in (
        admitted,
        await hospital.upload_fees(stay, ITEMS, day=ADMITTED),
        await hospital.discharge(stay, day=TODAY),
    ):
        assert answer.is_success, answer.text
    running.file(person, enrolment)
    return stay


def _standing(running: Country) -> int:
    return sum(record.is_standing for record in running.insured_core.benefits.settlements)


async def test_a_settlement_whose_coverage_was_not_told_was_not_sent_and_its_repeat_goes_on(
    two_provinces: Country,
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await _filed_late(two_provinces)
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    exchange.lose_answers(trades.QUERY_COVERAGE)
    told = await hospital.send(body)
    assert (told.code, "OUTCOME_UNKNOWN" in told.text) == (-2, False), told.text
    assert told.text.endswith("参保地未及时答复参保信息，2304没有发出，未办理：请将同一报文原样重发")
    assert "Settle" not in exchange.methods_called()

    later_ms = exchange.stop_a_minute_later()
    again = await hospital.send(body)
    assert again.is_success, again.text
    (sent,) = (call for call in exchange.calls if call.method == trades.SETTLE)
    assert message_time_ms(sent.message_id) == later_ms, "with all of its time to be executed"
    assert (await hospital.query(stay)).is_success


@pytest.mark.parametrize("trade", ["cancel", "reverse"])
async def test_what_was_sent_under_a_later_id_is_undone_by_that_id(two_provinces: Country, trade: str) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await _filed_late(two_provinces)
    exchange.lose_answers(trades.QUERY_COVERAGE)
    msgid = hospital.new_msgid()
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area, msgid=msgid)
    await hospital.send(body)
    exchange.stop_a_minute_later()
    settled = await hospital.send(body)
    assert (settled.is_success, _standing(two_provinces)) == (True, 1), settled.text
    if trade == "cancel":
        undone = await hospital.cancel(stay, settled.output["setlinfo"]["setl_id"])
    else:
        undone = await hospital.reverse(stay, msgid, "2304")
        assert undone.output["result"]["reversal_result"] == "REVERSED"
    assert undone.is_success, undone.text
    (sent,) = (call for call in exchange.calls if call.method == trades.SETTLE)
    original_id = exchange.calls[-1].request.original_id  # type: ignore[attr-defined]
    assert original_id == sent.message_id.hex()


async def test_a_settlement_that_was_reversed_before_it_was_sent_is_never_sent(two_provinces: Country) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await _filed_late(two_provinces)
    exchange.lose_answers(trades.QUERY_COVERAGE)
    msgid = hospital.new_msgid()
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area, msgid=msgid)
    await hospital.send(body)
    reversed_ = await hospital.reverse(stay, msgid, "2304")
    assert reversed_.output["result"]["reversal_result"] == "NEVER_EXECUTED", reversed_.text
    exchange.stop_a_minute_later()
    refused = await hospital.send(body)
    assert refused.text.startswith("[NEVER_EXECUTED]"), refused.text
    assert (_standing(two_provinces), "Settle" in exchange.methods_called()) == (0, False)


async def test_a_settlement_that_a_query_told_as_never_executed_while_its_coverage_was_asked_for_is_never_sent(
    two_provinces: Country,
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await _filed_late(two_provinces)
    told, sent_count = exchange.hold(trades.QUERY_COVERAGE), len(exchange.calls)
    settling = asyncio.create_task(hospital.settle(stay))
    await eventually(lambda: len(exchange.calls) > sent_count)
    assert (await hospital.query(stay)).text.startswith("[NEVER_EXECUTED]")
    exchange.stop_a_minute_later()
    told.set()
    refused = await settling
    assert refused.text.startswith("[NEVER_EXECUTED]"), refused.text
    assert (_standing(two_provinces), "Settle" in exchange.methods_called()) == (0, False)


async def test_a_settlement_that_was_reversed_while_its_coverage_was_asked_for_is_not_meant_by_a_query(
    two_provinces: Country,
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await _filed_late(two_provinces)
    told, sent_count = exchange.hold(trades.QUERY_COVERAGE), len(exchange.calls)
    msgid = hospital.new_msgid()
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area, msgid=msgid)
    settling = asyncio.create_task(hospital.send(body))
    await eventually(lambda: len(exchange.calls) > sent_count)
    assert (await hospital.reverse(stay, msgid, "2304")).output["result"]["reversal_result"] == "NEVER_EXECUTED"
    told.set()
    assert (await settling).text.startswith("[NEVER_EXECUTED]")
    exchange.lose_answers(trades.SETTLE)
    assert (await hospital.settle(stay)).code == -1
    found = await hospital.query(stay)
    assert (found.is_success, _standing(two_provinces)) == (True, 1), found.text


async def test_the_repeat_of_a_pre_settlement_that_was_not_sent_goes_on_too_and_is_the_one_that_is_settled(
    two_provinces: Country,
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await _filed_late(two_provinces)
    exchange.lose_answers(trades.QUERY_COVERAGE)
    body = hospital.message("2303", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    assert "2303没有发出" in (await hospital.send(body)).text
    later_ms = exchange.stop_a_minute_later()
    assert (await hospital.send(body)).is_success
    assert (await hospital.settle(stay)).is_success
    tried, settled = (call for call in exchange.calls if call.method in {trades.PRE_SETTLE, trades.SETTLE})
    assert message_time_ms(tried.message_id) == later_ms
    assert settled.request.pre_settlement_id == tried.message_id.hex()  # type: ignore[attr-defined]
