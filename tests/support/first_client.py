"""The Go program of docs/examples/go, built once a session.

A test module takes the fixture with `pytest_plugins = ("tests.support.first_client",)` and does not import this module;
names to import are in tests/support/go_programs.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.go_programs import go


@pytest.fixture(scope="session")
def first_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program; takes half a minute where Go has never built it, downloads aside."""
    program = tmp_path_factory.mktemp("go") / "first-client"
    go("build", "-o", str(program), ".")
    return program
