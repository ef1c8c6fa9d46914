"""`onecard keys new` and `onecard keys show`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from onecard_protocol.commands.keys import app
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import PASSPHRASE_VARIABLE, load_signer, read_key_file

PASSPHRASE = "correct horse battery"


def run(*arguments: str, passphrase: str | None = PASSPHRASE) -> Result:
    return CliRunner().invoke(app, list(arguments), env={PASSPHRASE_VARIABLE: passphrase, "COLUMNS": "200"})


def test_a_new_key_is_written_and_shown_without_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    result = run("new", "--participant", "cn-44", "--key-id", "cn-44-2026-1", "--out", str(path), "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    key_file = read_key_file(path)
    assert shown == {
        "participant": "cn-44",
        "key_id": "cn-44-2026-1",
        "public_key": key_file.public_key,
        "fingerprint": key_file.fingerprint,
        "public_key_pem": key_file.public_key_pem,
    }
    assert PASSPHRASE not in result.output
    assert load_signer(path, PASSPHRASE, native_engine()).public_key.hex() == shown["public_key"]
    assert json.loads(run("show", str(path), "--json", passphrase=None).stdout) == shown


def test_a_table_shows_the_same_for_a_person(tmp_path: Path) -> None:
    path, passphrase_file = tmp_path / "key.json", tmp_path / "passphrase"
    passphrase_file.write_text("another long passphrase\n", encoding="utf-8")
    passphrase_file.chmod(0o600)
    arguments = ("--participant", "cn-00", "--key-id", "hub-1", "--out", str(path))
    made = run("new", *arguments, "--passphrase-file", str(passphrase_file))
    shown = run("show", str(path), passphrase=None)
    assert made.exit_code == shown.exit_code == 0
    assert made.stdout == shown.stdout
    key_file = read_key_file(path)
    for text in ("cn-00", "hub-1", key_file.public_key, key_file.fingerprint, key_file.public_key_pem):
        assert text in shown.stdout
    assert load_signer(path, "another long passphrase", native_engine()).key_id == "hub-1"


def test_without_passphrase_and_terminal_the_command_says_where_one_may_come_from(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    result = run("new", "--participant", "cn-44", "--key-id", "k", "--out", str(path), passphrase=None)
    assert isinstance(result.exception, OneCardError)
    assert "--passphrase-file" in result.exception.detail
    assert PASSPHRASE_VARIABLE in result.exception.detail
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_file_open_to_others_is_not_even_shown(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.json"
    run("new", "--participant", "cn-44", "--key-id", "k", "--out", str(path))
    path.chmod(mode)
    result = run("show", str(path))
    assert isinstance(result.exception, OneCardError)
    assert f"chmod 600 {path}" in result.exception.detail
