"""The hub's gateways as one party: which of them is used, and when the other one is.

All of an adapter's traffic goes to one gateway at a time; a failure of any kind of traffic moves all of it. Retrying is
the business of the callers: gRPC's own retries are off, or they would multiply with ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import grpc.aio

from onecard.exchange.v1 import service_pb2_grpc
from onecard_adapters.sdk.departures import Appends
from onecard_adapters.sdk.unreached import Unreached
from onecard_protocol import limits

# Header, signature and rich status travel as metadata; the default of 8 kB is too close to our own bound.
_METADATA_BYTES_MAX: Final = 4 * limits.CALL_METADATA_BYTES_MAX

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.enable_retries", 0),
    ("grpc.max_metadata_size", _METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", _METADATA_BYTES_MAX),
    ("grpc.max_receive_message_length", 2 * limits.SUBMIT_BATCH_BYTES_MAX),
    ("grpc.max_send_message_length", 2 * limits.SUBMIT_BATCH_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)

_Brought = TypeVar("_Brought")

_log = logging.getLogger(__name__)


async def brought(call: Awaitable[_Brought]) -> _Brought:
    """What a call brings, or one reading of a stream. Raises AioRpcError, also where its connection was left.

    gRPC cancels the calls of a channel that is closed; to us that is a call that failed, and nobody cancelled our task.
    """
    try:
        return await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, nothing, nothing, details="the connection was left"
        ) from None


class Gateway:
    """One gateway and its channel."""

    def __init__(self, address: str, open_channel: Callable[[str], grpc.aio.Channel]) -> None:
        self.address = address
        self._open_channel = open_channel
        self.appends = Appends()
        self._connect()

    def _connect(self) -> None:
        channel = self._open_channel(self.address)
        self.channel = channel
        self.submission = service_pb2_grpc.SubmissionServiceStub(channel)
        self.delivery = service_pb2_grpc.DeliveryServiceStub(channel)
        self.directory = service_pb2_grpc.DirectoryServiceStub(channel)
        self._calls: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}
        self.appends.next_s = float("-inf")

    def call(self, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """The method over raw bytes (rule 17)."""
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self.channel.unary_unary(method)
        return call

    async def reconnect(self) -> None:
        """Leave the connection; calls in flight on it end as `brought` says."""
        channel = self.channel
        self._connect()
        await channel.close()

    @property
    def is_ready(self) -> bool:
        """Whether the connection stands; asks for one if it does not."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY


class Gateways:
    """The gateways of the settings. At least one."""

    def __init__(
        self,
        addresses: Sequence[str],
        credentials: grpc.ChannelCredentials | None,
        *,
        server_name: str = "",
        first: int = 0,
    ) -> None:
        """`server_name` is the name in the gateways' certificates where it is not their address; `first` of them is
        used first. Without credentials the channels are plain: for tests on loopback."""
        options = [*CHANNEL_OPTIONS, *([("grpc.ssl_target_name_override", server_name)] if server_name else [])]

        def open_channel(address: str) -> grpc.aio.Channel:
            if credentials is None:
                return grpc.aio.insecure_channel(address, options=options)
            return grpc.aio.secure_channel(address, credentials, options=options)

        self._gateways = [Gateway(address, open_channel) for address in addresses]
        self._current = self._gateways[first % len(self._gateways)]
        self._connecting: asyncio.Task[None] | None = None
        self._unreached = Unreached(self._gateways)

    @property
    def addresses(self) -> list[str]:
        """Addresses of all gateways."""
        return [gateway.address for gateway in self._gateways]

    @property
    def current(self) -> Gateway:
        """The gateway in use, whether it is connected or not."""
        return self._current

    @property
    def is_connected(self) -> bool:
        """Whether the gateway in use is connected at this moment."""
        return self._current.is_ready

    async def ready(self) -> Gateway:
        """The gateway to use, connected; waits as long as none is. Bound it by asyncio.timeout."""
        while not self._current.is_ready:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.create_task(self._connect())
            await asyncio.shield(self._connecting)
        return self._current

    def failed(self, gateway: Gateway) -> None:
        """Use another one from now on, if this one is used still."""
        if gateway is self._current and len(self._gateways) > 1:
            following = (self._gateways.index(gateway) + 1) % len(self._gateways)
            self._current = self._gateways[following]
            _log.info("gateway %s failed, going on with %s", gateway.address, self._current.address)

    async def replace(self, gateway: Gateway) -> None:
        """Leave a gateway that is connected and silent: its calls in flight are retried at another one."""
        self.failed(gateway)
        await gateway.reconnect()

    async def close(self) -> None:
        """Close all channels; calls in flight end."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await asyncio.gather(*[gateway.channel.close() for gateway in self._gateways])

    async def _connect(self) -> None:
        """Wait until any gateway is connected, and use it; people are told while there is none."""
        telling = asyncio.create_task(self._unreached.tell())
        try:
            self._current = await self._connected()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        self._unreached.end(self._current)

    async def _connected(self) -> Gateway:
        """Wait until any gateway is connected; the current one is preferred."""
        while True:
            candidates = [self._current, *[gateway for gateway in self._gateways if gateway is not self._current]]
            states = [(gateway, gateway.channel.get_state(try_to_connect=True)) for gateway in candidates]
            for gateway, state in states:
                if state is grpc.ChannelConnectivity.READY:
                    return gateway
            waits = [asyncio.ensure_future(gateway.channel.wait_for_state_change(state)) for gateway, state in states]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
