"""The exchange as a program sees it: generated stubs call out, generated servicers are called.

Owns the lives of the SDK's parts; each rule lives in its part.

    exchange = Exchange.open(settings)
    add_SettlementServiceServicer_to_server(servicer, exchange)
    async with exchange:
        response = await SettlementServiceStub(exchange.to("cn-51")).Settle(request, timeout=24)
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import grpc.aio

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.sealing import Sealer, load_sealer
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.assembly import Connection, Parts, Signatures, Timing, assemble
from onecard_adapters.sdk.channel import ExchangeChannel
from onecard_adapters.sdk.clock import HubClock
from onecard_adapters.sdk.delivery import DeliveryStream
from onecard_adapters.sdk.following import follow_directory
from onecard_adapters.sdk.opening import connection_of, signatures_of
from onecard_adapters.sdk.refusals import Refusals
from onecard_adapters.sdk.registration import Servicers
from onecard_adapters.sdk.sending import Telling
from onecard_adapters.settings import AdapterSettings
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.messages import Message
from onecard_protocol.methods import MethodRegistry

STOP_GRACE_S: Final = limits.LOCAL_CALL_MS / 1000
_CLEANING_S: Final = 3_600.0

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class Exchange:
    """One participant's end of the exchange. Register servicers before it is entered, or before the first await in it.

    Entering opens the store, takes up what a former process left, and connects in the background: events, reversals
    and queries are accepted while the hub is down.
    """

    def __init__(
        self,
        connection: Connection,
        signatures: Signatures,
        *,
        store_file: Path,
        sealer: Sealer,
        timing: Timing | None = None,
    ) -> None:
        self.participant = connection.participant
        self.sealer = sealer
        self.store = Store(store_file)
        self.methods = MethodRegistry.load()
        self._connection = connection
        self._signatures = signatures
        self._timing = timing or Timing()
        self.refusals = Refusals(self.store, sealer)
        self._clock = HubClock()
        self._servicers = Servicers(self.methods)
        self._receiving: list[asyncio.Task[None]] = []
        self._working: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[OneCardError] | None = None
        self._entered: Parts | None = None

    @classmethod
    def open(cls, settings: AdapterSettings) -> Exchange:
        """The exchange of a configuration, to be entered. Raises OneCardError CONFIGURATION_INVALID."""
        connection, signatures = connection_of(settings), signatures_of(settings)
        sealer = load_sealer(settings.store.key_file, settings.store.file)
        return cls(connection, signatures, store_file=settings.store.file, sealer=sealer)

    # ---- calling out -----------------------------------------------------------------------------------------------

    def to(self, recipient: str, message_id: bytes | None = None) -> grpc.aio.Channel:
        """A channel for generated stubs. With a message id, of one call that is known by it: a repeat of the same
        request gets its one outcome, also after a restart. Calls raise CallFailed."""
        # As much of a channel as generated stubs use; they ask for the class that gRPC's own types name.
        return cast(grpc.aio.Channel, ExchangeChannel(self._parts.sending.send, recipient, message_id))

    async def write(self, operation: Telling[_Result]) -> _Result:
        """Run an operation of the store that tells events: what it writes and what it tells are durable together."""
        return await self._parts.sending.write(operation)

    def hub_time_ms(self) -> int:
        """Hub time in ms since 1970; before the first tick the machine's own."""
        return self._clock.now_ms()

    async def find_outcome(self, message_id: bytes) -> Message | None:
        """The stored answer (reply or rejection) of a request that was made durable; None if there is none."""
        stored = await self._parts.sending.find(message_id)
        return None if stored is None else stored.answer

    async def wait_ready(self) -> None:
        """Wait until hub time and directory are fresh: then calls with effect start at once."""
        await self._clock.wait_fresh()
        await self._parts.directory.wait_fresh()

    async def wait_failed(self) -> OneCardError:
        """Wait until the exchange cannot go on by itself, such as for a cursor of a foreign epoch; returns why."""
        if self._failure is None:
            raise RuntimeError("the exchange is not entered")
        return await asyncio.shield(self._failure)

    # ---- being called ----------------------------------------------------------------------------------------------

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """For generated ``add_…Servicer_to_server`` functions."""
        self._servicers.add_generic_rpc_handlers(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """For generated ``add_…Servicer_to_server`` functions. Raises ValueError for what the protocol lacks."""
        self._servicers.add_registered_method_handlers(service_name, method_handlers)

    # ---- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._failure = asyncio.get_running_loop().create_future()
        await self.store.open()
        try:
            await self._start()
        except BaseException:
            await self.store.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        await self.close()

    async def stop_receiving(self) -> None:
        """Receive nothing more, and let servicers that are called finish: what they call may be closed after it."""
        await _cancel(self._receiving)
        await self._parts.processing.close(STOP_GRACE_S)

    async def close(self) -> None:
        """Stop receiving, let servicers that are called finish, submit what they answered, close everything."""
        await self.stop_receiving()
        parts = self._parts
        await parts.calls.close()
        await parts.submission.flush(STOP_GRACE_S)
        await _cancel(self._working)
        await parts.gateways.close()
        parts.signing.close()
        parts.verification.close()
        await self.store.close()

    @property
    def _parts(self) -> Parts:
        if self._entered is None:
            raise RuntimeError("the exchange is not entered: async with exchange")
        return self._entered

    async def _start(self) -> None:
        place, interrupted = await self.store.run(lambda store: (inbox.place(store), outbox.queue_interrupted(store)))
        if interrupted:
            _log.info("%d messages of a former process are sent now", interrupted)
        parts = self._entered = assemble(
            self._connection,
            self._signatures,
            self._timing,
            store=self.store,
            sealer=self.sealer,
            clock=self._clock,
            methods=self.methods,
            handlers=self._servicers.handlers,
            place=place,
            refused=self.refusals.add,
        )
        self._receiving = [self._run("delivery", self._receive(parts.delivery))]
        self._working = [
            self._run("cleaning", self._clean()),
            self._run("directory", follow_directory(parts.gateways, parts.directory)),
            self._run("submission", parts.submission.run()),
            self._run("resolution", parts.resolution.run()),
        ]
        if self.refusals.make_good is not None:
            self._working.append(self._run("refusals", self.refusals.run(self.refusals.make_good)))

    def _run(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever ends by itself cannot go on: the process must say so and stop."""
        if task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, OneCardError):
            kind = "nothing" if error is None else type(error).__name__
            error = OneCardError(errors_pb2.ERROR_REASON_INTERNAL, f"the adapter's {task.get_name()} ended with {kind}")
        _log.error("the adapter's %s cannot go on: %s", task.get_name(), error)
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(error)

    async def _receive(self, delivery: DeliveryStream) -> None:
        """Take up what a former process left, in its order, before anything new."""
        left = await self._parts.processing.load()
        if left:
            _log.info("%d received messages of a former process are processed now", left)
        await delivery.run()

    async def _clean(self) -> None:
        """Let go of what nobody can ask for any more."""
        while True:
            before_ms = self._clock.now_ms() - outbox.KEPT_MS
            *_, refused = await self.store.insist(
                lambda store, before_ms=before_ms: (  # type: ignore[misc]
                    outbox.forget_before(store, before_ms),
                    inbox.forget_before(store, before_ms),
                    outbox.refused_events(store),
                )
            )
            for (method, reason), count in refused.items():
                _log.warning("%d events %s were refused and wait for a person: %s", count, method, reason_name(reason))
            await asyncio.sleep(_CLEANING_S)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
