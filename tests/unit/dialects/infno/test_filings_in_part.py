"""A filing made or taken back at home that the destination does not know yet: told so, and finished by its repeat."""

import contextlib
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.sdk.failures import CallFailed
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.guangdong.counter import Answer
from onecard_stubs.population import Person
from tests.support.fake_exchange import FakeExchange
from tests.support.infno_country import ADMITTED, Country, country, destination

REPEAT = "请将同一报文原样重发，直至成功"
NUMBER = pytest.mark.parametrize("is_same_msgid", [True, False], ids=["the same bytes", "a new msgid"])


class Referral:
    """A 2501 of a person of the hospital's own province to Beijing."""

    def __init__(self, running: Country, directory: Path) -> None:
        self.hospital, self.core, self.exchange = running.hospital, running.care_core, running.exchange
        self.person: Person = next(iter(running.care_core.population))
        self._directory = directory

    @property
    def content(self) -> dict[str, Any]:
        form = {"psn_no": self.person.personal_number, "insutype": "310", "mdtrtarea_admdvs": "110100"}
        return {"refmedin": {**form, "refl_type": "1", "begndate": ADMITTED.isoformat()}}

    def withdrawal(self, filing_id: str) -> dict[str, Any]:
        return {"data": {"trt_dcla_detl_sn": filing_id, "psn_no": self.person.personal_number, "memo": ""}}

    def message(self, infno: str, content: Any) -> bytes:
        area = self.person.active_enrolments[0].insurance_area
        return self.hospital.message(infno, content, insurance_area=area)

    async def again(self, infno: str, content: Any, first: bytes, *, is_same: bool) -> Answer:
        return await self.hospital.send(first if is_same else self.message(infno, content))

    @contextlib.asynccontextmanager
    async def destination(self) -> AsyncIterator[GuangdongCore]:
        async with destination(self.exchange, self._directory) as core:
            yield core


@pytest.fixture
async def referral(tmp_path: Path) -> AsyncIterator[Referral]:
    async with country(tmp_path) as running:
        await running.hospital.sign_in()
        yield Referral(running, tmp_path)


def _spoil_answers(core: GuangdongCore) -> Any:
    """Let the core's answers carry a code that stands in no table; returns what mends it."""
    answer = core.answer

    def spoilt(message: Any) -> dict[str, Any]:
        told = copy.deepcopy(answer(message))
        told["output"]["result"]["psn_cert_type"] = "Z9"
        return told

    core.answer = spoilt  # type: ignore[method-assign]
    return lambda: setattr(core, "answer", answer)


@NUMBER
async def test_an_answer_of_the_core_that_has_filed_is_never_a_refusal(referral: Referral, is_same_msgid: bool) -> None:
    async with referral.destination() as destination_core:
        mend = _spoil_answers(referral.core)
        body = referral.message("2501", referral.content)
        told = await referral.hospital.send(body)
        assert (told.code, "2501在本省系统已执行，在就医地尚未完成" in told.text, REPEAT in told.text) == (
            -1,
            True,
            True,
        )
        assert destination_core.benefits.filings == {}
        mend()
        again = await referral.again("2501", referral.content, body, is_same=is_same_msgid)
        assert again.is_success, again.text
        filing_id = again.output["result"]["trt_dcla_detl_sn"]
        assert list(referral.core.benefits.filings) == [filing_id] == list(destination_core.benefits.filings)
        assert (await referral.hospital.send(body)).output == again.output, "the first bytes get the same answer"


@NUMBER
async def test_a_destination_that_cannot_be_told_leaves_the_filing_in_part(
    referral: Referral, is_same_msgid: bool
) -> None:
    body = referral.message("2501", referral.content)
    told = await referral.hospital.send(body)
    assert (told.code, "2501在本省系统已执行，在就医地尚未完成" in told.text) == (-1, True)
    _forget_outcomes(referral.exchange)
    async with referral.destination() as destination_core:
        again = await referral.again("2501", referral.content, body, is_same=is_same_msgid)
        assert again.is_success, again.text
        assert list(referral.core.benefits.filings) == list(destination_core.benefits.filings)


async def test_a_core_that_is_down_has_filed_nothing_and_another_number_files_once(referral: Referral) -> None:
    async with referral.destination() as destination_core:
        await referral.core.stop()
        refused = await referral.hospital.send(referral.message("2501", referral.content))
        assert (refused.code, refused.text.startswith("[LOCAL_SYSTEM_DOWN]")) == (-2, True)
        await referral.core.start()
        assert (await referral.hospital.send(referral.message("2501", referral.content))).is_success
        assert len(referral.core.benefits.filings) == len(destination_core.benefits.filings) == 1


