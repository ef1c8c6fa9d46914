"""The same bytes are the same transaction, the same msgid over other bytes is another, and nothing is ever guessed."""

import asyncio
import json
from pathlib import Path

import pytest

from onecard_adapters.connectors.http import HttpRequest
from onecard_adapters.dialects.infno import trades
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.counter import Answer
from tests.support.edge_memory import failing_store
from tests.support.infno_country import ADMITTED, CODE_TABLES, ITEMS, TODAY, Country, country

pytest_plugins = ("tests.support.infno_country_of_two",)


async def test_the_same_bytes_get_the_stored_answer_and_execute_once(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    first = await hospital.send(body)
    second = await hospital.send(body)
    assert first.is_success, first.text
    assert first.output == second.output
    assert two_provinces.exchange.methods_called().count("Settle") == 1


async def test_a_repeat_that_overtakes_the_answer_waits_for_it(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    two_provinces.insured_core.behaviours.set("2304", Switches(delay_ms=100))
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    answers = await asyncio.gather(*(hospital.send(body) for _ in range(4)))
    assert all(answer.is_success for answer in answers)
    assert len({answer.output["setlinfo"]["setl_id"] for answer in answers}) == 1
    assert two_provinces.insured_core.requests.count("2304") == 1


async def test_registrations_and_uploads_may_be_repeated_after_a_lost_answer(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.admitted()
    two_provinces.exchange.lose_answers(trades.UPLOAD_FEE_LINES)
    rows = [
        {
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
    ]
    body = hospital.message("2301", {"feedetail": rows}, insurance_area=stay.insurance_area)
    lost = await hospital.send(body)
    assert (lost.code, lost.text[:17]) == (-1, "[OUTCOME_UNKNOWN]")
    again = await hospital.send(body)
    assert again.is_success, again.text
    assert len(two_provinces.care_core.visits.find(stay.visit_id, stay.person.personal_number).lines) == 1
    assert two_provinces.exchange.methods_called().count("UploadFeeLines") == 1


async def test_a_request_that_a_hospital_builds_anew_under_its_msgid_leaves_what_the_first_one_did_at_the_own_core(
    two_provinces: Country,
) -> None:
    """Another inf_time makes another request of it; the core, asked under the same msgid, answered as before, the
    insured province refused the second one, and what the core had done for the first was taken back."""
    hospital, own = two_provinces.hospital, two_provinces.care_core
    bodies: list[bytes] = []
    send = hospital.send

    async def kept(body: bytes) -> Answer:
        bodies.append(body)
        return await send(body)

    hospital.send = kept  # type: ignore[method-assign]
    stay = await two_provinces.admitted()
    assert (await hospital.upload_fees(stay, ITEMS, day=ADMITTED)).is_success
    held = dict(own.visits.find(stay.visit_id, stay.person.personal_number).lines)
    for body in bodies[-2:]:
        again = await send(json.dumps({**json.loads(body), "inf_time": "2024-03-15 23:59:59"}).encode())
        assert again.text.startswith("[REFUSED_BY_LOCAL_SYSTEM]"), again.text
        assert (await send(body)).is_success
    assert own.visits.find(stay.visit_id, stay.person.personal_number).lines == held
    answers = await hospital.pre_settle(stay), await hospital.discharge(stay, day=TODAY), await hospital.settle(stay)
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]


async def test_two_patients_registered_under_one_msgid_are_two_visits(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    people = [
        (person, enrolment)
        for person in two_provinces.insured_core.population
        for enrolment in person.active_enrolments
        if enrolment.insurance_kind == "310"
    ][:2]
    await hospital.sign_in()
    msgid = hospital.new_msgid()
    visits = []
    for number, (person, enrolment) in enumerate(people):
        await hospital.identify(person, insurance_area=enrolment.insurance_area)
        data = {
            "psn_no": person.personal_number,
            "insutype": "310",
            "begntime": f"{ADMITTED.isoformat()} 09:05:07",
            "mdtrt_cert_type": "02",
            "mdtrt_cert_no": person.identity_number,
            "ipt_otp_no": f"MZ990{number}",
        }
        answer = await hospital.trade("2201", {"data": data}, insurance_area=enrolment.insurance_area, msgid=msgid)
        assert answer.is_success, answer.text
        visits.append(answer.output["data"]["mdtrt_id"])
    assert list(two_provinces.care_core.visits._visits) == visits


async def test_an_unknown_outcome_is_a_system_error_and_the_repeat_finds_it(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    two_provinces.exchange.lose_answers(trades.SETTLE)
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    unknown = await hospital.send(body)
    assert unknown.code == -1
    assert "结果未知" in unknown.text
    found = await hospital.send(body)
    assert found.is_success, found.text
    assert two_provinces.insured_core.requests.count("2304") == 1


async def test_an_unknown_outcome_can_be_queried_without_the_settlement_id(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    two_provinces.exchange.lose_answers(trades.SETTLE)
    assert (await hospital.settle(stay)).code == -1
    queried = await hospital.query(stay)
    assert queried.is_success, queried.text
    red = await hospital.cancel(stay, queried.output["setlinfo"]["setl_id"])
    assert red.is_success, "the settlement id that the query told is known from then on"


async def test_a_settlement_that_stands_is_never_refused_for_a_code_that_the_hospital_does_not_know(
    tmp_path: Path,
) -> None:
    poorer = tmp_path / "codes.yaml"
    text = CODE_TABLES.read_text(encoding="utf-8")
    poorer.write_text(text.replace('{national: "1", name: 按项目}', '{national: "7", name: 按项目}'), encoding="utf-8")
    async with country(tmp_path, care={"code_tables": poorer}) as running:
        stay = await running.ready_to_settle()
        answer = await running.hospital.settle(stay)
        assert answer.code == -1
        assert "2304已执行" in answer.text
        assert sum(record.is_standing for record in running.insured_core.benefits.settlements) == 1


async def test_one_msgid_over_two_bodies_is_two_transactions_and_a_reversal_of_it_is_refused(
    two_provinces: Country,
) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    msgid = hospital.new_msgid()
    data = hospital.bill(stay)
    first = await hospital.trade("2304", {"data": data}, insurance_area=stay.insurance_area, msgid=msgid)
    # The same total with another digit: the same request to a person, other bytes on the wire.
    other = {**data, "medfee_sumamt": f"{data['medfee_sumamt']}0"}
    second = await hospital.trade("2304", {"data": other}, insurance_area=stay.insurance_area, msgid=msgid)
    assert first.is_success
    assert second.code == -2, "a second settlement of the stay is refused by the insured province"
    assert two_provinces.exchange.methods_called().count("Settle") == 2
    reversal = await hospital.reverse(stay, msgid, "2304")
    assert reversal.code == -2
    assert reversal.text.startswith("[ORIGINAL_AMBIGUOUS]")
    assert "Reverse" not in two_provinces.exchange.methods_called()


async def test_two_open_settlements_of_one_visit_make_a_query_without_id_ambiguous(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    first = await hospital.settle(stay)
    assert (await hospital.cancel(stay, first.output["setlinfo"]["setl_id"])).is_success
    second = await hospital.settle(stay)
    assert second.is_success, second.text
    assert (await hospital.query(stay)).text.startswith("[ORIGINAL_AMBIGUOUS]")
    assert (await hospital.query(stay, second.output["setlinfo"]["setl_id"])).is_success


async def test_a_core_that_does_not_answer_leaves_the_registration_in_doubt_and_the_repeat_finds_it(
    two_provinces: Country,
) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=enrolment.insurance_area)
    data = {
        "psn_no": person.personal_number,
        "insutype": "310",
        "begntime": f"{ADMITTED.isoformat()} 09:05:07",
        "ipt_otp_no": "MZ1",
    }
    body = hospital.message("2201", {"data": data}, insurance_area=enrolment.insurance_area)
    two_provinces.care_core.behaviours.set("2201", Switches(lose_answer=True), calls=1)
    assert (await hospital.send(body)).code == -1
    again = await hospital.send(body)
    assert again.is_success, again.text
    assert len(two_provinces.care_core.visits._visits) == 1


async def test_a_core_that_is_down_refuses_and_nothing_was_executed(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.admitted()
    await two_provinces.care_core.stop()
    answer = await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    assert answer.code == -2
    assert answer.text.startswith("[LOCAL_SYSTEM_DOWN]")


async def test_a_reversal_of_a_msgid_that_never_came_closes_it_and_answers_the_same(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    msgid = hospital.new_msgid()
    for _ in range(2):
        reversal = await hospital.reverse(stay, msgid, "2304")
        assert reversal.is_success, reversal.text
        assert reversal.output["result"] == {"omsgid": msgid, "reversal_result": "NEVER_EXECUTED"}
    late = await hospital.settle(stay, msgid=msgid)
    assert late.code == -2
    assert late.text.startswith("[NEVER_EXECUTED]")
    assert "请换新号办理" in late.text
    assert not {"Settle", "Reverse"} & set(two_provinces.exchange.methods_called())
    assert (await hospital.reverse(stay, msgid, "2304")).output == reversal.output
    assert (await hospital.settle(stay)).is_success, "another msgid settles the stay"


async def test_an_original_and_its_reversal_at_the_same_moment_never_both_find_nothing(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    msgid = hospital.new_msgid()
    settled, reversal = await asyncio.gather(hospital.settle(stay, msgid=msgid), hospital.reverse(stay, msgid, "2304"))
    again = await hospital.reverse(stay, msgid, "2304")
    assert reversal.is_success, reversal.text
    assert again.is_success, again.text
    assert not any(record.is_standing for record in two_provinces.insured_core.benefits.settlements), settled.text


async def test_a_reversal_that_names_another_trade_than_came_under_its_msgid_is_refused(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    msgid = hospital.new_msgid()
    assert (await hospital.settle(stay, msgid=msgid)).is_success
    for oinfno in ("2207", "2305"):
        refused = await hospital.reverse(stay, msgid, oinfno)
        assert refused.text.startswith("[REVERSAL_NOT_ALLOWED]"), refused.text
    assert (await hospital.reverse(stay, msgid, "2304")).is_success


async def test_a_settlement_whose_msgid_collides_with_another_trades_is_closed_as_well(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.admitted()
    msgid = hospital.new_msgid()
    data = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number, "feedetl_sn": "0000"}
    await hospital.trade("2302", {"data": data}, insurance_area=stay.insurance_area, msgid=msgid)
    unnamed = await hospital.reverse(stay, msgid, "")
    assert unnamed.text.startswith("[REVERSAL_NOT_ALLOWED]"), "what came under it was not a settlement"
    assert (await hospital.reverse(stay, msgid, "2304")).is_success
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    assert (await hospital.settle(stay, msgid=msgid)).text.startswith("[NEVER_EXECUTED]")


async def test_an_answer_that_takes_too_long_is_told_as_unknown_and_the_repeat_finds_it(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    release = two_provinces.exchange.hold(trades.SETTLE)
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    answer = await two_provinces.handler(HttpRequest(path="/fsi", headers={}, body=body, answer_ms_max=50))
    assert answer.status == 200
    fields = json.loads(answer.body)
    assert (fields["infcode"], fields["output"]) == (-1, None)
    assert fields["err_msg"] == (
        "[OUTCOME_UNKNOWN] 未在时限内收到应答。结果未知，并非失败：请查询或冲正，切勿换号重发。"
    )
    release.set()
    assert (await hospital.send(body)).is_success
    assert two_provinces.exchange.methods_called().count("Settle") == 1


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("database or disk is full", "适配器存储所在磁盘已满：请运维人员清理空间，再将同一报文原样重发"),
        ("attempt to write a readonly database", "适配器存储无法读写：请运维人员检查，再将同一报文原样重发"),
    ],
)
async def test_a_store_that_cannot_be_written_is_told_as_that_and_the_repeat_goes_on(
    two_provinces: Country,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: str,
    said: str,
) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    body = hospital.message("2304", {"data": hospital.bill(stay)}, insurance_area=stay.insurance_area)
    with monkeypatch.context() as patch:
        patch.setattr(two_provinces.care_memory, "remember_transaction", failing_store(failure))
        told = await hospital.send(body)
    assert (told.code, told.text.startswith("[INTERNAL] 枢纽或适配器内部错误"), said in told.text) == (-1, True, True)
    assert f"the adapter's store cannot be used ({failure})" in caplog.text
    again = await hospital.send(body)
    assert again.is_success, again.text
