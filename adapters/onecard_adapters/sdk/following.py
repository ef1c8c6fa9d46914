"""Follows the directory at the hub: every control record, in order, each verified (rule 15)."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import grpc.aio

from onecard.exchange.v1 import service_pb2
from onecard_adapters.runtime.backoff import backoff_s
from onecard_adapters.sdk.directory import DirectoryView
from onecard_adapters.sdk.gateways import Gateway, Gateways, brought
from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import from_wire

_RETRY_FIRST_S: Final = 0.1
_RETRY_MOST_S: Final = 5.0

_log = logging.getLogger(__name__)


async def follow_directory(gateways: Gateways, view: DirectoryView) -> None:
    """Keep the view up to date, for ever. A record that does not verify is not applied: the view grows stale."""
    attempt = 0
    while True:
        gateway = await gateways.ready()
        before = view.number
        try:
            await _follow(gateway, view)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            level, why = (logging.INFO, error.code().name) if refusal is None else (logging.WARNING, refusal)
            _log.log(level, "the directory at %s was interrupted: %s", gateway.address, why)
        except OneCardError as error:
            _log.error("the directory at %s is not to be trusted: %s", gateway.address, error)
        except TimeoutError:
            _log.warning("the directory at %s is silent", gateway.address)
        attempt = 0 if view.number > before else attempt + 1
        gateways.failed(gateway)
        await asyncio.sleep(backoff_s(attempt, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S))


async def _follow(gateway: Gateway, view: DirectoryView) -> None:
    call = gateway.directory.WatchDirectory(service_pb2.WatchDirectoryRequest(first_number=view.number + 1))
    try:
        while True:
            async with asyncio.timeout(limits.CONTROL_STALE_MS / 1000):
                response = await brought(call.read())
            if not isinstance(response, service_pb2.WatchDirectoryResponse):
                return
            if response.HasField("record"):
                view.apply(from_wire(response.record))
            view.hear(response.newest_number)
    finally:
        call.cancel()
