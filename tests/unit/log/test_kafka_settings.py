"""Kafka settings: what is refused, and what the Kafka clients are given."""

from pathlib import Path
from ssl import CERT_REQUIRED

import pytest
from pydantic import ValidationError

from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import LogMisconfigured
from tests.support.certificates import Authority

BASE = {"bootstrap_servers": "one:9092,two:9092"}


def test_servers_are_given_one_by_one_and_plainly_by_default() -> None:
    options = KafkaSettings(**BASE).client_options()
    assert options["bootstrap_servers"] == ["one:9092", "two:9092"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert not {name for name in options if name.startswith(("ssl", "sasl"))}


def test_tls_and_sasl_reach_the_client(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("hub.onecard.test")
    settings = KafkaSettings.model_validate(
        BASE
        | {
            "security_protocol": "SASL_SSL",
            "ssl_ca_file": files.authority_file,
            "ssl_certificate_file": files.certificate_file,
            "ssl_key_file": files.private_key_file,
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "hub",
            "sasl_password": "sasl-secret",
        }
    )
    for options in (settings.client_options(), settings.aiokafka_options()):
        context = options["ssl_context"]
        assert (context.check_hostname, context.verify_mode, len(context.get_ca_certs())) == (True, CERT_REQUIRED, 1)
        assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "hub")
        assert options["sasl_plain_password"] == "sasl-secret"


@pytest.mark.parametrize("name", ["ssl_ca_file", "ssl_certificate_file", "ssl_key_file"])
def test_a_tls_file_that_cannot_be_used_is_told_before_a_broker_is_asked(tmp_path: Path, name: str) -> None:
    files = Authority(tmp_path).issue("hub.onecard.test")
    right = {"ssl_certificate_file": files.certificate_file, "ssl_key_file": files.private_key_file}
    for wrong, told in ((tmp_path / "absent", "absent cannot be read"), (tmp_path / "empty", "cannot be used")):
        (tmp_path / "empty").touch()
        settings = KafkaSettings.model_validate(BASE | {"security_protocol": "SSL"} | right | {name: wrong})
        for options in (settings.client_options, settings.aiokafka_options):
            with pytest.raises(LogMisconfigured, match=told):
                options()


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
