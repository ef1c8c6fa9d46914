"""What was or may have been sent: its repeat is the same message, and no later knowledge undoes it."""

import json
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import trades
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.identifiers import message_time_ms
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.counter import Stay
from onecard_stubs.population import Enrolment, Person
from tests.support.infno_country import ADMITTED, ITEMS, Country

pytest_plugins = ("tests.support.infno_country_of_two",)


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
    two_provinces.exchange.lose_answers(trades.PRE_SETTLE)
    trial = hospital.message("2303", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    assert (await hospital.send(trial)).code == -1
    two_provinces.exchange.lose_answers(trades.SETTLE)
    body = _bill(two_provinces, stay)
    assert (await hospital.send(body)).code == -1
    # Another pre-settlement is answered only now, by which a request that was built anew would differ.
    assert (await hospital.send(trial)).is_success
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


async def _admission(running: Country) -> tuple[bytes, Person, Enrolment]:
    """A 2401 of somebody who is not filed yet."""
    hospital = running.hospital
    person, enrolment = running.employee()
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=enrolment.insurance_area)
    info = {
        "psn_no": person.personal_number,
        "insutype": "310",
        "begntime": f"{ADMITTED.isoformat()} 08:30:00",
        "mdtrt_cert_type": "02",
        "mdtrt_cert_no": person.identity_number,
        "med_type": "21",
        "ipt_no": "ZY9900001",
    }
    body = hospital.message("2401", {"mdtrtinfo": info, "diseinfo": []}, insurance_area=enrolment.insurance_area)
    return body, person, enrolment


async def test_the_repeat_of_a_registration_in_doubt_is_what_was_sent_though_a_filing_was_made_meanwhile(
    two_provinces: Country,
) -> None:
    body, person, enrolment = await _admission(two_provinces)
    two_provinces.exchange.lose_answers(trades.REGISTER)
    assert (await two_provinces.hospital.send(body)).code == -1
    two_provinces.file(person, enrolment)
    again = await two_provinces.hospital.send(body)
    assert again.is_success, again.text
    visit_id = again.output["result"]["mdtrt_id"]
    assert list(two_provinces.care_core.visits._visits) == [visit_id]
    assert len(two_provinces.insured_core.visits._visits) == 1
    registered = two_provinces.care_memory.find_encounter("H44030099903", visit_id)
    assert registered is not None
    assert registered.care["filing_id"] == "", "as it was sent; the filing is looked for again at the settlement"


