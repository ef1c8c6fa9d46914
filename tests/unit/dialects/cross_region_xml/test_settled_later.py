"""A settlement before which the coverage is asked for: what is told if that fails, and what the repeat does."""

from pathlib import Path

import pytest

from onecard_protocol.identifiers import message_time_ms
from onecard_stubs.sichuan.hospital import HospitalStay
from tests.support.sichuan import SETTLEMENT
from tests.support.sichuan_care import BILL, BILL_FEN, SichuanCare, sichuan_care

COVERAGE = "/onecard.medical.v1.CoverageService/QueryCoverage"


async def _filed_late(side: SichuanCare) -> HospitalStay:
    """A stay that waits to be settled, filed after its admission: the settlement looks for the filing."""
    stay = side.stay
    answers = [await stay.identify(), await stay.register(), await stay.upload(BILL), await stay.discharge()]
    assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
    await side.file(stay.person)
    return stay


@pytest.mark.parametrize("trade", ["cancel", "reverse"])
async def test_a_settlement_whose_coverage_was_not_told_was_not_sent_and_its_repeat_goes_on(
    tmp_path: Path, trade: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await _filed_late(side)
        transid = side.hospital.new_transid()
        side.exchange.lose_answers(COVERAGE)
        told = await stay.settle(BILL_FEN, transid)
        assert (told.code, "OUTCOME_UNKNOWN" in told.message) == (-1, False), told.message
        assert told.message.endswith("参保地未及时答复参保信息，0304没有发出，未办理：请将同一报文原样重发")
        assert "Settle" not in side.exchange.methods_called()

        later_ms = side.exchange.stop_a_minute_later()
        again = await stay.settle(BILL_FEN, transid)
        assert again.is_success, again.message
        (sent,) = (call for call in side.exchange.calls if call.method == f"{SETTLEMENT}Settle")
        assert message_time_ms(sent.message_id) == later_ms, "with all of its time to be executed"
        assert (await stay.query(transid)).value("ykc701") == "1"
        undone = await (stay.cancel() if trade == "cancel" else stay.reverse(transid))
        assert undone.is_success, undone.message
        assert side.insured_core.state.counts()["settlements_standing"] == 0
        original_id = side.exchange.calls[-1].request.original_id  # type: ignore[attr-defined]
        assert original_id == sent.message_id.hex()


@pytest.mark.parametrize("trade", ["reverse", "query"])
async def test_a_settlement_that_was_told_as_never_executed_before_it_was_sent_is_never_sent(
    tmp_path: Path, trade: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await _filed_late(side)
        transid = side.hospital.new_transid()
        side.exchange.lose_answers(COVERAGE)
        await stay.settle(BILL_FEN, transid)
        told = await (stay.reverse(transid) if trade == "reverse" else stay.query(transid))
        assert told.value("ykc701") == "0"
        side.exchange.stop_a_minute_later()
        refused = await stay.settle(BILL_FEN, transid)
        assert refused.message.startswith("[NEVER_EXECUTED]"), refused.message
        assert "Settle" not in side.exchange.methods_called()


async def test_after_it_was_told_as_never_executed_a_settlement_without_transid_is_another_one(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await _filed_late(side)
        side.exchange.lose_answers(COVERAGE)
        refused = await stay.settle(BILL_FEN, "")
        assert (await stay.query(refused.transid)).value("ykc701") == "0"
        assert (await stay.settle(BILL_FEN, "")).message.startswith("[NEVER_EXECUTED]")
        again = await stay.settle(BILL_FEN, "")
        assert (again.is_success, side.insured_core.state.counts()["settlements_standing"]) == (True, 1), again.message
