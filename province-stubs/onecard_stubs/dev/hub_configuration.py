"""What the hub of a country on one machine is configured with: keys, certificates, hub.yaml and the directory.

Writes the same files that a site writes by hand, with the same programs' functions. Knows no adapter.
"""

import datetime
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from onecard_protocol.identifiers import HUB
from onecard_protocol.signatures.engine import best_engine
from onecard_protocol.signatures.keyfile import KeyFile, create_key_file
from onecard_stubs.dev.certificates import Authority, CertificateFiles
from onecard_stubs.dev.provinces import CARD_PACKAGE, Province

NETWORK = "test-dev"
PARTITION_COUNT = 8
_HUB_METHODS = ("/onecard.medical.v1.*", f"/{CARD_PACKAGE}.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantFiles:
    """What one participant signs and connects with."""

    key_file: Path
    key: KeyFile
    certificate: CertificateFiles


class Keys:
    """Keys and certificates of everybody in the country, under `directory`."""

    def __init__(self, directory: Path) -> None:
        """Make the authority and the passphrase; the keys of participants are made when asked for."""
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self.passphrase_file = directory / "passphrase"
        self._passphrase = secrets.token_hex(16)
        write_secret(self.passphrase_file, self._passphrase)
        self.authority = Authority(directory)

    def make(self, participant: str) -> ParticipantFiles:
        """Make a participant's signing key and certificate; takes a tenth of a second, safe in threads."""
        key_file = self._directory / f"{participant}.key.json"
        key = create_key_file(
            key_file,
            participant=participant,
            key_id=f"{participant}-dev-1",
            passphrase=self._passphrase,
            engine=best_engine(),
        )
        return ParticipantFiles(
            key_file=key_file, key=key, certificate=self.authority.issue(participant, certificate_name(participant))
        )


def certificate_name(participant: str) -> str:
    """The name in a participant's certificates."""
    return f"{participant}.onecard.test"


def write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    file.touch(mode=0o600)
    file.write_text(text + "\n", encoding="ascii")


def write_hub_configuration(
    file: Path,
    *,
    database: str,
    kafka_servers: str | None,
    broker_count: int,
    listen: str,
    keys: Keys,
    hub: ParticipantFiles,
) -> None:
    """Write hub.yaml and the subject key beside it; `kafka_servers` None means the embedded log."""
    subject_key = file.parent / "subject.key"
    write_secret(subject_key, secrets.token_hex(32))
    log: dict[str, Any] = {"kind": "embedded", "partition_count": PARTITION_COUNT}
    if kafka_servers is not None:
        log = {
            "kind": "kafka",
            "partition_count": PARTITION_COUNT,
            "kafka": {
                "bootstrap_servers": kafka_servers,
                "replication_factor": min(3, broker_count),
                "min_insync_replicas": 2 if broker_count >= 3 else 1,
            },
        }
    write_yaml(
        file,
        {
            "network": NETWORK,
            "database": database,
            "log": log,
            "signing_key": {"file": str(hub.key_file), "passphrase_file": str(keys.passphrase_file)},
            "subject_key_file": str(subject_key),
            "gateway": {
                "listen": listen,
                "tls": {
                    "certificate_file": str(hub.certificate.certificate),
                    "private_key_file": str(hub.certificate.private_key),
                    "client_authority_file": str(keys.authority.file),
                },
            },
        },
    )


def write_directory(
    file: Path,
    provinces: Sequence[tuple[Province, ParticipantFiles]],
    hub: ParticipantFiles,
    followers: Mapping[str, Sequence[str]],
) -> None:
    """Write the directory file: the hub and the provinces, each with one key that is valid for a year.

    `followers` get the changes of cards about residents of the provinces given, of everybody where none is.
    """
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    end = start + datetime.timedelta(days=365)

    def entry(
        participant: str,
        name_zh: str,
        name_en: str,
        files: ParticipantFiles,
        methods: Sequence[str],
    ) -> object:
        return {
            "name_zh": name_zh,
            "name_en": name_en,
            "certificate_names": [certificate_name(participant)],
            "may_send": list(methods),
            "may_receive": list(methods),
            **({"feeds": [_feed(followers[participant])]} if participant in followers else {}),
            "keys": [
                {
                    "id": files.key.key_id,
                    "public_key": files.key.public_key,
                    "not_before": start.isoformat(timespec="seconds"),
                    "not_after": end.isoformat(timespec="seconds"),
                }
            ],
        }

    participants: dict[str, object] = {HUB: entry(HUB, "国家枢纽", "National hub", hub, _HUB_METHODS)}
    for province, files in provinces:
        participants[province.id] = entry(province.id, province.name_zh, province.name_en, files, province.methods)
    write_yaml(file, {"network": NETWORK, "participants": participants})


def _feed(residents_of: Sequence[str]) -> dict[str, object]:
    whose: dict[str, object] = {"residents_of": list(residents_of)} if residents_of else {"everything": True}
    return {"package": CARD_PACKAGE, **whose}


def write_yaml(file: Path, content: object) -> None:
    """Write a file of settings."""
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
