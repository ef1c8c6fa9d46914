"""`onecard directory`: import, list, export and revoke what the directory holds."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from onecard.exchange.v1 import errors_pb2
from onecard_broker.bootstrap import hub_key_file, hub_signer
from onecard_broker.directory.differences import Difference, check_signing_key, differences, revocation_of
from onecard_broker.directory.model import Directory, KeyStatus
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.directory.to_proto import listing
from onecard_broker.directory.yaml_export import instant_text, to_yaml
from onecard_broker.directory.yaml_file import parse_directory_file
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.clock import now_ms
from onecard_protocol.commands.usage import refuse_with
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import Text
from onecard_protocol.methods import MethodRegistry

app: Final = typer.Typer(
    help="Participants, their keys and rights: import a reviewed file, list, export, revoke.", no_args_is_help=True
)

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the change is signed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]

Result = TypeVar("Result")
_STATUS: Final = {
    KeyStatus.OK: "valid / 有效",
    KeyStatus.NOT_YET: "not yet / 未生效",
    KeyStatus.EXPIRED: "expired / 过期",
    KeyStatus.REVOKED: "revoked / 吊销",
}


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="The reviewed file (YAML); `onecard directory export` shows its form.")],
    config: Config,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show what a reviewed file changes, ask, and sign the changes as control records."""
    settings = load_hub_settings(config)
    wanted = parse_directory_file(_read(file))

    async def change(store: DirectoryStore) -> None:
        present = await store.load()
        found = differences(present, wanted, network=settings.network, methods=MethodRegistry.load(), now_ms=now_ms())
        await _sign(store, present, found, settings, yes=yes, as_json=as_json)

    _with_store(settings, change)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Id of the key.")],
    config: Config,
    cause: Annotated[str, typer.Option(help="Why, for the record; no personal data.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a key from this moment on: messages admitted later under it are refused."""
    settings = load_hub_settings(config)

    async def change(store: DirectoryStore) -> None:
        present = await store.load()
        found = revocation_of(present, key, at_ms=now_ms(), cause=cause)
        await _sign(store, present, [found], settings, yes=yes, as_json=as_json)

    _with_store(settings, change)


@app.command("list")
def list_all(config: Config, as_json: AsJson = False) -> None:
    """List participants and their keys."""
    directory = _with_store(load_hub_settings(config), lambda store: store.load())
    if as_json:
        typer.echo(json.dumps(MessageToDict(listing(directory)), ensure_ascii=False))
    else:
        _print(directory)


@app.command()
def export(config: Config) -> None:
    """Print the directory as the file that it can be imported from; a commented example if it is empty."""
    settings = load_hub_settings(config)
    typer.echo(to_yaml(_with_store(settings, lambda store: store.load()), settings.network), nl=False)


def _with_store(settings: HubSettings, use: Callable[[DirectoryStore], Awaitable[Result]]) -> Result:
    check(settings.database)

    async def run() -> Result:
        database = LiveConnection(settings.database, application_name="onecard directory")
        try:
            return await use(DirectoryStore(database))
        finally:
            await database.close()

    return asyncio.run(run())


async def _sign(
    store: DirectoryStore,
    present: Directory,
    found: list[Difference],
    settings: HubSettings,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    check_signing_key(present, found, hub_key_file(settings).key_id, now_ms=now_ms())
    if found and not yes:
        _show(found)
        if not sys.stdin.isatty():
            refuse_with(
                Text(en="There is no terminal to ask at. Nothing was changed.", zh="没有终端可供确认，未作任何变更。"),
                Text(
                    en="Look at the changes above; if they are right, give --yes.",
                    zh="请核对以上变更，确认无误后加 --yes。",
                ),
            )
        if not typer.confirm("Sign and record these changes? / 签名并记录以上变更？"):
            raise typer.Abort
    await store.append(
        [difference.record for difference in found], hub_signer(settings), network=settings.network, now_ms=now_ms()
    )
    if as_json:
        changes = [{"number": one.record.number, "subject": one.subject, "what": one.what} for one in found]
        typer.echo(json.dumps({"changes": changes}, ensure_ascii=False))
    elif found:
        if yes:
            _show(found)
        typer.echo(
            f"changes recorded: {len(found)}, up to number {found[-1].record.number};"
            " a running worker publishes them within a second / 变更已记录，运行中的处理进程将在一秒内发布"
        )
    else:
        typer.echo("The directory is as the file says. / 目录与文件一致。")


def _show(found: list[Difference]) -> None:
    table = Table("No. / 序号", "Of / 对象", "Change / 变更", title="Changes of the directory / 目录变更")
    for one in found:
        is_loss = one.record.HasField("revoke_key") or "loses" in one.what
        table.add_row(str(one.record.number), one.subject, one.what, style="red" if is_loss else None)
    Console().print(table)


def _print(directory: Directory) -> None:
    title = f"Directory, version {directory.version} / 目录版本 {directory.version}"
    table = Table("Participant / 参与方", "What / 内容", title=title, show_lines=True)
    at_ms = now_ms()
    for participant_id, entry in sorted(directory.participants.items()):
        lines = [
            *(f"certificate / 证书: {name}" for name in sorted(entry.certificate_names)),
            *(f"sends / 可发: {text}" for text in entry.may_send.texts),
            *(f"receives / 可收: {text}" for text in entry.may_receive.texts),
            *(
                f"key / 密钥: {key.key_id}, {_STATUS[key.status(at_ms)]}\n"
                f"  {instant_text(key.not_before_ms)} – {instant_text(key.not_after_ms)}"
                for key in directory.keys_of(participant_id)
            ),
        ]
        table.add_row(f"{participant_id}\n{entry.name_zh}\n{entry.name_en}", "\n".join(lines))
    Console().print(table)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, f"{file} cannot be read: {cause} / 无法读取"
        ) from None
