"""What is tested is what a user gets: the installed package, with everything that is not a Python file."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = {
    "onecard": "proto/python",
    "onecard_protocol": "proto/python",
    "onecard_broker": "broker",
    "onecard_adapters": "adapters",
    "onecard_stubs": "province-stubs",
}


def installed_root() -> Path:
    """The folder that the distribution is installed in; skips at a desk that works on the tree itself."""
    try:
        distribution = importlib.metadata.distribution("onecard")
    except importlib.metadata.PackageNotFoundError:
        if os.environ.get("TESTS_NEED_INSTALLED"):
            raise
        pytest.skip("onecard is not installed here; `make test` runs this against the installed package")
    return Path(str(distribution.locate_file("")))


@pytest.mark.parametrize("package", SOURCES)
def test_tests_import_the_installed_package_and_not_the_source_tree(package: str) -> None:
    root = installed_root()
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(root)
    assert Path(module.__file__).is_relative_to(sys.prefix)


@pytest.mark.parametrize(("package", "folder"), SOURCES.items())
def test_every_source_file_is_installed_unchanged(package: str, folder: str) -> None:
    root = installed_root()
    sources = [
        path
        for path in (REPOSITORY / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    assert sources
    for source in sources:
        installed = root / source.relative_to(REPOSITORY / folder)
        assert installed.is_file(), f"{source.relative_to(REPOSITORY)} is not in the package"
        assert installed.read_bytes() == source.read_bytes(), f"{installed} is older than its source"


def test_every_declared_command_can_be_loaded() -> None:
    installed_root()
    declared = importlib.metadata.entry_points(group="onecard.commands")
    assert {"keys", "message"} <= declared.names
    for entry_point in declared:
        entry_point.load()


def test_the_program_onecard_starts_the_loader() -> None:
    installed_root()
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="onecard")
    assert callable(script.load())
