"""`onecard directory` on a real database: import, list, export, revoke."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from onecard_broker.commands.directory import app
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.explained import Explained
from tests.support.directories import NETWORK, new_signer, numbered, put_participant
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)
PUBLIC_KEY = new_signer("x").public_key.hex()


@pytest.fixture
def config(postgres_dsn: str, tmp_path: Path) -> Path:
    return write_hub_configuration(tmp_path, postgres_dsn)


def write_directory(file: Path, **more: object) -> Path:
    entry = {
        "name_zh": "广东",
        "name_en": "Guangdong",
        "may_send": ["/onecard.medical.v1.*"],
        "keys": [
            {
                "id": "cn-44-1",
                "public_key": PUBLIC_KEY,
                "not_before": "2026-01-01T00:00:00+08:00",
                "not_after": "2099-01-01T00:00:00+08:00",
            }
        ],
        **more,
    }
    file.write_text(yaml.safe_dump({"network": NETWORK, "participants": {"cn-44": entry}}), encoding="utf-8")
    return file


def run(*arguments: str | Path, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_an_imported_file_is_listed_and_exported_as_it_was(config: Path, tmp_path: Path) -> None:
    file = write_directory(tmp_path / "directory.yaml", certificate_names=["cn-44.exchange.example.com"])

    changes = json.loads(run("import", file, "--config", config, "--yes", "--json"))["changes"]
    listed = json.loads(run("list", "--config", config, "--json"))
    exported = run("export", "--config", config)
    (tmp_path / "exported.yaml").write_text(exported, encoding="utf-8")
    again = json.loads(run("import", tmp_path / "exported.yaml", "--config", config, "--yes", "--json"))

    assert [change["subject"] for change in changes] == ["cn-44", "cn-44-1"]
    assert listed["participants"][0]["nameZh"] == "广东"
    assert listed["directoryVersion"] == "2"
    on_screen = run("list", "--config", config)
    assert all(text in on_screen for text in ("cn-44.exchange.example.com", "/onecard.medical.v1.*", "cn-44-1, valid"))
    assert again == {"changes": []}


def test_an_empty_directory_exports_an_example(config: Path) -> None:
    exported = run("export", "--config", config)

    assert "participants: {}" in exported
    assert "#   cn-44:" in exported


def test_without_a_terminal_nothing_is_signed_unasked(config: Path, tmp_path: Path) -> None:
    file = write_directory(tmp_path / "directory.yaml")

    with pytest.raises(Explained) as refused:
        run("import", file, "--config", config)

    assert refused.value.explanation.remedy.en == "Look at the changes above; if they are right, give --yes."
    assert "participants" not in json.loads(run("list", "--config", config, "--json"))


def test_a_revoked_key_stays_revoked_whatever_is_imported_later(config: Path, tmp_path: Path) -> None:
    file = write_directory(tmp_path / "directory.yaml")
    run("import", file, "--config", config, "--yes")

    run("revoke", "cn-44-1", "--config", config, "--cause", "lost", "--yes")
    run("import", file, "--config", config, "--yes")

    listed = json.loads(run("list", "--config", config, "--json"))
    assert [revocation["keyId"] for revocation in listed["revocations"]] == ["cn-44-1"]
    assert "revoked" in run("list", "--config", config)


def test_the_key_that_the_hub_signs_with_is_neither_revoked_nor_left_out(config: Path, tmp_path: Path) -> None:
    public_key = json.loads((tmp_path / "hub.json").read_text(encoding="utf-8"))["public_key"]
    times = {"not_before": "2026-01-01T00:00:00+08:00", "not_after": "2099-01-01T00:00:00+08:00"}
    hub = {"name_zh": "枢纽", "name_en": "Hub", "keys": [{"id": "hub-1", "public_key": public_key, **times}]}
    whole = {"network": NETWORK, "participants": {"cn-00": hub}}
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    run("import", tmp_path / "whole.yaml", "--config", config, "--yes")

    for command in (
        ("import", write_directory(tmp_path / "without.yaml")),
        ("revoke", "hub-1", "--cause", "lost"),
    ):
        with pytest.raises(OneCardError, match="the hub signs these changes with hub-1"):
            run(*command, "--config", config, "--yes")

    assert json.loads(run("list", "--config", config, "--json"))["directoryVersion"] == "2"


@pytest.mark.parametrize("name", ["missing.yaml", "hub.json"])
def test_a_file_that_is_none_is_named(config: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(OneCardError) as raised:
        run("import", tmp_path / name, "--config", config, "--yes")

    assert reason_name(raised.value.reason) == "CONFIGURATION_INVALID"


async def test_two_who_change_the_directory_at_once_do_not_overwrite_each_other(postgres_dsn: str) -> None:
    signer = new_signer("hub-1")
    databases = [LiveConnection(postgres_dsn, application_name="test") for _ in range(2)]

    results = await asyncio.gather(
        *(
            DirectoryStore(database).append(
                numbered(put_participant(participant)), signer, network=NETWORK, now_ms=now_ms()
            )
            for database, participant in zip(databases, ("cn-44", "cn-51"), strict=True)
        ),
        return_exceptions=True,
    )

    directory = await DirectoryStore(databases[0]).load()
    for database in databases:
        await database.close()
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "OneCardError"]
    assert (directory.version, len(directory.participants)) == (1, 1)
