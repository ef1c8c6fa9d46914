"""Sealing of the adapter's store."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime.sealing import Sealer, load_sealer
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.sm3 import hmac_sm3

SEALER = Sealer(bytes(range(32)))


@given(st.binary(max_size=2_000), st.binary(max_size=20))
def test_what_is_sealed_opens_again_under_its_label(value: bytes, label: bytes) -> None:
    assert SEALER.open(label, SEALER.seal(label, value)) == value


@given(st.binary(min_size=1, max_size=100), st.integers(min_value=0))
def test_a_changed_value_does_not_open(value: bytes, where: int) -> None:
    sealed = bytearray(SEALER.seal(b"label", value))
    sealed[where % len(sealed)] ^= 1
    with pytest.raises(OneCardError):
        SEALER.open(b"label", bytes(sealed))


def test_a_value_does_not_open_under_another_label_or_key() -> None:
    sealed = SEALER.seal(b"label", b"value")
    with pytest.raises(OneCardError):
        SEALER.open(b"other", sealed)
    with pytest.raises(OneCardError):
        Sealer(bytes(32)).open(b"label", sealed)
    with pytest.raises(OneCardError):
        SEALER.open(b"label", b"")


def test_equal_values_seal_differently() -> None:
    assert SEALER.seal(b"label", b"value") != SEALER.seal(b"label", b"value")


def test_lookup_keys_are_equal_for_equal_parts_only() -> None:
    assert SEALER.lookup("a", "bc") == SEALER.lookup("a", "bc")
    assert SEALER.lookup("a", "bc") != SEALER.lookup("ab", "c")
    assert SEALER.lookup("a") != Sealer(bytes(32)).lookup("a")


@given(st.lists(st.text(max_size=40), max_size=4))
def test_a_lookup_key_is_hmac_sm3_of_its_framed_parts(parts: list[str]) -> None:
    framed = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    key = hmac_sm3(bytes(range(32)), b"onecard.v1.store.lookup")
    assert SEALER.lookup(*parts) == hmac_sm3(key, framed)


def test_a_new_store_gets_a_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    key_file = tmp_path / "store.key"
    made = load_sealer(key_file, tmp_path / "store.sqlite")

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert load_sealer(key_file, tmp_path / "store.sqlite").lookup("a") == made.lookup("a")


def test_a_store_without_its_key_is_not_opened_with_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    with pytest.raises(OneCardError) as refused:
        load_sealer(tmp_path / "store.key", tmp_path / "store.sqlite")

    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert not (tmp_path / "store.key").exists()


def test_a_key_file_that_others_may_read_or_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    key_file = tmp_path / "store.key"
    key_file.write_text("00" * 32)
    key_file.chmod(0o644)
    with pytest.raises(OneCardError, match="chmod 600"):
        load_sealer(key_file, tmp_path / "store.sqlite")
    key_file.write_text("short")
    key_file.chmod(0o600)
    with pytest.raises(OneCardError, match="no key"):
        load_sealer(key_file, tmp_path / "store.sqlite")
