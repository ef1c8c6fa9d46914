"""Adaptive signing: whatever waits is one batch, one waiting message is signed at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from onecard_adapters.sdk.batching import ThreadBatches
from onecard_protocol import limits
from onecard_protocol.messages import MESSAGE_CONTEXT
from onecard_protocol.signatures.blocks import sign_batch, sign_one
from onecard_protocol.signatures.signer import Signer


class AdaptiveSigning:
    """Signs headers by one key. While a batch is being signed, the next one gathers."""

    def __init__(self, signer: Signer, *, by_batch: bool = True) -> None:
        """`by_batch` False gives each message a signature of its own: the benchmark's comparison."""

        def sign_each(headers: Sequence[bytes]) -> list[bytes]:
            return [sign_one(signer, MESSAGE_CONTEXT, header) for header in headers]

        def sign_together(headers: Sequence[bytes]) -> list[bytes]:
            return sign_batch(signer, MESSAGE_CONTEXT, headers)

        self._batches: ThreadBatches[bytes, bytes] = ThreadBatches(
            "signing", sign_together if by_batch else sign_each, batch_max=limits.BATCH_LEAF_COUNT_MAX
        )

    def sign(self, header: bytes) -> asyncio.Future[bytes]:
        """The serialised SignatureBlock of the header, when it is made."""
        return self._batches.submit(header)

    async def sign_all(self, headers: Sequence[bytes]) -> list[bytes]:
        """The blocks of many headers, in their order."""
        return await asyncio.gather(*[self._batches.submit(header) for header in headers])

    def close(self) -> None:
        """Stop the thread; what waits is cancelled."""
        self._batches.close()
