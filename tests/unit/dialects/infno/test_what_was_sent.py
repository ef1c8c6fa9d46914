"""A settlement that was or may have been sent: its repeat is the same message, and no later knowledge undoes it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import trades
from onecard_adapters.sdk.failures import CallFailed
from onecard_stubs.guangdong.hospital import Stay
from tests.support.infno_country import Country, country


@pytest.fixture
async def two_provinces(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as running:
        yield running


def _standing(running: Country) -> int:
    return sum(record.is_standing for record in running.insured_core.benefits.settlements)


def _bill(running: Country, stay: Stay) -> bytes:
    hospital = running.hospital
    return hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)


async def test_the_repeat_of_a_settlement_in_doubt_is_what_was_sent_whatever_came_between(
    two_provinces: Country,
) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    two_provinces.exchange.lose_answers(trades.SETTLE)
    body = _bill(two_provinces, stay)
    assert (await hospital.send(body)).code == -1
    # Another pre-settlement, by which a request that was built anew would differ.
    assert (await hospital.pre_settle(stay)).is_success
    again = await hospital.send(body)
    assert again.is_success, again.text
    assert _standing(two_provinces) == 1


async def test_a_settlement_that_was_refused_before_it_was_sent_and_then_stands_is_found(
    two_provinces: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await two_provinces.ready_to_settle()
    call, is_offline = exchange.call, True

    async def offline(recipient: str, method: str, request: Any, **how: Any) -> Any:
        if method == trades.SETTLE and is_offline:
            raise CallFailed(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE)
        return await call(recipient, method, request, **how)

    monkeypatch.setattr(exchange, "call", offline)
    body = _bill(two_provinces, stay)
    assert (await hospital.send(body)).code == -2
    is_offline = False
    exchange.lose_answers(trades.SETTLE)
    assert (await hospital.send(body)).code == -1
    found = await hospital.query(stay)
    assert found.is_success, found.text


async def test_a_bill_that_was_never_sent_makes_no_other_ambiguous(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    right = stay.totals
    stay.totals = (right[0] + 1, *right[1:])
    assert "FEE_MISMATCH" in (await hospital.settle(stay)).text
    stay.totals = right
    two_provinces.exchange.lose_answers(trades.SETTLE)
    assert (await hospital.settle(stay)).code == -1
    found = await hospital.query(stay)
    assert found.is_success, found.text


async def test_what_the_core_answered_with_success_is_not_disproved_by_a_query_that_lists_nothing(
    two_provinces: Country,
) -> None:
    hospital, insured = two_provinces.hospital, two_provinces.insured_core
    stay = await two_provinces.ready_to_settle()
    body = _bill(two_provinces, stay)
    assert (await hospital.send(body)).is_success
    insured._trades["5203"] = lambda head, content: {"setlinfo": None, "setldetail": None}
    assert "NEVER_EXECUTED" not in (await hospital.query(stay)).text
    (settlement,) = (call for call in two_provinces.exchange.calls if call.method == trades.SETTLE)
    (known,) = two_provinces.care_memory.find_transactions_of_encounter(
        settlement.request.terms.encounter.encounter_id,  # type: ignore[attr-defined]
        trades.SETTLE,
    )
    reversed_ = await hospital.reverse(stay, known.local_transaction_id, "2304")
    assert reversed_.code == -1 or _standing(two_provinces) == 0, "never told as not executed while it stands"
