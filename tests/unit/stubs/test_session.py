"""Where a country's files lie, and whether they stay: logs that a person is sent to are never thrown away."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import ClassVar, NoReturn, cast

import pytest

from onecard_protocol.explained import Explained, Text
from onecard_stubs.dev import session, watching
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.processes import process_failure
from onecard_stubs.dev.running import RunningCountry
from tests.support.country import country_with


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


# ---- what ends during a drill ----------------------------------------------------------------------------------------


def ended(directory: Path) -> Explained:
    """What is told of a worker that was killed."""
    log = directory / "worker-1.log"
    log.write_text("the last thing it said\n", encoding="utf-8")
    return process_failure("worker-1", Text(en="was killed", zh="被终止"), log)


async def test_a_drill_ends_with_a_process_of_the_country_whichever_is_noticed_first(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def waits() -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    async def fails() -> bool:
        begun.set()
        raise ConnectionError

    async def notices() -> NoReturn:
        await begun.wait()
        await asyncio.sleep(0)
        raise ended(tmp_path)

    for drill in (waits, fails):
        begun.clear()
        with pytest.raises(Explained, match="The process worker-1 was killed") as caught:
            await watching.unless_ended(drill(), notices())
        assert caught.value.explanation.why == ("the last thing it said",)


async def test_a_drill_in_a_country_that_goes_on_gives_what_it_found_or_its_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    country = country_with(tmp_path)
    monkeypatch.setattr(watching, "_NOTICED_SECONDS", 0.01)

    async def finds() -> bool:
        return False

    async def fails() -> bool:
        raise ConnectionError

    assert await watching.unless_ended(finds(), country.watch()) is False
    with pytest.raises(ConnectionError):
        await watching.unless_ended(fails(), country.watch())


async def test_who_reads_of_a_country_is_told_why_it_ends(tmp_path: Path) -> None:
    country = country_with(tmp_path)
    country.save()
    explanation = ended(tmp_path).explanation
    country.save_end(explanation)

    with pytest.raises(Explained) as caught:
        await RunningCountry.load(tmp_path).watch()

    assert caught.value.explanation == explanation


async def test_what_ended_is_told_though_a_full_disk_takes_no_word_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Ending:
        names = ("worker-1",)
        process_ids: ClassVar[dict[str, int]] = {}

        def failure(self, _: str) -> Explained:
            return ended(tmp_path)

    monkeypatch.setattr("onecard_stubs.dev.running.write_whole", full)
    with pytest.raises(Explained, match="The process worker-1 was killed"):
        await watching.watch(cast("Country", Ending()), country_with(tmp_path), lambda _: None)
