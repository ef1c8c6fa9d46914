"""An own core that does not know a transid again: nothing is sent to it twice, and a person looks there (rule 11)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard_stubs.behaviour import Switches
from tests.support.sichuan_care import BILL, SichuanCare, sichuan_care

LOOK_THERE = "可能已送达本省系统，而该系统不识别重复的流水号"


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[SichuanCare]:
    async with sichuan_care(tmp_path, recovery="none") as running:
        yield running


@pytest.mark.parametrize("trade", ["0212", "0301"])
async def test_a_trade_whose_answer_is_lost_is_not_sent_again(
    side: SichuanCare, trade: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stay = side.stay
    await stay.identify()
    if trade == "0301":
        assert (await stay.register()).is_success
    side.own_core.behaviours.set(trade, Switches(lose_answer=True))
    transid = side.hospital.new_transid()
    asked: list[str] = []
    take = side.own_core.behaviours.take

    def counted(name: str) -> Switches:
        asked.append(name)
        return take(name)

    monkeypatch.setattr(side.own_core.behaviours, "take", counted)
    for _ in range(3):
        told = await (stay.register(transid) if trade == "0212" else stay.upload(BILL, transid))
        assert (told.code, f"[OUTCOME_UNKNOWN] {trade}{LOOK_THERE}" in told.message) == (-9, True), told.message
        side.own_core.behaviours.clear()
    assert asked == [trade]


async def test_what_the_core_answered_is_kept_for_the_repeat_that_tells_the_insured_province(
    side: SichuanCare,
) -> None:
    stay = side.stay
    await stay.identify()
    assert (await stay.register()).is_success
    side.exchange.lose_answers("/onecard.medical.v1.EncounterService/UploadFeeLines")
    transid = side.hospital.new_transid()
    told = await stay.upload(BILL, transid)
    assert (told.code, "0301在本省系统已执行，在参保地尚未完成" in told.message) == (-9, True)
    side.own_core.behaviours.set("0301", Switches(down=True))
    again = await stay.upload(BILL, transid)
    assert again.is_success, again.message


async def test_a_discharge_in_doubt_goes_on_under_the_number_of_whoever_has_looked(side: SichuanCare) -> None:
    stay = side.stay
    await side.file(stay.person)
    for answer in (await stay.identify(), await stay.register(), await stay.upload(BILL)):
        assert answer.is_success, answer.message
    side.own_core.behaviours.set("0214", Switches(lose_answer=True))
    fields = {**stay._visit(), "akc194": "20240312", "akc195": "1"}
    transid = side.hospital.new_transid()
    for _ in range(2):
        assert LOOK_THERE in (await side.hospital.send("0214", fields, transid)).message
        side.own_core.behaviours.clear()
    again = await side.hospital.send("0214", fields)
    assert again.is_success, again.message
    assert side.exchange.methods_called().count("Discharge") == 1
