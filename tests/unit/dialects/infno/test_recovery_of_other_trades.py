"""After a crash no trade of the core is executed for the first time past execute_before (rules 10 and 11)."""

import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.context import ExchangeContext, Refused, local_transaction_id_of
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.identifiers import new_message_id
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong import records
from tests.support.infno_country import ADMITTED, ITEMS, Country, country

TRADES = {
    "2401": "Register",
    "2301": "UploadFeeLines",
    "2302": "WithdrawFeeLines",
    "2402": "Discharge",
    "2501": "File",
    "2502": "WithdrawFiling",
}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclasses.dataclass(slots=True)
class Asked:
    """A trade as the care side asks for it, caught before the core got it."""

    running: Country
    trade: str
    request: Any
    message_id: bytes

    async def attempt(self, *, is_recovery: bool = False, left_ms: int = 60_000) -> Any:
        context = ExchangeContext(
            sender="cn-44",
            method=TRADES[self.trade],
            message_id=self.message_id,
            is_recovery=is_recovery,
            local_transaction_id=local_transaction_id_of(self.message_id),
            execute_before_ms=_now_ms() + left_ms,
        )
        insured = self.running.insured
        servicer = insured.filing if self.trade in ("2501", "2502") else insured.encounter
        method: Callable[..., Awaitable[Any]] = getattr(servicer, TRADES[self.trade])
        return await method(self.request, context)

    @property
    def count(self) -> int:
        """How often the core was asked for it."""
        return self.running.insured_core.requests.count(self.trade)

    @property
    def executions(self) -> int:
        """How often it did it."""
        return sum(infno == self.trade for _, infno, _ in self.running.insured_core._answers)


@pytest.fixture(params=TRADES)
async def asked(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    trade = request.param
    async with country(tmp_path) as running:
        hospital, core = running.hospital, running.insured_core
        person, enrolment = running.employee()
        area = enrolment.insurance_area
        if trade in ("2301", "2302", "2402"):
            stay = await running.admitted()
        else:
            await hospital.sign_in()
            await hospital.identify(person, insurance_area=area)
        if trade == "2302":
            assert (await hospital.upload_fees(stay, ITEMS, day=ADMITTED)).is_success
        filing_id = running.file(person, enrolment)
        await core.stop()
        match trade:
            case "2401":
                # The place of care asks for coverage before it registers.
                await core.start()
                core.behaviours.set("2401", Switches(down=True))
                await hospital.admit(person, insurance_area=area, insurance_kind="310", number="ZY1", day=ADMITTED)
            case "2301":
                await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
            case "2302":
                await hospital.withdraw_all_fees(stay)
            case "2402":
                await hospital.discharge(stay, day=ADMITTED)
            case "2501":
                await hospital.refer(person, insurance_area=area, destination_area="440300", first_day=ADMITTED)
            case "2502":
                await hospital.withdraw_referral(person, insurance_area=area, filing_id=filing_id)
        if trade != "2401":
            await core.start()
        core.behaviours.clear()
        core.requests.clear()
        call = running.exchange.calls[-1]
        assert call.method.endswith(f"/{TRADES[trade]}")
        # The same request under an id of its own: nothing is known of it.
        yield Asked(running, trade, call.request, new_message_id(_now_ms()))


async def test_a_crash_before_the_core_was_asked_executes_only_within_the_time(asked: Asked) -> None:
    for _ in range(2):
        with pytest.raises(OneCardError) as refused:
            await asked.attempt(is_recovery=True, left_ms=0)
        assert refused.value.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    assert asked.count == 0
    await asked.attempt(is_recovery=True)
    assert asked.executions == 1


async def test_an_attempt_that_may_have_reached_the_core_is_repeated_only_within_the_time(asked: Asked) -> None:
    asked.running.insured_core.behaviours.set(asked.trade, Switches(down=True), calls=1)
    with pytest.raises(OutcomeInDoubt):
        await asked.attempt()
    with pytest.raises(OutcomeInDoubt, match="too late"):
        await asked.attempt(is_recovery=True, left_ms=0)
    assert (asked.count, asked.executions) == (1, 0)
    first = await asked.attempt(is_recovery=True)
    assert (asked.count, asked.executions) == (2, 1)
    again = await asked.attempt(is_recovery=True, left_ms=0)
    assert (again, asked.executions) == (first, 1), "what it is known to have executed is answered at any time"


async def test_an_attempt_that_the_core_refused_is_not_made_again_past_the_time(asked: Asked) -> None:
    core = asked.running.insured_core
    trade = core._trades[asked.trade]

    def refuse(head: Any, content: Any) -> dict[str, Any]:
        raise records.Refused("暂停受理")

    core._trades[asked.trade] = refuse
    with pytest.raises(Refused):
        await asked.attempt()
    core._trades[asked.trade] = trade
    with pytest.raises(OneCardError) as refused:
        await asked.attempt(is_recovery=True, left_ms=0)
    assert refused.value.reason == errors_pb2.ERROR_REASON_NOT_EXECUTED
    assert (asked.count, asked.executions) == (1, 0)
    # An attempt after a refusal may reach the core as any other.
    core.behaviours.set(asked.trade, Switches(down=True), calls=1)
    with pytest.raises(OutcomeInDoubt):
        await asked.attempt()
    with pytest.raises(OutcomeInDoubt, match="too late"):
        await asked.attempt(is_recovery=True, left_ms=0)
