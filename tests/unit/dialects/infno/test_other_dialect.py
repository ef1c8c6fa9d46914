"""A Guangdong hospital's infno and a Sichuan core's GBK XML meet in the national messages, code for code."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard_stubs.guangdong.counter import Credential, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.sichuan import trades
from onecard_stubs.sichuan.soap import Message
from onecard_stubs.sichuan.state import CoreState, Output
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, guangdong_hospital
from tests.support.sichuan import Sichuan, sichuan


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[tuple[Hospital, Sichuan]]:
    async with sichuan(tmp_path) as insured, guangdong_hospital(tmp_path, insured.exchange) as hospital:
        yield hospital, insured


async def _ready(hospital: Hospital, insured: Sichuan, credential: Credential | None = None) -> Stay:
    person = insured.person
    area = person.active_enrolments[0].insurance_area
    await hospital.sign_in()
    for answer in (
        await hospital.identify(person, insurance_area=area),
        await hospital.refer(person, insurance_area=area, destination_area="440300", first_day=ADMITTED),
    ):
        assert answer.is_success, answer.text
    answer, stay = await hospital.admit(
        person, insurance_area=area, insurance_kind="310", number="ZY2403010001", day=ADMITTED, credential=credential
    )
    assert answer.is_success, answer.text
    for answer in (
        await hospital.upload_fees(stay, ITEMS, day=ADMITTED),
        await hospital.pre_settle(stay),
        await hospital.discharge(stay, day=TODAY),
    ):
        assert answer.is_success, answer.text
    return stay


async def test_a_stay_is_settled_queried_and_cancelled_across_the_dialects(ends: tuple[Hospital, Sichuan]) -> None:
    hospital, insured = ends
    stay = await _ready(hospital, insured)
    settled = await hospital.settle(stay)
    assert settled.is_success, settled.text
    info = settled.output["setlinfo"]
    assert info["medfee_sumamt"] == info["fund_pay_sumamt"] + info["psn_part_amt"] + info["hosp_part_amt"]
    queried = await hospital.query(stay, info["setl_id"])
    assert queried.is_success, queried.text
    assert queried.output["setlinfo"]["psn_pay"] == info["psn_part_amt"]
    red = await hospital.cancel(stay, info["setl_id"])
    assert red.is_success, red.text
    assert red.output["setlinfo"]["medfee_sumamt"] == -info["medfee_sumamt"]


async def test_a_stay_is_settled_whose_insured_province_tells_no_kind_of_insurance(
    ends: tuple[Hospital, Sichuan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def identify(state: CoreState, message: Message, transid: str) -> Output:
        """In the form of the sample, which has one enrolment, and neither its kind nor its status."""
        told = trades.identify(state, message, transid)
        return {name: value for name, value in told.items() if name != "detail"}

    monkeypatch.setitem(trades.TRADES, "0211", identify)
    hospital, insured = ends
    stay = await _ready(hospital, insured)
    person, area = insured.person, insured.person.active_enrolments[0].insurance_area
    (enrolment,) = (await hospital.identify(person, insurance_area=area)).output["insuinfo"]
    assert (enrolment["insutype"], enrolment["psn_insu_stas"]) == (None, None)
    assert (enrolment["insuplc_admdvs"], enrolment["psn_type"]) == (area, "1201")
    settled = await hospital.settle(stay)
    assert settled.is_success, settled.text


async def test_a_settlement_is_reversed_across_the_dialects(ends: tuple[Hospital, Sichuan]) -> None:
    hospital, insured = ends
    stay = await _ready(hospital, insured)
    msgid = hospital.new_msgid()
    assert (await hospital.settle(stay, msgid=msgid)).is_success
    first = await hospital.reverse(stay, msgid, "2304")
    assert first.is_success, first.text
    assert first.output["result"]["reversal_result"] == "REVERSED"
    assert (await hospital.reverse(stay, msgid, "2304")).output == first.output


@pytest.mark.parametrize("is_card", [True, False], ids=["social security card", "identity card"])
async def test_the_credential_of_admission_and_bill_reaches_the_core_across_the_dialects(
    ends: tuple[Hospital, Sichuan], is_card: bool
) -> None:
    hospital, insured = ends
    person = insured.person
    card = Credential.card(person.card_number, person.card_recognition_code)
    stay = await _ready(hospital, insured, card if is_card else None)
    assert (await hospital.settle(stay)).is_success
    (told,) = insured.core.state.credentials(person.identity_number)
    shown = (
        {"kind": "03", "number": person.card_number, "recognition_code": person.card_recognition_code}
        if is_card
        else {"kind": "02", "number": person.identity_number, "recognition_code": ""}
    )
    assert told == {"visit_id": stay.visit_id, "registered": shown, "settled": shown}
