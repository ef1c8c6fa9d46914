"""`onecard load`: one end of the load that `onecard bench` puts on a country."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from onecard_protocol.running import run_service, start_log

app: Final = typer.Typer(help="One end of a benchmark's load; `onecard bench` starts both.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration of a province's adapter.")]
ReportOption = Annotated[Path, typer.Option("--report", help="File for the figures, as JSON.")]
SigningOption = Annotated[str, typer.Option("--signing", help="adaptive or single.")]


@app.command()
def receive(
    config: Annotated[list[Path], typer.Option("--config", "-c", help="An adapter's configuration; events take many.")],
    report: ReportOption,
    kind: Annotated[str, typer.Option(help="events, cards, loss, calls or settlements.")],
    signing: SigningOption = "adaptive",
) -> None:
    """Answer whatever comes until SIGTERM, then write the figures."""
    from onecard_adapters.load.ends import receive_until
    from onecard_adapters.settings import load_adapter_settings

    start_log(logging.WARNING)
    participants = [load_adapter_settings(file) for file in config]

    async def until_stopped() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await receive_until(participants, stopping, report, kind=kind, signs_by_batch=signing == "adaptive")

    run_service(until_stopped())


@app.command()
def send(
    config: ConfigOption,
    report: ReportOption,
    kind: Annotated[
        str, typer.Option(help="events, calls, settlements; cards, statuses, status (one by one) or loss.")
    ],
    seconds: Annotated[float, typer.Option(help="Time to send for, after the warming up.")] = 10.0,
    warm_up_seconds: Annotated[float, typer.Option(help="Time to send before that.")] = 2.0,
    concurrency: Annotated[int, typer.Option(help="Units of load under way at once; of events, batches.")] = 64,
    rate: Annotated[float, typer.Option(help="Units a second instead; 0 means as many as go.")] = 0.0,
    stays: Annotated[int, typer.Option(help="Stays to register before, to be settled.")] = 0,
    signing: SigningOption = "adaptive",
) -> None:
    """Send, then write the figures. Says "ready" on standard output when the measured time begins."""
    from onecard_adapters.load.ends import Load, send_load
    from onecard_adapters.settings import load_adapter_settings

    start_log(logging.WARNING)
    load = Load(
        kind=kind,
        seconds=seconds,
        warm_up_seconds=warm_up_seconds,
        concurrency=concurrency,
        rate_per_s=rate or None,
        stay_count=stays,
    )
    failures = run_service(send_load(load_adapter_settings(config), load, report, signs_by_batch=signing == "adaptive"))
    sys.exit(1 if failures else 0)


@app.command("card-snapshot")
def card_snapshot(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    cards: Annotated[int, typer.Option(min=1, help="How many cards.")],
    accounts: Annotated[
        bool, typer.Option("--accounts", help="With what their bank tells, as `copies` has it.")
    ] = False,
) -> None:
    """Write a snapshot of synthetic cards, for `onecard card load`."""
    from onecard_adapters.load.copies import write_cards

    write_cards(file, cards, has_accounts=accounts)


@app.command()
def copies(
    config: ConfigOption,
    report: ReportOption,
    cards: Annotated[int, typer.Option(min=1, help="How many cards, the same as in the snapshot.")],
    differing: Annotated[int, typer.Option(min=0, help="How many of them differ from it.")] = 0,
) -> None:
    """Hold copies of synthetic cards and their accounts, and answer comparisons until SIGTERM."""
    from onecard_adapters.load.copies import hold_copies
    from onecard_adapters.settings import load_adapter_settings

    start_log(logging.WARNING)
    settings = load_adapter_settings(config)

    async def until_stopped() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await hold_copies(settings, card_count=cards, differing_count=differing, report=report, stopping=stopping)

    run_service(until_stopped())
