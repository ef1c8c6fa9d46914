"""The access log's file: JSON lines, and a new file when the platform has moved the old one away."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from onecard_broker.gateway.access_log import access_log, log_access, log_refused_access, write_access_log
from onecard_protocol.errors import OneCardError, reason_name


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers, level, propagates = list(access_log.handlers), access_log.level, access_log.propagate
    yield
    for handler in access_log.handlers:
        handler.close()
    access_log.handlers[:] = handlers
    access_log.setLevel(level)
    access_log.propagate = propagates


def lines_of(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_each_line_is_json_and_goes_on_in_a_new_file_after_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    write_access_log(file)
    log_access("cn-45", "/a/B", {"purpose": "counter", "subjects": ["ab"]})
    file.rename(tmp_path / "access.log.1")

    log_refused_access("", "/a/B", "CERTIFICATE_MISMATCH")

    (first,), (second,) = lines_of(tmp_path / "access.log.1"), lines_of(file)
    assert (first["participant"], first["purpose"], first["subjects"]) == ("cn-45", "counter", ["ab"])
    assert (second["participant"], second["refused"]) == ("", "CERTIFICATE_MISMATCH")


def test_without_a_file_the_lines_go_to_standard_error_and_into_no_other_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_access_log(None)
    with caplog.at_level(logging.INFO):
        log_access("cn-45", "/a/B", {"purpose": "counter"})

    assert json.loads(capsys.readouterr().err)["purpose"] == "counter"
    assert not caplog.records


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match="nowhere") as raised:
        write_access_log(tmp_path / "nowhere" / "access.log")

    assert reason_name(raised.value.reason) == "CONFIGURATION_INVALID"