@NUMBER
async def test_a_filing_taken_back_at_home_alone_is_taken_back_at_the_destination_by_the_repeat(
    referral: Referral, is_same_msgid: bool
) -> None:
    async with referral.destination() as destination_core:
        filed = await referral.hospital.send(referral.message("2501", referral.content))
        content = referral.withdrawal(filed.output["result"]["trt_dcla_detl_sn"])
        referral.exchange.lose_answers("/onecard.medical.v1.FilingService/WithdrawFiling")
        body = referral.message("2502", content)
        told = await referral.hospital.send(body)
        assert (told.code, "2502在本省系统已执行，在就医地尚未完成" in told.text) == (-1, True)
        again = await referral.again("2502", content, body, is_same=is_same_msgid)
        assert again.is_success, again.text
        assert referral.core.benefits.filings == destination_core.benefits.filings == {}
        assert referral.exchange.methods_called() == ["ReportFiling", "WithdrawFiling"]


@NUMBER
@pytest.mark.parametrize("expired_count", [1, 2])
async def test_a_destination_that_could_not_be_told_in_time_is_told_by_another_message(
    referral: Referral, is_same_msgid: bool, expired_count: int
) -> None:
    async with referral.destination() as destination_core:
        filed = await referral.hospital.send(referral.message("2501", referral.content))
        content = referral.withdrawal(filed.output["result"]["trt_dcla_detl_sn"])
        referral.exchange.expire("/onecard.medical.v1.FilingService/WithdrawFiling", expired_count)
        body = referral.message("2502", content)
        told = await referral.hospital.send(body)
        assert told.is_success is (expired_count == 1), told.text
        if not told.is_success:
            assert (told.code, "2502在本省系统已执行，在就医地尚未完成" in told.text) == (-1, True)
            told = await referral.again("2502", content, body, is_same=is_same_msgid)
        assert told.is_success, told.text
        assert referral.core.benefits.filings == destination_core.benefits.filings == {}
        assert referral.core.requests.count("2502") == (1 if expired_count == 1 else 2)


async def test_a_destination_of_which_nobody_knows_any_more_whether_it_was_told_is_told_by_another_message(
    referral: Referral, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, asked = referral.exchange.call, []

    async def forgotten_once(recipient: str, method: str, request: Any, **how: Any) -> Any:
        if method.endswith("/WithdrawFiling"):
            asked.append(how["message_id"])
            if len(asked) == 1:
                raise CallFailed(errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL)
        return await call(recipient, method, request, **how)

    async with referral.destination() as destination_core:
        filed = await referral.hospital.send(referral.message("2501", referral.content))
        content = referral.withdrawal(filed.output["result"]["trt_dcla_detl_sn"])
        monkeypatch.setattr(referral.exchange, "call", forgotten_once)
        assert (await referral.hospital.send(referral.message("2502", content))).is_success
        assert len(set(asked)) == 2
        assert referral.core.benefits.filings == destination_core.benefits.filings == {}


async def test_what_was_taken_back_before_the_destination_knew_it_is_not_told_and_filed_anew(
    referral: Referral,
) -> None:
    hospital, own = referral.hospital, referral.core
    first, second = (referral.message("2501", referral.content) for _ in range(2))
    for body in (first, second):
        assert "2501在本省系统已执行，在就医地尚未完成" in (await hospital.send(body)).text
    (filing_id,) = own.benefits.filings
    _forget_outcomes(referral.exchange)
    async with referral.destination() as destination_core:
        withdrawn = await hospital.send(referral.message("2502", referral.withdrawal(filing_id)))
        assert withdrawn.is_success, withdrawn.text
        for body in (first, second):
            told = await hospital.send(body)
            assert (told.code, told.text.startswith("[FILING_UNKNOWN]"), "其后已由2502撤销" in told.text) == (
                -2,
                True,
                True,
            )
        assert own.benefits.filings == destination_core.benefits.filings == {}
        anew = await hospital.send(referral.message("2501", referral.content))
        assert anew.is_success, anew.text
        new_id = anew.output["result"]["trt_dcla_detl_sn"]
        assert new_id != filing_id
        assert list(own.benefits.filings) == [new_id] == list(destination_core.benefits.filings)


async def test_a_withdrawal_that_the_destination_refuses_stays_in_part(referral: Referral) -> None:
    async with referral.destination() as destination_core:
        filed = await referral.hospital.send(referral.message("2501", referral.content))
        content = referral.withdrawal(filed.output["result"]["trt_dcla_detl_sn"])
        destination_core.benefits.filings.clear()
        told = await referral.hospital.send(referral.message("2502", content))
        assert (told.code, "2502在本省系统已执行，在就医地尚未完成" in told.text) == (-1, True)


def _forget_outcomes(exchange: FakeExchange) -> None:
    """A refusal before the journal is no outcome."""
    exchange._outcomes.clear()
