"""The other forms of a signature and of a public key: strict DER, SubjectPublicKeyInfo and PEM.

On the wire a signature is raw r‖s only; DER is for libraries and for the OpenSSL command.
"""

from __future__ import annotations

import base64
from typing import Final

from onecard_protocol.signatures.curve import (
    SCALAR_BYTES,
    SIGNATURE_BYTES,
    check_public_key,
)

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02

# SEQUENCE { SEQUENCE { id-ecPublicKey 1.2.840.10045.2.1, sm2p256v1 1.2.156.10197.1.301 }, BIT STRING }
_PUBLIC_KEY_INFO_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


def raw_to_der(signature: bytes) -> bytes:
    """SEQUENCE { INTEGER r, INTEGER s } of a raw signature of 64 bytes, in minimal DER (GM/T 0009, 7.3).

    Raises:
        ValueError: not 64 bytes.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise ValueError("a raw signature is 64 bytes")
    body = _integer(signature[:SCALAR_BYTES]) + _integer(signature[SCALAR_BYTES:])
    return bytes((_SEQUENCE, len(body))) + body


def der_to_raw(der: bytes) -> bytes:
    """The raw signature r‖s, 64 bytes, of exactly one minimal DER encoding.

    Raises:
        ValueError: other tags, long-form or wrong lengths, trailing bytes, a negative, padded or too large INTEGER.
    """
    if len(der) < 2 or der[0] != _SEQUENCE or der[1] != len(der) - 2:
        raise ValueError("not one DER SEQUENCE of exactly the given length")
    r, rest = _take_integer(der[2:])
    s, rest = _take_integer(rest)
    if rest:
        raise ValueError("bytes after the second INTEGER")
    return r + s


def public_key_info(public_key: bytes) -> bytes:
    """DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) of a public key of 65 bytes.

    Raises:
        ValueError: not a point of the curve.
    """
    check_public_key(public_key)
    return _PUBLIC_KEY_INFO_PREFIX + public_key


def public_key_pem(public_key: bytes) -> str:
    """The public key as PEM (RFC 7468, 13), as the OpenSSL command reads it.

    Raises:
        ValueError: not a point of the curve.
    """
    text = base64.b64encode(public_key_info(public_key)).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _integer(scalar: bytes) -> bytes:
    magnitude = scalar.lstrip(b"\x00") or b"\x00"
    if magnitude[0] & 0x80:
        magnitude = b"\x00" + magnitude
    return bytes((_INTEGER, len(magnitude))) + magnitude


def _take_integer(der: bytes) -> tuple[bytes, bytes]:
    """(the scalar as 32 bytes, what follows it)."""
    if len(der) < 3 or der[0] != _INTEGER or not 1 <= der[1] <= SCALAR_BYTES + 1 or len(der) < 2 + der[1]:
        raise ValueError("not an INTEGER of at most 33 bytes")
    magnitude, rest = der[2 : 2 + der[1]], der[2 + der[1] :]
    if magnitude[0] & 0x80:
        raise ValueError("a negative INTEGER")
    if magnitude[0] == 0 and len(magnitude) > 1:
        if not magnitude[1] & 0x80:
            raise ValueError("an INTEGER with needless padding")
        magnitude = magnitude[1:]
    if len(magnitude) > SCALAR_BYTES:
        raise ValueError("an INTEGER above 256 bits")
    return magnitude.rjust(SCALAR_BYTES, b"\x00"), rest
