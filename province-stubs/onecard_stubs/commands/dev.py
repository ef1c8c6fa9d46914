"""`onecard dev`: the whole country on this machine: hub, adapters and local systems of the provinces."""

import asyncio
import enum
from pathlib import Path
from typing import Annotated, Final

import typer

from onecard_protocol.commands.usage import refuse_with, to_correct
from onecard_protocol.explained import Text
from onecard_stubs.commands.usage import check_brokers, check_provinces
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.provinces import PROVINCES
from onecard_stubs.dev.session import error_as_json, run_country
from onecard_stubs.scenarios.registry import find_scenario

app: Final = typer.Typer(no_args_is_help=True, help="The whole country on this machine.")


class LogKind(enum.StrEnum):
    """Which log the hub writes its journal to."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


@app.callback()
def _group() -> None:
    """The whole country on this machine."""


@app.command()
def up(
    log: Annotated[LogKind, typer.Option(help="The embedded log (PostgreSQL), or a real Kafka.")] = LogKind.EMBEDDED,
    brokers: Annotated[int, typer.Option(help="Kafka brokers, 1 or 3.")] = 1,
    provinces: Annotated[
        str,
        typer.Option(help="Provinces and banks that take part, separated by commas; the scenario's, or all there are."),
    ] = "",
    gateways: Annotated[int, typer.Option(min=1, max=2, help="Gateways side by side.")] = 1,
    scenario: Annotated[str, typer.Option(help="Run this drill, then end; without one it stays up.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="With a scenario: print one JSON object at its end.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="With a scenario: say at its end what to do next.")] = False,
    directory: Annotated[
        Path | None, typer.Option(help="An empty directory for everything that is written; it stays.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary directory.")] = False,
) -> None:
    """Start hub, adapters and local systems on free ports of this machine; Ctrl-C ends them."""
    if (as_json or demo) and not scenario:
        refuse_with(
            Text(en="--json and --demo go with --scenario.", zh="--json、--demo 需与 --scenario 同用。"),
            Text(en="Add --scenario NAME, or leave them out.", zh="请加上 --scenario 名称，或去掉这些选项。"),
        )
    with error_as_json(scenario, is_wanted=as_json):
        check_brokers(log, brokers, "dev up")
        drill = find_scenario(scenario) if scenario else None
        names = tuple(name.strip() for name in provinces.split(",") if name.strip())
        names = names or (tuple(PROVINCES) if drill is None else drill.provinces)
        if drill is not None:
            check_provinces(drill, names, to_correct("--provinces", "dev up"))
        plan = CountryPlan(log=log.value, broker_count=brokers, provinces=names, gateway_count=gateways)
        plan.check()
        code = asyncio.run(
            run_country(plan, directory=directory, keep=keep, scenario=drill, as_json=as_json, is_demo=demo)
        )
    raise typer.Exit(code)
