"""Personal numbers and names stand in no log line and in no error of the dialect, in both roles."""

import logging
from pathlib import Path

import pytest

from onecard.medical.v1 import filing_pb2
from onecard_adapters.dialects.cross_region_xml.core import CoreRefusal
from onecard_adapters.sdk.failures import CallFailed
from onecard_stubs.behaviour import Switches
from tests.support.sichuan import FILING, Stay, sichuan
from tests.support.sichuan_care import BILL_FEN, sichuan_care


async def test_a_whole_stay_with_faults_logs_no_personal_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with sichuan_care(tmp_path) as side:
        side.own_core.behaviours.set("0301", Switches(lose_answer=True), calls=1)
        side.insured_core.behaviours.set("0304", Switches(wrong_code=True), calls=1)
        stay = await side.discharged()
        texts = [
            (await stay.settle(BILL_FEN)).message,
            (await stay.settle(BILL_FEN)).message,
            (await stay.reverse("unknown")).message,
            (await stay.identify(aac044="51000020170101997X")).message,
            (await stay.identify(aac043="77")).message,
        ]
        person = stay.person
    written = "\n".join([caplog.text, *texts])
    assert "DOUBLE_SETTLEMENT" in written
    for secret in (
        person.identity_number,
        person.personal_number,
        person.name,
        person.card_number,
        "51000020170101997X",
    ):
        assert secret not in written


async def test_errors_of_the_insured_role_hold_no_personal_number(tmp_path: Path) -> None:
    async with sichuan(tmp_path) as side:
        stay = Stay(side, side.person)
        request = filing_pb2.WithdrawFilingRequest(
            person=stay.identity, insured_number=stay.insured_number, filing_id="unknown"
        )
        with pytest.raises(CallFailed) as caught:
            await side.call(f"{FILING}WithdrawFiling", request)
    assert caught.value.rejection is not None
    text = f"{caught.value} {caught.value.rejection}"
    assert stay.person.identity_number not in text
    assert stay.person.personal_number not in text


def test_numbers_that_a_core_quotes_in_its_text_are_masked() -> None:
    refusal = CoreRefusal(-1, "参保人51000020170101997X账户6228480000000000018余额不足，已办理2笔")
    assert refusal.text == "参保人***账户***余额不足，已办理2笔"
