"""The variables that stand above a program's file of settings: one that nothing reads is told, with the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.settings import load_adapter_settings
from onecard_broker.settings import load_hub_settings
from onecard_protocol import cli
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode
from tests.unit import test_adapter_settings as adapter
from tests.unit import test_hub_settings as hub


def load(directory: Path, program: str) -> BaseSettings:
    """The settings of a hub or an adapter whose file has nothing wrong."""
    if program == "hub":
        return load_hub_settings(hub.write(directory, hub.content()))
    return load_adapter_settings(adapter.write(directory, adapter.content()))


@pytest.mark.parametrize(
    ("program", "variable", "told"),
    [
        ("hub", "ONECARD_NETWRK", "unknown variable; did you mean ONECARD_NETWORK? / 未知环境变量，是否应为"),
        ("hub", "onecard_netwrk", "unknown variable; did you mean ONECARD_NETWORK? / "),
        ("hub", "ONECARD_GATEWAY_LISTEN", "unknown variable; did you mean ONECARD_GATEWAY__LISTEN? / "),
        (
            "hub",
            "ONECARD_LOG__KAFKA__SASL_PASWORD",
            "unknown variable; did you mean ONECARD_LOG__KAFKA__SASL_PASSWORD?",
        ),
        ("hub", "ONECARD_CONFG", "unknown variable; did you mean ONECARD_CONFIG? / "),
        ("hub", "ONECARD_KEY_PASSPHRAS", "unknown variable; did you mean ONECARD_KEY_PASSPHRASE? / "),
        ("hub", "ONECARD_XYZ", "unknown variable / 未知环境变量"),
        ("adapter", "ONECARD_ADAPTER_NETWRK", "unknown variable; did you mean ONECARD_ADAPTER_NETWORK? / "),
        ("adapter", "ONECARD_ADAPTOR_NETWORK", "unknown variable; did you mean ONECARD_ADAPTER_NETWORK? / "),
        ("adapter", "ONECARD_ADAPTER_HUB_GATEWAYS", "unknown variable; did you mean ONECARD_ADAPTER_HUB__GATEWAYS? / "),
    ],
)
def test_a_variable_that_nothing_reads_is_refused_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, variable: str, told: str
) -> None:
    monkeypatch.setenv(variable, "not-to-be-shown")
    with pytest.raises(OneCardError) as refused:
        load(tmp_path, program)
    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert any(line.startswith(f"{variable}: {told}") for line in refused.value.particulars)
    assert "not-to-be-shown" not in str(refused.value)


@pytest.mark.parametrize(
    ("program", "variables"),
    [
        ("hub", ("ONECARD_CONFIG", "ONECARD_KEY_PASSPHRASE", "ONECARD_DEBUG", "ONECARD_KAFKA_HOME", "ONECARDS_X")),
        ("hub", ("ONECARD_ADAPTER_CONFIG", "ONECARD_ADAPTER_NETWORK", "ONECARD_ADAPTER_HUB__SERVER_NAME")),
        ("adapter", ("ONECARD_ADAPTER_CONFIG", "ONECARD_NETWORK", "ONECARD_DATABASE", "ONECARD_GATEWAY__LISTEN")),
        ("hub", ("ONECARD_SERVICE_HOST", "ONECARD_PORT", "ONECARD_GATEWAY_SERVICE_PORT_GRPC")),
        ("hub", ("ONECARD_GATEWAY_PORT_7443_TCP_ADDR", "ONECARD_GATEWAY_PORT_7443_TCP")),
        ("adapter", ("ONECARD_ADAPTER_CN_44_SERVICE_HOST", "ONECARD_ADAPTER_PORT")),
    ],
)
def test_what_others_read_in_the_same_environment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, variables: tuple[str, ...]
) -> None:
    for variable in variables:
        monkeypatch.setenv(variable, "another program's")
    load(tmp_path, program)


@pytest.mark.parametrize(
    ("program", "variable", "value", "told"),
    [
        ("hub", "ONECARD_GATEWAY__LISTEN", "7443", "is not host:port"),
        ("hub", "ONECARD_LOG__PARTITION_COUNT", "0", "Input should be greater"),
        ("hub", "ONECARD_GATEWAY__TLS", "tls.pem", "is no JSON / 不是合法的 JSON"),
        ("adapter", "ONECARD_ADAPTER_HUB__GATEWAYS", "127.0.0.1:7001", "is no JSON / 不是合法的 JSON"),
        ("adapter", "ONECARD_ADAPTER_PROFILE_FILES", "cn-44.yaml", "is no JSON / 不是合法的 JSON"),
    ],
)
def test_a_wrong_value_of_a_variable_is_told_of_the_variable_and_not_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(OneCardError) as refused:
        load(tmp_path, program)
    assert any(line.startswith(f"{variable}: {told}") for line in refused.value.particulars)


def test_all_that_is_wrong_in_variables_and_file_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setenv("ONECARD_DATABSE", hub.SECRET)
    file = hub.write(tmp_path, hub.content(database=None))
    with pytest.raises(SystemExit) as ended:
        cli.main(["message", "list", "--config", str(file)])
    told = capsys.readouterr().err
    assert ended.value.code == ExitCode.NOT_SET_UP
    for words in ("ONECARD_DATABSE: ", "是否应为 ONECARD_DATABASE？", "database: is missing / 缺失", "怎么办"):
        assert words in told
    assert "not-to-be-shown" not in told


def test_a_log_whose_kind_is_left_out_is_the_embedded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECARD_LOG__PARTITION_COUNT", "9")
    settings = load_hub_settings(hub.write(tmp_path, hub.content()))
    assert (settings.log.kind, settings.log.partition_count) == ("embedded", 9)
