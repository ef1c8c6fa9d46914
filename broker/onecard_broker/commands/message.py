"""`onecard message`: find a message, tell its story from receipt to reply, check that all are accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.pretty import Pretty
from rich.table import Table
from rich.tree import Tree

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.bootstrap import hub_key_file, open_log
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.operations.audit import Audit, audit
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.operations.story import SignatureCheck, Story, StoryReader
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.china_time import shanghai_time
from onecard_protocol.commands.usage import refuse, typed_id
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_protocol.identifiers import id_text, message_time_ms
from onecard_protocol.messages import Message
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.redaction import redact
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import best_engine
from onecard_protocol.signatures.export import write_verification_files

app: Final = typer.Typer(
    no_args_is_help=True, help="Find a message and its whole story; personal data appear as *** everywhere."
)

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Message id, 32 hex digits.")]
SenderOption = Annotated[str, typer.Option(help="Which sender's, where two used one id.")]

_WIDE_COLUMNS: Final = 100


@app.command("list")
def list_(
    config: ConfigOption,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """The messages last delivered, newest first."""

    async def read() -> list[tuple[Message, str, int]]:
        async with _hub(load_hub_settings(config)) as (_, _, reader):
            return await reader.newest(limit)

    rows = asyncio.run(read())
    if as_json:
        print(json.dumps([_brief(message) | {"answers": answers} for message, answers, _ in rows], indent=1))
        return
    console = Console()
    is_narrow = console.width < _WIDE_COLUMNS
    table = Table(box=None, header_style="bold")
    table.add_column("created, +08:00", no_wrap=True)
    table.add_column("id, method" if is_narrow else "id", no_wrap=True, min_width=32)
    for title in ("from", "to", "kind"):
        table.add_column(title, no_wrap=True)
    if not is_narrow:
        table.add_column("method", no_wrap=True)
    for message, _, _ in rows:
        header = message.header
        method = header.method.rpartition("/")[2]
        places = header.sender, header.recipient, _kind(message)
        created = _time(message.created_ms)[5:-4]
        if is_narrow:
            table.add_row(created, f"{id_text(header.id)}\n  {method}", *places)
        else:
            table.add_row(created, id_text(header.id), *places, method)
    console.print(table)


@app.command()
def show(
    config: ConfigOption,
    message_id: IdArgument,
    raw: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Write the signed bytes, payload, signature and key into this directory, new or empty.",
        ),
    ] = None,
    sender: SenderOption = "",
    as_json: JsonOption = False,
) -> None:
    """One message: header, redacted payload, signature check, receipt, deliveries and answers."""
    wanted = typed_id(message_id, "message show")
    if raw is not None and raw.exists() and any(raw.iterdir()):
        refuse(
            Text(
                en=f"{raw} is not empty: what is in it might be taken for a part of this message.",
                zh=f"{raw} 不是空目录，其中的文件可能被误认为属于该报文。",
            ),
            "--raw",
            "message show",
        )

    async def read() -> tuple[Story, bytes | None]:
        async with _hub(load_hub_settings(config)) as (_, _, reader):
            story = await _find(reader, wanted, sender, "message show")
            return story, reader.public_key(story.check.key_id)

    story, public_key = asyncio.run(read())
    if raw is not None:
        files = _write_raw(raw, story, public_key)
        Console(stderr=True).print(f"{len(files)} files in {raw}; docs/verify-by-hand.md says how to check them.")
    if as_json:
        print(json.dumps(_as_json(story), ensure_ascii=False, indent=1))
    else:
        Console().print(_shown(story))
    if not story.check.is_good:
        raise typer.Exit(ExitCode.FOUND_WRONG)


@app.command()
def trace(
    config: ConfigOption,
    message_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Message ids, 32 hex digits each.")],
    sender: SenderOption = "",
    as_json: JsonOption = False,
) -> None:
    """The journey of messages, step by step with times: created, admitted, journaled, delivered, answered."""
    wanted = [typed_id(text, "message trace") for text in message_ids]

    async def read() -> list[Story]:
        async with _hub(load_hub_settings(config)) as (_, _, reader):
            return [await _find(reader, message_id, sender, "message trace") for message_id in wanted]

    stories = asyncio.run(read())
    if as_json:
        print(json.dumps([_as_json(story) for story in stories], ensure_ascii=False, indent=1))
        return
    console = Console()
    for story in stories:
        console.print(_traced(story))


@app.command("audit")
def audit_command(
    config: ConfigOption,
    stories: Annotated[
        bool, typer.Option("--stories", help="With --json: also the story of each request and event.")
    ] = False,
    since_ms: Annotated[
        int, typer.Option(min=0, help="Stories of what was created since this time alone, in ms since 1970.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare journal, decisions and inboxes: everything decided once, delivered once, answered once, no gap."""

    async def read() -> tuple[Audit, list[Story]]:
        async with _hub(load_hub_settings(config)) as (database, window, reader):
            found = await audit(await database.get(), window)
            asked = [
                message
                for message in found.messages
                if stories
                and message.kind in {"request", "event"}
                and message_time_ms(bytes.fromhex(message.id)) >= since_ms
            ]
            return found, [
                await _find(reader, bytes.fromhex(message.id), message.sender, "message audit") for message in asked
            ]

    found, told = asyncio.run(read())
    wrong = {
        "delivered twice": found.delivered_twice,
        "answered twice": found.answered_twice,
        "missing delivery numbers": found.missing_numbers,
    }
    open_ = {"not decided yet": found.undecided, "without outcome yet": found.without_outcome}
    if as_json:
        print(json.dumps(dataclasses.asdict(found) | {"stories": [_as_json(story) for story in told]}, indent=1))
    else:
        table = Table("what", "count", "which", box=None, header_style="bold")
        table.add_row("messages in the journal", str(len(found.messages)), "")
        table.add_row("requests that were rejected", str(len(found.rejected)), "")
        for what, names in {**open_, **wrong}.items():
            table.add_row(what, str(len(names)), "\n".join(names[:10]))
        Console().print(table)
    if any(wrong.values()):
        raise typer.Exit(ExitCode.FOUND_WRONG)


