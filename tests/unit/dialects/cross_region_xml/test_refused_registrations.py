"""A registration that the insured province refuses for good leaves no visit in the own core; one in doubt keeps it."""

from pathlib import Path
from typing import Any, NoReturn

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.cross_region_xml import care_encounter
from onecard_adapters.dialects.cross_region_xml.execution import CallContext
from onecard_adapters.dialects.cross_region_xml.insured import InsuredEncounter
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.identifiers import message_time_ms
from onecard_stubs.behaviour import Switches
from tests.support.sichuan_care import BILL, BILL_FEN, SichuanCare, sichuan_care


async def _refuse(_: InsuredEncounter, request: object, context: CallContext) -> NoReturn:
    await context.refuse(errors_pb2.ERROR_REASON_NOT_FILED, local_code="-22", local_text="未备案")


def _trades_of_core(side: SichuanCare) -> list[str]:
    return [item.trade for item in side.own_core.state.transactions.values()]


async def test_a_visit_that_the_insured_province_refuses_is_taken_back_from_the_own_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        transid = side.hospital.new_transid()
        with monkeypatch.context() as patch:
            patch.setattr(InsuredEncounter, "Register", _refuse)
            refused = await stay.register(transid)
        assert (refused.code, "未备案" in refused.message) == (-1, True), refused.message
        assert not side.own_core.state.visits
        assert _trades_of_core(side) == ["0212", "0306"]
        # Its repeat meets the refusal, though the province would agree by now; another number is another wish.
        again = await stay.register(transid)
        assert (again.code, again.message) == (-1, refused.message)
        assert _trades_of_core(side) == ["0212", "0306"]
        assert (await stay.register()).is_success
        assert list(side.own_core.state.visits) == list(side.insured_core.state.visits) == [stay.visit_id]


async def test_a_form_without_a_number_is_asked_anew_after_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        with monkeypatch.context() as patch:
            patch.setattr(InsuredEncounter, "Register", _refuse)
            for _ in range(2):
                assert "NOT_FILED" in (await stay.register("")).message
        registered = await stay.register("")
        assert registered.is_success, registered.message
        assert _trades_of_core(side) == ["0212", "0306", "0212", "0306", "0212"]
        assert (await stay.register("")).transid == registered.transid
        assert list(side.own_core.state.visits) == list(side.insured_core.state.visits) == [stay.visit_id]


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_core_that_does_not_take_the_visit_back_is_asked_again_by_the_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_numbered: bool
) -> None:
    """It still has the visit, so the trade is no plain refusal before; also for a form that carries no number."""
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        side.own_core.behaviours.set("0306", Switches(down=True), calls=1)
        monkeypatch.setattr(InsuredEncounter, "Register", _refuse)
        transid = side.hospital.new_transid() if is_numbered else ""
        left = await stay.register(transid)
        assert (left.code, "尚未撤回" in left.message) == (-9, True), left.message
        assert len(side.own_core.state.visits) == 1
        refused = await stay.register(transid)
        assert (refused.code, "NOT_FILED" in refused.message) == (-1, True), refused.message
        assert not side.own_core.state.visits
        assert _trades_of_core(side) == ["0212", "0306"]


@pytest.mark.parametrize("is_told_at_once", [True, False])
async def test_a_visit_that_the_core_took_back_without_an_answer_is_not_taken_back_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_told_at_once: bool
) -> None:
    """It refuses to undo twice (-36); 0708 tells that the registration is undone."""
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        monkeypatch.setattr(InsuredEncounter, "Register", _refuse)
        side.own_core.behaviours.set("0306", Switches(lose_answer=True), calls=1)
        transid = side.hospital.new_transid()
        if not is_told_at_once:
            side.own_core.behaviours.set("0708", Switches(down=True), calls=1)
            left = await stay.register(transid)
            assert (left.code, "尚未撤回" in left.message) == (-9, True), left.message
        refused = await stay.register(transid)
        assert (refused.code, "NOT_FILED" in refused.message) == (-1, True), refused.message
        assert not side.own_core.state.visits
        assert _trades_of_core(side) == ["0212", "0306"]


