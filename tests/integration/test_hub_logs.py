"""How the hub's processes start: who gathers what it appends (docs/adr/0010), and with what none starts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from unittest.mock import Mock

import pytest

from onecard_broker import bootstrap
from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.settings import EmbeddedLogSettings, HubSettings, KafkaLogSettings, load_hub_settings
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import create_key_file
from tests.support.hub_files import PASSPHRASE, write_hub_configuration

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


async def settings_of_a_made_log(
    kind: str, request: pytest.FixtureRequest, directory: Path
) -> tuple[HubSettings, Callable[[int], HubSettings]]:
    """A hub's settings whose log has its topics, of four partitions, and the same with another number."""
    settings = load_hub_settings(write_hub_configuration(directory, request.getfixturevalue("postgres_dsn")))
    bootstrap.create_subject_key(settings.subject_key_file)
    log: EmbeddedLogSettings | KafkaLogSettings = EmbeddedLogSettings(partition_count=4)
    if kind == "kafka":
        kafka = KafkaSettings(
            bootstrap_servers=request.getfixturevalue("kafka_bootstrap"),
            topic_prefix=request.getfixturevalue("topic_prefix"),
            replication_factor=1,
            min_insync_replicas=1,
        )
        log = KafkaLogSettings(kind="kafka", partition_count=4, kafka=kafka)
    made = settings.model_copy(update={"log": log})
    await bootstrap.prepare_topics(made)
    return made, lambda count: made.model_copy(update={"log": log.model_copy(update={"partition_count": count})})


@pytest.mark.parametrize("kind", ["embedded", "kafka"])
async def test_no_process_starts_on_a_journal_of_another_number_of_partitions(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    made, with_count = await settings_of_a_made_log(kind, request, tmp_path)

    for process in (bootstrap.gateway, bootstrap.worker):
        async with process(made):
            pass
        for count in (3, 5):
            with pytest.raises(OneCardError) as raised:
                async with process(with_count(count)):
                    pass
            assert reason_name(raised.value.reason) == "CONFIGURATION_INVALID"
            assert f"journal has 4 partitions, log.partition_count is {count}" in raised.value.detail
            assert "set log.partition_count to 4" in raised.value.detail


@pytest.fixture
def settings(postgres_dsn: str, tmp_path: Path) -> HubSettings:
    """Of a hub on the embedded log, with all its keys."""
    made = load_hub_settings(write_hub_configuration(tmp_path, postgres_dsn))
    bootstrap.create_subject_key(made.subject_key_file)
    return made


@pytest.mark.parametrize("process", [bootstrap.gateway, bootstrap.worker])
async def test_no_process_opens_its_log_with_the_key_of_another_participant(
    process: Callable[[HubSettings], AbstractAsyncContextManager[object]],
    settings: HubSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = settings.signing_key.model_copy(update={"file": tmp_path / "cn-44.key.json"})
    create_key_file(foreign.file, participant="cn-44", key_id="cn-44-1", passphrase=PASSPHRASE, engine=native_engine())
    monkeypatch.setattr(bootstrap, "open_log", Mock(side_effect=Opened))

    with pytest.raises(Opened):
        async with process(settings):
            pass
    with pytest.raises(OneCardError) as refused:
        async with process(settings.model_copy(update={"signing_key": foreign})):
            pass

    assert reason_name(refused.value.reason) == "CONFIGURATION_INVALID"
    assert f"{foreign.file} is a key of cn-44; signing_key must be the hub's (cn-00)" in refused.value.detail
    assert "cn-44 的密钥，signing_key 须为枢纽（cn-00）的密钥" in refused.value.detail


@pytest.mark.parametrize("process", [bootstrap.gateway, bootstrap.worker])
async def test_no_process_starts_without_the_native_engine(
    process: Callable[[HubSettings], AbstractAsyncContextManager[object]],
    settings: HubSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tongsuopy" else find_spec(name, *rest)
    )

    with pytest.raises(OneCardError, match="tongsuopy") as raised:
        async with process(settings):
            pass

    assert reason_name(raised.value.reason) == "CONFIGURATION_INVALID"
