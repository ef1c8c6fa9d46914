"""SM3 (GB/T 32905) by OpenSSL: of bytes, after a fixed prefix, and as HMAC.

`hashlib` is taken where its OpenSSL knows SM3, because copying a started hash costs half of making one; some systems
build their OpenSSL without it, there the wheel of `cryptography`, which brings its own OpenSSL, is taken.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as cryptography_hmac

DIGEST_BYTES: Final = 32
_BLOCK_BYTES: Final = 64


class StartedHash(Protocol):
    """A hash that some bytes were fed to already, and that can be copied to go on from there."""

    def copy(self) -> StartedHash:
        """An independent hash in the same state."""

    def update(self, data: bytes, /) -> None:
        """Feed more bytes."""

    def digest(self) -> bytes:
        """The digest of everything fed, 32 bytes."""


class CryptographyHash:
    """SM3 by `cryptography`, in the shape of `hashlib`."""

    __slots__ = ("_hash",)

    def __init__(self, started: hashes.Hash | None = None) -> None:
        self._hash = hashes.Hash(hashes.SM3()) if started is None else started

    def copy(self) -> CryptographyHash:
        """An independent hash in the same state."""
        return CryptographyHash(self._hash.copy())

    def update(self, data: bytes, /) -> None:
        """Feed more bytes."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """The digest of everything fed, 32 bytes; a second call is an error of the library."""
        return self._hash.finalize()


def has_hashlib_sm3() -> bool:
    """Whether the OpenSSL that Python was built with knows SM3 and is allowed to use it."""
    try:
        hashlib.new("sm3")
    except ValueError:
        return False
    return True


def hmac_by_cryptography(key: bytes, data: bytes) -> bytes:
    """HMAC-SM3 by `cryptography`, 32 bytes."""
    started = cryptography_hmac.HMAC(key, hashes.SM3())
    started.update(data)
    return started.finalize()


_HAS_HASHLIB_SM3: Final = has_hashlib_sm3()
_EMPTY: Final[StartedHash] = hashlib.new("sm3") if _HAS_HASHLIB_SM3 else CryptographyHash()


def sm3(data: bytes) -> bytes:
    """SM3 of the data, 32 bytes (GB/T 32905)."""
    started = _EMPTY.copy()
    started.update(data)
    return started.digest()


def started_sm3() -> StartedHash:
    """A hash to be fed piece by piece."""
    return _EMPTY.copy()


def sm3_after(prefix: bytes) -> Callable[[bytes], bytes]:
    """A function that gives SM3(prefix ‖ data), 32 bytes, and hashes the prefix only once."""
    base = _EMPTY.copy()
    base.update(prefix)

    def digest_of(data: bytes) -> bytes:
        started = base.copy()
        started.update(data)
        return started.digest()

    return digest_of


def keyed_hmac_sm3(key: bytes) -> Callable[[bytes], bytes]:
    """`hmac_sm3` of one key, of at most 64 bytes, for many: hashes the key once. A sixth of the time of `hmac_sm3`.

    Raises ValueError for a longer key.
    """
    if len(key) > _BLOCK_BYTES:
        raise ValueError("the key is longer than a block of SM3")
    inner, outer = (sm3_after(bytes(byte ^ pad for byte in key.ljust(_BLOCK_BYTES, b"\0"))) for pad in (0x36, 0x5C))
    return lambda data: outer(inner(data))


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """HMAC-SM3 (RFC 2104 over SM3), 32 bytes."""
    return hmac.digest(key, data, "sm3") if _HAS_HASHLIB_SM3 else hmac_by_cryptography(key, data)
