"""DER and PEM: exactly one form is read, and it is the one that is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_protocol.signatures.encodings import (
    der_to_raw,
    public_key_pem,
    raw_to_der,
)
from tests.support import openssl
from tests.vectors.national import VECTOR_A

SMALL = bytes(31) + b"\x01" + bytes(31) + b"\x80"

BAD_DER = {
    "empty": "",
    "only a tag": "30",
    "another tag": "3106020101020101",
    "a byte after the sequence": "300602010102010100",
    "a byte after the integers": "300702010102010100",
    "length too large": "3007020101020101",
    "length too small": "3005020101020101",
    "long-form length": "308106020101020101",
    "indefinite length": "30800201010201010000",
    "one integer": "3003020101",
    "three integers": "3009020101020101020101",
    "a negative integer": "3006020181020101",
    "a padded integer": "300702020001020101",
    "a padded high integer": "30080203000081020101",
    "an empty integer": "30050200020101",
    "an integer that ends too early": "3006020101020201",
    "an octet string": "3006040101020101",
    "an integer of 257 bits": "3026022101" + "00" * 32 + "020101",
    "an integer of 34 bytes": "3027022200" + "80" * 33 + "020101",
}


@given(st.binary(min_size=64, max_size=64))
def test_a_raw_signature_survives_der(signature: bytes) -> None:
    assert der_to_raw(raw_to_der(signature)) == signature


@given(st.binary(max_size=80))
def test_der_that_is_read_is_written_the_same(der: bytes) -> None:
    try:
        signature = der_to_raw(der)
    except ValueError:
        return
    assert raw_to_der(signature) == der


@given(st.binary(min_size=64, max_size=64), st.data())
def test_a_changed_byte_of_der_never_gives_the_same_signature(signature: bytes, data: st.DataObject) -> None:
    der = bytearray(raw_to_der(signature))
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = der_to_raw(bytes(der))
    except ValueError:
        return
    assert changed != signature


def test_small_numbers_are_written_without_padding() -> None:
    assert raw_to_der(SMALL).hex() == "300702010102020080"
    assert der_to_raw(bytes.fromhex("300702010102020080")) == SMALL


@pytest.mark.parametrize("der", BAD_DER.values(), ids=BAD_DER)
def test_der_that_is_not_the_one_minimal_form_is_refused(der: str) -> None:
    with pytest.raises(ValueError, match=r"INTEGER|SEQUENCE"):
        der_to_raw(bytes.fromhex(der))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_only_64_bytes_become_der(length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        raw_to_der(bytes(length))


def test_the_pem_of_a_key_is_what_openssl_reads() -> None:
    pem = public_key_pem(VECTOR_A.public_key)
    assert pem.encode().splitlines()[0] == b"-----BEGIN PUBLIC KEY-----"
    assert "".join(pem.split()) == "".join(openssl.public_pem(VECTOR_A.public_key).decode().split())
