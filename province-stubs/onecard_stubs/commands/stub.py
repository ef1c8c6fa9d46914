"""`onecard stub`: run a simulated local system, and switch how it misbehaves."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text, language_of
from onecard_protocol.running import run_service, start_log
from onecard_stubs.behaviour import DELAY_MS_MAX, EVERY_TRADE, Switches
from onecard_stubs.commands.local_systems import LOCAL_SYSTEMS, LocalSystem, Place

app: Final = typer.Typer(no_args_is_help=True, help="Run simulated local systems, and switch how they misbehave.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
UrlOption = Annotated[str, typer.Option("--url", help="Where the local system runs, http://127.0.0.1:PORT.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """The local systems that can be run."""
    if as_json:
        print(json.dumps([{"name": name, "what": system.what.en} for name, system in LOCAL_SYSTEMS.items()], indent=1))
        return
    table = Table("name", box=None, header_style="bold")
    table.add_column("what", overflow="fold")
    for name, system in LOCAL_SYSTEMS.items():
        table.add_row(name, system.what.of(language_of(os.environ)))
    Console().print(table)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A name that `onecard stub list` shows.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of 127.0.0.1; 0 takes a free one.")] = 0,
    adapter_url: Annotated[str, typer.Option(help="Where its adapter listens; empty: it calls nobody.")] = "",
    database: Annotated[str, typer.Option(help="SQLAlchemy URL of its tables, where it keeps some.")] = "",
    columns_key: Annotated[
        Path | None, typer.Option(help="Key file of encrypted columns, where it has some; made if it is missing.")
    ] = None,
) -> None:
    """Run a local system until SIGTERM."""
    start_log()
    place = Place(port=port, adapter_url=adapter_url, database=database, columns_key=columns_key)
    run_service(_until_ended(_find(name).serve(place)))


@app.command()
def behave(
    url: UrlOption,
    trade: Annotated[
        str | None, typer.Option(help="Trade number; * or none for all. Without a switch: it behaves well again.")
    ] = None,
    calls: Annotated[int, typer.Option(min=0, help="For so many calls; 0: until it is changed.")] = 0,
    delay_ms: Annotated[int, typer.Option(min=0, max=DELAY_MS_MAX, help="Wait so long before doing anything.")] = 0,
    down: Annotated[bool, typer.Option("--down", help="Break the connection and do nothing.")] = False,
    duplicate: Annotated[bool, typer.Option("--duplicate", help="Do the work twice.")] = False,
    lose_answer: Annotated[bool, typer.Option("--lose-answer", help="Do the work and never answer.")] = False,
    wrong_code: Annotated[bool, typer.Option("--wrong-code", help="Answer with an unknown code.")] = False,
    wrong_encoding: Annotated[bool, typer.Option("--wrong-encoding", help="Answer in another encoding.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Behave well again; no other option counts.")] = False,
) -> None:
    """Switch how a running local system behaves, and show what is switched on; without options, only show it."""
    switches = Switches(
        delay_ms=delay_ms,
        down=down,
        duplicate=duplicate,
        lose_answer=lose_answer,
        wrong_code=wrong_code,
        wrong_encoding=wrong_encoding,
    )
    print(json.dumps(asyncio.run(_behave(url, trade, switches, calls, clear=clear)), indent=1))


async def _behave(url: str, trade: str | None, switches: Switches, calls: int, *, clear: bool) -> object:
    import aiohttp

    control = f"{url.rstrip('/')}/control/behaviour"
    body = {name: getattr(switches, name) for name in Switches.__dataclass_fields__} | {"trade": trade or EVERY_TRADE}
    if calls:
        body["calls"] = calls
    only_shows = trade is None and not calls and switches == Switches()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            if clear:
                request = session.delete(control)
            else:
                request = session.get(control) if only_shows else session.post(control, json=body)
            async with request as response:
                return await response.json()
    except aiohttp.ClientError as error:
        raise Explained(
            Explanation(
                what=Text(en=f"No local system answers at {url}.", zh=f"{url} 上没有本地系统应答。"),
                why=(type(error).__name__,),
                remedy=Text(en="`onecard dev up` prints where each listens.", zh="`onecard dev up` 会列出监听地址。"),
                exit_code=ExitCode.UNREACHABLE,
            )
        ) from None


def _find(name: str) -> LocalSystem:
    system = LOCAL_SYSTEMS.get(name)
    if system is None:
        raise Explained(
            Explanation(
                what=Text(en=f"There is no local system {name!r}.", zh=f"没有名为 {name} 的本地系统。"),
                remedy=Text(en=f"Take one of {', '.join(LOCAL_SYSTEMS)}.", zh=f"可选：{'、'.join(LOCAL_SYSTEMS)}。"),
                exit_code=ExitCode.USAGE,
            )
        )
    return system


async def _until_ended(serving: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
