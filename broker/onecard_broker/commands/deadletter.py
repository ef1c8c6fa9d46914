"""`onecard deadletter`: messages that were held or given up on, and what an operator decides about them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_broker.bootstrap import hub_signer
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain.dead_letters import is_expired
from onecard_broker.domain.model import MessageKey
from onecard_broker.journal import ADMITTED
from onecard_broker.records.exchange_store import load_messages
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import Held, find_held, list_held
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.clock import now_ms
from onecard_protocol.commands.usage import typed_id
from onecard_protocol.errors import reason_name
from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message, timestamp

app: Final = typer.Typer(
    help="Messages that could not be decided, or that their recipient gave up on: list, replay, release or discard.",
    no_args_is_help=True,
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
    """Messages that are held or were given up on, and how many wait behind each."""
    held, originals = asyncio.run(_held(load_hub_settings(config)))
    rows = [_row(one, originals) for one in held]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(Column("id; sender, place, waiting", no_wrap=True), "why", show_lines=True)
    for row in rows:
        why = f"{row['kind']}: {row['cause']}"
        if row["kind"] == "dead-letter":
            why += f" ({row['detail']}) after {row['attempts']} attempts, {row['given_up_time']}"
        if not row["replayable"]:
            why += "; can only be discarded"
        place = f"{row['partition']}:{row['position']}"
        table.add_row(f"{row['id']}\n{row['sender']}, {place}, {row['waiting']}", escape(why))
    Console().print(table if rows else "No message is held or given up on. / 没有挂起或被放弃的报文。")


def _row(one: Held, originals: Mapping[MessageKey, Message]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": id_text(one.id),
        "sender": one.sender,
        "kind": "held" if one.report is None else "dead-letter",
        "partition": one.partition,
        "position": one.position,
        "cause": one.cause,
        "waiting": one.waiting_count,
        "replayable": not _why_no_replay(one, originals),
    }
    if one.report is not None:
        header = message_pb2.MessageHeader.FromString(one.report.header)
        report = message_pb2.DeliveryReport.FromString(one.report.data)
        row |= {
            "method": header.method,
            "given_up_by": header.sender,
            "given_up_time": timestamp(int(one.report.extensions[ADMITTED])).ToJsonString(),
            "reason": reason_name(report.reason),
            "detail": report.detail,
            "attempts": report.attempt_count,
        }
    return row


def _why_no_replay(one: Held, originals: Mapping[MessageKey, Message]) -> str:
    """Why the stored bytes of a dead letter cannot be sent again; empty if they can, and for a held message."""
    if one.report is None:
        return ""
    original = originals.get((one.sender, one.id))
    if original is None:
        return "its bytes are not stored any more; it can only be discarded / 原报文已不再保存，只能废弃"
    if is_expired(original, now_ms()):
        return "its execute_before has passed; it can only be discarded / 已过最迟执行时间，只能废弃"
    return ""


@app.command()
def replay(message_id: MessageId, config: Config, cause: Cause) -> None:
    """Decide a held message again, or send one that was given up on again; then those that wait behind it."""
    _dispose(message_id, config, cause, control_pb2.DISPOSITION_REPLAY)


@app.command()
def release(message_id: MessageId, config: Config, cause: Cause) -> None:
    """Let those that wait behind it go on; the message itself stays in the list."""
    _dispose(message_id, config, cause, control_pb2.DISPOSITION_RELEASE)


@app.command()
def discard(message_id: MessageId, config: Config, cause: Cause) -> None:
    """Give the final rejection where one is owed; those that wait behind it go on.

    Make sure first that a request which was given up on was not executed: its sender will take it for that. A
    settlement, cancellation or reversal in doubt gets no rejection: queries, or a person, tell its outcome.
    """
    _dispose(message_id, config, cause, control_pb2.DISPOSITION_DISCARD)


def _dispose(text: str, config: Path, cause: str, disposition: control_pb2.Disposition) -> None:
    name = control_pb2.Disposition.Name(disposition).removeprefix("DISPOSITION_").lower()
    wanted = typed_id(text, f"deadletter {name}")
    settings = load_hub_settings(config)
    check(settings.database)
    number = asyncio.run(_append(settings, wanted, cause, disposition))
    Console(stderr=True).print(f"Signed as control record {number}; a worker carries it out. / 已签名为控制记录。")


async def _append(settings: HubSettings, wanted: bytes, cause: str, disposition: control_pb2.Disposition) -> int:
    async with _database(settings) as database:
        held = await find_held(await database.get(), wanted)
        if held is None:
            raise Explained(
                Explanation(
                    what=Text(
                        en="No message of this id is held or given up on.", zh="没有该编号的挂起或被放弃的报文。"
                    ),
                    why=(f"id {id_text(wanted)}",),
                    remedy=Text(
                        en="`onecard deadletter list` shows those that are.",
                        zh="`onecard deadletter list` 可列出这些报文。",
                    ),
                    exit_code=ExitCode.REFUSED,
                )
            )
        if disposition == control_pb2.DISPOSITION_REPLAY:
            originals = await load_messages(await database.get(), {(held.sender, held.id)})
            if reason := _why_no_replay(held, originals):
                raise Explained(
                    Explanation(
                        what=Text(en="This message cannot be sent again.", zh="该报文不能重新发送。"),
                        why=(reason,),
                        remedy=Text(
                            en="`onecard deadletter discard` ends it; its help says what to make sure of first.",
                            zh="可用 `onecard deadletter discard` 废弃；事先须确认的事项见其帮助。",
                        ),
                        exit_code=ExitCode.REFUSED,
                    )
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


async def _held(settings: HubSettings) -> tuple[list[Held], dict[MessageKey, Message]]:
    """What is held or given up on, and the stored bytes of what was given up on."""
    async with _database(settings) as database:
        held = await list_held(await database.get())
        given_up = {(one.sender, one.id) for one in held if one.report is not None}
        return held, await load_messages(await database.get(), given_up)


@contextlib.asynccontextmanager
async def _database(settings: HubSettings) -> AsyncIterator[LiveConnection]:
    database = LiveConnection(settings.database, application_name="onecard deadletter")
    try:
        yield database
    finally:
        await database.close()
