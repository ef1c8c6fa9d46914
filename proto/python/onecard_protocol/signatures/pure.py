"""SM2 by `gmssl`, in Python alone: for small adapters where `tongsuopy` has no wheel, and a second opinion in tests.

Slow (milliseconds an operation, holding the GIL) and not constant in time. Its traps are kept away here: it strips
leading characters of keys, draws its nonce from `random`, and checks neither keys nor ranges.
"""

from __future__ import annotations

import functools
import secrets
from typing import Final

from gmssl import sm2

from onecard_protocol.signatures.curve import (
    GENERATOR,
    ORDER,
    PUBLIC_KEY_BYTES,
    check_private_key,
    check_public_key,
    signed_digest,
    split_signature,
)
from onecard_protocol.signatures.engine import new_private_key

_PRIVATE_KEYS_MAX: Final = 64


class PureEngine:
    """`gmssl` as an engine: its curve arithmetic, on digests that OpenSSL's SM3 made (its own takes milliseconds)."""

    name: Final = "gmssl"
    is_native: Final = False

    def __init__(self) -> None:
        self._public_key = functools.lru_cache(_PRIVATE_KEYS_MAX)(_derive_public_key)

    def generate_private_key(self) -> bytes:
        """A new private key, 32 bytes."""
        return new_private_key()

    def public_key(self, private: bytes) -> bytes:
        """The public key 04‖x‖y, 65 bytes. Raises ValueError where the private key is none."""
        return self._public_key(private)

    def sign(self, private: bytes, content: bytes) -> bytes:
        """The signature r‖s, 64 bytes. Raises ValueError where the private key is none."""
        public = self._public_key(private)
        crypt = gmssl_key(private, public)
        digest = signed_digest(public, content)
        while True:
            # gmssl's own nonce comes from the `random` module, from which the private key could be computed.
            nonce = secrets.randbelow(ORDER - 1) + 1
            # None where r = 0, r+k = n or s = 0: another nonce (GB/T 32918.2, 6.1, A5 and A6).
            signature: str | None = crypt.sign(digest, f"{nonce:064x}")
            if signature is not None:
                return bytes.fromhex(signature)

    def verify(self, public: bytes, content: bytes, signature: bytes) -> bool:
        """Whether the key signed the content; False for anything malformed."""
        if split_signature(signature) is None:
            return False
        try:
            check_public_key(public)
        except ValueError:
            return False
        crypt = gmssl_key(None, public)
        try:
            return bool(crypt.verify(signature.hex(), signed_digest(public, content)))
        except TypeError:
            # sG+tP is infinity, for which gmssl has None where it expects a text.
            return False


def gmssl_key(private: bytes | None, public: bytes) -> sm2.CryptSM2:
    """gmssl's key object, with the coordinates set after construction, which would strip leading 0s and 4s of them."""
    crypt = sm2.CryptSM2(private_key="" if private is None else private.hex(), public_key="")
    crypt.public_key = public[-(PUBLIC_KEY_BYTES - 1) :].hex()
    return crypt


def _derive_public_key(private: bytes) -> bytes:
    scalar = check_private_key(private)
    return b"\x04" + bytes.fromhex(gmssl_key(None, GENERATOR)._kg(scalar, GENERATOR[1:].hex()))
