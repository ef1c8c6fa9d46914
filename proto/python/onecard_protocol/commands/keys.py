"""`onecard keys`: make a signing key, and show the public half of one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.engine import best_engine
from onecard_protocol.signatures.keyfile import (
    PASSPHRASE_VARIABLE,
    KeyFile,
    create_key_file,
    find_passphrase,
    read_key_file,
)

app: Final = typer.Typer(help="Make and show the SM2 keys that messages are signed with.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


@app.command()
def new(
    participant: Annotated[str, typer.Option(help="Whose key it is: cn-44, or cn-00 for the hub.")],
    key_id: Annotated[str, typer.Option(help="Name of the key in the directory, such as cn-44-2026-1.")],
    out: Annotated[Path, typer.Option(help="The new key file; an existing one is never overwritten.")],
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the passphrase, mode 0600; else {PASSPHRASE_VARIABLE}, else a question."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, write it encrypted to a file that only you may read, and show its public half."""
    passphrase = find_passphrase(passphrase_file, os.environ) or _ask_for_new_passphrase()
    key_file = create_key_file(out, participant=participant, key_id=key_id, passphrase=passphrase, engine=best_engine())
    _print(key_file, as_json=as_json)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A key file of `onecard keys new`.")], as_json: AsJson = False
) -> None:
    """Show the public half of a key: what the directory needs, and the fingerprint to read to each other."""
    _print(read_key_file(file), as_json=as_json)


def _ask_for_new_passphrase() -> str:
    if not sys.stdin.isatty():
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"no passphrase: give --passphrase-file or set {PASSPHRASE_VARIABLE}; there is no terminal to ask at"
            f" / 缺少口令：请用 --passphrase-file 或 {PASSPHRASE_VARIABLE} 给出，当前没有终端可询问",
        )
    passphrase: str = typer.prompt("Passphrase of the new key", hide_input=True, confirmation_prompt=True)
    return passphrase


def _print(key_file: KeyFile, *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "participant": key_file.participant,
                    "key_id": key_file.key_id,
                    "public_key": key_file.public_key,
                    "fingerprint": key_file.fingerprint,
                    "public_key_pem": key_file.public_key_pem,
                },
                indent=2,
            )
        )
        return
    table = Table(show_header=False, title=f"Key {key_file.key_id} of {key_file.participant}", title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("participant", key_file.participant)
    table.add_row("key id", key_file.key_id)
    table.add_row("public key", key_file.public_key)
    table.add_row("SM3 fingerprint", key_file.fingerprint)
    Console().print(table)
    typer.echo(key_file.public_key_pem, nl=False)
