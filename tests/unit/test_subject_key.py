"""The key of pseudonyms: read as any other private file, and told what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecard_broker.bootstrap import read_subject_key
from onecard_protocol.errors import OneCardError


def test_a_private_file_of_64_hex_digits_is_the_key(tmp_path: Path) -> None:
    file = tmp_path / "subject.key"
    file.write_text("ab" * 32 + "\n")
    file.chmod(0o600)
    assert read_subject_key(file) == b"\xab" * 32


def test_what_is_none_is_named_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("ab" * 32)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "binary").write_bytes(b"\xff" * 64)
    (tmp_path / "binary").chmod(0o600)
    for file, told in (
        (tmp_path / "open", r"open may be read by others than its owner \(mode 0644\); run: chmod 600"),
        (tmp_path / "binary", "is not 64 hex digits; `onecard hub subject-key` makes one"),
        (tmp_path / "absent", "absent cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),  # Which no chmod mends.
    ):
        with pytest.raises(OneCardError, match=told):
            read_subject_key(file)
