"""A drill asks first whether its country runs, and whether those who take part in it are there."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from onecard_protocol.explained import ExitCode, Text, explain
from onecard_stubs.commands import scenario as command
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.control import NotDone
from onecard_stubs.scenarios.registry import SCENARIOS
from onecard_stubs.scenarios.result import Report, Scenario
from tests.support.country import country_with
from tests.support.eventually import eventually


@pytest.fixture(autouse=True)
def drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill of two provinces; an error of its own shows that it was played."""

    async def play(country: RunningCountry, report: Report) -> None:
        raise ZeroDivisionError

    drill = Scenario(name="card-lost", what=Text(en="plays", zh="演练"), provinces=("cn-11", "cn-45"), run=play)
    monkeypatch.setitem(SCENARIOS, "card-lost", drill)


def test_a_drill_is_played_where_its_country_runs_with_all_of_its_provinces(tmp_path: Path) -> None:
    country_with(tmp_path, "cn-45", "cn-51", "cn-11").save()
    with pytest.raises(ZeroDivisionError):
        command.run("card-lost", tmp_path)


def test_a_country_without_its_provinces_is_told_with_how_to_start_one(tmp_path: Path) -> None:
    country_with(tmp_path, "cn-44", "cn-45").save()
    with pytest.raises(Exception, match="needs cn-11 too") as raised:
        command.run("card-lost", tmp_path)
    told = explain(raised.value)
    assert told.exit_code is ExitCode.USAGE
    assert "onecard dev up --provinces cn-11,cn-45" in told.remedy.en
    assert "onecard dev up --provinces cn-11,cn-45" in told.remedy.zh


def test_a_country_whose_owner_has_ended_is_told_as_none(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        process = psutil.Process(owner.pid)
        country = country_with(tmp_path, "cn-11", "cn-45")
        dataclasses.replace(country, owner_id=owner.pid, owner_started=process.create_time()).save()
        RunningCountry.load(tmp_path).check_runs()
        owner.kill()
        # Nobody has asked for its exit code yet.
        asyncio.run(eventually(lambda: process.status() == psutil.STATUS_ZOMBIE))
        refuses_as_ended(tmp_path, owner.pid)
    refuses_as_ended(tmp_path, owner.pid)


def test_another_program_under_the_owners_pid_is_not_the_country(tmp_path: Path) -> None:
    country = country_with(tmp_path, "cn-11", "cn-45")
    dataclasses.replace(country, owner_started=country.owner_started - 60).save()
    refuses_as_ended(tmp_path, country.owner_id)


def refuses_as_ended(directory: Path, owner: int) -> None:
    with pytest.raises(Exception, match="No country runs in") as raised:
        command.run("card-lost", directory)
    told = explain(raised.value)
    assert told.exit_code is ExitCode.NOT_SET_UP
    assert str(owner) in told.why[0]
    assert "onecard dev up" in told.remedy.en


def test_a_step_that_failed_sends_to_the_logs_in_the_directory_of_the_country(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(country: RunningCountry, report: Report) -> None:
        raise NotDone(Text(en="Trade 2304 was not done.", zh="交易 2304 未完成。"), "refused")

    drill = Scenario(name="card-lost", what=Text(en="fails", zh="失败"), provinces=(), run=fail)
    monkeypatch.setitem(SCENARIOS, "card-lost", drill)
    country_with(tmp_path).save()
    with pytest.raises(Exception, match="Trade 2304 was not done") as raised:
        command.run("card-lost", tmp_path)
    told = explain(raised.value)
    assert (told.exit_code, told.why) == (ExitCode.REFUSED, ("refused",))
    for remedy in (told.remedy.en, told.remedy.zh):
        assert str(tmp_path) in remedy
        assert "--keep" not in remedy
