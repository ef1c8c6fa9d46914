"""The hub's configuration and key as files, for commands that are run as a person runs them."""

from __future__ import annotations

from pathlib import Path

import yaml

from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import create_key_file
from tests.support.directories import NETWORK

PASSPHRASE = "a passphrase of a test"


def write_hub_configuration(directory: Path, dsn: str) -> Path:
    """Write hub.yaml with a signing key beside it; the subject key and the certificates that it names are not there."""
    create_key_file(
        directory / "hub.json", participant="cn-00", key_id="hub-1", passphrase=PASSPHRASE, engine=native_engine()
    )
    passphrase_file = directory / "passphrase"
    passphrase_file.write_text(PASSPHRASE)
    passphrase_file.chmod(0o600)
    file = directory / "hub.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "network": NETWORK,
                "database": dsn,
                "signing_key": {"file": "hub.json", "passphrase_file": "passphrase"},
                "subject_key_file": "subject.key",
                "gateway": {
                    "listen": "127.0.0.1:0",
                    "tls": {
                        "certificate_file": "gateway.pem",
                        "private_key_file": "gateway.key",
                        "client_authority_file": "authority.pem",
                    },
                },
            }
        )
    )
    return file
