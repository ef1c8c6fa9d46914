"""A trade that one side executed and the other not: never told as refused, and finished by its repeat."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import trades
from onecard_adapters.dialects.infno.fees import FeeLedger
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.signatures.sm3 import sm3
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.guangdong.counter import Answer, Stay
from onecard_stubs.guangdong.records import Refused
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, Country
from tests.support.personal_texts import NUMBERS

pytest_plugins = ("tests.support.infno_country_of_two",)

REPEAT = "请将同一报文原样重发，直至成功"
Mend = Callable[[], Any]


async def _down(core: GuangdongCore, infno: str) -> Mend:
    await core.stop()
    return core.start


async def _refusing(core: GuangdongCore, infno: str) -> Mend:
    trade = core._trades[infno]

    def refuse(head: Any, content: Any) -> dict[str, Any]:
        raise Refused(f"人员{NUMBERS[2]}待审核")

    core._trades[infno] = refuse

    async def mend() -> None:
        core._trades[infno] = trade

    return mend


async def _silent(core: GuangdongCore, infno: str) -> Mend:
    """It does its part, and its answer does not arrive."""
    core.behaviours.set(infno, Switches(lose_answer=True))

    async def mend() -> None:
        core.behaviours.clear()

    return mend


async def _garbled(core: GuangdongCore, infno: str) -> Mend:
    """It does its part, and its answer cannot be read."""
    answer = core.answer

    def spoilt(message: Any) -> dict[str, Any]:
        told = copy.deepcopy(answer(message))
        return {**told, "infcode": ""} if message["infno"] == infno else told

    core.answer = spoilt  # type: ignore[method-assign]

    async def mend() -> None:
        core.answer = answer  # type: ignore[method-assign]

    return mend


FAULTS = pytest.mark.parametrize(
    ("fault", "is_same_msgid"),
    [(_down, False), (_refusing, True), (_refusing, False), (_silent, False), (_garbled, True)],
)


async def _sent_again(running: Country, infno: str, content: Any, area: str, first: bytes, *, is_same: bool) -> Answer:
    hospital = running.hospital
    return await hospital.send(first if is_same else hospital.message(infno, content, insurance_area=area))


def _held(running: Country, stay: Stay) -> int:
    encounter = running.care_memory.find_encounter("H44030099903", stay.visit_id)
    assert encounter is not None
    return len(FeeLedger(running.care_memory).held(encounter.encounter_id))


def _lines(core: GuangdongCore) -> list[int]:
    return [len(visit.lines) for visit in core.visits._visits.values()]


def _all_lines(stay: Stay) -> dict[str, Any]:
    return {"data": {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number, "feedetl_sn": "0000"}}


@FAULTS
async def test_lines_withdrawn_at_the_insured_province_alone(
    two_provinces: Country, fault: Callable[[GuangdongCore, str], Any], is_same_msgid: bool
) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    mend = await fault(own, "2302")
    # By their numbers: a core that has done it would refuse them under another msgid.
    rows = [{**_all_lines(stay)["data"], "feedetl_sn": line_id} for line_id in stay.lines]
    content, area = {"data": rows}, stay.insurance_area
    body = hospital.message("2302", content, insurance_area=area)
    for _ in range(2):
        told = await hospital.send(body)
        assert (told.code, told.text.startswith("[OUTCOME_UNKNOWN] 2302在参保地已执行，在本省系统尚未完成")) == (
            -1,
            True,
        )
        assert REPEAT in told.text
        assert ("人员***待审核" in told.text) is (fault is _refusing)
        assert (_lines(insured), _held(two_provinces, stay)) == ([0], 0), "the ledger stands as the insured side does"
    await mend()
    again = await _sent_again(two_provinces, "2302", content, area, body, is_same=is_same_msgid)
    assert again.is_success, again.text
    assert (_lines(insured), _lines(own)) == ([0], [0])
    assert insured.requests.count("2302") == 1
    stay.totals = (0, 0, 0, 0, 0)
    assert (await hospital.upload_fees(stay, ITEMS, day=ADMITTED)).is_success
    assert (await hospital.send(body)).is_success, "a late copy gets the stored answer"
    assert (await hospital.pre_settle(stay)).is_success
    assert (await hospital.settle(stay)).is_success


@FAULTS
async def test_a_discharge_at_the_insured_province_alone(
    two_provinces: Country, fault: Callable[[GuangdongCore, str], Any], is_same_msgid: bool
) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    mend = await fault(own, "2402")
    info = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number, "dscg_way": "1"}
    content = {"dscginfo": {**info, "endtime": f"{TODAY.isoformat()} 10:00:00"}, "diseinfo": []}
    body = hospital.message("2402", content, insurance_area=stay.insurance_area)
    told = await hospital.send(body)
    assert (told.code, "2402在参保地已执行，在本省系统尚未完成" in told.text, REPEAT in told.text) == (-1, True, True)
    encounter = two_provinces.care_memory.find_encounter("H44030099903", stay.visit_id)
    assert encounter is not None
    assert encounter.care["last_day"] == TODAY.isoformat(), "as the insured side has it"
    await mend()
    again = await _sent_again(two_provinces, "2402", content, stay.insurance_area, body, is_same=is_same_msgid)
    assert again.is_success, again.text
    for core in (own, insured):
        assert [visit.last_day for visit in core.visits._visits.values()] == [TODAY]
    assert insured.requests.count("2402") == 1


@pytest.mark.parametrize("completing", [0, 1, 3])
async def test_of_equal_requests_the_first_is_completed_by_whichever_and_all_are_over(
    two_provinces: Country, completing: int
) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    mend = await _down(own, "2302")
    content = _all_lines(stay)
    bodies = [hospital.message("2302", content, insurance_area=stay.insurance_area) for _ in range(4)]
    for body in bodies[:3]:
        told = await hospital.send(body)
        assert (told.code, REPEAT in told.text) == (-1, True)
    await mend()
    assert (await hospital.send(bodies[completing])).is_success
    assert (_lines(insured), _lines(own)) == ([0], [0])
    stay.totals = (0, 0, 0, 0, 0)
    await hospital.upload_fees(stay, ITEMS[:2], day=ADMITTED)
    for body in bodies[: max(3, completing + 1)]:
        assert (await hospital.send(body)).is_success, "each of them is over"
    assert (_lines(insured), _lines(own), insured.requests.count("2302")) == ([2], [2], 1)


async def test_what_the_insured_province_refuses_is_refused_and_another_number_asks_it_anew(
    two_provinces: Country,
) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    mend = await _refusing(insured, "2302")
    content = _all_lines(stay)
    refused = await hospital.trade("2302", content, insurance_area=stay.insurance_area)
    assert (refused.code, _lines(own), _held(two_provinces, stay)) == (-2, [5], 5)
    assert "人员***待审核" in refused.text
    await mend()
    assert (await hospital.trade("2302", content, insurance_area=stay.insurance_area)).is_success
    assert (_lines(insured), _lines(own)) == ([0], [0])


async def test_a_repeat_never_takes_lines_away_that_were_uploaded_since(two_provinces: Country) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS[:2], day=ADMITTED)
    mend = await _refusing(own, "2302")
    content = _all_lines(stay)
    body = hospital.message("2302", content, insurance_area=stay.insurance_area)
    assert (await hospital.send(body)).code == -1
    await mend()
    await hospital.upload_fees(stay, ITEMS[2:], day=ADMITTED)
    late = await hospital.send(body)
    assert (late.code, "其后又有新的办理" in late.text) == (-1, True)
    assert (_lines(insured), _lines(own), _held(two_provinces, stay)) == ([3], [5], 3)
    assert (await hospital.trade("2302", content, insurance_area=stay.insurance_area)).is_success
    assert (_lines(insured), _lines(own), _held(two_provinces, stay)) == ([0], [0], 0)


async def test_what_repeated_a_withdrawal_before_new_lines_came_does_not_take_those_away(
    two_provinces: Country,
) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS[:2], day=ADMITTED)
    mend = await _refusing(own, "2302")
    content = _all_lines(stay)
    bodies = [hospital.message("2302", content, insurance_area=stay.insurance_area) for _ in range(2)]
    for body in bodies:
        assert (await hospital.send(body)).code == -1
    await mend()
    await hospital.upload_fees(stay, ITEMS[2:], day=ADMITTED)
    late = await hospital.send(bodies[1])
    assert (late.code, "其后又有新的办理" in late.text) == (-1, True)
    assert (_lines(insured), _lines(own), insured.requests.count("2302")) == ([3], [5], 1)


@pytest.mark.parametrize(
    "reason",
    [
        errors_pb2.ERROR_REASON_EXPIRED,
        errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL,
        # A code table that has another version since makes the same request another message.
        errors_pb2.ERROR_REASON_ID_CONFLICT,
    ],
)
async def test_what_was_never_asked_under_its_own_number_holds_up_no_other(
    two_provinces: Country, reason: errors_pb2.ErrorReason
) -> None:
    hospital, exchange, insured = two_provinces.hospital, two_provinces.exchange, two_provinces.insured_core
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    method = "/onecard.medical.v1.EncounterService/WithdrawFeeLines"
    content = _all_lines(stay)
    msgids = [hospital.new_msgid() for _ in range(3)]
    bodies = [hospital.message("2302", content, insurance_area=stay.insurance_area, msgid=msgid) for msgid in msgids]
    exchange.lose_answers(method, 2)
    exchange.expire(method)
    for body in bodies[:2]:
        assert (await hospital.send(body)).text.startswith("[OUTCOME_UNKNOWN]")
    asked = exchange.calls[-1]
    asked.error = OneCardError(reason)
    assert (await hospital.send(bodies[1])).text.startswith(f"[{reason_name(reason)}]")
    assert _lines(insured) == [5]
    assert (await hospital.send(bodies[2])).is_success
    assert _lines(insured) == [0]
    sent = [call.message_id for call in exchange.calls if call.method == method]
    known = [two_provinces.care_memory.find_transactions("H44030099903", msgid)[0].message_id for msgid in msgids]
    assert sent == [known[0], known[2]], "the second was never sent, and its time is over"


async def test_a_discharge_that_was_overtaken_by_another_is_not_told_to_the_own_core_behind_it(
    two_provinces: Country,
) -> None:
    hospital, own = two_provinces.hospital, two_provinces.care_core
    stay = await two_provinces.admitted()
    mend = await _refusing(own, "2402")
    info = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number, "dscg_way": "1"}
    content = {"dscginfo": {**info, "endtime": ADMITTED.isoformat()}, "diseinfo": []}
    body = hospital.message("2402", content, insurance_area=stay.insurance_area)
    assert (await hospital.send(body)).code == -1
    await mend()
    assert (await hospital.discharge(stay, day=TODAY)).is_success
    assert "其后又有新的办理" in (await hospital.send(body)).text
    assert [visit.last_day for visit in own.visits._visits.values()] == [TODAY]
    encounter = two_provinces.care_memory.find_encounter("H44030099903", stay.visit_id)
    assert encounter is not None
    assert encounter.care["last_day"] == TODAY.isoformat()


async def test_lines_that_the_own_core_took_and_the_insured_province_not_yet_are_no_refusal(
    two_provinces: Country,
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await two_provinces.admitted()
    exchange.lose_answers("/onecard.medical.v1.EncounterService/UploadFeeLines")
    told = await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    assert (told.code, "2301在本省系统已执行，在参保地尚未完成" in told.text, REPEAT in told.text) == (-1, True, True)


@pytest.mark.parametrize("is_uploaded_again", [False, True])
async def test_a_half_done_upload_undoes_nothing_that_came_after_it(
    two_provinces: Country, monkeypatch: pytest.MonkeyPatch, is_uploaded_again: bool
) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    row = {**_all_lines(stay)["data"], "feedetl_sn": "XM1", "med_list_codg": ITEMS[0].code, "cnt": "1", "pric": "60"}
    content = {"feedetail": [{**row, "det_item_fee_sumamt": "60.00", "fee_ocur_time": ADMITTED.isoformat()}]}
    body = hospital.message("2301", content, insurance_area=stay.insurance_area)
    with monkeypatch.context() as patch:
        patch.setattr(two_provinces.exchange, "call", _offline)
        told = await hospital.send(body)
    assert "2301在本省系统已执行，在参保地尚未完成" in told.text
    assert (await hospital.trade("2302", _all_lines(stay), insurance_area=stay.insurance_area)).is_success
    if is_uploaded_again:
        assert (await hospital.trade("2301", content, insurance_area=stay.insurance_area)).is_success
    late = await hospital.send(body)
    assert (late.code, "之后其明细已另行办理" in late.text) == (-2, True), late.text
    left = int(is_uploaded_again)
    assert (_lines(own), _lines(insured), _held(two_provinces, stay)) == ([left], [left], left)


async def _offline(*_: Any, **__: Any) -> Any:
    raise CallFailed(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE)


@pytest.mark.parametrize("fault", [_refusing, _silent, _garbled])
async def test_lines_that_the_own_core_keeps_after_a_refusal_are_taken_back_by_the_repeat(
    two_provinces: Country, fault: Callable[[GuangdongCore, str], Any]
) -> None:
    hospital, own = two_provinces.hospital, two_provinces.care_core
    stay = await two_provinces.admitted()
    row = {**_all_lines(stay)["data"], "feedetl_sn": "XM1", "med_list_codg": ITEMS[0].code, "cnt": "1", "pric": "60"}
    rows = [{**row, "det_item_fee_sumamt": "60.00", "fee_ocur_time": ADMITTED.isoformat()}]
    body = hospital.message("2301", {"feedetail": rows}, insurance_area=stay.insurance_area)
    await _refusing(two_provinces.insured_core, "2301")
    mend = await fault(own, "2302")
    told = await hospital.send(body)
    assert (told.code, "2301未获受理，在本省系统尚未撤回" in told.text) == (-1, True)
    await mend()
    refused = await hospital.send(body)
    assert (refused.code, refused.text.startswith("[REFUSED_BY_LOCAL_SYSTEM]")) == (-2, True)
    assert _lines(own) == [0]
    assert (await hospital.send(body)).text == refused.text
    assert own.requests.count("2302") == 2


async def test_a_repeat_of_what_an_older_release_remembered_is_carried_out(two_provinces: Country) -> None:
    hospital, memory = two_provinces.hospital, two_provinces.care_memory
    stay = await two_provinces.admitted()
    await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    encounter = memory.find_encounter("H44030099903", stay.visit_id)
    assert encounter is not None
    msgid = hospital.new_msgid()
    body = hospital.message("2302", _all_lines(stay), insurance_area=stay.insurance_area, msgid=msgid)
    await memory.remember_transaction(
        "H44030099903", msgid, sm3(body), new_message_id(two_provinces.exchange.hub_time_ms()),
        trades.WITHDRAW_FEE_LINES, encounter.encounter_id, {"infno": "2302", "mdtrt_id": stay.visit_id},
    )  # fmt: skip
    assert (await hospital.send(body)).is_success
    assert (_lines(two_provinces.insured_core), _lines(two_provinces.care_core)) == ([0], [0])
