"""The port of SM2 engines and the choice among them; a certified crypto device can take the same place.

Semantics that every engine holds: SM2 with SM3 (GB/T 32918.2), user ID 1234567812345678, signatures raw r‖s of 64
bytes, public keys 04‖x‖y of 65 bytes, safe to use from threads at once. Not its business: where keys come from, and
whether they are valid.
"""

from __future__ import annotations

import importlib.util
import logging
import secrets
from typing import Protocol

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.curve import ORDER, PRIVATE_KEY_BYTES

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """What makes and checks SM2 signatures."""

    @property
    def name(self) -> str:
        """Name of the library or device, for logs."""

    @property
    def is_native(self) -> bool:
        """Whether it is fast enough for the hub and releases the GIL while it works."""

    def generate_private_key(self) -> bytes:
        """A new private key, 32 bytes."""

    def public_key(self, private: bytes) -> bytes:
        """The public key 04‖x‖y, 65 bytes. Raises ValueError where the private key is none."""

    def sign(self, private: bytes, content: bytes) -> bytes:
        """The signature r‖s, 64 bytes. Raises ValueError where the private key is none."""

    def verify(self, public: bytes, content: bytes, signature: bytes) -> bool:
        """Whether the key signed the content; False, never an error, for anything malformed."""


def new_private_key() -> bytes:
    """A private key of the operating system's randomness, 32 bytes, in [1, n-2] (GB/T 32918.1, 6.1)."""
    return (secrets.randbelow(ORDER - 2) + 1).to_bytes(PRIVATE_KEY_BYTES, "big")


def native_engine() -> Engine:
    """The native engine (`tongsuopy`).

    Raises:
        OneCardError: CONFIGURATION_INVALID, the wheel is not installed.
    """
    if importlib.util.find_spec("tongsuopy") is None:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            "the native SM2 engine is missing: install the wheel tongsuopy (Linux x86-64, macOS, Windows); "
            "the hub does not start without it"
            " / 缺少国密 SM2 引擎：请安装 tongsuopy，否则枢纽不能启动",
        )
    from onecard_protocol.signatures.native import NativeEngine

    return NativeEngine()


def pure_engine() -> Engine:
    """The engine in Python alone (`gmssl`): milliseconds an operation, and it holds the GIL."""
    from onecard_protocol.signatures.pure import PureEngine

    return PureEngine()


def best_engine() -> Engine:
    """The native engine where it is installed, else the pure one; the log says which."""
    if importlib.util.find_spec("tongsuopy") is not None:
        engine = native_engine()
        _log.info("SM2 engine: %s, native", engine.name)
        return engine
    engine = pure_engine()
    _log.warning(
        "SM2 engine: %s, in Python alone, 10 ms and more for each signature; tongsuopy has no wheel here", engine.name
    )
    return engine
