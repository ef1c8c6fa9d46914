"""The configuration of a hub process: what is wrong is named, with its place and never with its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard.exchange.v1 import errors_pb2
from onecard_broker.settings import KafkaLogSettings, load_hub_settings, with_listen
from onecard_protocol import cli
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode, Explained

SECRET = "postgresql://hub:not-to-be-shown@localhost/hub"


def content(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "network": "test-x",
        "database": SECRET,
        "signing_key": {"file": "keys/hub.json"},
        "subject_key_file": "keys/subject.hex",
        "gateway": {
            "listen": "127.0.0.1:7443",
            "tls": {"certificate_file": "a.pem", "private_key_file": "b.pem", "client_authority_file": "c.pem"},
        },
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def write(directory: Path, value: object) -> Path:
    file = directory / "hub.yaml"
    file.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return file


def test_paths_start_at_the_files_own_directory(tmp_path: Path) -> None:
    settings = load_hub_settings(write(tmp_path, content()))
    assert settings.signing_key.file == tmp_path / "keys/hub.json"
    assert settings.gateway.tls.certificate_file == tmp_path / "a.pem"
    assert settings.log.kind == "embedded"


def test_paths_of_kafka_start_there_too(tmp_path: Path) -> None:
    kafka = {"bootstrap_servers": "broker:9093", "security_protocol": "SSL", "ssl_ca_file": "ca.pem"}
    settings = load_hub_settings(write(tmp_path, content(log={"kind": "kafka", "kafka": kafka})))
    assert isinstance(settings.log, KafkaLogSettings)
    assert (settings.log.kafka.ssl_ca_file, settings.log.kafka.ssl_key_file) == (tmp_path / "ca.pem", None)


def test_a_variable_replaces_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECARD_GATEWAY__LISTEN", "127.0.0.1:7444")
    assert load_hub_settings(write(tmp_path, content())).gateway.listen == "127.0.0.1:7444"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"network": "Test X"}, "network: "),
        ({"database": None}, "database: is missing / 缺失"),
        (
            {"databse": "a misspelt name"},
            "databse: unknown setting; did you mean 'database'? / 未知配置项，是否应为 database？",
        ),
        ({"database": "not-to-be-shown"}, "database: is no connection string of PostgreSQL / 不是"),
        ({"database": "mysql://hub:not-to-be-shown@localhost/hub"}, "database: is no connection string of PostgreSQL"),
        ({"xyz": "like no other name"}, "xyz: unknown setting / 未知配置项"),
        ({"log": {"kind": "kafak"}}, "log: "),
        ({"log": {"kind": "kafka"}}, "log.kafka: is missing / 缺失"),
        ({"log": {"kind": "kafka", "kafka": {}}}, "log.kafka.bootstrap_servers: is missing / 缺失"),
        (
            {"log": {"kind": "kafka", "kafka": {"topic_prefx": "x"}}},
            "log.kafka.topic_prefx: unknown setting; did you mean 'topic_prefix'?",
        ),
        ({"log": {"kind": "embedded", "partition_count": 0}}, "log.partition_count: "),
        ({"signing_key": {}}, "signing_key.file: is missing / 缺失"),
        ({"gateway": []}, "gateway: holds no settings / 没有配置项"),
        ({"gateway": {"listen": "7443", "tls": {}}}, "gateway.listen: is not host:port"),
        (
            {"gateway": {"listen": "127.0.0.1:65536", "tls": {}}},
            "gateway.listen: is not host:port with a port from 0 to",
        ),
        ({"gateway": {"listen": "127.0.0.1:7443", "tls": {}}}, "gateway.tls.private_key_file: is missing / 缺失"),
    ],
)
def test_each_setting_at_fault_is_named_by_its_place_in_the_file_and_without_its_value(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(OneCardError) as refused:
        load_hub_settings(write(tmp_path, content(**changes)))
    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert any(line.startswith(told) for line in refused.value.particulars)
    assert "not-to-be-shown" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("network: [test-x", "is no YAML, line"), ("", "holds no settings"), ("- a list", "holds no settings")],
)
def test_a_file_that_is_no_configuration_is_told_so(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(OneCardError, match=told):
        load_hub_settings(write(tmp_path, text))


def test_an_address_on_the_command_line_is_checked_as_one_in_the_file(tmp_path: Path) -> None:
    settings = load_hub_settings(write(tmp_path, content()))
    assert with_listen(settings, "127.0.0.1:7555", "hub gateway").gateway.listen == "127.0.0.1:7555"
    assert with_listen(settings, "127.0.0.1:65535", "hub gateway").gateway.listen == "127.0.0.1:65535"
    for wrong in ("7555", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:99999"):
        with pytest.raises(Explained, match="--listen is not host:port with a port from 0 to 65535") as refused:
            with_listen(settings, wrong, "hub gateway")
        assert refused.value.explanation.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "command", [("drift", "cn-51"), ("link", "--document", "x"), ("ask-again", "ab", "--cause", "x")]
)
def test_the_gateway_to_ask_through_is_an_address_too(
    tmp_path: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["card", *command, "--gateway", "nonsense", "--config", str(tmp_path / "hub.yaml")])
    told = capsys.readouterr().err
    assert ended.value.code == ExitCode.USAGE
    assert "--gateway is not host:port." in told
    assert f"`onecard card {command[0]} --help`" in told


@pytest.mark.parametrize(("locale", "remedy"), [("C.UTF-8", "What to do"), ("zh_CN.UTF-8", "怎么办")])
def test_who_starts_a_gateway_reads_what_to_correct(
    tmp_path: Path,
    locale: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    file = write(tmp_path, content(network="Test X"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["hub", "gateway", "--config", str(file)])
    told = capsys.readouterr().err
    assert ended.value.code == ExitCode.NOT_SET_UP
    for words in ("CONFIGURATION_INVALID", "network", remedy):
        assert words in told
    assert "Traceback" not in told
