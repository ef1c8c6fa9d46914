"""After a crash the insured role finds out before it acts: by 5203, by reversing, or not at all, by profile."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import settlement_pb2
from onecard_adapters.dialects.infno import trades
from onecard_adapters.runtime.context import ExchangeContext, local_transaction_id_of
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import new_message_id
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.counter import Stay
from onecard_stubs.guangdong.records import Refused
from tests.support.infno_country import Country, country

pytest_plugins = ("tests.support.infno_country_of_two",)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _context(
    message_id: bytes, *, method: str = trades.SETTLE, is_recovery: bool = False, left_ms: int = 60_000
) -> ExchangeContext:
    return ExchangeContext(
        sender="cn-44",
        method=method,
        message_id=message_id,
        is_recovery=is_recovery,
        local_transaction_id=local_transaction_id_of(message_id),
        execute_before_ms=_now_ms() + left_ms,
    )


async def _request(running: Country) -> tuple[Stay, settlement_pb2.SettleRequest, bytes]:
    """A settle request as the care side sends it, caught before it is executed."""
    stay = await running.ready_to_settle()
    running.insured_core.behaviours.set("2304", Switches(down=True), calls=1)
    running.insured_core.behaviours.set("5203", Switches(down=True))
    assert (await running.hospital.settle(stay)).code == -1
    running.insured_core.behaviours.clear()
    call = running.exchange.calls[-1]
    assert isinstance(call.request, settlement_pb2.SettleRequest)
    return stay, call.request, new_message_id(_now_ms())


def _reverse(request: settlement_pb2.SettleRequest, original_id: bytes) -> settlement_pb2.ReverseRequest:
    return settlement_pb2.ReverseRequest(
        person=request.person,
        insured_number=request.terms.insured_number,
        original_id=original_id.hex(),
        original_method=trades.SETTLE,
        encounter=request.terms.encounter,
    )


def _query(request: settlement_pb2.SettleRequest, original_id: bytes) -> settlement_pb2.QuerySettlementRequest:
    return settlement_pb2.QuerySettlementRequest(
        person=request.person,
        insured_number=request.terms.insured_number,
        original_id=original_id.hex(),
        original_method=trades.SETTLE,
        encounter=request.terms.encounter,
    )


async def test_a_settlement_whose_answer_was_lost_is_found_and_not_made_again(two_provinces: Country) -> None:
    stay = await two_provinces.ready_to_settle()
    two_provinces.insured_core.behaviours.set("2304", Switches(lose_answer=True), calls=1)
    settled = await two_provinces.hospital.settle(stay)
    assert settled.is_success, settled.text
    assert two_provinces.insured_core.requests[-2:] == ["2304", "5203"]
    info = settled.output["setlinfo"]
    assert info["medfee_sumamt"] == info["fund_pay_sumamt"] + info["psn_part_amt"] + info["hosp_part_amt"]


async def test_a_cancellation_whose_answer_was_lost_is_found_and_not_made_again(two_provinces: Country) -> None:
    stay = await two_provinces.ready_to_settle()
    settlement_id = (await two_provinces.hospital.settle(stay)).output["setlinfo"]["setl_id"]
    two_provinces.insured_core.behaviours.set("2305", Switches(lose_answer=True), calls=1)
    red = await two_provinces.hospital.cancel(stay, settlement_id)
    assert red.is_success, red.text
    assert two_provinces.insured_core.requests.count("2305") == 1
    assert red.output["setlinfo"]["init_setl_id"] == settlement_id


async def test_a_crash_before_the_core_was_asked_executes_within_the_time(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    response = await two_provinces.insured.settlement.Settle(request, _context(message_id, is_recovery=True))
    assert response.settlement_id


async def test_a_crash_before_the_core_was_asked_executes_nothing_past_the_time(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    with pytest.raises(OneCardError) as refused:
        await two_provinces.insured.settlement.Settle(request, _context(message_id, is_recovery=True, left_ms=0))
    assert refused.value.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    assert two_provinces.insured_core.benefits.settlements == []


async def test_an_attempt_that_the_core_does_not_know_is_made_again_only_within_the_time(
    two_provinces: Country,
) -> None:
    _, request, message_id = await _request(two_provinces)
    settle = two_provinces.insured.settlement.Settle
    two_provinces.insured_core.behaviours.set("2304", Switches(down=True), calls=1)
    with pytest.raises(OutcomeInDoubt):
        await settle(request, _context(message_id))
    with pytest.raises(OneCardError) as refused:
        await settle(request, _context(message_id, is_recovery=True, left_ms=0))
    assert refused.value.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    response = await settle(request, _context(message_id, is_recovery=True))
    assert response.settlement_id
    assert len(two_provinces.insured_core.benefits.settlements) == 1


async def test_absence_proves_nothing_while_the_core_may_still_be_working(tmp_path: Path) -> None:
    recovery = {"settlement": "query", "others": "repeat", "conclusive_after_ms": 60_000}
    async with country(tmp_path, insured={"recovery": recovery}) as running:
        _, request, message_id = await _request(running)
        running.insured_core.behaviours.set("2304", Switches(down=True), calls=1)
        settlement = running.insured.settlement
        with pytest.raises(OutcomeInDoubt):
            await settlement.Settle(request, _context(message_id))
        with pytest.raises(OutcomeInDoubt, match="still be working"):
            await settlement.Settle(request, _context(message_id, is_recovery=True))
        with pytest.raises(OutcomeInDoubt, match="still be working"):
            await settlement.Reverse(_reverse(request, message_id), _context(new_message_id(_now_ms())))
        told = await settlement.QuerySettlement(_query(request, message_id), _context(new_message_id(_now_ms())))
        assert told.finding == settlement_pb2.SETTLEMENT_FINDING_IN_DOUBT
        assert told.doubt_reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN


async def test_declared_reversal_undoes_the_attempt_and_executes_nothing(tmp_path: Path) -> None:
    recovery = {"settlement": "reverse", "others": "repeat", "conclusive_after_ms": 0}
    async with country(tmp_path, insured={"recovery": recovery}) as running:
        stay = await running.ready_to_settle()
        running.insured_core.behaviours.set("2304", Switches(lose_answer=True), calls=1)
        answer = await running.hospital.settle(stay)
        assert answer.text.startswith("[NOT_EXECUTED]"), answer.text
        assert running.insured_core.requests[-2:] == ["2304", "2601"]
        assert not any(record.is_standing for record in running.insured_core.benefits.settlements)
        assert (await running.hospital.settle(stay)).is_success


async def test_a_reversal_that_the_core_does_not_confirm_leaves_the_attempt_in_doubt(tmp_path: Path) -> None:
    recovery = {"settlement": "reverse", "others": "repeat", "conclusive_after_ms": 0}
    async with country(tmp_path, insured={"recovery": recovery}) as running:
        stay = await running.ready_to_settle()
        running.insured_core.behaviours.set("2304", Switches(down=True), calls=1)
        assert (await running.hospital.settle(stay)).code == -1
        assert running.insured_core.benefits.settlements == []


async def test_a_profile_without_recovery_leaves_it_to_a_person(tmp_path: Path) -> None:
    recovery = {"settlement": "none", "others": "none", "conclusive_after_ms": 0}
    async with country(tmp_path, insured={"recovery": recovery}) as running:
        stay = await running.ready_to_settle()
        running.insured_core.behaviours.set("2304", Switches(lose_answer=True), calls=1)
        assert (await running.hospital.settle(stay)).code == -1
        assert running.insured_core.requests.count("2304") == 1
        assert "5203" not in running.insured_core.requests


async def test_a_registration_without_recovery_is_not_repeated(tmp_path: Path) -> None:
    recovery = {"settlement": "query", "others": "none", "conclusive_after_ms": 0}
    async with country(tmp_path, insured={"recovery": recovery}) as running:
        person, enrolment = running.employee()
        await running.hospital.sign_in()
        await running.hospital.identify(person, insurance_area=enrolment.insurance_area)
        running.insured_core.behaviours.set("2201", Switches(lose_answer=True), calls=1)
        answer, _ = await running.hospital.register(
            person, insurance_area=enrolment.insurance_area, insurance_kind="310", number="MZ1", day=running.today
        )
        assert answer.code == -1
        assert running.insured_core.requests.count("2201") == 1


@pytest.mark.parametrize("trade", ["2401", "2301", "2402"])
async def test_other_trades_are_repeated_under_the_same_msgid(two_provinces: Country, trade: str) -> None:
    two_provinces.insured_core.behaviours.set(trade, Switches(lose_answer=True), calls=1)
    stay = await two_provinces.ready_to_settle()
    assert two_provinces.insured_core.requests.count(trade) == 2
    assert (await two_provinces.hospital.settle(stay)).is_success


async def test_an_answer_that_cannot_be_read_is_in_doubt_and_never_a_refusal(two_provinces: Country) -> None:
    stay = await two_provinces.ready_to_settle()
    two_provinces.insured_core.behaviours.set("2304", Switches(wrong_code=True))
    two_provinces.insured_core.behaviours.set("5203", Switches(wrong_code=True))
    assert (await two_provinces.hospital.settle(stay)).code == -1
    assert sum(record.is_standing for record in two_provinces.insured_core.benefits.settlements) == 1
    two_provinces.insured_core.behaviours.clear()
    queried = await two_provinces.hospital.query(stay)
    assert queried.is_success, queried.text


async def test_an_answer_in_another_encoding_is_in_doubt(two_provinces: Country) -> None:
    stay = await two_provinces.ready_to_settle()
    two_provinces.insured_core.behaviours.set("2304", Switches(wrong_encoding=True), calls=1)
    settled = await two_provinces.hospital.settle(stay)
    assert settled.is_success, "5203 tells what the garbled answer did not"
    assert two_provinces.insured_core.requests[-2:] == ["2304", "5203"]


async def test_a_code_for_doubt_in_the_profile_is_no_refusal(tmp_path: Path) -> None:
    async with country(tmp_path, codes_in_doubt=frozenset({"-1"})) as running:
        stay = await running.ready_to_settle()
        assert (await running.hospital.settle(stay)).is_success
        answer = await running.hospital.settle(stay)
        assert answer.code == -1, "the core's -1 does not say whether it acted"


async def test_a_reversal_that_overtakes_its_original_buries_it(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement = two_provinces.insured.settlement
    first = await settlement.Reverse(_reverse(request, message_id), _context(new_message_id(_now_ms())))
    second = await settlement.Reverse(_reverse(request, message_id), _context(new_message_id(_now_ms())))
    assert first.result == settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED
    assert first == second, "a second reversal answers the same"
    with pytest.raises(OneCardError) as refused:
        await settlement.Settle(request, _context(message_id))
    assert refused.value.reason == errors_pb2.ERROR_REASON_NEVER_EXECUTED
    assert "2601" not in two_provinces.insured_core.requests
    assert two_provinces.insured_core.benefits.settlements == []


async def test_a_query_that_overtakes_its_original_buries_it_too(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement = two_provinces.insured.settlement
    told = await settlement.QuerySettlement(_query(request, message_id), _context(new_message_id(_now_ms())))
    assert told.finding == settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND
    with pytest.raises(OneCardError) as refused:
        await settlement.Settle(request, _context(message_id))
    assert refused.value.reason == errors_pb2.ERROR_REASON_NEVER_EXECUTED


async def test_a_reversed_settlement_is_told_as_undone(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement = two_provinces.insured.settlement
    settled = await settlement.Settle(request, _context(message_id))
    told = await settlement.QuerySettlement(_query(request, message_id), _context(new_message_id(_now_ms())))
    assert told.finding == settlement_pb2.SETTLEMENT_FINDING_EXECUTED
    assert told.settlement == settled
    reversal = await settlement.Reverse(_reverse(request, message_id), _context(new_message_id(_now_ms())))
    again = await settlement.Reverse(_reverse(request, message_id), _context(new_message_id(_now_ms())))
    assert reversal.result == settlement_pb2.REVERSAL_RESULT_REVERSED
    assert again == reversal
    told = await settlement.QuerySettlement(_query(request, message_id), _context(new_message_id(_now_ms())))
    assert told.finding == settlement_pb2.SETTLEMENT_FINDING_UNDONE


async def test_a_settlement_is_found_by_its_own_id_where_the_asker_knows_no_other(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement = two_provinces.insured.settlement
    settled = await settlement.Settle(request, _context(message_id))
    question = _query(request, message_id)
    question.original_id = ""
    question.settlement_id = settled.settlement_id
    told = await settlement.QuerySettlement(question, _context(new_message_id(_now_ms())))
    assert told.settlement == settled
    question.settlement_id = "A510100990000000001"
    with pytest.raises(OneCardError) as refused:
        await settlement.QuerySettlement(question, _context(new_message_id(_now_ms())))
    assert refused.value.reason == errors_pb2.ERROR_REASON_SETTLEMENT_UNKNOWN


async def test_a_reversal_after_a_crash_in_mid_reversal_is_answered_as_done(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement = two_provinces.insured.settlement
    await settlement.Settle(request, _context(message_id))
    two_provinces.insured_core.behaviours.set("2601", Switches(lose_answer=True), calls=1)
    reversal_id = new_message_id(_now_ms())
    with pytest.raises(OutcomeInDoubt):
        await settlement.Reverse(_reverse(request, message_id), _context(reversal_id, method=trades.REVERSE))
    done = await settlement.Reverse(
        _reverse(request, message_id), _context(reversal_id, method=trades.REVERSE, is_recovery=True)
    )
    assert done.result == settlement_pb2.REVERSAL_RESULT_REVERSED
    assert two_provinces.insured_core.requests.count("2601") == 1


async def test_a_reversal_that_the_core_refuses_because_it_is_done_is_answered_as_done(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement, core = two_provinces.insured.settlement, two_provinces.insured_core
    await settlement.Settle(request, _context(message_id))
    reverse = core._trades["2601"]

    def done_by_an_attempt_before(head: Any, content: Any) -> dict[str, Any]:
        reverse(head, content)
        raise Refused("该交易已冲正")

    core._trades["2601"] = done_by_an_attempt_before
    done = await settlement.Reverse(_reverse(request, message_id), _context(new_message_id(_now_ms())))
    assert done.result == settlement_pb2.REVERSAL_RESULT_REVERSED
    assert core.requests[-3:] == ["5203", "2601", "5203"]


async def test_a_core_that_is_declared_to_reverse_is_not_asked_by_5203(tmp_path: Path) -> None:
    recovery = {"settlement": "reverse", "others": "repeat", "conclusive_after_ms": 0}
    async with country(tmp_path, insured={"recovery": recovery}) as running:
        _, request, message_id = await _request(running)
        settlement, core = running.insured.settlement, running.insured_core
        del core._trades["5203"]
        await settlement.Settle(request, _context(message_id))
        core.behaviours.set("2601", Switches(lose_answer=True), calls=1)
        reversal_id = new_message_id(_now_ms())
        with pytest.raises(OutcomeInDoubt):
            await settlement.Reverse(_reverse(request, message_id), _context(reversal_id))
        done = await settlement.Reverse(_reverse(request, message_id), _context(reversal_id, is_recovery=True))
        assert done.result == settlement_pb2.REVERSAL_RESULT_REVERSED
        assert not any(record.is_standing for record in core.benefits.settlements)


async def test_the_msgid_is_of_the_published_form_and_kept_before_the_call(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settle, core = two_provinces.insured.settlement.Settle, two_provinces.insured_core
    core.behaviours.set("2304", Switches(down=True), calls=1)
    with pytest.raises(OutcomeInDoubt):
        await settle(request, _context(message_id))
    encounter_id = request.terms.encounter.encounter_id
    found = two_provinces.insured_memory.find_transactions_of_encounter(encounter_id, trades.SETTLE)
    (kept,) = (item.attributes["local_id"] for item in found if item.message_id == message_id)
    assert re.fullmatch(r"S51000099901\d{14}\d{4}", kept)
    await settle(request, _context(message_id, is_recovery=True))
    assert [record.msgid for record in core.benefits.settlements] == [kept]


async def test_a_reversal_that_the_core_refuses_is_refused_with_its_text(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    first = (await hospital.settle(stay)).output["setlinfo"]["setl_id"]
    msgid = hospital.new_msgid()
    assert (await hospital.cancel(stay, first, msgid=msgid)).is_success
    assert (await hospital.settle(stay)).is_success
    answer = await hospital.reverse(stay, msgid, "2305")
    assert answer.text.startswith("[REVERSAL_REFUSED]"), answer.text
    assert "撤销不可冲正" in answer.text


async def test_a_query_while_the_core_is_down_is_in_doubt(two_provinces: Country) -> None:
    _, request, message_id = await _request(two_provinces)
    settlement = two_provinces.insured.settlement
    await settlement.Settle(request, _context(message_id))
    await two_provinces.insured_core.stop()
    told = await settlement.QuerySettlement(_query(request, message_id), _context(new_message_id(_now_ms())))
    assert told.finding == settlement_pb2.SETTLEMENT_FINDING_IN_DOUBT


async def test_a_core_that_is_down_refuses_and_a_query_then_finds_nothing(two_provinces: Country) -> None:
    stay = await two_provinces.ready_to_settle()
    await two_provinces.insured_core.stop()
    answer = await two_provinces.hospital.settle(stay)
    assert answer.text.startswith("[LOCAL_SYSTEM_DOWN]"), answer.text
    assert answer.code == -2
