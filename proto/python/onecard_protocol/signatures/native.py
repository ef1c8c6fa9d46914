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
# GB/T 32918.5, annex A.2: public key, e, and (r, s).
_KNOWN_KEY: Final = bytes.fromhex(
    "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
_KNOWN_DIGEST: Final = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
_KNOWN_SIGNATURE: Final = (
    0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3,
    0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA,
)

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


@functools.cache
def _table_verifier() -> TableVerifier | None:
    """The process's tables; None where this build of tongsuopy gives no access to them, or they tell a wrong answer."""
    try:
        verifier = TableVerifier(_tongsuo.__file__)
        if verifier.is_signed(_KNOWN_KEY, _KNOWN_DIGEST, *_KNOWN_SIGNATURE) and not verifier.is_signed(
            _KNOWN_KEY, bytes(32), *_KNOWN_SIGNATURE
        ):
            return verifier
        error: Exception = ValueError("a known signature is told wrong")
    except Exception as failure:  # Whatever fails in a foreign library: tongsuopy itself checks as well.
        error = failure
    _log.warning("SM2 checks take twice as long, without tables of this build of tongsuopy (%r)", error)
    return None


def _parse_private_key(private: bytes) -> Any:
    return ec.derive_private_key(check_private_key(private), ec.SM2())


def _parse_public_key(public: bytes) -> Any:
    check_public_key(public)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SM2(), public)
