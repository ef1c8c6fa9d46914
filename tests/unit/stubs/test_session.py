"""Where a country's files lie, and whether they stay: logs that a person is sent to are never thrown away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from onecard_protocol.explained import Explained
from onecard_stubs.dev import session


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_temporary_place_goes_when_all_went_well() -> None:
    with session._place(None, keep=False) as place:
        (place.path / "gateway-1.log").touch()
    assert not place.path.exists()


def test_a_temporary_place_stays_when_asked_to() -> None:
    with session._place(None, keep=True) as place:
        pass
    assert place.path.exists()


def fail(error: BaseException, *, with_log: bool) -> None:
    with session._place(None, keep=False) as place:
        if with_log:
            (place.path / "gateway-1.log").touch()
        raise error


def test_the_logs_of_a_failure_stay(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail(RuntimeError(), with_log=True)
    assert len(list(tmp_path.glob("onecard-*/gateway-1.log"))) == 1


def test_a_failure_without_logs_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail(RuntimeError(), with_log=False)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(asyncio.CancelledError):
        fail(asyncio.CancelledError(), with_log=True)
    assert list(tmp_path.iterdir()) == []


def test_a_named_directory_is_made_and_always_stays(tmp_path: Path) -> None:
    with session._place(tmp_path / "new", keep=False) as place:
        pass
    assert place.path == (tmp_path / "new").resolve()
    assert place.path.exists()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_named_as_the_directory_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(Explained, match="A file stands where the directory"),
        session._place(tmp_path / name, keep=False),
    ):
        pass


def test_a_named_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(Explained, match="not empty"), session._place(tmp_path, keep=False):
        pass
