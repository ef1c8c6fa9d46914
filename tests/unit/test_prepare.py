"""tools/prepare on a machine that cannot run the product: it says so at once, in both languages, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PREPARE = Path(__file__).parents[2] / "tools" / "prepare"
PYTHONS = ("python3", "python3.11", "python3.12", "python3.13")


class Machine:
    """A tree with nothing but the script, and programs that stand before those of the real machine."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.programs = folder / "programs"
        (self.tree / "tools").mkdir(parents=True)
        self.programs.mkdir()
        shutil.copy(PREPARE, self.tree / "tools" / "prepare")

    def program(self, name: str, script: str) -> None:
        file = self.programs / name
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def platform(self, system: str, machine: str) -> None:
        self.program("uname", f'case "$1" in -s) echo {system} ;; -m) echo {machine} ;; esac')

    def prepare(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHON"}
        return subprocess.run(
            [self.tree / "tools" / "prepare", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
            env=variables | {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}"},
        )

    def assert_refused(self, *says: str) -> None:
        ended = self.prepare("run")
        assert ended.returncode == 1
        assert ended.stdout == ""
        for text in says:
            assert text in ended.stderr
        assert [file.name for file in self.tree.iterdir()] == ["tools"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.platform("Linux", "x86_64")
    return machine


@pytest.mark.parametrize(
    ("system", "architecture"), [("Linux", "aarch64"), ("FreeBSD", "amd64"), ("MINGW64_NT-10.0", "x86_64")]
)
def test_another_platform_is_refused_by_its_name(machine: Machine, system: str, architecture: str) -> None:
    machine.platform(system, architecture)

    machine.assert_refused(
        f"this machine is {system} {architecture}.", f"本机是 {system} {architecture}。", "docker run"
    )


@pytest.mark.parametrize(("system", "architecture"), [("Linux", "x86_64"), ("Darwin", "x86_64"), ("Darwin", "arm64")])
def test_a_platform_that_is_supported_comes_as_far_as_its_python(
    machine: Machine, system: str, architecture: str
) -> None:
    machine.platform(system, architecture)
    for name in PYTHONS:
        machine.program(name, '[ "$1" = --version ] && echo "Python 3.10.12" && exit; exit 1')

    machine.assert_refused(
        "needs Python 3.11, 3.12 or 3.13; this machine has: Python 3.10.12.",
        "本机为:Python 3.10.12。",
        "apt-get install python3 python3-venv",
    )


def test_a_machine_without_python_is_told_so(machine: Machine) -> None:
    for name in PYTHONS:
        machine.program(name, "exit 127")

    machine.assert_refused("this machine has: no python3.")


def test_a_python_whose_venv_is_not_complete_is_told_with_the_package_that_mends_it(machine: Machine) -> None:
    machine.program(
        "python3",
        'case "$1" in --version) echo "Python 3.12.3" ;; -m) echo "ensurepip is not available"; exit 1 ;; esac',
    )

    machine.assert_refused("ensurepip is not available", "apt-get install python3-venv", "缺少 venv 模块")


def test_an_unknown_word_is_answered_with_the_usage(machine: Machine) -> None:
    ended = machine.prepare("everything")

    assert ended.returncode == 1
    assert "usage: tools/prepare run|dev|project" in ended.stderr
