"""Which engine is taken, and what is said where the native one is missing."""

from __future__ import annotations

import importlib.util
import logging

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.engine import best_engine, native_engine, pure_engine


@pytest.fixture
def without_tongsuopy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the wheel is not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tongsuopy" else find_spec(name, *rest)
    )


def test_the_native_engine_is_taken_where_it_is_installed_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    engine = best_engine()
    assert (engine.name, engine.is_native) == ("tongsuopy", True)
    assert "tongsuopy, native" in caplog.text


@pytest.mark.usefixtures("without_tongsuopy")
def test_without_the_wheel_the_pure_engine_is_taken_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    engine = best_engine()
    assert (engine.name, engine.is_native) == ("gmssl", False)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gmssl" in caplog.text


@pytest.mark.usefixtures("without_tongsuopy")
def test_without_the_wheel_who_needs_the_native_engine_hears_what_to_install() -> None:
    with pytest.raises(OneCardError, match="install the wheel tongsuopy") as raised:
        native_engine()
    assert raised.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID


def test_the_pure_engine_never_calls_itself_native() -> None:
    assert not pure_engine().is_native
