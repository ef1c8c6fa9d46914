"""Where a message lies in the journal: by its person's pseudonym, by its own id, or where its request was delivered.

The hub alone holds the key of the pseudonym (rule 4), so nobody can tell from the journal's keys who a person is.
"""

from __future__ import annotations

import functools

from onecard_broker.journal import partition_of_pseudonym
from onecard_protocol.signatures.sm3 import keyed_hmac_sm3

SUBJECT_KEY_BYTES = 32
REMEMBERED_COUNT = 16_384


class Subjects:
    """Pseudonyms of persons and the partitions that follow from them. Its text form never shows the key."""

    __slots__ = ("_hmac", "_partition_count", "_remembered")

    def __init__(self, key: bytes, partition_count: int) -> None:
        """Raises ValueError for a key that is not 32 bytes, or no partition."""
        if len(key) != SUBJECT_KEY_BYTES:
            raise ValueError(f"the subject key has {SUBJECT_KEY_BYTES} bytes")
        if partition_count < 1:
            raise ValueError("there is at least one partition")
        self._hmac = keyed_hmac_sm3(key)
        # A person's messages come close together, and SM3 costs more than all else here.
        self._remembered = functools.lru_cache(maxsize=REMEMBERED_COUNT)(self._pseudonym)
        self._partition_count = partition_count

    def pseudonym(self, identity: str) -> str:
        """HMAC-SM3 of the normal form of a person's identity, 64 hex digits."""
        return self._remembered(identity)

    def _pseudonym(self, identity: str) -> str:
        return self._hmac(identity.encode()).hex()

    def place(self, identity: str) -> tuple[int, bytes]:
        """A person's partition and pseudonym in 32 bytes; not remembered, for persons of whom each comes once."""
        subject = self._hmac(identity.encode())
        return partition_of_pseudonym(subject[:8].hex(), self._partition_count), subject

    def partition_of_pseudonym(self, pseudonym: str) -> int:
        """The partition of a person."""
        return partition_of_pseudonym(pseudonym, self._partition_count)

    def partition_of_id(self, message_id: bytes) -> int:
        """The partition of a message without a person: the random half of its id modulo the number of partitions."""
        return int.from_bytes(message_id[8:16], "big") % self._partition_count
