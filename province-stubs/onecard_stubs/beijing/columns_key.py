"""The key by which the office encrypts columns of persons: SM4-ECB with PKCS 7 in hex, as such systems do.

It is the form that is met in the field, not one to imitate: equal values show as equal.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_KEY_BYTES: Final = 16
_BLOCK_BITS: Final = 128


class ColumnsKey:
    """Encrypts and opens values."""

    def __init__(self, key: bytes) -> None:
        """A key of 16 bytes."""
        self._cipher = Cipher(algorithms.SM4(key), modes.ECB())

    @classmethod
    def load(cls, file: Path) -> "ColumnsKey":
        """The key of a file of 32 hex digits, made, for its owner alone, if there is none."""
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as made:
                made.write(os.urandom(_KEY_BYTES).hex() + "\n")
        return cls(bytes.fromhex(file.read_text(encoding="ascii").strip()))

    def encrypt(self, text: str) -> str:
        """As it stands in a column."""
        padder, encryptor = PKCS7(_BLOCK_BITS).padder(), self._cipher.encryptor()
        return (encryptor.update(padder.update(text.encode()) + padder.finalize()) + encryptor.finalize()).hex()

    def decrypt(self, value: str) -> str:
        """The text of a column. Raises ValueError for what another key made."""
        unpadder, decryptor = PKCS7(_BLOCK_BITS).unpadder(), self._cipher.decryptor()
        padded = decryptor.update(bytes.fromhex(value)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
