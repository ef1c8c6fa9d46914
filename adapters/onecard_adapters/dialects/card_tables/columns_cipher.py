"""Columns that the local system encrypts: SM4-ECB with PKCS 7 in hex, as such systems do.

Equal values have equal ciphertexts, by which the local system searches them; what leaves the province is sealed by the
exchange, never in this form.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError

_KEY_BYTES = 16
_BLOCK_BITS = 128


class ColumnsCipher:
    """Opens and makes encrypted values under one key."""

    def __init__(self, key: bytes) -> None:
        """Raises ValueError for a key that is not 16 bytes."""
        if len(key) != _KEY_BYTES:
            raise ValueError(f"an SM4 key has {_KEY_BYTES} bytes")
        self._cipher = Cipher(algorithms.SM4(key), modes.ECB())

    @classmethod
    def load(cls, file: Path) -> ColumnsCipher:
        """The cipher of a key file of 32 hex digits. Raises CONFIGURATION_INVALID naming the file."""
        try:
            return cls(bytes.fromhex(file.read_text(encoding="ascii").strip()))
        except (OSError, ValueError) as error:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                f"database.key_file {file} holds no SM4 key of 32 hex digits: {type(error).__name__}"
                " / 文件中不是 32 位十六进制的 SM4 密钥",
            ) from None

    def encrypt(self, text: str) -> str:
        """The value as it stands in the column."""
        padder, encryptor = PKCS7(_BLOCK_BITS).padder(), self._cipher.encryptor()
        padded = padder.update(text.encode()) + padder.finalize()
        return (encryptor.update(padded) + encryptor.finalize()).hex()

    def decrypt(self, value: str, path: str) -> str:
        """The text of a value. Raises LOCAL_FORM_INVALID at the column for what was not made by this key."""
        unpadder, decryptor = PKCS7(_BLOCK_BITS).unpadder(), self._cipher.decryptor()
        try:
            padded = decryptor.update(bytes.fromhex(value)) + decryptor.finalize()
            return (unpadder.update(padded) + unpadder.finalize()).decode()
        except ValueError:
            raise OneCardError(
                errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: not encrypted by the key of the profile"
            ) from None
