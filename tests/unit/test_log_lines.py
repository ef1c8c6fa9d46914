"""Log lines say when, in the time that screens show, wherever the machine stands."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import onecard_adapters
import onecard_broker
import onecard_protocol
import onecard_stubs
from onecard_protocol.running import LogLine


@pytest.fixture(params=["America/New_York", "Asia/Shanghai", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_a_line_tells_the_time_of_shanghai_with_its_offset() -> None:
    record = logging.LogRecord("onecard.calls", logging.INFO, "f", 1, "%d lost", (0,), None)
    record.created = 1_795_858_957.123

    assert LogLine().format(record) == "2026-11-28 17:42:37.123+08:00 INFO onecard.calls: 0 lost"


def test_no_program_makes_log_lines_of_its_own() -> None:
    packages = (onecard_adapters, onecard_broker, onecard_protocol, onecard_stubs)
    files = [file for package in packages for file in Path(package.__path__[0]).rglob("*.py")]
    assert [file.name for file in files if "logging.basicConfig" in file.read_text("utf-8")] == ["running.py"]
