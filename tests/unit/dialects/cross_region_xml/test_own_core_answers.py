"""The own core's answers are passed on, with names in any script; what cannot be passed on is told by its place."""

from pathlib import Path

import pytest

from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_stubs.sichuan import trades
from tests.support.sichuan_care import BILL, sichuan_care


def _naming(patch: pytest.MonkeyPatch, name: str) -> None:
    """Cores answer 0301, 0302 and 0706 with one more element."""
    told = trades._totals
    patch.setattr(trades, "_totals", lambda visit: {**told(visit), name: "示例"})


@pytest.mark.parametrize("operation", Operation)
async def test_an_element_of_the_own_core_with_a_chinese_name_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    _naming(monkeypatch, "备注")
    async with sichuan_care(tmp_path, operation) as side:
        stay = side.stay
        transid = side.hospital.new_transid()
        answers = [await stay.identify(), await stay.register(), await stay.upload(BILL, transid)]
        again = await stay.upload(BILL, transid)
        queried = await side.hospital.send("0706", stay._visit())
        withdrawn = await stay.withdraw(transid)
        answers += [again, queried, withdrawn]
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
        assert {answer.value("备注") for answer in answers[2:]} == {"示例"}
        assert side.exchange.methods_called().count("UploadFeeLines") == 1


async def test_an_answer_of_the_own_core_that_cannot_be_passed_on_is_told_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        assert (await stay.identify()).is_success
        assert (await stay.register()).is_success
        with monkeypatch.context() as patch:
            _naming(patch, "a" * 65)
            refused = await stay.upload(BILL)
            queried = await side.hospital.send("0706", stay._visit())
        for answer in (refused, queried):
            assert (answer.code, answer.message.startswith("[LOCAL_FORM_INVALID]")) == (-1, True), answer.message
            assert "output: 其中第" in answer.message
            assert "个元素的名称不合规定" in answer.message
        assert not side.own_core.state.visits[stay.visit_id].lines, "taken back"
        assert "UploadFeeLines" not in side.exchange.methods_called()
        assert (await stay.upload(BILL)).is_success
        _naming(monkeypatch, "a" * 65)
        left = await stay.withdraw("0")
        assert (left.code, "尚未完成" in left.message) == (-9, True), "the insured province has executed it"
