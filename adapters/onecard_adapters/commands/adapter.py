"""`onecard adapter`: run a province's side, and check its profile before."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onecard_adapters.commands.refused import ConfigOption, refused
from onecard_adapters.commands.snapshot import snapshot
from onecard_protocol.explained import ExitCode, Language, language_of
from onecard_protocol.running import run_service, start_log

if TYPE_CHECKING:
    from onecard_adapters.profiles.checking import MappingCheck, ProfileCheck

app: Final = typer.Typer(
    help="Run a province's side: its local systems, connected to the exchange.", no_args_is_help=True
)


@app.callback()
def adapter() -> None:
    """Run a province's side: its local systems, connected to the exchange."""


@app.command()
def run(
    config: ConfigOption,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
) -> None:
    """Run an adapter until SIGTERM; calls in progress then finish first."""
    from onecard_adapters.runtime.adapter import run_adapter
    from onecard_adapters.settings import load_adapter_settings

    start_log(logging.DEBUG if verbose else logging.INFO)
    settings = load_adapter_settings(config)

    async def until_stopped() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await run_adapter(settings, stopping)

    run_service(until_stopped())


app.command()(refused)
app.command()(snapshot)


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="A profile (YAML), or an adapter's configuration, whose profiles are then checked.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Check profiles without starting anything: settings, code tables in both directions, declared recovery.

    The exit code is 0 where all is right, 1 where codes are missing on one side, and 3 where a file does not load: a
    setting is wrong, a role declares no recovery after a crash, or a code table contradicts itself.
    """
    from onecard_adapters.profiles.checking import check_profile

    checks = [check_profile(one) for one in _profile_files(file)]
    if as_json:
        typer.echo(json.dumps({"profiles": [_as_json(one) for one in checks]}, ensure_ascii=False))
    else:
        for one in checks:
            _show(one, Console(highlight=False), language_of(os.environ))
    raise typer.Exit(ExitCode.FOUND_WRONG if any(one.wrong_count for one in checks) else ExitCode.DONE)


def _profile_files(file: Path) -> tuple[Path, ...]:
    """The file itself, or the profiles that it names if it is an adapter's configuration."""
    from onecard_adapters.runtime.adapter import load_profiles
    from onecard_adapters.settings import invalid_configuration, load_adapter_settings
    from onecard_protocol.errors import OneCardError
    from onecard_protocol.settings_file import read_settings

    try:
        content = read_settings(file)
    except OneCardError:
        return (file,)  # Which cannot be loaded, and that says why.
    if "participant" not in content:
        return (file,)
    settings = load_adapter_settings(file)
    if not settings.profile_files:
        raise invalid_configuration(f"{file} names no profile_files / 未填写 profile_files")
    load_profiles(settings)
    return settings.profile_files


def _as_json(check: ProfileCheck) -> dict[str, object]:
    return {
        "file": str(check.file),
        "province": check.province,
        "name": check.name,
        "recovery": check.recovery,
        "wrong_count": check.wrong_count,
        "mappings": [
            {
                "roles": mapping.roles,
                "dialect": mapping.dialect,
                "file": str(mapping.file),
                "version": mapping.version,
                "tables": [
                    {
                        "name": table.name,
                        "system": table.system,
                        "system_version": table.system_version,
                        "national_count": table.national_count,
                        "local_count": table.local_count,
                        "ambiguous": table.ambiguous,
                        "wrong": [text.en for text in table.wrong],
                    }
                    for table in mapping.tables
                ],
            }
            for mapping in check.mappings
        ],
    }


_ROLES: Final = {"care": "就医地", "insured": "参保地", "card": "发卡机构", "bank": "银行"}


def _show(check: ProfileCheck, console: Console, language: Language) -> None:
    is_zh = language == "zh"
    console.print(f"[bold]{escape(check.province)} {escape(check.name)}[/]  {escape(str(check.file))}", soft_wrap=True)
    if check.recovery is not None:
        declared = ", ".join(f"{name}: {value}" for name, value in check.recovery.items())
        label = "故障恢复（已声明）" if is_zh else "Recovery after a crash, as declared"
        console.print(f"{label}: {escape(declared)}", soft_wrap=True)
    for mapping in check.mappings:
        console.print(_table(mapping, language))
    if check.wrong_count:
        what = f"{check.wrong_count} 处有误" if is_zh else f"Wrong: {check.wrong_count}"
        console.print(f"[bold red]{what}[/]\n")
    else:
        what = "双向映射完整" if is_zh else "Every code has its counterpart in both directions."
        console.print(f"[bold green]{what}[/]\n")


def _table(mapping: MappingCheck, language: Language) -> Table:
    is_zh = language == "zh"
    roles = "、".join(_ROLES[role] for role in mapping.roles) if is_zh else ", ".join(mapping.roles)
    shown = Table(title=f"{mapping.dialect} ({roles}), {escape(mapping.version)}", title_justify="left")
    shown.add_column("代码表" if is_zh else "table", no_wrap=True)
    shown.add_column("国家" if is_zh else "national", justify="right")
    shown.add_column("本地" if is_zh else "local", justify="right")
    shown.add_column("多个本地代码（写第一个）" if is_zh else "several local codes (first is written)", overflow="fold")
    shown.add_column("有误" if is_zh else "wrong", overflow="fold", style="red")
    for table in mapping.tables:
        shown.add_row(
            escape(table.name),
            str(table.national_count),
            str(table.local_count),
            escape(_ambiguous(table.ambiguous)),
            escape("\n".join(text.of(language) for text in table.wrong)),
        )
    return shown


def _ambiguous(codes: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{national}: {' '.join(local)}" for national, local in codes.items())
