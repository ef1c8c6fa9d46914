"""Personal numbers and names stand in no log line and in no error of the dialect, in both roles."""

import logging
from pathlib import Path
from typing import Any

import pytest

from onecard.medical.v1 import filing_pb2
from onecard_adapters.runtime import context as runtime_context
from onecard_adapters.sdk.failures import CallFailed
from onecard_stubs.behaviour import Switches
from onecard_stubs.sichuan.state import Refused
from onecard_stubs.sichuan.trades import TRADES
from tests.support.personal_texts import QUOTED, QUOTING
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


async def test_numbers_that_a_core_quotes_reach_neither_the_exchange_nor_the_cashier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quote(state: object, message: object, transid: str) -> Any:
        raise Refused(-1, QUOTING)

    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        monkeypatch.setitem(TRADES, "0304", quote)
        told = await stay.settle(BILL_FEN)
        refusal = side.exchange.calls[-1].error
    assert told.code == -1
    assert QUOTED in told.message
    assert isinstance(refusal, runtime_context.Refused)
    assert refusal.local_text == QUOTED, "what the rejection carries over the exchange"
