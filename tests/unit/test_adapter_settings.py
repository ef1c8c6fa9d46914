"""The configuration of an adapter process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.settings import load_adapter_settings
from onecard_protocol.errors import OneCardError

KEY = "04" + "ab" * 64


def content(**changes: Any) -> dict[str, Any]:
    return {
        "participant": "cn-44",
        "network": "test-x",
        "hub": {"gateways": ["127.0.0.1:7001", "127.0.0.1:7002"], "keys": [{"key_id": "hub-1", "public_key": KEY}]},
        "signing_key": {"file": "keys/cn-44.json", "passphrase_file": "keys/passphrase"},
        "store": {"file": "store.sqlite", "key_file": "store.key"},
        "profile_files": ["cn-44.yaml"],
        **changes,
    }


def write(directory: Path, value: object) -> Path:
    file = directory / "adapter.yaml"
    file.write_text(yaml.safe_dump(value))
    return file


def test_paths_start_at_the_files_own_directory(tmp_path: Path) -> None:
    settings = load_adapter_settings(write(tmp_path, content()))

    assert settings.signing_key.file == tmp_path / "keys/cn-44.json"
    assert settings.store.key_file == tmp_path / "store.key"
    assert settings.profile_files == (tmp_path / "cn-44.yaml",)


def test_a_bank_has_an_adapter_like_a_province(tmp_path: Path) -> None:
    assert load_adapter_settings(write(tmp_path, content(participant="bank-102"))).participant == "bank-102"


def test_a_variable_replaces_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECARD_ADAPTER_HUB__SERVER_NAME", "gateway.example")
    settings = load_adapter_settings(write(tmp_path, content()))

    assert settings.hub.server_name == "gateway.example"
    assert settings.hub.gateways == ("127.0.0.1:7001", "127.0.0.1:7002")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"participant": "cn-00"}, "participant: "),
        ({"participant": "cn-99"}, "participant: "),
        ({"network": "Test"}, "network: "),
        ({"profile_file": 1}, "profile_file: unknown setting; did you mean 'profile_files'? / 未知配置项"),
        ({"store": {"file": "store.sqlite"}}, "store.key_file: is missing / 缺失"),
        ({"hub": {"gateways": [], "keys": [{"key_id": "k", "public_key": KEY}]}}, "hub.gateways: "),
        ({"hub": {"gateways": ["nowhere"], "keys": [{"key_id": "k", "public_key": KEY}]}}, "hub.gateways.0: "),
        (
            {"hub": {"gateways": ["127.0.0.1:1", "127.0.0.1:99999"], "keys": [{"key_id": "k", "public_key": KEY}]}},
            "hub.gateways.1: is not host:port with a port from 0 to 65535 / ",
        ),
        (
            {"hub": {"gateways": ["127.0.0.1:1"], "keys": [{"key_id": "k", "public_key": "04"}]}},
            "hub.keys.0.public_key: ",
        ),
        (
            {"hub": {"gateways": ["127.0.0.1:1"], "keys": [{"key_idd": "k", "public_key": KEY}]}},
            "hub.keys.0.key_idd: unknown setting; did you mean 'key_id'?",
        ),
        (
            {"hub": {"gateways": ["127.0.0.1:1"], "keys": [{"key_id": "k", "public_key": KEY}], "tls": {}}},
            "hub.tls.authority_file: is missing / 缺失",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(OneCardError) as refused:
        load_adapter_settings(write(tmp_path, content(**changes)))

    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert any(line.startswith(told) for line in refused.value.particulars)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "production"},
        {"hub": {"gateways": ["10.0.0.1:7001"], "keys": [{"key_id": "k", "public_key": KEY}]}},
        {"hub": {"gateways": ["gateway.example:7001"], "keys": [{"key_id": "k", "public_key": KEY}]}},
    ],
)
def test_without_tls_only_a_test_network_on_loopback_is_allowed(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(OneCardError) as refused:
        load_adapter_settings(write(tmp_path, content(**changes)))

    assert "hub.tls" in str(refused.value)


def test_a_file_that_is_missing_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match="cannot be read"):
        load_adapter_settings(tmp_path / "missing.yaml")
    (tmp_path / "adapter.yaml").write_text("a: [")
    with pytest.raises(OneCardError, match="no YAML"):
        load_adapter_settings(tmp_path / "adapter.yaml")
    (tmp_path / "adapter.yaml").write_text("text")
    with pytest.raises(OneCardError, match="no settings"):
        load_adapter_settings(tmp_path / "adapter.yaml")
