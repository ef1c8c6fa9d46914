"""`onecard hub …`: one hub process of a kind, and what must be prepared before the first."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="Run the hub's processes, and prepare its database and log.")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
]
console = Console(stderr=True)


def _start_log(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
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
    asyncio.run(run_worker(load_hub_settings(config)))
