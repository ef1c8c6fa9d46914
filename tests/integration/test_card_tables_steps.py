"""Steps of replacements at Beijing's tables: carried out once, undone, refused, worked off by the office."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from onecard.card.v1 import replacement_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.card_tables import office as card_office
from onecard_adapters.dialects.card_tables import steps
from onecard_adapters.dialects.card_tables.steps import Steps
from onecard_adapters.runtime.context import Refused
from onecard_protocol.errors import OneCardError
from tests.support.card_desk import Registry, make_card, standing, states
from tests.support.card_tables import PERSON, insert, insert_card
from tests.support.card_tables_office import asked_step, office
from tests.support.eventually import eventually

pytest_plugins = ("tests.support.engines", "tests.support.card_tables_databases")

OTHER = "11010519491231002X"


async def test_the_old_card_is_superseded_once_and_its_end_is_told(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1, aaz502=2)
    async with office(tmp_path, url) as (world, made):
        await eventually(lambda: len(world.submitted) == 1)
        first, again = await made.carry_out(asked_step()), await made.carry_out(asked_step())
        assert (first.was_already, again.was_already) == (False, True)
        assert first.done_time == again.done_time
        await eventually(lambda: len(world.submitted) == 2)
        assert world.social()[-1][2:] == ("SUPERSEDED", "SUPERSEDED")
        found = await made.find(asked_step().old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_SUPERSEDED
        back = await made.carry_out(asked_step(direction=replacement_pb2.STEP_DIRECTION_BACK))
        assert not back.was_already
        await eventually(lambda: len(world.submitted) == 3)
        assert world.social()[-1][3] == "LOST"


@pytest.mark.parametrize(
    "step",
    [replacement_pb2.REPLACEMENT_STEP_OLD_SUPERSEDED, replacement_pb2.REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED],
)
async def test_what_was_never_done_is_undone_at_once_and_never_carried_out_later(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine, step: replacement_pb2.ReplacementStep
) -> None:
    insert_card(engine, 1)
    async with office(tmp_path, url, step_wait_ms=100) as (_, made):
        back = asked_step(step, replacement_pb2.STEP_DIRECTION_BACK)
        first, again = await made.carry_out(back), await made.carry_out(back)
        assert first.done_time == again.done_time
        with pytest.raises(OneCardError) as late:
            await made.carry_out(asked_step(step))
        assert late.value.reason == errors_pb2.ERROR_REASON_REPLACEMENT_UNDONE
        found = await made.find(asked_step().old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_ACTIVE


async def test_the_undoing_of_a_step_that_was_refused_is_done_at_once(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    step = replacement_pb2.REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED
    async with office(tmp_path, url, step_wait_ms=100) as (_, made):
        with pytest.raises(OneCardError):
            await made.carry_out(asked_step(step))
        _work_off(engine, state="REFUSED", reason="账户冻结")
        assert (await made.carry_out(asked_step(step, replacement_pb2.STEP_DIRECTION_BACK))).was_already


async def test_a_confirmation_that_cannot_be_read_is_marked_and_the_others_are_told(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    for number, bank in (("01" * 16, "77777"), ("02" * 16, "102")):
        _insert_confirmed(engine, number, bank)
    async with office(tmp_path, url) as (world, _):
        await eventually(lambda: _states(engine) == ["REFUSED", "TOLD"])
        assert [request.replacement_id for request in world.registry.confirmed] == ["02" * 16]
        assert _reasons(engine)[0].startswith("[UNMAPPED_CODE] ")
        assert "代码" in _reasons(engine)[0]


async def test_a_confirmation_that_the_hub_refuses_says_why_in_chinese(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    registry = Registry()
    registry.failure = OneCardError(errors_pb2.ERROR_REASON_REPLACEMENT_UNDONE)
    _insert_confirmed(engine, "01" * 16, "102")
    async with office(tmp_path, url, registry):
        await eventually(lambda: _states(engine) == ["REFUSED"])
        assert _reasons(engine) == ["[REPLACEMENT_UNDONE] 新卡已注销，该换卡业务已撤回。"]


async def test_an_unforeseen_failure_of_a_confirmation_is_logged_by_its_kind_and_tried_again(
    tmp_path: Path,
    url: str,
    engine: sqlalchemy.Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told, failures = Steps.told, [RuntimeError(PERSON)]

    def fails_once(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        told(*arguments)

    monkeypatch.setattr(Steps, "told", fails_once)
    monkeypatch.setattr(card_office, "_CONFIRM_RETRY_S", 0.05)
    _insert_confirmed(engine, "01" * 16, "102")
    async with office(tmp_path, url):
        await eventually(lambda: _states(engine) == ["TOLD"])
    assert "benefit accounts failed: RuntimeError" in caplog.text
    assert PERSON not in caplog.text


class _InDoubtOfOne(Registry):
    async def ConfirmBenefitAccount(  # noqa: N802
        self, request: replacement_pb2.ConfirmBenefitAccountRequest, context: object
    ) -> replacement_pb2.ConfirmBenefitAccountResponse:
        if request.replacement_id == "01" * 16:
            raise OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN)
        return await super().ConfirmBenefitAccount(request, context)


@pytest.mark.parametrize("page_count", [1, 100])
async def test_a_confirmation_that_keeps_failing_keeps_no_others_from_being_told(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine, page_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "CONFIRMED_MAX", page_count)
    monkeypatch.setattr(card_office, "_CONFIRM_RETRY_S", 0.05)
    for number in ("01" * 16, "02" * 16):
        _insert_confirmed(engine, number, "102")
    async with office(tmp_path, url, _InDoubtOfOne()):
        await eventually(lambda: _states(engine) == ["CONFIRMED", "TOLD"])


async def test_a_card_that_ended_before_is_left_as_it_is(tmp_path: Path, url: str, engine: sqlalchemy.Engine) -> None:
    insert_card(engine, 1, aaz502=9)
    async with office(tmp_path, url) as (_, made):
        assert (await made.carry_out(asked_step())).was_already
        assert (await made.carry_out(asked_step(direction=replacement_pb2.STEP_DIRECTION_BACK))).was_already
        found = await made.find(asked_step().old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_CANCELLED


async def test_other_steps_are_the_local_systems_work(tmp_path: Path, url: str, engine: sqlalchemy.Engine) -> None:
    request = asked_step(replacement_pb2.REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED)
    async with office(tmp_path, url, step_wait_ms=100) as (_, made):
        with pytest.raises(OneCardError) as waiting:
            await made.carry_out(request)
        assert waiting.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
        _work_off(engine, state="DONE", local_id="T1")
        done = await made.carry_out(request)
        assert done.local_id == "T1"
        _work_off(engine, state="REFUSED", reason="账户冻结")
        with pytest.raises(Refused) as refused:
            await made.carry_out(request)
        assert refused.value.local_text == "账户冻结"


async def test_a_step_that_was_refused_is_open_again_when_it_is_asked_for_once_more(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    request = asked_step(replacement_pb2.REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND)
    async with office(tmp_path, url, step_wait_ms=0) as (_, made):
        for _ in range(2):
            with pytest.raises(OneCardError) as waiting:
                await made.carry_out(request)
            assert waiting.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
            assert _states(engine) == ["OPEN"]
            _work_off(engine, state="REFUSED", reason="系统停机")
            with pytest.raises(Refused) as refused:
                await made.carry_out(request)
            assert refused.value.local_text == "系统停机"
        with pytest.raises(OneCardError):
            await made.carry_out(request)
        _work_off(engine, state="DONE", local_id="T1")
        assert (await made.carry_out(request)).local_id == "T1"


async def test_a_card_that_the_tables_do_not_hold_is_unknown(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    async with office(tmp_path, url) as (_, made):
        with pytest.raises(OneCardError) as unknown:
            await made.carry_out(asked_step(number="A99000077"))
        assert unknown.value.reason == errors_pb2.ERROR_REASON_CARD_UNKNOWN
        assert await made.find(asked_step().old_card) is None


@pytest.mark.parametrize("known", [None, "CANCELLED"])
async def test_a_card_of_another_person_is_not_ended(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine, known: str | None
) -> None:
    insert_card(engine, 1)
    registry, request = Registry(), asked_step(person=OTHER)
    if known is not None:
        registry.standings["A99000001"] = standing(make_card("A99000001", state=states(known)[0]), version=2)
    async with office(tmp_path, url, registry, step_wait_ms=0) as (_, made):
        with pytest.raises(OneCardError) as unknown:
            await made.carry_out(request)
        assert unknown.value.reason == errors_pb2.ERROR_REASON_CARD_UNKNOWN
        assert registry.asked[-1].questions[0].person == request.person
        found = await made.find(request.old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_ACTIVE
        registry.freshness = status_pb2.FRESHNESS_STALE
        with pytest.raises(OneCardError) as stale:
            await made.carry_out(request)
        assert stale.value.reason == errors_pb2.ERROR_REASON_HUB_NOT_READY


async def test_a_card_under_a_former_number_of_its_person_is_ended(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1)
    registry = Registry()
    registry.standings["A99000001"] = standing(make_card("A99000001", state=states("SUPERSEDED")[0]), version=1)
    async with office(tmp_path, url, registry, step_wait_ms=0) as (_, made):
        assert not (await made.carry_out(asked_step(person=OTHER))).was_already
        found = await made.find(asked_step().old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_SUPERSEDED


def _work_off(engine: sqlalchemy.Engine, **values: Any) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"UPDATE onecard_task SET {changes}"), values)


def _insert_confirmed(engine: sqlalchemy.Engine, replacement_id: str, bank: str) -> None:
    insert(
        engine,
        "onecard_task",
        replacement_id=replacement_id,
        step="待遇发放账户变更",
        direction="FORWARD",
        aac002=PERSON,
        aac058="01",
        state="CONFIRMED",
        aae008=bank,
    )


def _states(engine: sqlalchemy.Engine) -> list[str]:
    return _tasks(engine, "state")


def _reasons(engine: sqlalchemy.Engine) -> list[str]:
    return _tasks(engine, "reason")


def _tasks(engine: sqlalchemy.Engine, column: str) -> list[str]:
    with engine.begin() as connection:
        statement = sqlalchemy.text(f"SELECT {column} FROM onecard_task ORDER BY replacement_id")
        return list(connection.execute(statement).scalars())
