"""Kafka settings: what is refused, and what the Kafka clients are given."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from onecard_broker.log.kafka_settings import KafkaSettings

BASE = {"bootstrap_servers": "one:9092,two:9092"}


def test_servers_are_given_one_by_one_and_plainly_by_default() -> None:
    options = KafkaSettings(**BASE).client_options()
    assert options["bootstrap_servers"] == ["one:9092", "two:9092"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert not {name for name in options if name.startswith(("ssl", "sasl"))}


def test_tls_and_sasl_reach_the_client() -> None:
    options = KafkaSettings.model_validate(
        BASE
        | {
            "security_protocol": "SASL_SSL",
            "ssl_ca_file": "ca.pem",
            "ssl_certificate_file": "client.pem",
            "ssl_key_file": "client.key",
            "ssl_key_password": "key-secret",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "hub",
            "sasl_password": "sasl-secret",
        }
    ).client_options()
    assert (options["ssl_cafile"], options["ssl_certfile"]) == ("ca.pem", "client.pem")
    assert (options["ssl_keyfile"], options["ssl_password"]) == (str(Path("client.key")), "key-secret")
    assert options["ssl_check_hostname"] is True
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "hub")
    assert options["sasl_plain_password"] == "sasl-secret"


def test_secrets_do_not_show_in_the_settings_text() -> None:
    settings = KafkaSettings.model_validate(BASE | {"ssl_key_password": "key-secret"})
    assert "key-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"replication_factor": 1, "min_insync_replicas": 2}, "exceeds"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"sasl_mechanism": "PLAIN"}, "sasl_mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "sasl_username"),
        ({"security_protocol": "SSL", "ssl_certificate_file": "client.pem"}, "ssl_key_file"),
        ({"topic_prefix": "no spaces "}, "topic_prefix"),
        ({"bootstrap_server": "typo:9092"}, "bootstrap_server"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        KafkaSettings.model_validate(BASE | changes)
