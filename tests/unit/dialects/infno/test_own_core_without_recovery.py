"""An own core that does not know a msgid again: nothing is sent to it twice, and a person looks there (rule 11)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.hospital import Answer, Stay
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, Country, country

LOOK_THERE = "可能已送达本省系统，而该系统不识别重复的流水号"
NEW_NUMBER = "换新号办理"


@pytest.fixture
async def two_provinces(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path, care={"recovery": "none"}) as running:
        yield running


def _is_for_a_person(answer: Answer, infno: str) -> bool:
    return answer.code == -1 and f"[OUTCOME_UNKNOWN] {infno}{LOOK_THERE}" in answer.text and NEW_NUMBER in answer.text


def _upload(running: Country, stay: Stay) -> bytes:
    row = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number, "feedetl_sn": "XM1"}
    row |= {"med_list_codg": ITEMS[0].code, "cnt": "1", "pric": "60", "det_item_fee_sumamt": "60.00"}
    rows = [{**row, "fee_ocur_time": ADMITTED.isoformat()}]
    return running.hospital.message("2301", {"feedetail": rows}, insurance_area=stay.insurance_area)


async def test_an_upload_whose_answer_is_lost_is_not_sent_again(two_provinces: Country) -> None:
    own = two_provinces.care_core
    stay = await two_provinces.admitted()
    own.behaviours.set("2301", Switches(lose_answer=True))
    body = _upload(two_provinces, stay)
    for _ in range(3):
        assert _is_for_a_person(await two_provinces.hospital.send(body), "2301")
        own.behaviours.clear()
    assert (own.requests.count("2301"), two_provinces.insured_core.requests.count("2301")) == (1, 0)


async def test_what_the_core_answered_is_kept_for_the_repeat_that_tells_the_insured_province(
    two_provinces: Country,
) -> None:
    hospital, exchange = two_provinces.hospital, two_provinces.exchange
    stay = await two_provinces.admitted()
    exchange.lose_answers("/onecard.medical.v1.EncounterService/UploadFeeLines")
    body = _upload(two_provinces, stay)
    told = await hospital.send(body)
    assert (told.code, "2301在本省系统已执行，在参保地尚未完成" in told.text) == (-1, True)
    again = await hospital.send(body)
    assert again.is_success, again.text
    assert two_provinces.care_core.requests.count("2301") == 1


async def test_what_the_core_refused_or_did_not_get_is_asked_again(two_provinces: Country) -> None:
    own, hospital = two_provinces.care_core, two_provinces.hospital
    stay = await two_provinces.admitted()
    await own.stop()
    body = _upload(two_provinces, stay)
    assert (await hospital.send(body)).text.startswith("[LOCAL_SYSTEM_DOWN]")
    await own.start()
    assert (await hospital.send(body)).is_success


async def test_a_discharge_in_doubt_goes_on_under_the_number_of_whoever_has_looked(two_provinces: Country) -> None:
    hospital, own, insured = two_provinces.hospital, two_provinces.care_core, two_provinces.insured_core
    stay = await two_provinces.admitted()
    own.behaviours.set("2402", Switches(lose_answer=True))
    info = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number, "dscg_way": "1"}
    content = {"dscginfo": {**info, "endtime": TODAY.isoformat()}, "diseinfo": []}
    body = hospital.message("2402", content, insurance_area=stay.insurance_area)
    assert _is_for_a_person(await hospital.send(body), "2402")
    own.behaviours.clear()
    assert _is_for_a_person(await hospital.send(body), "2402")
    assert own.requests.count("2402") == 1
    assert (await hospital.trade("2402", content, insurance_area=stay.insurance_area)).is_success
    assert (own.requests.count("2402"), insured.requests.count("2402")) == (2, 1)
    assert (await hospital.send(body)).is_success, "it is over under both numbers"