REGISTER = "/onecard.medical.v1.EncounterService/Register"


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_registration_in_doubt_is_repeated_as_it_was_sent_whatever_was_filed_since(
    tmp_path: Path, is_numbered: bool
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        transid = side.hospital.new_transid() if is_numbered else ""
        side.exchange.lose_answers(REGISTER)
        assert (await stay.register(transid)).code == -9
        filing_id = await side.file(stay.person)
        calls = len(side.exchange.calls)
        again = await stay.register(transid)
        assert again.is_success, again.message
        assert len(side.exchange.calls) == calls, "neither the message nor a question about coverage is another one"
        assert _trades_of_core(side) == ["0212"]
        assert list(side.own_core.state.visits) == list(side.insured_core.state.visits) == [stay.visit_id]
        # What was registered without a filing finds it at the settlement, which is made of the attributes kept.
        answers = [await stay.upload(BILL), await stay.discharge(), await stay.settle(BILL_FEN)]
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
        terms = side.exchange.calls[-1].request.terms  # type: ignore[attr-defined]
        assert (terms.filing_id, terms.filing_first_day.year) == (filing_id, 2024)


async def test_a_registration_in_doubt_keeps_the_filing_that_it_was_sent_with(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        filing_id = await side.file(stay.person)
        await stay.identify()
        transid = side.hospital.new_transid()
        side.exchange.lose_answers(REGISTER)
        assert (await stay.register(transid)).code == -9
        await side.insured_core.withdraw_outwards({"filing_id": filing_id})
        answers = [
            await stay.register(transid),
            await stay.upload(BILL),
            await stay.discharge(),
        ]
        await stay.trial(BILL_FEN)
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
        terms = side.exchange.calls[-1].request.terms  # type: ignore[attr-defined]
        assert (terms.filing_id, terms.filing_first_day.year) == (filing_id, 2024)


@pytest.mark.parametrize("is_numbered", [True, False])
async def test_a_registration_that_never_left_is_built_anew_with_what_was_filed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_numbered: bool
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        transid = side.hospital.new_transid() if is_numbered else ""
        call, refused, left = side.exchange.call, list[bytes](), [REGISTER]

        async def offline(recipient: str, method: str, request: Any, **how: Any) -> Any:
            if method in left:
                left.remove(method)
                refused.append(how.get("message_id") or b"")
                raise CallFailed(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE)
            return await call(recipient, method, request, **how)

        monkeypatch.setattr(side.exchange, "call", offline)
        assert (await stay.register(transid)).code == -9, "the own core has the visit"
        filing_id = await side.file(stay.person)
        left.append("/onecard.medical.v1.CoverageService/QueryCoverage")
        assert (await stay.register(transid)).code == -9, "it still has it"
        later_ms = side.exchange.stop_a_minute_later()
        again = await stay.register(transid)
        assert again.is_success, again.message
        (sent,) = (call for call in side.exchange.calls if call.method == REGISTER)
        assert sent.request.filing_id == filing_id  # type: ignore[attr-defined]
        assert sent.message_id != refused[0]
        assert message_time_ms(sent.message_id) == later_ms, "from then on runs the time to execute it"
        assert _trades_of_core(side) == ["0212"]
        assert list(side.own_core.state.visits) == list(side.insured_core.state.visits) == [stay.visit_id]
        answers = [await stay.upload(BILL), await stay.discharge(), await stay.settle(BILL_FEN)]
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]


async def test_a_message_that_stands_with_other_content_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a release that kept no request made it anew, and after a filing otherwise."""
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        transid = side.hospital.new_transid()
        monkeypatch.setattr(care_encounter, "sent_before", lambda *_: None)
        side.exchange.lose_answers(REGISTER)
        assert (await stay.register(transid)).code == -9
        await side.file(stay.person)
        told = await stay.register(transid)
        assert told.code == -9, told.message
        assert _trades_of_core(side) == ["0212"]
        assert list(side.own_core.state.visits) == list(side.insured_core.state.visits)
