"""What the commands about cards share: their options, the database, and the hub's own calls through a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import grpc.aio
import typer
from pydantic import TypeAdapter, ValidationError

from onecard_broker.bootstrap import hub_signer
from onecard_broker.directory.model import Directory
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.operations.hub_calls import HubCalls, open_channel
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.commands.usage import refuse
from onecard_protocol.explained import Text
from onecard_protocol.identifiers import HUB
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.settings_file import Address
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine

_ANYWHERE: Final = frozenset({"0.0.0.0", "[::]"})

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _gateway(context: typer.Context, text: str) -> str:
    try:
        return TypeAdapter(Address).validate_python(text) if text else ""
    except ValidationError:
        what = Text(en="--gateway is not host:port.", zh="--gateway 应为“主机:端口”。")
        refuse(what, "--gateway", context.command_path.removeprefix("onecard "))


GatewayOption = Annotated[
    str,
    typer.Option(callback=_gateway, help="host:port of the gateway to ask through; the configured one if left out."),
]


YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the request is signed.")]


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


def checked_settings(config: Path) -> HubSettings:
    """The hub's settings, with a database of this release."""
    settings = load_hub_settings(config)
    check(settings.database)
    return settings


def call_hub(settings: HubSettings, gateway: str, request: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> Any:
    """The hub's own answer to its request. Raises OneCardError with the reason of a refusal."""

    async def run() -> Any:
        async with open_database(settings) as database:
            directory = await DirectoryStore(database).load()
            async with open_calls(settings, directory, gateway) as calls:
                return await request(calls.to(HUB))

    return asyncio.run(run())


def required(option: str, text: str, command: str) -> str:
    """The text of an option that must say something. Raises Explained: the command line is wrong."""
    if not text.strip():
        refuse(Text(en=f"{option} must not be empty.", zh=f"{option} 不得为空。"), option, command)
    return text.strip()


def confirm(question: str, command: str, *, is_sure: bool) -> None:
    """Ask before something is signed. Raises typer.Abort, or Explained where nobody can be asked."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        refuse(
            Text(en="There is no terminal to ask at; give --yes.", zh="没有终端可供确认，请加 --yes。"),
            "--yes",
            command,
        )
    if not typer.confirm(question):
        raise typer.Abort
