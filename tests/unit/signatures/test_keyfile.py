"""Key files: readable by their owner only, the key encrypted, nothing secret in any text, nothing to be relabelled."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.keyfile import (
    PASSPHRASE_VARIABLE,
    KeyFile,
    create_key_file,
    find_passphrase,
    load_signer,
    read_key_file,
)
from onecard_protocol.signatures.sm3 import sm3

ENGINE = native_engine()
PASSPHRASE = "correct horse battery"


def create(path: Path, *, participant: str = "cn-44", key_id: str = "cn-44-2026-1") -> KeyFile:
    return create_key_file(path, participant=participant, key_id=key_id, passphrase=PASSPHRASE, engine=ENGINE)


@pytest.fixture(scope="module")
def made_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One key file for the tests that only read: making one costs a tenth of a second on purpose."""
    path = tmp_path_factory.mktemp("keys") / "cn-44.json"
    create(path)
    return path


@pytest.fixture
def key_path(made_key: Path, tmp_path: Path) -> Path:
    """A copy of the key file that a test may change."""
    path = tmp_path / "cn-44.json"
    path.write_bytes(made_key.read_bytes())
    path.chmod(0o600)
    return path


def refusal_of(path: Path, passphrase: str = PASSPHRASE) -> str:
    with pytest.raises(OneCardError) as raised:
        load_signer(path, passphrase, ENGINE)
    assert raised.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    return str(raised.value)


def change(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text())
    for name, value in fields.items():
        (content["private_key"] if name in content["private_key"] else content)[name] = value
    path.write_text(json.dumps(content))


def test_a_new_key_signs_after_it_was_loaded_and_its_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    previous = os.umask(0)
    try:
        key_file = create(path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    signer = load_signer(path, PASSPHRASE, ENGINE)
    assert signer.key_id == "cn-44-2026-1"
    assert signer.public_key == key_file.public_key_bytes
    assert ENGINE.verify(key_file.public_key_bytes, b"content", signer.sign(b"content"))


def test_neither_private_key_nor_passphrase_stands_in_file_text_form_or_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    private_key = bytes(range(1, 33))
    monkeypatch.setattr(ENGINE, "generate_private_key", lambda: private_key)
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "key.json"
    key_file = create(path)
    signer = load_signer(path, PASSPHRASE, ENGINE)
    assert ENGINE.public_key(private_key) == signer.public_key
    written = path.read_text() + repr(key_file) + repr(signer) + caplog.text
    for secret in (private_key.hex(), str(int.from_bytes(private_key, "big")), repr(private_key), PASSPHRASE):
        assert secret not in written


def test_two_files_of_one_passphrase_share_no_salt_nonce_or_key(tmp_path: Path) -> None:
    first, second = create(tmp_path / "1.json"), create(tmp_path / "2.json")
    assert first.public_key != second.public_key
    assert first.private_key.salt != second.private_key.salt
    assert first.private_key.nonce != second.private_key.nonce


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o777, 0o610])
def test_a_file_that_others_may_use_is_refused_with_the_command_that_mends_it(key_path: Path, mode: int) -> None:
    key_path.chmod(mode)
    detail = refusal_of(key_path)
    assert f"mode {mode:04o}" in detail
    assert f"chmod 600 {key_path}" in detail
    with pytest.raises(OneCardError, match="chmod 600"):
        read_key_file(key_path)


def test_a_read_only_file_of_its_owner_loads(key_path: Path) -> None:
    key_path.chmod(0o400)
    assert load_signer(key_path, PASSPHRASE, ENGINE).key_id == "cn-44-2026-1"


def test_a_wrong_passphrase_is_refused_and_not_shown(key_path: Path) -> None:
    detail = refusal_of(key_path, "correct horse batterY")
    assert "the passphrase is wrong or the file was changed" in detail
    assert "batterY" not in detail


