"""Verification of everything received: whatever waits is checked as one batch.

A message that passed is remembered by its digest for a while: the answer of a typed call comes a second time through
the inbox. Only the signature is remembered; key validity and revocation are judged each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.sdk.batching import ThreadBatches
from onecard_adapters.sdk.directory import DirectoryKey, DirectoryView
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.messages import MESSAGE_CONTEXT, RECEIPT_CONTEXT, Message, to_ms
from onecard_protocol.methods import Method
from onecard_protocol.signatures.blocks import BlockVerifier, SignedContent
from onecard_protocol.signatures.sm3 import sm3

REMEMBERED_COUNT_MAX: Final = 8_192
BATCH_COUNT_MAX: Final = 512
_ACTED_UPON: Final = frozenset({message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT})
UNKNOWN_KEY_WAIT_S: Final = 2.0

_log = logging.getLogger(__name__)


class Verification:
    """Checks messages to `participant` in `network` against the directory."""

    def __init__(
        self,
        directory: DirectoryView,
        verifier: BlockVerifier,
        *,
        network: str,
        participant: str,
        methods: Mapping[str, Method],
    ) -> None:
        self._directory = directory
        self._methods = methods
        self._network = network
        self._participant = participant
        self._passed: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()
        self._batches: ThreadBatches[SignedContent, bool] = ThreadBatches(
            "verification", verifier.verify_batch, batch_max=BATCH_COUNT_MAX
        )

    async def check(self, message: Message) -> None:
        """Check one message. Raises the OneCardError that `check_all` gives."""
        (error,) = await self.check_all([message])
        if error is not None:
            raise error

    async def check_all(
        self, messages: Sequence[Message], *, acting_ms: int | None = None
    ) -> list[OneCardError | None]:
        """What is wrong with each message; None where every check passed.

        WRONG_NETWORK, RECIPIENT_NOT_ALLOWED (it is for another, and no published event), SIGNATURE_MISSING,
        SIGNATURE_INVALID, KEY_UNKNOWN, KEY_OF_OTHER_PARTICIPANT, KEY_NOT_YET_VALID, KEY_EXPIRED or KEY_REVOKED. With
        `acting_ms`, hub time, a request or event whose key is revoked by now is refused whenever it was made.
        """
        errors: list[OneCardError | None] = [None] * len(messages)
        running: list[tuple[int, tuple[bytes, bytes], asyncio.Future[bool]]] = []
        for index, message in enumerate(messages):
            try:
                block, key = await self._checked_header(message)
                if acting_ms is not None and message.header.kind in _ACTED_UPON:
                    key.check_before_acting(acting_ms)
            except OneCardError as error:
                errors[index] = error
                continue
            remembered = message.digest, key.public_key
            if remembered in self._passed:
                self._passed.move_to_end(remembered)
            else:
                running.append((index, remembered, self._is_signed(MESSAGE_CONTEXT, message.header_bytes, block, key)))
        for index, remembered, is_signed in running:
            if await is_signed:
                self._passed[remembered] = None
            else:
                errors[index] = OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID)
        while len(self._passed) > REMEMBERED_COUNT_MAX:
            self._passed.popitem(last=False)
        return errors

    async def _checked_header(self, message: Message) -> tuple[message_pb2.SignatureBlock, DirectoryKey]:
        header = message.header
        if header.network != self._network:
            raise OneCardError(errors_pb2.ERROR_REASON_WRONG_NETWORK, f"this adapter serves {self._network}")
        if header.recipient != self._participant and not self._is_published(header):
            raise OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED, f"this adapter is {self._participant}")
        block = _block_of(message.signature)
        key = await self._key(block.key_id)
        key.check(header.sender, message.created_ms)
        return block, key

    def _is_published(self, header: message_pb2.MessageHeader) -> bool:
        """Whether it is an event to the hub that the hub passes on as its sender signed it."""
        if header.recipient != HUB or header.kind != message_pb2.MESSAGE_KIND_EVENT:
            return False
        method = self._methods.get(header.method)
        return method is not None and method.is_published

    async def check_receipt(self, signed: message_pb2.SignedReceipt, message_id: bytes, digest: bytes) -> None:
        """Check that the hub receipted this message. Raises OneCardError as `check`, or HEADER_INVALID."""
        block = _block_of(signed.signature)
        try:
            receipt = message_pb2.Receipt.FromString(signed.receipt)
        except DecodeError:
            raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "receipt") from None
        if (receipt.network, receipt.sender, receipt.id, receipt.digest) != (
            self._network,
            self._participant,
            message_id,
            digest,
        ):
            raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, "the receipt is of another message")
        key = await self._key(block.key_id)
        key.check(HUB, to_ms(receipt.admitted_time))
        if not await self._is_signed(RECEIPT_CONTEXT, signed.receipt, block, key):
            raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, "receipt")

    async def is_receipted(self, signed: message_pb2.SignedReceipt, outgoing: Outgoing) -> bool:
        """Whether this is the hub's receipt of our message; what is not is logged, and proves nothing."""
        try:
            await self.check_receipt(signed, outgoing.id, sm3(outgoing.header))
        except OneCardError as error:
            _log.error("a receipt of %s was not taken: %s", id_text(outgoing.id), reason_name(error.reason))
            return False
        return True

    def close(self) -> None:
        """Stop the thread; what waits is cancelled."""
        self._batches.close()

    async def _key(self, key_id: str) -> DirectoryKey:
        try:
            return self._directory.key(key_id)
        except OneCardError:
            # A delivery may overtake the control record that brings its key.
            await self._directory.wait_for_key(key_id, UNKNOWN_KEY_WAIT_S)
            return self._directory.key(key_id)

    def _is_signed(
        self, context: bytes, content: bytes, block: message_pb2.SignatureBlock, key: DirectoryKey
    ) -> asyncio.Future[bool]:
        return self._batches.submit(
            SignedContent(context=context, content=content, block=block, public_key=key.public_key)
        )


def _block_of(signature: bytes) -> message_pb2.SignatureBlock:
    if not signature:
        raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_MISSING)
    try:
        return message_pb2.SignatureBlock.FromString(signature)
    except DecodeError:
        raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, "no SignatureBlock") from None
