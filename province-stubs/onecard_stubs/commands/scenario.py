"""`onecard scenario`: a drill against a country that is up: who does what, and what must then be true."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard_protocol.explained import ExitCode, Text, language_of
from onecard_stubs.commands.usage import check_provinces
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.dev.session import error_as_json, run_scenario
from onecard_stubs.dev.watching import unless_ended
from onecard_stubs.scenarios.registry import SCENARIOS, find_scenario

app: Final = typer.Typer(no_args_is_help=True, help="Run drills against a country that is up.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """The drills."""
    if as_json:
        print(json.dumps([{"name": name, "what": drill.what.en} for name, drill in SCENARIOS.items()], indent=1))
        return
    table = Table("name", box=None, header_style="bold")
    table.add_column("what", overflow="fold")
    for name, drill in SCENARIOS.items():
        table.add_row(name, drill.what.of(language_of(os.environ)))
    Console().print(table)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Name of the drill.")],
    directory: Annotated[Path, typer.Option(help="Directory that `onecard dev up` printed.")],
    as_json: JsonOption = False,
) -> None:
    """Run a drill, show what happened, and check it."""
    with error_as_json(name, is_wanted=as_json):
        drill, country = find_scenario(name), RunningCountry.load(directory)
        country.check_runs()
        check_provinces(
            drill,
            country.stub_urls,
            Text(
                en=f"Start a country that has them: `onecard dev up --provinces {','.join(drill.provinces)}`.",
                zh=f"请启动包含它们的环境：`onecard dev up --provinces {','.join(drill.provinces)}`。",
            ),
        )
        playing = run_scenario(drill, country, as_json=as_json, report=lambda _: None)
        is_good = asyncio.run(unless_ended(playing, country.watch()))
    raise typer.Exit(ExitCode.DONE if is_good else ExitCode.FOUND_WRONG)