# ---- reading ---------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _hub(settings: HubSettings) -> AsyncIterator[tuple[LiveConnection, LogWindow, StoryReader]]:
    """The hub's database and log, to be read."""
    hub_key = hub_key_file(settings)
    database = LiveConnection(settings.database, application_name="onecard message")
    try:
        log = await open_log(settings)
        window = LogWindow(log)
        try:
            reader = StoryReader(
                await database.get(),
                window,
                directory=await DirectoryStore(database).load(),
                methods=MethodRegistry.load(),
                verifier=BlockVerifier(best_engine()),
                hub_keys={hub_key.key_id: hub_key.public_key_bytes},
            )
            yield database, window, reader
        finally:
            await window.close()
            await log.close()
    finally:
        await database.close()


async def _find(reader: StoryReader, message_id: bytes, sender: str, command: str) -> Story:
    found = [story for story in await reader.find(message_id) if sender in {"", story.message.header.sender}]
    if not found:
        raise Explained(
            Explanation(
                what=Text(en="The hub knows no message with this id.", zh="枢纽中没有该编号的报文。"),
                why=(
                    f"id {id_text(message_id)}",
                    "it was never admitted here, or is older than what the hub keeps: inboxes 7 days, outputs 30",
                    "从未在此受理，或已超过保存期限：收件箱 7 天，输出 30 天",
                ),
                remedy=Text(
                    en="See `onecard message list`, or ask the sender's adapter whether it was sent.",
                    zh="请查看 `onecard message list`，或向发送方适配器确认是否已发送。",
                ),
                exit_code=ExitCode.REFUSED,
            )
        )
    if len(found) > 1:
        senders = ", ".join(story.message.header.sender for story in found)
        refuse(
            Text(en=f"{senders} sent under this id; name one of them.", zh=f"{senders} 均用过该编号，请指明其一。"),
            "--sender",
            command,
        )
    return found[0]


def _write_raw(directory: Path, story: Story, public_key: bytes | None) -> Sequence[Path]:
    if public_key is None:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, f"key {story.check.key_id!r}; nothing was written")
    message = story.message
    try:
        return write_verification_files(directory, message.header_bytes, message.payload, message.signature, public_key)
    except ValueError as error:
        raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, str(error)) from None


# ---- showing ---------------------------------------------------------------------------------------------------------


def _time(time_ms: int) -> str:
    return shanghai_time(time_ms).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _kind(message: Message) -> str:
    return message_pb2.MessageKind.Name(message.header.kind).removeprefix("MESSAGE_KIND_").lower()


def _method(message: Message) -> str:
    return message.header.method.rpartition(".")[2]


