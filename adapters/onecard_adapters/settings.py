"""The configuration of an adapter process: one YAML file, each value replaceable by a variable ``ONECARD_ADAPTER_…``.

``ONECARD_ADAPTER_HUB__SERVER_NAME=gateway.example`` replaces ``hub: {server_name: …}``. Unknown names are refused.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import BANKS, PROVINCES, ParticipantId, is_network
from onecard_protocol.program_settings import ADAPTER, ProgramSettings, load_settings
from onecard_protocol.settings_file import Address

_LOCAL_NAMES: Final = frozenset({"localhost"})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HubKey(_Model):
    """A public key of the hub, where trust in the directory begins."""

    key_id: str = Field(min_length=1, description="as in the hub's directory")
    public_key: str = Field(pattern=r"^04[0-9a-f]{128}$", description="04‖x‖y in hex")


class TlsFiles(_Model):
    """The adapter's certificate, and the authority of the gateways' certificates; PEM files."""

    certificate_file: Path = Field(description="its DNS name is the participant's in the directory")
    private_key_file: Path = Field(description="mode 0600")
    authority_file: Path = Field(description="who issues the gateways' certificates")


class HubConnection(_Model):
    """Where the hub is and how it is recognised."""

    gateways: tuple[Address, ...] = Field(min_length=1, description="two or more, so that one may fail")
    server_name: str = Field(default="", description="name in the gateways' certificates, if it is not their address")
    keys: tuple[HubKey, ...] = Field(min_length=1)
    tls: TlsFiles | None = Field(default=None, description="absent only for a test network on loopback")


class SigningKey(_Model):
    """The participant's signing key, as `onecard keys new` writes it."""

    file: Path = Field(description="the encrypted key; mode 0600")
    passphrase_file: Path | None = Field(default=None, description="else the variable ONECARD_KEY_PASSPHRASE")


class StoreFiles(_Model):
    """The durable store and the key that its values are sealed with; both are made at the first start."""

    file: Path = Field(description="a SQLite database, on a local disk")
    key_file: Path = Field(description="32 random bytes as hex, mode 0600; without it the store cannot be read")


class AdapterSettings(ProgramSettings):
    """Everything that an adapter process must be told."""

    model_config = SettingsConfigDict(env_prefix=ADAPTER)

    participant: str = Field(description="cn-11 to cn-66, or bank-102 and the like; the profiles' own")
    network: str = Field(description='the hub\'s: "production", or "test-…" in lower case')
    hub: HubConnection
    signing_key: SigningKey
    store: StoreFiles
    profile_files: tuple[Path, ...] = Field(default=(), description="the local systems that are served")

    @pydantic.field_validator("participant")
    @classmethod
    def _participant(cls, value: str) -> str:
        if ParticipantId(value) not in PROVINCES | BANKS:
            raise ValueError(
                "is a province, cn-11 to cn-66, or a bank, bank-102 and the like"
                " / 应为省（cn-11 至 cn-66）或银行（如 bank-102）"
            )
        return value

    @pydantic.field_validator("network")
    @classmethod
    def _network(cls, value: str) -> str:
        if not is_network(value):
            raise ValueError('is "production" or "test-…" in lower case / 应为 production 或小写的 test-…')
        return value

    @pydantic.model_validator(mode="after")
    def _tls(self) -> Self:
        is_test = self.network != "production" and all(_is_loopback(address) for address in self.hub.gateways)
        if self.hub.tls is None and not is_test:
            raise ValueError(
                "hub.tls may be absent only in a test network whose gateways are on loopback"
                " / 仅在测试网络且网关位于本机回环地址时可省略 hub.tls"
            )
        return self


def load_adapter_settings(file: Path) -> AdapterSettings:
    """Read an adapter's configuration. Raises OneCardError CONFIGURATION_INVALID (`load_settings`)."""
    return load_settings(file, AdapterSettings)


def invalid_configuration(detail: str) -> OneCardError:
    """CONFIGURATION_INVALID with what is wrong."""
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL_NAMES
