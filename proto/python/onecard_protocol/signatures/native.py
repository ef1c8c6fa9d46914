"""SM2 by Tongsuo through `tongsuopy`: parsed keys are kept, and threads run beside each other (the GIL is released).

Signatures are checked by tables of the keys' multiples where the wheel gives access to Tongsuo's arithmetic.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Final

from tongsuopy.backends import _tongsuo
from tongsuopy.crypto import hashes
from tongsuopy.crypto.asymciphers import ec
from tongsuopy.crypto.exceptions import InvalidSignature
from tongsuopy.crypto.serialization import Encoding, PublicFormat

from onecard_protocol.signatures.curve import check_private_key, check_public_key, signed_digest, split_signature
from onecard_protocol.signatures.encodings import der_to_raw, raw_to_der
from onecard_protocol.signatures.engine import new_private_key
from onecard_protocol.signatures.tables import TableVerifier

# A process signs with few keys and meets the keys of all participants, some in rotation.
_PRIVATE_KEYS_MAX: Final = 64
_PUBLIC_KEYS_MAX: Final = 1024

_log = logging.getLogger(__name__)


class NativeEngine:
    """`tongsuopy` as an engine. It knows the default user ID only, which is the one that the protocol uses."""

    name: Final = "tongsuopy"
    is_native: Final = True

    def __init__(self) -> None:
        self._algorithm = ec.ECDSA(hashes.SM3())
        self._private_key = functools.lru_cache(_PRIVATE_KEYS_MAX)(_parse_private_key)
        self._public_key = functools.lru_cache(_PUBLIC_KEYS_MAX)(_parse_public_key)
        self._tables = _table_verifier()

    def generate_private_key(self) -> bytes:
        """A new private key, 32 bytes."""
        return new_private_key()

    def public_key(self, private: bytes) -> bytes:
        """The public key 04‖x‖y, 65 bytes. Raises ValueError where the private key is none."""
        parsed = self._private_key(private).public_key()
        point: bytes = parsed.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return point

    def sign(self, private: bytes, content: bytes) -> bytes:
        """The signature r‖s, 64 bytes. Raises ValueError where the private key is none."""
        return der_to_raw(self._private_key(private).sign(content, self._algorithm))

    def verify(self, public: bytes, content: bytes, signature: bytes) -> bool:
        """Whether the key signed the content; False for anything malformed."""
        numbers = split_signature(signature)
        if numbers is None:
            return False
        try:
            if self._tables is not None:
                return self._tables.is_signed(public, signed_digest(public, content), *numbers)
            self._public_key(public).verify(raw_to_der(signature), content, self._algorithm)
        except (InvalidSignature, ValueError):
            return False
        return True


def _table_verifier() -> TableVerifier | None:
    try:
        return TableVerifier(_tongsuo.__file__)
    except (OSError, AttributeError) as error:
        _log.info("SM2 checks without tables, which take twice as long: this build of tongsuopy has no %s", error)
        return None


def _parse_private_key(private: bytes) -> Any:
    return ec.derive_private_key(check_private_key(private), ec.SM2())


def _parse_public_key(public: bytes) -> Any:
    check_public_key(public)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), public)
