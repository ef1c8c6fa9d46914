"""The locks name every version with its hashes and no place to fetch them from: that is each site's own setting."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON_LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
PINNED = re.compile(r"^([a-z0-9._-]+)==([^ ]+)( ; [^\\]+)? \\$")


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions of each package in a lock; more than one where platforms differ."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := PINNED.match(line):
            found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=lambda path: path.name)
def test_every_python_requirement_is_pinned_with_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert blocks
    for block in blocks:
        assert PINNED.match(block.splitlines()[0]), block.splitlines()[0]
        assert "--hash=sha256:" in block


def test_the_run_lock_and_the_installer_lock_agree_with_the_development_lock() -> None:
    everything = pins(REPOSITORY / "requirements" / "dev.txt")
    for name in ("run.txt", "installer.txt"):
        for package, versions in pins(REPOSITORY / "requirements" / name).items():
            assert everything[package] == versions


def test_the_npm_lock_has_integrity_hashes_and_names_no_address() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert packages
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
