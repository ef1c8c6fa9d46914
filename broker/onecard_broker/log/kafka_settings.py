"""How the hub reaches its Kafka: one validated settings model, part of the hub's configuration."""

import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from onecard_broker.log.port import LogMisconfigured


class KafkaSettings(BaseModel):
    """Connection, security and bounds of the Kafka log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(min_length=1, description="host:port, several separated by commas")
    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="stands before every topic's name")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how brokers are spoken to"
    )
    ssl_ca_file: Path | None = Field(default=None, description="PEM, who issues the brokers' certificates")
    ssl_certificate_file: Path | None = Field(default=None, description="PEM, the hub's own, if brokers ask for it")
    ssl_key_file: Path | None = Field(default=None, description="PEM, its private key")
    ssl_key_password: SecretStr | None = Field(default=None, description="of an encrypted private key")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="needed by SASL_PLAINTEXT and SASL_SSL, with user and password"
    )
    sasl_username: str | None = Field(default=None, description="as brokers know the hub")
    sasl_password: SecretStr | None = Field(default=None, description="of that user")

    replication_factor: int = Field(default=3, ge=1, description="of topics that the exchange creates")
    min_insync_replicas: int = Field(default=2, ge=1, description="of topics that the exchange creates")
    in_flight_bytes_max: int = Field(default=32 * 1024 * 1024, ge=1, description="appends wait beyond this")
    record_bytes_max: int = Field(
        default=2 * 1024 * 1024, ge=1024, description="of a record; topics are made to take it"
    )
    linger_ms: int = Field(
        default=30, ge=0, le=100, description="between a gateway's batches, at least; an idle log sends at once"
    )
    delivery_timeout_ms: int = Field(
        default=30_000, ge=1000, description="a leader's loss is waited out this long before an append fails"
    )

    @model_validator(mode="after")
    def _check_together(self) -> "KafkaSettings":
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                "min_insync_replicas exceeds replication_factor: no append could ever be acknowledged"
                " / min_insync_replicas 大于 replication_factor，追加永远得不到确认"
            )
        if self.security_protocol.startswith("SASL") != (self.sasl_mechanism is not None):
            raise ValueError(
                "sasl_mechanism goes with a security_protocol SASL_PLAINTEXT or SASL_SSL, and only with it"
                " / sasl_mechanism 与 SASL_PLAINTEXT 或 SASL_SSL 必须同时设置"
            )
        if self.sasl_mechanism is not None and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(
                "sasl_mechanism needs sasl_username and sasl_password"
                " / 设置 sasl_mechanism 时须同时设置 sasl_username 和 sasl_password"
            )
        if self.ssl_certificate_file is not None and self.ssl_key_file is None:
            raise ValueError(
                "ssl_certificate_file needs ssl_key_file / 设置 ssl_certificate_file 时须同时设置 ssl_key_file"
            )
        return self

    def client_options(self) -> dict[str, Any]:
        """Return what kafka-python's client for topics is given.

        Raises LogMisconfigured when the TLS files cannot be loaded.
        """
        return self._security() | {
            # The default of 30 s would leave the hub blind for as long after a broker's restart.
            "reconnect_backoff_max_ms": 1000,
            "bootstrap_timeout_ms": 5000,
        }

    def aiokafka_options(self) -> dict[str, Any]:
        """Return what every aiokafka client of the hub is given. Raises as `client_options` does."""
        return self._security() | {"client_id": "onecard"}

    def _security(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol in ("SSL", "SASL_SSL"):
            options["ssl_context"] = self._tls()
        if self.sasl_mechanism is not None and self.sasl_password is not None:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return options

    def _tls(self) -> ssl.SSLContext:
        for path in (self.ssl_ca_file, self.ssl_certificate_file, self.ssl_key_file):
            try:
                if path is not None:
                    path.read_bytes()
            except OSError as error:
                raise LogMisconfigured(f"{path} cannot be read: {error.strerror} / 无法读取") from None
        from aiokafka.helpers import create_ssl_context  # A tenth of a second that few of these settings need.

        password = None if self.ssl_key_password is None else self.ssl_key_password.get_secret_value()
        try:
            context: ssl.SSLContext = create_ssl_context(
                cafile=self.ssl_ca_file,
                certfile=self.ssl_certificate_file,
                keyfile=self.ssl_key_file,
                password=password or "",
            )
        except OSError as error:
            raise LogMisconfigured(
                f"the TLS files of log.kafka cannot be used: {getattr(error, 'reason', None) or error.strerror};"
                " each is PEM, the key is the certificate's, and ssl_key_password opens it"
                " / log.kafka 的 TLS 文件无法使用：均须为 PEM，私钥须与证书匹配，口令为 ssl_key_password"
            ) from None
        return context
