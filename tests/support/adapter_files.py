"""The configuration files of an adapter, as a province writes them, for the store and tables of a test."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard_adapters.profiles import models
from onecard_protocol import cli
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import create_key_file, load_signer
from onecard_protocol.signatures.signer import EngineSigner, Signer
from tests.support.card_desk import SEALER_KEY
from tests.support.card_tables import KEY
from tests.support.certificates import CertificateFiles
from tests.support.country import Finished

PASSPHRASE = "a passphrase of a test"
_PROFILES = Path(models.__file__).parent


def write_beijing(directory: Path, url: str, **database: Any) -> Path:
    """The configuration of Beijing's adapter over the tables behind `url`, on the store.sqlite of a `desk_world`.

    The files of its signing key and of its gateways are not there: commands that only read need none.
    """
    profile = yaml.safe_load((_PROFILES / "cn-11.yaml").read_text(encoding="utf-8"))
    (directory / "columns.key").write_text(KEY, encoding="ascii")
    profile["card"]["database"] = {"url": url, "key_file": "columns.key", "encrypted": [], **database}
    profile["card"]["code_tables"] = str(_PROFILES / "codes" / "card-tables.yaml")
    (directory / "cn-11.yaml").write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    return write_adapter(directory, "cn-11", "cn-11.yaml")


def write_adapter(directory: Path, participant: str, *profiles: str) -> Path:
    """The configuration of an adapter with these profiles, and the key file of its store."""
    key = directory / "store.key"
    key.touch(mode=0o600)
    key.write_text(SEALER_KEY.hex(), encoding="ascii")
    content = {
        "participant": participant,
        "network": "test-cards",
        "hub": {"gateways": ["127.0.0.1:1"], "keys": [{"key_id": "hub-1", "public_key": "04" + "ab" * 64}]},
        "signing_key": {"file": "signing.json"},
        "store": {"file": "store.sqlite", "key_file": "store.key"},
        "profile_files": list(profiles),
    }
    file = directory / "adapter.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def write_profile(
    directory: Path, participant: str, *, port: int = 0, core: str = "", database: Mapping[str, object] | None = None
) -> Path:
    """The shipped profile of a participant with its code tables where they ship: where it listens, by default a port
    that the system chooses; where its local system is, or the tables of that."""
    profile = yaml.safe_load((_PROFILES / f"{participant}.yaml").read_text(encoding="utf-8"))
    for role in (profile[name] for name in ("care", "insured", "card", "bank") if name in profile):
        role["code_tables"] = str(_PROFILES / role["code_tables"])
        if "listen" in role:
            role["listen"]["port"] = port
        if core:
            role["core"]["url"] = core
        if database is not None:
            role["database"] |= database
    file = directory / f"profile-{participant}.yaml"
    file.write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    return file


def write_key(directory: Path, participant: str) -> EngineSigner:
    """A new signing key of a participant in its file, PARTICIPANT.json, under `PASSPHRASE`; the key."""
    engine, file = native_engine(), directory / f"{participant}.json"
    create_key_file(file, participant=participant, key_id=f"{participant}-file", passphrase=PASSPHRASE, engine=engine)
    return load_signer(file, PASSPHRASE, engine)


def write_configuration(
    directory: Path,
    participant: str,
    *profiles: Path,
    network: str,
    gateways: Sequence[str],
    hub: Signer,
    certificate: CertificateFiles | None = None,
) -> Path:
    """The configuration of an adapter that signs by the key of `write_key`, as a process is started with."""
    passphrase = directory / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    connection: dict[str, object] = {
        "gateways": list(gateways),
        "keys": [{"key_id": hub.key_id, "public_key": hub.public_key.hex()}],
    }
    if certificate is not None:
        files = dataclasses.asdict(certificate)
        connection["tls"] = {name: str(file) for name, file in files.items()}
    content = {
        "participant": participant,
        "network": network,
        "hub": connection,
        "signing_key": {"file": f"{participant}.json", "passphrase_file": passphrase.name},
        "store": {"file": f"{participant}.sqlite", "key_file": f"{participant}.key"},
        "profile_files": [str(profile) for profile in profiles],
    }
    file = directory / f"adapter-{participant}.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


class AdapterCommand:
    """`onecard adapter …` as the program runs it, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    async def aside(self, *arguments: str, locale: str = "C") -> Finished:
        """`run` for a test that has an event loop, which the command makes one of its own beside."""
        return await asyncio.to_thread(self.run, *arguments, locale=locale)

    def run(self, *arguments: str, locale: str = "C") -> Finished:
        """Exit code and output."""
        self._monkeypatch.setenv("COLUMNS", "240")
        self._monkeypatch.setenv("LC_ALL", locale)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["adapter", *arguments])
        printed = self._capsys.readouterr()
        return Finished(code=int(ended.value.code or 0), output=printed.out, errors=printed.err)