def _brief(message: Message) -> dict[str, Any]:
    header = message.header
    return {
        "id": id_text(header.id),
        "sender": header.sender,
        "recipient": header.recipient,
        "method": header.method,
        "kind": _kind(message),
        "created_ms": message.created_ms,
    }


def _as_json(story: Story) -> dict[str, Any]:
    check = story.check
    return {
        **_brief(story.message),
        "digest": story.message.digest.hex(),
        "state": story.state,
        "header": redact(story.message.header),
        "payload": story.payload,
        "signature": {**dataclasses.asdict(check), "is_good": check.is_good},
        "journal": None if story.place is None else dataclasses.asdict(story.place),
        "deliveries": [dataclasses.asdict(delivered) for delivered in story.deliveries],
        "answers": [_as_json(answer) for answer in story.answers],
    }


def _check_text(check: SignatureCheck) -> str:
    way = "alone" if check.batch is None else f"message {check.batch[0] + 1} of a batch of {check.batch[1]}"
    if not check.is_valid:
        return f"[bold red]SM2 signature does NOT verify[/] (key {escape(check.key_id)}, signed {way})"
    colour = "green" if check.is_good else "red"
    return (
        f"[{colour}]SM2 signature verifies[/] (key {escape(check.key_id)} of {check.key_owner}, {check.key_status},"
        f" signed {way})"
    )


def _shown(story: Story) -> Group:
    table = Table(
        show_header=False, box=None, title=f"Message {id_text(story.message.header.id)}", title_justify="left"
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    header = story.message.header
    table.add_row("from → to", f"{header.sender} → {header.recipient}, network {header.network}")
    table.add_row("method", f"{header.method} ({_kind(story.message)})")
    table.add_row("created", _time(story.message.created_ms))
    if story.message.execute_before_ms is not None:
        table.add_row("execute before", _time(story.message.execute_before_ms))
    table.add_row("digest (SM3)", story.message.digest.hex())
    table.add_row("signature", _check_text(story.check))
    if story.place is not None:
        table.add_row(
            "receipt",
            f"journal partition {story.place.partition}, position {story.place.position};"
            f" admitted {_time(story.place.admitted_ms)}, directory {story.place.directory_version}",
        )
    if story.state:
        table.add_row("state", story.state)
    for delivered in story.deliveries:
        when = "not yet, or no longer kept" if delivered.appended_ms is None else _time(delivered.appended_ms)
        table.add_row(
            "delivered",
            f"to {delivered.recipient}, partition {delivered.partition}, number"
            f" {delivered.number}; in the inbox {when}",
        )
    for answer in story.answers:
        table.add_row(
            "answer", f"{id_text(answer.message.header.id)} ({_kind(answer.message)} of {answer.message.header.sender})"
        )
    return Group(table, "[bold]payload[/]", Pretty(story.payload, expand_all=True))


def _traced(story: Story) -> Tree:
    header = story.message.header
    tree = Tree(
        f"[bold]{_method(story.message)}[/] {_kind(story.message)} {id_text(header.id)}  "
        f"{header.sender} → {header.recipient}"
    )
    created_ms = story.message.created_ms
    tree.add(f"{_time(created_ms)}  created and signed by {header.sender}: {_check_text(story.check)}")
    place = story.place
    if place is not None:
        tree.add(f"{_step(created_ms, place.admitted_ms)} admitted, directory {place.directory_version}")
        tree.add(
            f"{_step(created_ms, place.append_time_ms)} journaled: partition {place.partition},"
            f" position {place.position}, pseudonym {place.pseudonym[:12] or 'none'}"
        )
    for delivered in story.deliveries:
        when = " not yet or no longer" if delivered.appended_ms is None else _step(created_ms, delivered.appended_ms)
        tree.add(
            f"{when} in the inbox of {delivered.recipient}: partition {delivered.partition}, number {delivered.number}"
        )
    if story.payload.get("reason"):
        reason = story.payload["reason"]
        name = reason_name(reason) if isinstance(reason, int) else str(reason).removeprefix("ERROR_REASON_")
        tree.add(f"says {name} {escape(str(story.payload.get('detail', '')))}")
    for answer in story.answers:
        tree.children.append(_traced(answer))
    if story.state and not story.answers:
        tree.add(f"state: {story.state}")
    return tree


def _step(start_ms: int, time_ms: int) -> str:
    return f"{f'+{time_ms - start_ms} ms':>13}"
