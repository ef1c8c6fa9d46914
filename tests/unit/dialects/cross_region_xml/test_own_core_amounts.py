"""The own core splits the lines that it was sent: other amounts in its answer are a refusal, and are taken back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from onecard_stubs.behaviour import Switches
from onecard_stubs.sichuan import trades
from onecard_stubs.sichuan.records import Line
from tests.support.sichuan_care import BILL, BILL_FEN, sichuan_care


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"akc227": "1.00", "ykc624": "1.00"}, "output.detail[0]: 上传4000.00元，本省系统返回1.00元，各部分合计1.00元"),
        ({"ykc624": "1.00"}, "output.detail[0]: 上传4000.00元，本省系统返回4000.00元，各部分合计1.00元"),
    ],
)
async def test_lines_that_the_own_core_answers_with_other_amounts_are_taken_back_and_never_leave_the_province(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], said: str
) -> None:
    told = trades._line_fields
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        with monkeypatch.context() as patch:
            patch.setattr(
                trades, "_line_fields", lambda item: told(item) | (changed if item.line_id == "99001" else {})
            )
            refused = await stay.upload(BILL)
        assert (refused.code, said in refused.message) == (-1, True), refused.message
        assert refused.message.startswith("[AMOUNTS_INCONSISTENT]")
        assert not side.own_core.state.visits[stay.visit_id].lines
        assert side.exchange.methods_called().count("UploadFeeLines") == 0
        assert (await stay.upload(BILL)).is_success


async def test_an_amount_is_read_and_compared_as_money_where_the_document_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_amounts(row: Mapping[str, str], *others: Any) -> Line:
        return by_catalogue({"akc227": "4000.00", **{key: value for key, value in row.items() if value}}, *others)

    by_catalogue = trades._line_by_catalogue
    monkeypatch.setattr(trades, "_line_by_catalogue", without_amounts)
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        for number, amount in enumerate(["4000", "4000.0000", ""]):
            row = {**BILL[0].fields(), "ykc610": f"9900{number}", "akc227": amount}
            uploaded = await side.hospital.send("0301", {**stay._visit(), "detail": [row]})
            assert uploaded.is_success, (amount, uploaded.message)


@pytest.mark.parametrize("amount", ["许多", "4,000.00", "4，000.00", "4 000.00", "4'000.00", "￥4000.00"])
async def test_an_amount_in_another_form_is_refused_by_its_row_before_anybody_is_asked(
    tmp_path: Path, amount: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        transid = side.hospital.new_transid()
        rows = [BILL[1].fields(), {**BILL[0].fields(), "akc227": amount}]
        asked = len(side.own_core.state.transactions)
        refused = await side.hospital.send("0301", {**stay._visit(), "detail": rows, "transid": transid})
        said = "input.detail[1].akc227: 不是数字（应如1234.50，不带千位分隔符）"
        assert (refused.code, said in refused.message) == (-1, True), refused.message
        assert len(side.own_core.state.transactions) == asked
        # Put right, it may come under the same number.
        assert (await stay.upload(BILL, transid)).is_success


@pytest.mark.parametrize(("line_id", "said"), [("", "缺失"), ("99001", "重复")])
async def test_a_line_without_a_number_of_its_own_is_refused_before_anybody_is_asked(
    tmp_path: Path, line_id: str, said: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        rows = [BILL[0].fields(), {**BILL[1].fields(), "ykc610": line_id}]
        asked = len(side.own_core.state.transactions)
        refused = await side.hospital.send("0301", {**stay._visit(), "detail": rows})
        assert (refused.code, f"input.detail[1].ykc610: {said}" in refused.message) == (-1, True), refused.message
        assert len(side.own_core.state.transactions) == asked


async def test_an_amount_of_the_own_core_in_another_form_is_told_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = trades._line_fields
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        monkeypatch.setattr(
            trades, "_line_fields", lambda item: told(item) | {"akc227": f"{item.amount_fen / 100:,.2f}"}
        )
        refused = await stay.upload(BILL)
        said = "output.detail[0].akc227: 不是数字"
        assert (refused.code, said in refused.message) == (-1, True), refused.message
        assert not side.own_core.state.visits[stay.visit_id].lines


async def test_lines_in_doubt_are_sent_again_as_they_were_split(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        side.exchange.lose_answers("/onecard.medical.v1.EncounterService/UploadFeeLines")
        transid = side.hospital.new_transid()
        assert (await stay.upload(BILL, transid)).code == -9
        side.own_core.behaviours.set("0301", Switches(down=True))
        side.own_core.behaviours.set("0708", Switches(down=True))
        again = await stay.upload(BILL, transid)
        assert again.is_success, again.message
        assert again.value("akc264") == f"{BILL_FEN // 100}.{BILL_FEN % 100:02}", "the core's own answer"
