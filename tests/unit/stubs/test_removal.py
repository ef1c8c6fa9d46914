"""A directory that something still writes into is removed all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onecard_stubs.dev.removal import remove_directory


def test_a_directory_that_was_written_into_meanwhile_is_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "country"
    (directory / "postgres").mkdir(parents=True)
    remove, left = shutil.rmtree, [True, True]

    def remove_and_be_written_into(path: Path, ignore_errors: bool) -> None:
        remove(path, ignore_errors=ignore_errors)
        if left:
            left.pop()
            (path / "postgres").mkdir(parents=True)

    monkeypatch.setattr(shutil, "rmtree", remove_and_be_written_into)
    remove_directory(directory)
    assert not directory.exists()
    assert left == []


def test_what_is_not_there_is_no_mistake(tmp_path: Path) -> None:
    remove_directory(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