async def test_the_repeat_of_what_never_left_is_built_anew_under_an_id_whose_time_is_not_over(
    two_provinces: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registration with the filing that was made meanwhile, and an upload; the own core has done each once."""
    hospital, exchange, own = two_provinces.hospital, two_provinces.exchange, two_provinces.care_core
    body, person, enrolment = await _admission(two_provinces)
    refused = _offline_once(monkeypatch, exchange, trades.REGISTER, trades.UPLOAD_FEE_LINES)
    assert (await hospital.send(body)).code == -1
    filing_id = two_provinces.file(person, enrolment)
    again = await hospital.send(body)
    assert again.is_success, again.text
    visit_id = again.output["result"]["mdtrt_id"]
    assert list(own.visits._visits) == [visit_id]
    registered = two_provinces.care_memory.find_encounter("H44030099903", visit_id)
    assert registered is not None
    (sent,) = (call for call in exchange.calls if call.method == trades.REGISTER)
    assert sent.message_id != refused[0]
    assert (registered.encounter_id, registered.care["filing_id"]) == (sent.message_id.hex(), filing_id)
    row = {
        "feedetl_sn": "XM9900001",
        "mdtrt_id": visit_id,
        "psn_no": person.personal_number,
        "fee_ocur_time": ADMITTED.isoformat(),
        "med_list_codg": ITEMS[0].code,
        "medins_list_codg": "ZL0001",
        "det_item_fee_sumamt": "300.00",
        "cnt": "5.0000",
        "pric": "60.000000",
    }
    body = hospital.message("2301", {"feedetail": [row]}, insurance_area=enrolment.insurance_area)
    assert (await hospital.send(body)).code == -1
    assert (await hospital.send(body)).is_success
    assert len(own.visits.find(visit_id, person.personal_number).lines) == 1
    assert exchange.calls[-1].message_id != refused[1]


async def test_a_repeat_that_cannot_be_built_anew_yet_is_no_refusal_of_what_the_own_core_has(
    two_provinces: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, exchange, own = two_provinces.hospital, two_provinces.exchange, two_provinces.care_core
    body, _, _ = await _admission(two_provinces)
    _offline_once(monkeypatch, exchange, trades.REGISTER)
    assert (await hospital.send(body)).code == -1
    _offline_once(monkeypatch, exchange, trades.QUERY_COVERAGE)
    again = await hospital.send(body)
    assert (again.code, "2401在本省系统已执行，在参保地尚未完成" in again.text) == (-1, True), again.text
    assert len(own.visits._visits) == 1
    assert (await hospital.send(body)).is_success
    assert own.requests.count("2401") == 1


@pytest.mark.parametrize("refused", [trades.QUERY_COVERAGE, trades.REGISTER])
async def test_the_time_to_execute_a_registration_runs_from_when_it_is_sent(
    two_provinces: Country, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Whether the own core was asked before or not: the same bytes, a minute later, are not too late."""
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    body, _, _ = await _admission(two_provinces)
    _offline_once(monkeypatch, exchange, refused)
    assert not (await hospital.send(body)).is_success
    later_ms = exchange.stop_a_minute_later()
    again = await hospital.send(body)
    assert again.is_success, again.text
    (sent,) = (call for call in exchange.calls if call.method == trades.REGISTER)
    assert message_time_ms(sent.message_id) == later_ms


def _offline_once(patch: pytest.MonkeyPatch, exchange: Any, *methods: str) -> list[bytes]:
    """The first call of each method is refused before anything is journaled; gives the ids of those."""
    call, refused, left = exchange.call, list[bytes](), list(methods)

    async def offline(recipient: str, method: str, request: Any, **how: Any) -> Any:
        if method in left:
            left.remove(method)
            refused.append(how.get("message_id") or b"")
            raise CallFailed(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE)
        return await call(recipient, method, request, **how)

    patch.setattr(exchange, "call", offline)
    return refused


async def test_that_a_number_was_used_before_is_no_refusal_of_what_was_sent_under_it(
    two_provinces: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, _, _ = await _admission(two_provinces)
    call = two_provinces.exchange.call

    async def conflicting(recipient: str, method: str, request: Any, **how: Any) -> Any:
        if method == trades.REGISTER:
            raise CallFailed(errors_pb2.ERROR_REASON_ID_CONFLICT)
        return await call(recipient, method, request, **how)

    monkeypatch.setattr(two_provinces.exchange, "call", conflicting)
    assert (await two_provinces.hospital.send(body)).code == -1
    assert len(two_provinces.care_core.visits._visits) == 1, "nothing is taken back that may stand elsewhere"


async def test_lines_in_doubt_are_sent_again_as_they_were_split(two_provinces: Country) -> None:
    hospital, own = two_provinces.hospital, two_provinces.care_core
    stay = await two_provinces.admitted()
    row = {
        "feedetl_sn": "XM9900001",
        "mdtrt_id": stay.visit_id,
        "psn_no": stay.person.personal_number,
        "fee_ocur_time": ADMITTED.isoformat(),
        "med_list_codg": ITEMS[0].code,
        "medins_list_codg": "ZL0001",
        "det_item_fee_sumamt": "300.00",
        "cnt": "5.0000",
        "pric": "60.000000",
    }
    body = hospital.message("2301", {"feedetail": [row]}, insurance_area=stay.insurance_area)
    two_provinces.exchange.lose_answers(trades.UPLOAD_FEE_LINES)
    assert (await hospital.send(body)).code == -1
    own.behaviours.set("2301", Switches(down=True))
    again = await hospital.send(body)
    assert again.is_success, again.text
    assert [line["feedetl_sn"] for line in again.output["result"]] == ["XM9900001"]
    assert own.requests.count("2301") == 1
    (known,) = two_provinces.care_memory.find_transactions("H44030099903", json.loads(body)["msgid"])
    assert (known.attributes["sent"], known.attributes["sent_beside"]) == ("", ""), "not kept beside the answer"
