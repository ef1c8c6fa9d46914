"""`onecard adapter`: run a province's side."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from onecard_protocol.running import run_service

app: Final = typer.Typer(
    help="Run a province's side: its local systems, connected to the exchange.", no_args_is_help=True
)


@app.callback()
def adapter() -> None:
    """Run a province's side: its local systems, connected to the exchange."""


@app.command()
def run(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", envvar="ONECARD_ADAPTER_CONFIG", help="The adapter's configuration (YAML)."),
    ],
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Run an adapter until SIGTERM; calls in progress then finish first."""
    from onecard_adapters.runtime.adapter import run_adapter
    from onecard_adapters.settings import load_adapter_settings

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = load_adapter_settings(config)

    async def until_stopped() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await run_adapter(settings, stopping)

    run_service(until_stopped())
