"""Which of the hub's processes gathers what it appends (docs/adr/0010): where many callers append one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecard_broker import bootstrap
from onecard_broker.settings import HubSettings, load_hub_settings
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)


class Opened(Exception):
    """Ends a start at the opening of the log."""


@pytest.mark.parametrize(("process", "expected"), [(bootstrap.gateway, True), (bootstrap.worker, False)])
async def test_only_a_gateways_log_gathers(
    process: object, expected: bool, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def open_log(settings: HubSettings, *, gathers: bool = False) -> None:
        asked.append(gathers)
        raise Opened(settings.network)

    monkeypatch.setattr(bootstrap, "open_log", open_log)
    settings = load_hub_settings(write_hub_configuration(tmp_path, postgres_dsn))
    bootstrap.create_subject_key(settings.subject_key_file)
    with pytest.raises(Opened):
        async with process(settings):  # type: ignore[operator]
            pass

    assert asked == [expected]
