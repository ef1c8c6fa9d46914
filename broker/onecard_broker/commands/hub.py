"""`onecard hub …`: one hub process of a kind, and what must be prepared before the first."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from onecard_protocol.china_time import shanghai_time
from onecard_protocol.running import run_service, start_log

app = typer.Typer(no_args_is_help=True, help="Run the hub's processes, and prepare its database and log.")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
console = Console(stderr=True)


def _start_log(verbose: bool) -> None:
    start_log(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("yoyo").setLevel(logging.WARNING)


VerboseOption = Annotated[bool, typer.Option("--verbose", help="Log more.")]


@app.command()
def migrate(config: ConfigOption) -> None:
    """Bring the database's schema to what this release needs."""
    from onecard_broker.bootstrap import prepare_database
    from onecard_broker.settings import load_hub_settings

    applied = prepare_database(load_hub_settings(config))
    console.print(f"Schema up to date; {len(applied)} migrations applied.")


@app.command()
def topics(config: ConfigOption) -> None:
    """Create the log's topics, and check those that exist."""
    from onecard_broker.bootstrap import prepare_topics
    from onecard_broker.settings import load_hub_settings

    names = asyncio.run(prepare_topics(load_hub_settings(config)))
    console.print(f"{len(names)} topics are as they must be.")


@app.command()
def worker(config: ConfigOption, verbose: VerboseOption = False) -> None:
    """Run an exchange worker until SIGTERM."""
    from onecard_broker.bootstrap import run_worker
    from onecard_broker.settings import load_hub_settings

    _start_log(verbose)
    run_service(run_worker(load_hub_settings(config)))


ListenOption = Annotated[
    str | None, typer.Option("--listen", help="host:port instead of gateway.listen, for a second gateway.")
]


@app.command()
def gateway(config: ConfigOption, listen: ListenOption = None, verbose: VerboseOption = False) -> None:
    """Run a gateway until SIGTERM; it then finishes the calls it holds."""
    from onecard_broker.bootstrap import run_gateway
    from onecard_broker.settings import load_hub_settings, with_listen

    _start_log(verbose)
    run_service(run_gateway(with_listen(load_hub_settings(config), listen, "hub gateway")))


@app.command(name="all")
def run_everything(config: ConfigOption, listen: ListenOption = None, verbose: VerboseOption = False) -> None:
    """Run a gateway and a worker in one process until SIGTERM."""
    from onecard_broker.bootstrap import run_all
    from onecard_broker.settings import load_hub_settings, with_listen

    _start_log(verbose)
    run_service(run_all(with_listen(load_hub_settings(config), listen, "hub all")))


@app.command()
def recipients(
    config: ConfigOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show how far each province is behind its inbox, and when it last read; the furthest behind first."""
    from onecard_broker.bootstrap import open_log
    from onecard_broker.directory.store import DirectoryStore
    from onecard_broker.operations.recipients import RecipientLag, recipient_lags
    from onecard_broker.records.live_connection import LiveConnection
    from onecard_broker.settings import load_hub_settings

    async def read() -> list[RecipientLag]:
        settings = load_hub_settings(config)
        log = await open_log(settings)
        database = LiveConnection(settings.database, application_name="onecard hub recipients")
        try:
            return await recipient_lags(await database.get(), log, await DirectoryStore(database).load())
        finally:
            await database.close()
            await log.close()

    lags = asyncio.run(read())
    if as_json:
        print(json.dumps([dataclasses.asdict(lag) for lag in lags], indent=1))
        return
    table = Table("province", "last read", "not received yet", box=None, header_style="bold")
    for lag in lags:
        read_time = None if lag.read_ms is None else shanghai_time(lag.read_ms)
        table.add_row(
            lag.participant, f"{read_time:%Y-%m-%d %H:%M:%S}" if read_time else "never", str(lag.behind_count)
        )
    Console().print(table)


@app.command(name="subject-key")
def subject_key(file: Annotated[Path, typer.Argument(help="File to write, with mode 0600.")]) -> None:
    """Make the key that turns identities into pseudonyms; it is never replaced in the life of a journal."""
    from onecard_broker.bootstrap import create_subject_key

    create_subject_key(file)
    console.print(f"Subject key written to {file}. Keep a copy in a safe place: without it no journal goes on.")
