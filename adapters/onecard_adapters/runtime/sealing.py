"""Secrecy of the adapter's store: values sealed with SM4-GCM, lookup keys by HMAC-SM3.

Whoever copies the store's file without its key file learns who exchanged messages with whom and when, and no person.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.sm3 import hmac_sm3, sm3_after

MASTER_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_BLOCK_BYTES: Final = 64


class Sealer:
    """Seals values (RFC 8998, SM4-GCM with a random nonce) and makes lookup keys under one master key."""

    __slots__ = ("_algorithm", "_hiding", "_inner", "_outer")

    def __init__(self, master_key: bytes) -> None:
        """Raises ValueError for a key that is not 32 bytes."""
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError(f"the store's key has {MASTER_KEY_BYTES} bytes")
        self._algorithm = algorithms.SM4(hmac_sm3(master_key, b"onecard.v1.store.values")[:16])
        self._hiding = Cipher(algorithms.SM4(hmac_sm3(master_key, b"onecard.v1.store.keys")[:16]), modes.ECB())
        block = hmac_sm3(master_key, b"onecard.v1.store.lookup").ljust(_BLOCK_BYTES, b"\0")
        # HMAC (RFC 2104) with its two key blocks hashed once: every message makes lookup keys.
        self._inner = sm3_after(bytes(byte ^ 0x36 for byte in block))
        self._outer = sm3_after(bytes(byte ^ 0x5C for byte in block))

    def seal(self, label: bytes, value: bytes) -> bytes:
        """The sealed value; `label` says what it is and must be given again to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        encryptor = Cipher(self._algorithm, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(label)
        return nonce + encryptor.update(value) + encryptor.finalize() + encryptor.tag

    def open(self, label: bytes, sealed: bytes) -> bytes:
        """The value. Raises OneCardError INTERNAL if key or label is another, or the bytes were changed."""
        nonce, tag = sealed[:_NONCE_BYTES], sealed[-_TAG_BYTES:]
        try:
            decryptor = Cipher(self._algorithm, modes.GCM(nonce, tag)).decryptor()
            decryptor.authenticate_additional_data(label)
            return decryptor.update(sealed[_NONCE_BYTES:-_TAG_BYTES]) + decryptor.finalize()
        except (InvalidTag, ValueError):
            raise OneCardError(
                errors_pb2.ERROR_REASON_INTERNAL, "a value of the adapter's store does not open with the store's key"
            ) from None

    def hide(self, keys: bytes) -> bytes:
        """Keys of 16 bytes, joined, each enciphered by itself: equal keys stay equal, and `reveal` gives them back.

        For digests by which something is found again and that must be read again by the million; nothing else.
        """
        encryptor = self._hiding.encryptor()
        return encryptor.update(keys) + encryptor.finalize()

    def reveal(self, hidden: bytes) -> bytes:
        """The keys that were hidden, joined."""
        decryptor = self._hiding.decryptor()
        return decryptor.update(hidden) + decryptor.finalize()

    def lookup(self, *parts: str) -> bytes:
        """The 32-byte key under which something is found again; equal parts give the equal key."""
        framed = b"".join(len(data).to_bytes(4, "big") + data for data in (part.encode() for part in parts))
        return self._outer(self._inner(framed))


def load_sealer(key_file: Path, store_path: Path) -> Sealer:
    """The sealer of a store. The key file is made, mode 0600, together with a new store.

    Raises OneCardError CONFIGURATION_INVALID: the store exists and its key file does not, the file is readable by
    others, or holds no key.
    """
    if not key_file.exists():
        if store_path.exists():
            raise _invalid(
                f"the store {store_path} exists, its key file {key_file} does not: restore the key file"
                " / 存储文件在而密钥文件不在，请恢复密钥文件"
            )
        _create(key_file)
    if key_file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _invalid(
            f"{key_file} may be read by others: chmod 600 {key_file} / 密钥文件可被他人读取，请执行 chmod 600"
        )
    try:
        return Sealer(bytes.fromhex(key_file.read_text(encoding="ascii").strip()))
    except ValueError:
        raise _invalid(
            f"{key_file} holds no key of {2 * MASTER_KEY_BYTES} hex digits"
            f" / 文件中不是 {2 * MASTER_KEY_BYTES} 位十六进制的密钥"
        ) from None


def _create(key_file: Path) -> None:
    try:
        key_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _invalid(
            f"the store's key file {key_file} cannot be written: {error.strerror} / 密钥文件无法写入"
        ) from error
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(os.urandom(MASTER_KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())


def _invalid(detail: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail)
