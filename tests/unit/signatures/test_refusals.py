"""What must be refused, by every engine, and which of it a library would have let pass."""

from __future__ import annotations

import random

import pytest
from gmssl import sm2
from hypothesis import given
from hypothesis import strategies as st
from tongsuopy.crypto import hashes
from tongsuopy.crypto.asymciphers import ec
from tongsuopy.crypto.exceptions import InvalidSignature

from onecard_protocol.signatures.curve import ORDER, PRIME, check_private_key, check_public_key, split_signature
from onecard_protocol.signatures.encodings import raw_to_der
from onecard_protocol.signatures.engine import Engine, native_engine, pure_engine
from onecard_protocol.signatures.pure import gmssl_key
from tests.support import sm2_reference
from tests.support.sm2_engines import every_engine
from tests.vectors.national import RECOMMENDED, VECTOR_A


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


R, S = VECTOR_A.r, VECTOR_A.s

BAD_SIGNATURES = {
    "r is 0": raw(0, S),
    "s is 0": raw(R, 0),
    "both are 0": bytes(64),
    "r is n": raw(ORDER, S),
    "s is n": raw(R, ORDER),
    "r is above n": raw(ORDER + 1, S),
    "s is above n": raw(R, 2**256 - 1),
    "r+s is n": raw(R, ORDER - R),
    "r and s are swapped": raw(S, R),
    "s is replaced by n-s, as ECDSA allows": raw(R, ORDER - S),
    "a bit of r is turned": raw(R ^ 1, S),
    "a bit of s is turned": raw(R, S ^ 1),
    "empty": b"",
    "63 bytes": VECTOR_A.signature[:63],
    "65 bytes": VECTOR_A.signature + b"\x00",
    "DER instead of raw": bytes.fromhex(f"3046022100{R:064x}022100{S:064x}"),
    "hexadecimal text": VECTOR_A.signature.hex().encode(),
}

X, Y = VECTOR_A.public_x, VECTOR_A.public_y

BAD_PUBLIC_KEYS = {
    "empty": b"",
    "infinity as one byte": b"\x00",
    "infinity as zeros": b"\x04" + bytes(64),
    "not on the curve": b"\x04" + raw(X, Y ^ 1),
    "x and y swapped": b"\x04" + raw(Y, X),
    "without prefix": raw(X, Y),
    "compressed": bytes((2 + (Y & 1),)) + X.to_bytes(32, "big"),
    "hybrid form": bytes((6 + (Y & 1),)) + raw(X, Y),
    "a byte too long": VECTOR_A.public_key + b"\x00",
    "x not below the prime": b"\x04" + raw(PRIME, Y),
    "y not below the prime": b"\x04" + raw(X, PRIME + 1),
}

BAD_PRIVATE_KEYS = {
    "zero": bytes(32),
    "n-1, for which 1+d has no inverse": (ORDER - 1).to_bytes(32, "big"),
    "n": ORDER.to_bytes(32, "big"),
    "largest": b"\xff" * 32,
    "31 bytes": b"\x01" * 31,
    "33 bytes": b"\x01" * 33,
    "empty": b"",
}


@every_engine
@pytest.mark.parametrize("signature", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_a_signature_out_of_form_or_range_or_changed_is_refused(engine: Engine, signature: bytes) -> None:
    assert not engine.verify(VECTOR_A.public_key, VECTOR_A.message, signature)


@every_engine
@pytest.mark.parametrize("public_key", BAD_PUBLIC_KEYS.values(), ids=BAD_PUBLIC_KEYS)
def test_a_public_key_that_is_no_point_in_the_one_form_is_refused(engine: Engine, public_key: bytes) -> None:
    assert not engine.verify(public_key, VECTOR_A.message, VECTOR_A.signature)
    with pytest.raises(ValueError, match="public key"):
        check_public_key(public_key)


@every_engine
@pytest.mark.parametrize("private_key", BAD_PRIVATE_KEYS.values(), ids=BAD_PRIVATE_KEYS)
def test_a_private_key_out_of_range_signs_nothing_and_stays_out_of_the_error(
    engine: Engine, private_key: bytes
) -> None:
    with pytest.raises(ValueError, match="a private key"):
        engine.public_key(private_key)
    with pytest.raises(ValueError, match="a private key") as raised:
        engine.sign(private_key, b"content")
    assert not private_key or private_key.hex() not in str(raised.value)


@every_engine
def test_the_smallest_and_the_largest_private_key_sign(engine: Engine) -> None:
    for number in (1, ORDER - 2):
        private_key = number.to_bytes(32, "big")
        assert check_private_key(private_key) == number
        assert engine.verify(engine.public_key(private_key), b"content", engine.sign(private_key, b"content"))


@every_engine
def test_another_content_or_another_key_is_refused(engine: Engine) -> None:
    other_key = engine.public_key(engine.generate_private_key())
    assert not engine.verify(VECTOR_A.public_key, VECTOR_A.message + b"\x00", VECTOR_A.signature)
    assert not engine.verify(VECTOR_A.public_key, b"", VECTOR_A.signature)
    assert not engine.verify(other_key, VECTOR_A.message, VECTOR_A.signature)


@every_engine
def test_a_signature_whose_point_is_infinity_is_refused_and_raises_nothing(engine: Engine) -> None:
    # sG + tP = (s + (r+s)d)G: the owner of d can choose r so that this is infinity, which has no x to compare.
    s, d = 5, VECTOR_A.private_key
    r = (-s * pow(d, -1, ORDER) - s) % ORDER
    assert split_signature(raw(r, s)) == (r, s)
    assert not engine.verify(VECTOR_A.public_key, VECTOR_A.message, raw(r, s))


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=20))
def test_no_bytes_whatever_raise_an_error(public_key: bytes, signature: bytes, content: bytes) -> None:
    engine = native_engine()
    assert not engine.verify(public_key, content, signature)
    assert not engine.verify(VECTOR_A.public_key, content, signature)
    assert not engine.verify(VECTOR_A.public_key, content, signature[:64].rjust(64, b"\x01"))


