"""The Go example by itself: its own tests, its form, and that its generated code belongs to the .proto files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.go_programs import BUILD_SECONDS, FOLDER, go

pytestmark = [pytest.mark.needs("go"), pytest.mark.timeout(400)]


def generated(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.pb.go")}


def test_the_examples_own_tests_pass() -> None:
    go("vet", "./...")
    assert "ok" in go("test", ".")


def test_the_sources_are_in_gos_own_format() -> None:
    ended = subprocess.run(
        ["gofmt", "-l", "."], cwd=FOLDER, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    ended = subprocess.run(
        [FOLDER / "generate", tmp_path],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    fresh = generated(tmp_path)
    assert fresh
    assert generated(FOLDER) == fresh, "run docs/examples/go/generate and commit the result"
