"""The loader of the commands: lists without importing, leaves out and names what is incomplete, explains errors."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from onecard_protocol import cli
from onecard_protocol.explained import ExitCode


def entry(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, cli.GROUP)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, importlib.metadata.EntryPoint]:
    """Commands of modules that exist only here."""
    module = tmp_path / "example_commands.py"
    module.write_text(
        '"""`onecard example`: does what an example does."""\n'
        "import typer\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def example(count: int = 1, fail: str = '') -> None:\n"
        "    'Run.\\n\\n    More of it, in two lines\\n    of source.'\n"
        "    if fail == 'port':\n"
        "        raise OSError(98, 'Address already in use')\n"
        "    if fail == 'secret':\n"
        "        raise ValueError('11010519491231002X')\n"
        "    print('ran', count)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {"example": entry("example", "example_commands:app")}
    monkeypatch.setattr(cli, "find_commands", lambda: found)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("ONECARD_DEBUG", raising=False)
    return found


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


def test_a_command_runs_with_its_own_options(commands: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("example", "--count", "3") == ExitCode.DONE
    assert capsys.readouterr().out == "ran 3\n"


ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("message show abc", "no id: 32 hex digits"),
        (f"message show {ID} --raw .", ". is not empty"),
        (f"message trace {ID} abc", "no id: 32 hex digits"),
        ("card saga zzz", "no id: 32 hex digits"),
        ("card ask-again zzz --cause x", "no id: 32 hex digits"),
        (f"card ask-again {ID} --cause ", "--cause must not be empty"),
        ("card drift cn-99", "'cn-99' is no province's code"),
        ("card cases --reveal", "--reveal needs --reason"),
        ("card show", "--person-number or by --subject"),
        ("card show --subject abc", "64 hex digits"),
        (f"card show --subject {'ab' * 32} --reveal", "--reveal needs --reason"),
        ("deadletter replay abc --cause x", "no id: 32 hex digits"),
        ("deadletter discard abc --cause x", "no id: 32 hex digits"),
    ],
)
def test_words_that_are_wrong_are_a_wrong_command_line_before_a_configuration_is_read(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    words = line.split(" ")
    assert run(*words, "--config", "absent.yaml") == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert told in shown
    assert f"`onecard {' '.join(words[:2])} --help`" in shown


def test_the_list_of_commands_tells_what_each_does_without_importing_it(
    commands: object, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.modules.pop("example_commands", None)
    assert run("--help") == ExitCode.DONE
    assert "Does what an example does." in capsys.readouterr().out
    assert "example_commands" not in sys.modules


def test_a_part_without_its_dependencies_is_left_out_and_named(
    commands: dict[str, importlib.metadata.EntryPoint],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands["hub"] = entry("hub", "onecard_broker.commands.hub:app")
    monkeypatch.setitem(cli.NEEDED_MODULES, "onecard_broker", ("hub", ("module_that_nobody_has",)))
    run("--help")
    listed, left_out = capsys.readouterr().out.split("Left out")
    assert "example" in listed
    assert "hub" not in listed
    assert "module_that_nobody_has" in left_out
    assert "onecard[hub]" in left_out


def test_calling_a_command_of_an_incomplete_part_says_how_to_complete_it(
    commands: dict[str, importlib.metadata.EntryPoint],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands["hub"] = entry("hub", "onecard_broker.commands.hub:app")
    monkeypatch.setitem(cli.NEEDED_MODULES, "onecard_broker", ("hub", ("module_that_nobody_has",)))
    assert run("hub", "worker") == ExitCode.NOT_SET_UP
    assert "pip install 'onecard[hub]'" in capsys.readouterr().err


def test_the_lines_of_a_paragraph_of_help_are_joined(commands: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("example", "--help") == ExitCode.DONE
    assert "in two lines of source" in capsys.readouterr().out


def test_an_unknown_command_is_a_mistake_of_the_command_line(
    commands: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("nothing") == ExitCode.USAGE
    assert "'nothing'" in capsys.readouterr().err


def test_an_unknown_option_of_a_command_is_a_mistake_of_the_command_line(commands: object) -> None:
    assert run("example", "--nonsense") == ExitCode.USAGE


def test_an_error_is_told_without_a_traceback(commands: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("example", "--fail", "port") == ExitCode.NOT_SET_UP
    error = capsys.readouterr().err
    assert "A port is taken" in error
    assert "Traceback" not in error


def test_with_debug_the_traceback_stands_before_the_explanation(
    commands: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONECARD_DEBUG", "")
    assert run("--debug", "example", "--fail", "port") == ExitCode.NOT_SET_UP
    error = capsys.readouterr().err
    assert error.index("Traceback") < error.index("A port is taken")


def test_an_error_that_nobody_foresaw_does_not_quote_its_text(
    commands: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("example", "--fail", "secret") == ExitCode.FAULT
    error = capsys.readouterr().err
    assert "ValueError" in error
    assert "110105" not in error


def test_a_chinese_locale_gets_chinese(
    commands: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run("example", "--fail", "port") == ExitCode.NOT_SET_UP
    error = capsys.readouterr().err
    assert "端口已被其他程序占用" in error
    assert "怎么办" in error


def test_the_list_of_commands_loads_neither_grpc_nor_kafka() -> None:
    """In a process of its own, with the commands that are really declared."""
    code = (
        "import sys\n"
        "from onecard_protocol.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    loaded = {'grpc', 'kafka', 'psycopg', 'aiohttp', 'pydantic'} & sys.modules.keys()\n"
        "    print('loaded:', sorted(loaded))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert "loaded: []" in finished.stdout


def test_what_a_part_needs_comes_with_its_extra() -> None:
    """Otherwise a fresh installation leaves the part out."""
    distributions = importlib.metadata.packages_distributions()
    for extra, modules in cli.NEEDED_MODULES.values():
        pattern = re.compile(rf"([\w-]+).*extra == '{extra}'")
        found = [pattern.match(requirement) for requirement in importlib.metadata.requires("onecard") or ()]
        declared = {match[1] for match in found if match}
        for module in modules:
            assert declared.intersection(distributions.get(module, [])), f"{module} does not come with onecard[{extra}]"
