"""The configuration of a hub process: one YAML file, each value replaceable by a variable ``ONECARD_…``.

``ONECARD_GATEWAY__LISTEN=127.0.0.1:7444`` replaces ``gateway: {listen: …}``. Unknown names are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pydantic
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_protocol.commands.usage import refuse
from onecard_protocol.explained import Text
from onecard_protocol.identifiers import is_network
from onecard_protocol.program_settings import HUB, ProgramSettings, load_settings
from onecard_protocol.settings_file import Address


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbeddedLogSettings(_Model):
    """The log on the hub's own PostgreSQL."""

    kind: Literal["embedded"] = Field(default="embedded", description="tables of `database`; for laptops")
    partition_count: int = Field(default=8, ge=1, le=1024, description="fixed for the life of the journal")


class KafkaLogSettings(_Model):
    """The log on Kafka."""

    kind: Literal["kafka"] = Field(description="a cluster of brokers")
    partition_count: int = Field(default=96, ge=1, le=1024, description="fixed for the life of the journal")
    kafka: KafkaSettings


class SigningKeySettings(_Model):
    """The hub's signing key, as `onecard keys new` writes it."""

    file: Path = Field(description="the encrypted key; mode 0600")
    passphrase_file: Path | None = Field(default=None, description="else the variable ONECARD_KEY_PASSPHRASE")


class TlsSettings(_Model):
    """The gateway's certificate, and the authority of its clients' certificates."""

    certificate_file: Path = Field(description="PEM, the gateway's certificate and what leads to its authority")
    private_key_file: Path = Field(description="PEM; mode 0600")
    client_authority_file: Path = Field(description="PEM, who issues the certificates of participants")


class GatewaySettings(_Model):
    """What one gateway listens on."""

    listen: Address = Field(description="host:port")
    tls: TlsSettings
    access_log_file: Path | None = Field(
        default=None, description="a JSON line for each read; rotated by the platform; standard error if absent"
    )


class HubSettings(ProgramSettings):
    """Everything that a gateway or a worker must be told."""

    model_config = SettingsConfigDict(env_prefix=HUB)

    network: str = Field(description='"production", or "test-…" in lower case; participants name the same')
    database: str = Field(description="PostgreSQL connection string")
    log: Annotated[EmbeddedLogSettings | KafkaLogSettings, Field(discriminator="kind")] = EmbeddedLogSettings()
    signing_key: SigningKeySettings
    subject_key_file: Path = Field(description="32 random bytes as hex: makes pseudonyms of identities; mode 0600")
    gateway: GatewaySettings

    @pydantic.field_validator("log", mode="before")
    @classmethod
    def _log(cls, value: object) -> object:
        """A log whose kind is left out is the embedded one."""
        return {"kind": "embedded", **value} if isinstance(value, dict) else value

    @pydantic.field_validator("database")
    @classmethod
    def _database(cls, value: str) -> str:
        try:
            conninfo_to_dict(value)
        except ProgrammingError:
            raise ValueError("is no connection string of PostgreSQL / 不是 PostgreSQL 连接串") from None
        return value

    @pydantic.field_validator("network")
    @classmethod
    def _network(cls, value: str) -> str:
        if not is_network(value):
            raise ValueError('is "production" or "test-…" in lower case / 应为 production 或小写的 test-…')
        return value


def load_hub_settings(file: Path) -> HubSettings:
    """Read a hub's configuration. Raises OneCardError CONFIGURATION_INVALID (`load_settings`)."""
    return load_settings(file, HubSettings)


def with_listen(settings: HubSettings, listen: str | None, command: str) -> HubSettings:
    """The settings with the address that `onecard COMMAND` was told to listen on; unchanged for None.

    Raises Explained: the command line is wrong.
    """
    if listen is None:
        return settings
    try:
        gateway = GatewaySettings.model_validate(settings.gateway.model_dump() | {"listen": listen})
    except pydantic.ValidationError:
        refuse(
            Text(
                en="--listen is not host:port with a port from 0 to 65535.",
                zh="--listen 应为“主机:端口”，端口为 0 至 65535。",
            ),
            "--listen",
            command,
        )
    return settings.model_copy(update={"gateway": gateway})
