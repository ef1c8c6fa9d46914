"""The port that signs for one key; what stands behind it may be a file's key or a crypto device."""

from __future__ import annotations

from typing import Protocol

from onecard_protocol.signatures.engine import Engine


class Signer(Protocol):
    """Signs with one key that it never gives away. Safe to use from threads at once."""

    @property
    def key_id(self) -> str:
        """Id of the key in the directory."""

    @property
    def public_key(self) -> bytes:
        """The public key 04‖x‖y, 65 bytes."""

    def sign(self, content: bytes) -> bytes:
        """The signature r‖s, 64 bytes, over exactly these bytes.

        Called by an event loop too, again and again while it takes less than 5 ms: a device must bound how long it may
        take.
        """


class EngineSigner:
    """A private key in memory, used through an engine. Its text form never shows the key."""

    __slots__ = ("_engine", "_private_key", "key_id", "public_key")

    def __init__(self, engine: Engine, key_id: str, private_key: bytes) -> None:
        """Raises ValueError where the private key is not 32 bytes in [1, n-2]."""
        self.key_id = key_id
        self.public_key = engine.public_key(private_key)
        self._engine = engine
        self._private_key = private_key

    def sign(self, content: bytes) -> bytes:
        """The signature r‖s, 64 bytes, over exactly these bytes."""
        return self._engine.sign(self._private_key, content)

    def __repr__(self) -> str:
        return f"EngineSigner(key_id={self.key_id!r}, engine={self._engine.name!r})"

    def __reduce__(self) -> str:
        raise TypeError("a signer is not copied to another process or to disk: it holds a private key")
