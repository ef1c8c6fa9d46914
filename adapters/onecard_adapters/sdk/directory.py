"""The directory as the adapter follows it: participants, keys and revocations from signed, numbered control records.

Trust begins at the hub's keys that the settings pin; a further key of the hub counts once a trusted one signed it in.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, to_ms
from onecard_protocol.signatures.blocks import BlockVerifier

_FOR_EVER_MS = 1 << 62


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryKey:
    """A public key with its owner and validity; times in ms since 1970."""

    participant: str
    public_key: bytes
    not_before_ms: int = 0
    not_after_ms: int = _FOR_EVER_MS
    revoked_ms: int = _FOR_EVER_MS

    def check(self, sender: str, created_ms: int) -> None:
        """Raise OneCardError unless the sender owns the key and it was valid for a message created then.

        The hub judged validity at the admitted time, which the receiver does not know; the message's own time, give or
        take the clock skew that admission allows, bounds it. That the key was valid already is the hub's to judge: a
        province signs when it sends, which may be long after it made the message, with the key that it has by then.
        """
        if self.participant != sender:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_OF_OTHER_PARTICIPANT, sender)
        if sender == HUB and created_ms + limits.CLOCK_SKEW_MS_MAX < self.not_before_ms:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_NOT_YET_VALID, sender)
        if created_ms - limits.CLOCK_SKEW_MS_MAX >= self.not_after_ms:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_EXPIRED, sender)
        if created_ms >= self.revoked_ms:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_REVOKED, sender)

    def check_before_acting(self, now_ms: int) -> None:
        """Raise KEY_REVOKED if the key is revoked by now: its message is no longer acted upon (rule 15)."""
        if now_ms >= self.revoked_ms:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_REVOKED, self.participant)


class DirectoryView:
    """The directory up to a number."""

    def __init__(
        self,
        pinned: Mapping[str, bytes],
        verifier: BlockVerifier,
        *,
        network: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pinned` are the hub's public keys by key id."""
        self._verifier = verifier
        self._network = network
        self._monotonic = monotonic
        self._keys = {key_id: DirectoryKey(participant=HUB, public_key=key) for key_id, key in pinned.items()}
        self._pinned = frozenset(pinned)
        self._heard_s = float("-inf")
        self._changed = asyncio.Event()
        self.participants: dict[str, control_pb2.Participant] = {}
        self.number = 0

    def key(self, key_id: str) -> DirectoryKey:
        """A key. Raises KEY_UNKNOWN."""
        key = self._keys.get(key_id)
        if key is None:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, key_id[: limits.KEY_ID_CHARACTERS_MAX])
        return key

    @property
    def is_fresh(self) -> bool:
        """Whether the hub was heard of late, so that no revocation is missed."""
        return self._monotonic() - self._heard_s < limits.CONTROL_STALE_MS / 1000

    def hear(self, newest_number: int) -> None:
        """Take a tick: the view is fresh if it has everything up to the newest number."""
        if self.number >= newest_number:
            self._heard_s = self._monotonic()
        self._changed.set()

    async def wait_fresh(self) -> None:
        """Wait until the view is fresh."""
        while not self.is_fresh:
            self._changed.clear()
            await self._changed.wait()

    async def wait_for_key(self, key_id: str, timeout_s: float) -> None:
        """Wait a while for a key that the view may not have heard of yet; returns whether it came or not."""
        try:
            async with asyncio.timeout(timeout_s):
                while key_id not in self._keys:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def apply(self, message: Message) -> None:
        """Apply the next control record.

        Raises OneCardError: not signed by a trusted key of the hub, not of this network, or not the next number.
        A record whose number is known changes nothing.
        """
        record = self._verified(message)
        if record.number <= self.number:
            return
        if record.number != self.number + 1:
            raise OneCardError(
                errors_pb2.ERROR_REASON_HUB_NOT_READY, f"control record {record.number} follows {self.number}"
            )
        self.number = record.number
        match record.WhichOneof("change"):
            case "put_participant":
                self.participants[record.put_participant.id] = record.put_participant
            case "put_key":
                self._put(record.put_key)
            case "revoke_key":
                self._revoke(record.revoke_key)
            case _:
                pass  # Ticks and dispositions concern the hub.
        self._changed.set()

    def _verified(self, message: Message) -> control_pb2.ControlRecord:
        header = message.header
        if header.network != self._network:
            raise OneCardError(errors_pb2.ERROR_REASON_WRONG_NETWORK, header.network[: limits.NETWORK_CHARACTERS_MAX])
        if header.kind != message_pb2.MESSAGE_KIND_CONTROL or header.sender != HUB:
            raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, "the record is no control record of the hub")
        try:
            block = message_pb2.SignatureBlock.FromString(message.signature)
            record = control_pb2.ControlRecord.FromString(message.payload)
        except DecodeError:
            raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "control record") from None
        key = self.key(block.key_id)
        key.check(HUB, message.created_ms)
        if not self._verifier.verify(MESSAGE_CONTEXT, message.header_bytes, block, key.public_key):
            raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, f"control record, key {block.key_id}")
        return record

    def _put(self, key: control_pb2.ParticipantKey) -> None:
        if key.key_id in self._pinned:
            return  # The settings say what it is.
        before = self._keys.get(key.key_id)
        self._keys[key.key_id] = DirectoryKey(
            participant=key.participant,
            public_key=key.public_key,
            not_before_ms=to_ms(key.not_before_time),
            not_after_ms=to_ms(key.not_after_time) if key.HasField("not_after_time") else _FOR_EVER_MS,
            revoked_ms=_FOR_EVER_MS if before is None else before.revoked_ms,
        )

    def _revoke(self, revocation: control_pb2.KeyRevocation) -> None:
        key = self._keys.get(revocation.key_id)
        if key is not None:
            self._keys[revocation.key_id] = dataclasses.replace(key, revoked_ms=to_ms(revocation.revoked_time))
