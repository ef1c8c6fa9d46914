"""What the commands about cards share: their options, the database, and the hub's own calls through a gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta, timezone
from pathlib import Path
from typing import Annotated, Final

import typer

from onecard_broker.bootstrap import hub_signer
from onecard_broker.directory.model import Directory
from onecard_broker.operations.hub_calls import HubCalls, open_channel
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.settings import HubSettings
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine

SHANGHAI: Final = timezone(timedelta(hours=8))
_ANYWHERE: Final = frozenset({"0.0.0.0", "[::]"})

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
GatewayOption = Annotated[
    str, typer.Option(help="host:port of the gateway to ask through; the configured one if left out.")
]


@contextlib.asynccontextmanager
async def open_database(settings: HubSettings) -> AsyncIterator[LiveConnection]:
    """The hub's database while a command runs."""
    database = LiveConnection(settings.database, application_name="onecard card")
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_calls(settings: HubSettings, directory: Directory, gateway: str = "") -> AsyncIterator[HubCalls]:
    """The hub's own calls through a gateway, by default through that of the configuration."""
    async with open_channel(gateway or _local(settings.gateway.listen), settings.gateway.tls) as channel:
        yield HubCalls(
            channel,
            network=settings.network,
            directory=directory,
            methods=MethodRegistry.load(),
            signer=hub_signer(settings),
            verifier=BlockVerifier(native_engine()),
        )


def _local(listen: str) -> str:
    """How a gateway that listens everywhere is reached from its own machine."""
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in _ANYWHERE else listen
