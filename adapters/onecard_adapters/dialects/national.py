"""What a dialect needs of the exchange: a channel to another province, and hub time."""

from typing import Protocol

import grpc


class NationalExchange(Protocol):
    """The SDK's Exchange as dialects see it."""

    def to(self, recipient: str, message_id: bytes | None = None) -> grpc.aio.Channel:
        """A channel for generated stubs.

        With a message id the call is that message: asked for again, it is answered from what is stored, never sent as
        another. Calls raise CallFailed.
        """

    def hub_time_ms(self) -> int:
        """Hub time in ms since 1970."""
