"""The curve sm2p256v1 (GB/T 32918.5), and the checks of keys and signatures that no library is trusted with.

Every engine passes keys and signatures through here first, so that all of them refuse the same things.
"""

from __future__ import annotations

from typing import Final

from onecard_protocol.signatures.sm3 import sm3

PRIME: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
COEFFICIENT_A: Final = PRIME - 3
COEFFICIENT_B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
ORDER: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GENERATOR: Final = bytes.fromhex(
    "0432C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"
    "BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0"
)
"""The base point, uncompressed, 65 bytes."""

USER_ID: Final = b"1234567812345678"
"""The signer's identifier that goes into Z: the default of GM/T 0009, for every participant."""

SCALAR_BYTES: Final = 32
PRIVATE_KEY_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 65
SIGNATURE_BYTES: Final = 64

_USER_ID_AND_CURVE: Final = (
    (len(USER_ID) * 8).to_bytes(2, "big")
    + USER_ID
    + COEFFICIENT_A.to_bytes(SCALAR_BYTES, "big")
    + COEFFICIENT_B.to_bytes(SCALAR_BYTES, "big")
    + GENERATOR[1:]
)


def check_public_key(public_key: bytes) -> None:
    """Refuse a public key that is no affine point of the curve in the form 04‖x‖y (GB/T 32918.1, 6.2.1).

    The curve's cofactor is 1, so every such point has the right order. Infinity has no such form.

    Raises:
        ValueError: wrong length, a compressed or hybrid form, a coordinate not below the prime, or not on the curve.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or public_key[0] != 4:
        raise ValueError("a public key is 65 bytes: 04, x and y")
    x = int.from_bytes(public_key[1:33], "big")
    y = int.from_bytes(public_key[33:], "big")
    if x >= PRIME or y >= PRIME:
        raise ValueError("a coordinate of the public key is not below the prime of the curve")
    if (y * y - (x * x + COEFFICIENT_A) * x - COEFFICIENT_B) % PRIME:
        raise ValueError("the public key is not on the curve sm2p256v1")


def check_private_key(private_key: bytes) -> int:
    """The private key as a number.

    Raises:
        ValueError: not 32 bytes, or not in [1, n-2] (GB/T 32918.1, 6.1). The text never holds the key.
    """
    if len(private_key) != PRIVATE_KEY_BYTES:
        raise ValueError("a private key is 32 bytes")
    number = int.from_bytes(private_key, "big")
    if not 1 <= number <= ORDER - 2:
        raise ValueError("a private key lies between 1 and n-2")
    return number


def split_signature(signature: bytes) -> tuple[int, int] | None:
    """(r, s) of a raw signature, or None where it is not 64 bytes, r or s is not in [1, n-1], or r+s = n.

    GB/T 32918.2, 7.1, steps B1, B2 and B5.
    """
    if len(signature) != SIGNATURE_BYTES:
        return None
    r = int.from_bytes(signature[:SCALAR_BYTES], "big")
    s = int.from_bytes(signature[SCALAR_BYTES:], "big")
    if not (1 <= r < ORDER and 1 <= s < ORDER) or r + s == ORDER:
        return None
    return r, s


def signed_digest(public_key: bytes, content: bytes) -> bytes:
    """e = SM3(Z ‖ content), 32 bytes, with Z of the default user ID and this key (GB/T 32918.2, 5.5 and 6.1)."""
    return sm3(sm3(_USER_ID_AND_CURVE + public_key[1:]) + content)
