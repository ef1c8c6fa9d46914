"""With `--json` a drill prints one object whatever happens: its figures, or what stopped it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onecard_protocol.explained import ExitCode, Text
from onecard_stubs.commands import scenario as command
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.result import Report, Scenario
from tests.support.country import country_with, onecard


def test_a_country_that_is_not_there_is_told_in_the_object_too(tmp_path: Path) -> None:
    ended = onecard("scenario", "run", "medical", "--directory", str(tmp_path), "--json")

    assert ended.code == ExitCode.NOT_SET_UP
    told = ended.json()
    assert told["scenario"] == "medical"
    assert told["error"]["exit_code"] == ExitCode.NOT_SET_UP
    assert "onecard dev up" in told["error"]["remedy"]
    assert "onecard dev up" in ended.errors


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--scenario", "nothing"), "USAGE"),
        (("--scenario", "medical", "--provinces", "cn-44"), "USAGE"),
        (("--scenario", "medical", "--brokers", "3"), "USAGE"),
        (("--scenario", "medical", "--directory", "."), "NOT_SET_UP"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_country_that_cannot_come_up_is_told_in_the_object_too(options: tuple[str, ...], reason: str) -> None:
    ended = onecard("dev", "up", *options, "--json")

    assert ended.code == ExitCode[reason]
    assert ended.json()["error"]["reason"] == reason


def test_a_fault_in_mid_drill_is_told_by_its_kind_and_without_its_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def fail(country: RunningCountry, report: Report) -> None:
        raise RuntimeError("11010519491231002X")

    drill = Scenario(name="failing", what=Text(en="fails", zh="失败"), provinces=(), run=fail)
    monkeypatch.setattr(command, "find_scenario", lambda name: drill)
    country_with(tmp_path).save()

    ended = CliRunner().invoke(command.app, ["run", "failing", "--directory", str(tmp_path), "--json"])

    assert isinstance(ended.exception, RuntimeError)
    told = json.loads(ended.stdout)
    assert told["scenario"] == "failing"
    assert (told["error"]["reason"], told["error"]["why"]) == ("FAULT", ["RuntimeError"])
