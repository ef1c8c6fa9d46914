"""The access log: one JSON line for each read, and for each request by which a participant follows a person.

A line has who asked, what for, and about which pseudonyms. Never numbers.

The platform rotates its file: the handler notices that the file was moved away and opens a new one.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError

access_log: Final = logging.getLogger("onecard.access")


def log_access(participant: str, method: str, access: Mapping[str, Any]) -> None:
    """Write that a participant read of persons, or will be told of them."""
    _write({"time_ms": now_ms(), "participant": participant, "method": method, **access})


def log_refused_access(participant: str, method: str, reason: str) -> None:
    """Write that somebody wanted to and was refused; the participant is empty where its certificate did not come."""
    _write({"time_ms": now_ms(), "participant": participant, "method": method, "refused": reason})


def _write(line: Mapping[str, Any]) -> None:
    if access_log.isEnabledFor(logging.INFO):
        # Made here, because a logger looks for its caller's place in the source, which costs more than the line.
        access_log.handle(logging.LogRecord(access_log.name, logging.INFO, "", 0, json.dumps(line), None, None))


def write_access_log(file: Path | None) -> None:
    """Let the lines go to a file, or to standard error, and nowhere else. Raises CONFIGURATION_INVALID."""
    try:
        handler = (
            logging.StreamHandler() if file is None else logging.handlers.WatchedFileHandler(file, encoding="utf-8")
        )
    except OSError as error:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"the access log {file} cannot be written: {error.strerror} / 访问日志无法写入",
        ) from None
    handler.setFormatter(logging.Formatter("%(message)s"))
    for before in list(access_log.handlers):
        access_log.removeHandler(before)
        before.close()
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    access_log.propagate = False
