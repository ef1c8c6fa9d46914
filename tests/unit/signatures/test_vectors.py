"""The published vectors, by every implementation that there is."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from onecard_protocol.signatures.curve import signed_digest
from onecard_protocol.signatures.encodings import raw_to_der
from onecard_protocol.signatures.engine import Engine
from onecard_protocol.signatures.pure import gmssl_key
from onecard_protocol.signatures.sm3 import (
    CryptographyHash,
    hmac_by_cryptography,
    hmac_sm3,
    keyed_hmac_sm3,
    sm3,
    sm3_after,
)
from tests.support import openssl, sm2_reference
from tests.support.sm2_engines import every_engine
from tests.vectors.national import (
    SM3_DIGESTS,
    SM4_BLOCK,
    SM4_BLOCK_SEALED,
    SM4_GCM_ASSOCIATED,
    SM4_GCM_NONCE,
    SM4_GCM_PLAIN,
    SM4_GCM_SEALED,
    SM4_GCM_TAG,
    SM4_KEY,
    VECTOR_A,
    VECTOR_B,
    VECTOR_C,
    SignatureVector,
)


@every_engine
def test_an_engine_accepts_vector_a_and_derives_its_key(engine: Engine) -> None:
    assert engine.public_key(VECTOR_A.private_key_bytes) == VECTOR_A.public_key
    assert engine.verify(VECTOR_A.public_key, VECTOR_A.message, VECTOR_A.signature)


@every_engine
def test_an_engine_refuses_vector_c_which_was_made_with_the_empty_user_id(engine: Engine) -> None:
    assert not engine.verify(VECTOR_C.public_key, VECTOR_C.message, VECTOR_C.signature)


def test_gmssl_by_its_own_hash_accepts_vector_a_and_refuses_vector_c() -> None:
    crypt = gmssl_key(None, VECTOR_A.public_key)
    assert crypt.verify_with_sm3(VECTOR_A.signature.hex(), VECTOR_A.message)
    assert not crypt.verify_with_sm3(VECTOR_C.signature.hex(), VECTOR_C.message)


def test_gmssl_signs_vector_a_when_it_is_given_the_nonce() -> None:
    crypt = gmssl_key(VECTOR_A.private_key_bytes, VECTOR_A.public_key)
    assert crypt.sign_with_sm3(VECTOR_A.message, f"{VECTOR_A.nonce:064x}") == VECTOR_A.signature.hex()
    assert (
        crypt.sign(signed_digest(VECTOR_A.public_key, VECTOR_A.message), f"{VECTOR_A.nonce:064x}")
        == VECTOR_A.signature.hex()
    )


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("vector", "user_id", "is_accepted"),
    [
        pytest.param(VECTOR_A, "1234567812345678", True, id="A with its id"),
        pytest.param(VECTOR_A, "", False, id="A with the empty id"),
        pytest.param(VECTOR_C, "1234567812345678", False, id="C with the right id"),
        pytest.param(VECTOR_C, "", True, id="C with the empty id"),
    ],
)
def test_the_openssl_command_accepts_a_vector_only_with_its_own_user_id(
    vector: SignatureVector, user_id: str, is_accepted: bool
) -> None:
    assert openssl.verify(vector.public_key, vector.message, raw_to_der(vector.signature), user_id) is is_accepted


@pytest.mark.parametrize("vector", [VECTOR_A, VECTOR_B, VECTOR_C], ids=["A", "B", "C"])
def test_the_reference_implementation_gives_every_number_of_a_vector(vector: SignatureVector) -> None:
    public = (vector.public_x, vector.public_y)
    z = sm2_reference.z_of(vector.curve, vector.user_id, public)
    e = sm2_reference.digest(z + vector.message)
    number = int.from_bytes(e, "big")
    assert sm2_reference.multiply(vector.curve, vector.private_key, sm2_reference.base(vector.curve)) == public
    assert z == vector.z
    assert vector.e in (e, b"")
    assert sm2_reference.sign_digest(vector.curve, vector.private_key, number, vector.nonce) == (vector.r, vector.s)
    assert sm2_reference.verify_digest(vector.curve, public, number, vector.r, vector.s)
    assert not sm2_reference.verify_digest(vector.curve, public, number + 1, vector.r, vector.s)


def test_the_digest_that_is_signed_is_that_of_vector_a() -> None:
    assert signed_digest(VECTOR_A.public_key, VECTOR_A.message) == VECTOR_A.e


def test_vector_a_in_der_has_72_bytes() -> None:
    der = raw_to_der(VECTOR_A.signature)
    assert der.hex() == f"3046022100{VECTOR_A.r:064x}022100{VECTOR_A.s:064x}"


@pytest.mark.parametrize(("data", "digest"), SM3_DIGESTS.items())
def test_sm3_gives_the_published_digests_by_both_libraries(data: bytes, digest: str) -> None:
    by_cryptography = CryptographyHash()
    by_cryptography.update(data)
    assert sm3(data).hex() == digest
    assert sm3_after(data[:1])(data[1:]).hex() == digest
    assert by_cryptography.copy().digest().hex() == digest


def test_hmac_sm3_is_the_same_by_both_libraries_and_by_its_definition() -> None:
    for key in (b"k", b"k" * 64, b"k" * 65):
        block = (key if len(key) <= 64 else sm3(key)).ljust(64, b"\x00")
        inner = sm3(bytes(byte ^ 0x36 for byte in block) + b"data")
        by_definition = sm3(bytes(byte ^ 0x5C for byte in block) + inner)
        assert hmac_sm3(key, b"data") == by_definition
        assert hmac_by_cryptography(key, b"data") == by_definition
        if len(key) <= 64:
            assert keyed_hmac_sm3(key)(b"data") == by_definition
    with pytest.raises(ValueError, match="longer"):
        keyed_hmac_sm3(b"k" * 65)


def test_sm4_gives_the_published_block() -> None:
    encryptor = Cipher(algorithms.SM4(SM4_KEY), modes.ECB()).encryptor()
    assert encryptor.update(SM4_BLOCK) == SM4_BLOCK_SEALED


def test_sm4_gcm_gives_the_values_of_rfc_8998() -> None:
    encryptor = Cipher(algorithms.SM4(SM4_KEY), modes.GCM(SM4_GCM_NONCE)).encryptor()
    encryptor.authenticate_additional_data(SM4_GCM_ASSOCIATED)
    assert encryptor.update(SM4_GCM_PLAIN) + encryptor.finalize() == SM4_GCM_SEALED
    assert encryptor.tag == SM4_GCM_TAG