@every_engine
def test_a_content_signed_twice_has_two_signatures(engine: Engine) -> None:
    first, second = (engine.sign(VECTOR_A.private_key_bytes, b"content") for _ in range(2))
    assert first != second
    assert engine.verify(VECTOR_A.public_key, b"content", first)
    assert engine.verify(VECTOR_A.public_key, b"content", second)


def test_tongsuo_itself_refuses_what_is_out_of_range_and_off_the_curve() -> None:
    # So for the native engine our own checks come second; they are there for the ones below.
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), VECTOR_A.public_key)
    for r, s in ((0, S), (R, 0), (ORDER, S), (R, ORDER), (R, ORDER - R), (ORDER + 1, S)):
        with pytest.raises(InvalidSignature):
            key.verify(raw_to_der(raw(r, s)), VECTOR_A.message, ec.ECDSA(hashes.SM3()))
    with pytest.raises(ValueError, match="curve"):
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), BAD_PUBLIC_KEYS["not on the curve"])


def test_tongsuo_itself_takes_a_compressed_key_so_the_form_is_checked_here() -> None:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), BAD_PUBLIC_KEYS["compressed"])
    key.verify(raw_to_der(VECTOR_A.signature), VECTOR_A.message, ec.ECDSA(hashes.SM3()))


def test_gmssl_itself_draws_a_nonce_that_can_be_foretold_so_it_is_given_one() -> None:
    crypt = gmssl_key(VECTOR_A.private_key_bytes, VECTOR_A.public_key)
    by_gmssl, by_engine = set(), set()
    for _ in range(2):
        random.seed(1)
        by_gmssl.add(crypt.sign_with_sm3(b"content"))
        random.seed(1)
        by_engine.add(pure_engine().sign(VECTOR_A.private_key_bytes, b"content"))
    assert len(by_gmssl) == 1
    assert len(by_engine) == 2


def test_gmssl_itself_accepts_s_above_n() -> None:
    # With s = 1 and d = (k-s)/(s+r) the signature (r, 1) is valid; (r, 1+n) is then the same point to gmssl.
    e, k = 7, VECTOR_A.nonce
    point = sm2_reference.multiply(RECOMMENDED, k, sm2_reference.base(RECOMMENDED))
    assert point is not None
    r = (e + point[0]) % ORDER
    private = (k - 1) * pow(1 + r, -1, ORDER) % ORDER
    crypt = gmssl_key(None, native_engine().public_key(private.to_bytes(32, "big")))
    digest = e.to_bytes(32, "big")
    assert crypt.verify(raw(r, 1).hex(), digest)
    assert crypt.verify(raw(r, 1 + ORDER).hex(), digest)
    assert split_signature(raw(r, 1)) is not None
    assert split_signature(raw(r, 1 + ORDER)) is None


def test_gmssl_itself_accepts_r_zero() -> None:
    k = VECTOR_A.nonce
    point = sm2_reference.multiply(RECOMMENDED, k, sm2_reference.base(RECOMMENDED))
    assert point is not None
    e = -point[0] % ORDER
    s = k * pow(1 + VECTOR_A.private_key, -1, ORDER) % ORDER
    assert gmssl_key(None, VECTOR_A.public_key).verify(raw(0, s).hex(), e.to_bytes(32, "big"))
    assert split_signature(raw(0, s)) is None


def test_gmssl_itself_accepts_a_key_that_is_not_on_the_curve() -> None:
    public_key = BAD_PUBLIC_KEYS["not on the curve"]
    crypt = gmssl_key(None, public_key)
    generator = f"{RECOMMENDED.x:064x}{RECOMMENDED.y:064x}"
    r, s = 3, 4
    sum_of_points = crypt._convert_jacb_to_nor(
        crypt._add_point(crypt._kg(s, generator) + "1", crypt._kg(r + s, crypt.public_key))
    )
    e = (r - int(sum_of_points[:64], 16)) % ORDER
    assert crypt.verify(raw(r, s).hex(), e.to_bytes(32, "big"))


def test_gmssl_itself_damages_a_key_whose_x_begins_with_4() -> None:
    public_key = native_engine().public_key((65).to_bytes(32, "big"))
    assert public_key.hex().startswith("0440")
    assert len(sm2.CryptSM2(private_key="", public_key=public_key.hex()).public_key) < 128
    assert len(gmssl_key(None, public_key).public_key) == 128