@pytest.mark.parametrize(
    "changes",
    [
        {"participant": "cn-51"},
        {"key_id": "cn-44-2026-2"},
        {"public_key": ENGINE.public_key((7).to_bytes(32, "big")).hex()},
        {"salt": "00" * 16},
        {"nonce": "00" * 12},
        {"sealed": "00" * 48},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_file_in_which_anything_was_changed_does_not_open(key_path: Path, changes: dict[str, str]) -> None:
    change(key_path, **changes)
    assert "the passphrase is wrong or the file was changed" in refusal_of(key_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"participant": "cn-99"}, "participant is none"),
        ({"participant": "../etc"}, "participant is none"),
        ({"key_id": ""}, "key_id"),
        ({"key_id": "a b"}, "key_id"),
        ({"key_id": "x" * 65}, "key_id"),
        ({"public_key": "04" + "00" * 64}, "not on the curve"),
        ({"public_key": "04"}, "public_key"),
        ({"scrypt_n": 2**30}, "scrypt_n"),
        ({"scrypt_n": 1}, "scrypt_n"),
        ({"cipher": "sm4-ecb"}, "cipher"),
        ({"sealed": "zz" * 48}, "sealed"),
        ({"format": "onecard-key-9"}, "format"),
        ({"password": "x"}, "password"),
    ],
)
def test_a_file_out_of_form_is_refused_with_the_field_and_without_its_value(
    key_path: Path, changes: dict[str, Any], words: str
) -> None:
    sealed = read_key_file(key_path).private_key.sealed
    change(key_path, **changes)
    detail = refusal_of(key_path)
    assert words in detail
    assert "onecard keys new" in detail
    assert sealed not in detail


def test_what_is_out_of_form_is_told_in_both_languages_and_names_banks_too(tmp_path: Path) -> None:
    for participant, key_id, told in (
        (
            "cn-99",
            "key",
            "the file: the participant is none: cn-11 to cn-66, bank-102 and the like, or cn-00 for the hub",
        ),
        ("cn-99", "key", "银行（如 bank-102）"),
        ("cn-44", "a b", "取值不符合要求"),
    ):
        with pytest.raises(OneCardError) as refused:
            create(tmp_path / "key.json", participant=participant, key_id=key_id)
        assert any(told in line for line in refused.value.particulars)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "onecard-key-1"}'])
def test_other_content_is_no_key_file(key_path: Path, content: bytes) -> None:
    key_path.write_bytes(content)
    assert "is not a key file" in refusal_of(key_path)


def test_a_missing_file_a_folder_and_an_endless_file_are_refused(tmp_path: Path, key_path: Path) -> None:
    assert "No such file" in refusal_of(tmp_path / "none.json")
    assert "cannot be read" in refusal_of(tmp_path)
    key_path.write_bytes(b" " * 20_000)
    assert "larger than" in refusal_of(key_path)


def test_an_existing_file_is_never_overwritten(key_path: Path) -> None:
    before = key_path.read_bytes()
    with pytest.raises(OneCardError, match="never overwritten"):
        create(key_path)
    assert key_path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match=r"none/key\.json cannot be written: No such file"):
        create(tmp_path / "none" / "key.json")


@pytest.mark.parametrize(("participant", "key_id"), [("cn-99", "key"), ("cn-44", "a b"), ("cn-44", ""), ("", "key")])
def test_no_key_is_made_for_a_participant_or_id_out_of_form(tmp_path: Path, participant: str, key_id: str) -> None:
    with pytest.raises(OneCardError, match="no key can be made"):
        create(tmp_path / "key.json", participant=participant, key_id=key_id)
    assert not (tmp_path / "key.json").exists()


def test_a_short_passphrase_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match="shorter than 12"):
        create_key_file(tmp_path / "key.json", participant="cn-44", key_id="key", passphrase="hunter2", engine=ENGINE)
    assert not (tmp_path / "key.json").exists()


def test_the_public_half_is_read_without_a_passphrase(key_path: Path) -> None:
    key_file = read_key_file(key_path)
    assert key_file.fingerprint == sm3(key_file.public_key_bytes).hex()
    assert key_file.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----\n")


def test_the_passphrase_comes_from_the_file_before_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from the file\n", encoding="utf-8")
    file.chmod(0o600)
    assert find_passphrase(file, {PASSPHRASE_VARIABLE: "from the variable"}) == "from the file"
    assert find_passphrase(None, {PASSPHRASE_VARIABLE: "from the variable"}) == "from the variable"
    assert find_passphrase(None, {PASSPHRASE_VARIABLE: ""}) is None
    assert find_passphrase(None, {}) is None


def test_a_passphrase_file_that_is_open_to_others_empty_or_absent_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    with pytest.raises(OneCardError, match="No such file"):
        find_passphrase(file, {})
    file.write_bytes(b"\n")
    file.chmod(0o600)
    with pytest.raises(OneCardError, match="holds no passphrase"):
        find_passphrase(file, {})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(OneCardError, match="holds no passphrase"):
        find_passphrase(file, {})
    file.chmod(0o644)
    with pytest.raises(OneCardError, match="chmod 600"):
        find_passphrase(file, {})
