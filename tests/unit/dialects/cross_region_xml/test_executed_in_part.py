"""A trade that one side executed and the other not: never told as refused, and finished by its repeat."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from onecard_stubs.behaviour import Switches
from onecard_stubs.sichuan.hospital import HospitalStay
from onecard_stubs.sichuan.state import Refused
from onecard_stubs.sichuan.trades import TRADES
from tests.support.personal_texts import NUMBERS
from tests.support.sichuan_care import BILL, BILL_FEN, SichuanCare, line, sichuan_care

REPEAT = "请将同一报文原样重发，直至成功"
Fault = Callable[[SichuanCare, str, pytest.MonkeyPatch], Any]


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[SichuanCare]:
    async with sichuan_care(tmp_path) as running:
        yield running


async def _down(side: SichuanCare, trade: str, patch: pytest.MonkeyPatch) -> Callable[[], Any]:
    await side.own_core.stop()
    return side.own_core.start


async def _refusing(side: SichuanCare, trade: str, patch: pytest.MonkeyPatch) -> Callable[[], Any]:
    work = TRADES[trade]

    def refuse(state: Any, message: Any, transid: str) -> Any:
        if state is side.own_core.state:
            raise Refused(-1, f"人员{NUMBERS[2]}待审核")
        return work(state, message, transid)

    patch.setitem(TRADES, trade, refuse)

    async def mend() -> None:
        patch.setitem(TRADES, trade, work)

    return mend


async def _garbled(side: SichuanCare, trade: str, patch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """It does its part; neither its answer nor what 0708 says of it can be read."""
    for item in (trade, "0708"):
        side.own_core.behaviours.set(item, Switches(wrong_code=True))

    async def mend() -> None:
        side.own_core.behaviours.clear()

    return mend


TWO_LINES = ("99001", "99002")


async def _uploaded(side: SichuanCare) -> HospitalStay:
    stay = side.stay
    await side.file(stay.person)
    answers = [await stay.identify(), await stay.register(), await stay.upload(BILL)]
    assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
    return stay


def _lines(side: SichuanCare, stay: HospitalStay) -> tuple[int, int]:
    """What the insured province and the own core hold."""
    insured, own = (core.state.visits[stay.visit_id].lines for core in (side.insured_core, side.own_core))
    return len(insured), len(own)


@pytest.mark.parametrize(
    ("fault", "is_same_transid", "line_ids"),
    [
        (_down, False, ()),
        (_refusing, True, TWO_LINES),
        (_refusing, False, TWO_LINES),
        (_garbled, True, ()),
        (_garbled, False, TWO_LINES),
    ],
)
async def test_lines_withdrawn_at_the_insured_province_alone(
    side: SichuanCare, monkeypatch: pytest.MonkeyPatch, fault: Fault, is_same_transid: bool, line_ids: tuple[str, ...]
) -> None:
    stay = await _uploaded(side)
    mend = await fault(side, "0302", monkeypatch)
    left = len(BILL) - (len(line_ids) or len(BILL))
    otransid, transid = "" if line_ids else "0", side.hospital.new_transid()
    for _ in range(2):
        told = await stay.withdraw(otransid, line_ids, transid)
        assert told.code == -9
        assert told.message.startswith("[OUTCOME_UNKNOWN] 0302在参保地已执行，在本省系统尚未完成"), told.message
        assert REPEAT in told.message
        assert ("人员***待审核" in told.message) is (fault is _refusing)
    assert _lines(side, stay) == (left, left if fault is _garbled else len(BILL))
    await mend()
    again = await stay.withdraw(otransid, line_ids, transid if is_same_transid else None)
    assert again.is_success, again.message
    assert again.value("ykc690") == str(left)
    assert _lines(side, stay) == (left, left)
    assert side.exchange.methods_called().count("WithdrawFeeLines") == 1
    assert (await stay.withdraw(otransid, line_ids, transid)).is_success, "a late copy gets the stored answer"


@pytest.mark.parametrize(("fault", "is_same_transid"), [(_down, False), (_refusing, True), (_garbled, False)])
async def test_a_discharge_at_the_insured_province_alone(
    side: SichuanCare, monkeypatch: pytest.MonkeyPatch, fault: Fault, is_same_transid: bool
) -> None:
    stay = await _uploaded(side)
    mend = await fault(side, "0214", monkeypatch)
    fields = {**stay._visit(), "akc194": "20240312", "akc195": "1"}
    told = await side.hospital.send("0214", fields, transid := side.hospital.new_transid())
    assert (told.code, "0214在参保地已执行，在本省系统尚未完成" in told.message, REPEAT in told.message) == (
        -9,
        True,
        True,
    )
    assert side.insured_core.state.visits[stay.visit_id].last_day
    await mend()
    again = await side.hospital.send("0214", fields, transid if is_same_transid else None)
    assert again.is_success, again.message
    assert side.own_core.state.visits[stay.visit_id].last_day
    assert side.exchange.methods_called().count("Discharge") == 1
    assert (await stay.settle(BILL_FEN)).is_success


async def test_a_repeat_never_takes_lines_away_that_were_uploaded_since(
    side: SichuanCare, monkeypatch: pytest.MonkeyPatch
) -> None:
    stay = await _uploaded(side)
    mend = await _refusing(side, "0302", monkeypatch)
    transids = [side.hospital.new_transid() for _ in range(2)]
    for transid in transids:
        assert (await stay.withdraw("0", transid=transid)).code == -9
    await mend()
    assert (await stay.upload((line(7, "10.00"),))).is_success
    for transid in transids:
        late = await stay.withdraw("0", transid=transid)
        assert (late.code, "其后又有新的办理" in late.message) == (-9, True)
    assert _lines(side, stay) == (1, len(BILL) + 1)
    assert (await stay.withdraw("0")).is_success, "another transid takes all lines back on both sides"
    assert _lines(side, stay) == (0, 0)


async def test_what_the_insured_province_refuses_is_refused_and_another_number_asks_it_anew(side: SichuanCare) -> None:
    stay = await _uploaded(side)
    held = side.insured_core.state.visits.pop(stay.visit_id)
    refused = await stay.withdraw("0")
    assert (refused.code, len(side.own_core.state.visits[stay.visit_id].lines)) == (-1, len(BILL))
    side.insured_core.state.visits[stay.visit_id] = held
    assert (await stay.withdraw("0")).is_success
    assert _lines(side, stay) == (0, 0)


@pytest.mark.parametrize("trade", ["0212", "0301"])
async def test_what_the_own_core_may_have_done_first_is_never_refused(side: SichuanCare, trade: str) -> None:
    stay = side.stay
    await stay.identify()
    if trade == "0301":
        assert (await stay.register()).is_success
    side.own_core.behaviours.set(trade, Switches(lose_answer=True))
    side.own_core.behaviours.set("0708", Switches(down=True))
    transid = side.hospital.new_transid()

    async def step() -> Any:
        return await (stay.register(transid) if trade == "0212" else stay.upload(BILL, transid))

    told = await step()
    assert (told.code, told.message.startswith("[OUTCOME_UNKNOWN]")) == (-9, True)
    side.own_core.behaviours.clear()
    again = await step()
    assert again.is_success, again.message


@pytest.mark.parametrize("fault", [_refusing, _garbled])
async def test_lines_that_the_own_core_keeps_after_a_refusal_are_taken_back_by_the_repeat(
    side: SichuanCare, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    stay = side.stay
    await stay.identify()
    await stay.register()
    side.insured_core.state.visits.clear()
    mend = await fault(side, "0302", monkeypatch)
    transid = side.hospital.new_transid()
    told = await stay.upload(BILL, transid)
    assert (told.code, "0301未获受理，在本省系统尚未撤回" in told.message) == (-9, True)
    await mend()
    refused = await stay.upload(BILL, transid)
    assert (refused.code, refused.message.startswith("[REFUSED_BY_LOCAL_SYSTEM]")) == (-1, True)
    assert not side.own_core.state.visits[stay.visit_id].lines


async def test_what_the_own_core_could_never_be_told_is_refused_before_the_insured_province_is_asked(
    side: SichuanCare,
) -> None:
    """A diagnosis with a character that the hospital sends as GB 18030 and GBK has not."""
    stay = side.stay
    answers = [await stay.identify(), await stay.register(), await stay.upload(BILL)]
    rare = [{"yzy201": "1", "yzy202": "1", "akc185": "㼆病", "akc196": "I10.x00"}]
    for trade, fields in (("0214", {"akc194": "20240312", "akc195": "1"}), ("0302", {"otransid": "0"})):
        refused = await side.hospital.send(trade, {**stay._visit(), **fields, "detail": rare})
        assert (refused.code, refused.message.startswith("[UNENCODABLE_CHARACTER]")) == (-1, True), refused.message
        assert "input.detail.row.akc185" in refused.message
    assert not {"Discharge", "WithdrawFeeLines"} & set(side.exchange.methods_called())
    answers += [await stay.discharge(), await stay.withdraw("0")]
    assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
