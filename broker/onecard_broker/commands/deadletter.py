"""`onecard deadletter`: messages that could not be decided, and what an operator decides about them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard.exchange.v1 import control_pb2, errors_pb2
from onecard_broker.bootstrap import hub_signer
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import Held, find_held, list_held
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import id_from_text, id_text

app: Final = typer.Typer(
    help="Messages that could not be decided: list them; replay, release or discard one.", no_args_is_help=True
)

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
MessageId = Annotated[str, typer.Argument(help="Id of the message, 32 hex digits.")]
Cause = Annotated[str, typer.Option("--cause", help="Why, for the record; no personal data.")]


@app.command("list")
def list_(
    config: Config, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Messages that are held, and how many wait behind each."""
    held = asyncio.run(_held(load_hub_settings(config)))
    rows = [
        {
            "id": id_text(one.id),
            "sender": one.sender,
            "partition": one.partition,
            "position": one.position,
            "cause": one.cause,
            "waiting": one.waiting_count,
        }
        for one in held
    ]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("id", "sender", "partition:position", "cause", "waiting behind it")
    for row in rows:
        place = f"{row['partition']}:{row['position']}"
        table.add_row(str(row["id"]), str(row["sender"]), place, str(row["cause"]), str(row["waiting"]))
    Console().print(table if rows else "No message is held. / 没有挂起的报文。")


@app.command()
def replay(message_id: MessageId, config: Config, cause: Cause) -> None:
    """Decide the message again, and then those that wait behind it."""
    _dispose(message_id, config, cause, control_pb2.DISPOSITION_REPLAY)


@app.command()
def release(message_id: MessageId, config: Config, cause: Cause) -> None:
    """Let those that wait behind it go on; the message itself stays held."""
    _dispose(message_id, config, cause, control_pb2.DISPOSITION_RELEASE)


@app.command()
def discard(message_id: MessageId, config: Config, cause: Cause) -> None:
    """Give the final rejection; those that wait behind it go on."""
    _dispose(message_id, config, cause, control_pb2.DISPOSITION_DISCARD)


def _dispose(text: str, config: Path, cause: str, disposition: control_pb2.Disposition) -> None:
    settings = load_hub_settings(config)
    wanted = id_from_text(text)
    if wanted is None:
        raise OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, "the id is not 32 hex digits of a message id")
    check(settings.database)
    number = asyncio.run(_append(settings, wanted, cause, disposition))
    Console(stderr=True).print(f"Signed as control record {number}; a worker carries it out. / 已签名为控制记录。")


async def _append(settings: HubSettings, wanted: bytes, cause: str, disposition: control_pb2.Disposition) -> int:
    async with _database(settings) as database:
        held = await find_held(await database.get(), wanted)
        if held is None:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                "no message of this id is held; `onecard deadletter list` shows those that are / 没有该编号的挂起报文",
            )
        store = DirectoryStore(database)
        number = (await store.load()).version + 1
        record = control_pb2.ControlRecord(
            number=number,
            dispose_message=control_pb2.MessageDisposition(
                partition=held.partition, sender=held.sender, id=held.id, disposition=disposition, cause=cause
            ),
        )
        await store.append([record], hub_signer(settings), network=settings.network, now_ms=now_ms())
        return number


async def _held(settings: HubSettings) -> list[Held]:
    async with _database(settings) as database:
        return await list_held(await database.get())


@contextlib.asynccontextmanager
async def _database(settings: HubSettings) -> AsyncIterator[LiveConnection]:
    database = LiveConnection(settings.database, application_name="onecard deadletter")
    try:
        yield database
    finally:
        await database.close()
