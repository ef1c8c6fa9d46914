"""A country as a person meets it: brought up with progress, shown, drilled, and ended by Ctrl-C."""

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onecard_protocol.explained import ExitCode, Explained, Explanation, Language, Text, explain, language_of
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan, check_directory
from onecard_stubs.dev.removal import remove_directory
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.dev.watching import unless_ended, watch
from onecard_stubs.scenarios.control import NotDone
from onecard_stubs.scenarios.display import show
from onecard_stubs.scenarios.registry import SCENARIOS
from onecard_stubs.scenarios.result import Report, Scenario


async def run_country(
    plan: CountryPlan,
    *,
    directory: Path | None,
    keep: bool,
    scenario: Scenario | None,
    as_json: bool,
    is_demo: bool,
) -> ExitCode:
    """Bring a country up; run the scenario and end it, or keep it until Ctrl-C or SIGTERM, or until a part of it ends.

    Without a directory a temporary one is taken. It is removed at the end unless `keep`, or unless something went
    wrong that its logs can tell about.
    """
    language = language_of(os.environ)
    main = asyncio.current_task()
    assert main is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, main.cancel)
    is_up = False
    with _place(directory, keep=keep) as place, _progress() as report:
        try:
            async with Country(plan, place.path, report=report, is_temporary=not place.is_kept) as country:
                running = country.running()
                running.save()
                is_up = True
                if scenario is None:
                    report("")
                    _show_country(country, running, language)
                    await watch(country, running, report)
                drill = run_scenario(scenario, running, as_json=as_json, report=report)
                is_good = await unless_ended(drill, watch(country, running, report))
                report("ending the processes")
        except asyncio.CancelledError:
            return ExitCode.DONE if is_up and scenario is None else ExitCode.INTERRUPTED
        report("")
        place.is_kept = place.is_kept or not is_good
        if not as_json:
            _show_next(place, language, is_demo=is_demo)
        return ExitCode.DONE if is_good else ExitCode.FOUND_WRONG


async def run_scenario(scenario: Scenario, country: RunningCountry, *, as_json: bool, report: Report) -> bool:
    """Run a drill and print what it found; returns whether all is as it must be."""
    try:
        result = await scenario.run(country, report)
    except NotDone as error:
        raise Explained(
            Explanation(
                what=error.what,
                why=error.why,
                remedy=Text(
                    en=f"The logs of adapters and hub in {country.directory} say where.",
                    zh=f"请查看 {country.directory} 中适配器和枢纽的日志。",
                ),
                exit_code=ExitCode.REFUSED,
            )
        ) from error
    report("")
    if as_json:
        print(json.dumps(result.figures()))
    else:
        show(result, Console(highlight=False), language_of(os.environ))
    return bool(result.is_good)


@contextlib.contextmanager
def error_as_json(scenario: str, *, is_wanted: bool) -> Iterator[None]:
    """With `--json`, what stops a drill is its one JSON object, beside the text on standard error and the exit code."""
    try:
        yield
    except Exception as error:
        if is_wanted:
            explanation = explain(error)
            figures = {
                "reason": explanation.reason or explanation.exit_code.name,
                "what": explanation.what.en,
                "why": explanation.why,
                "remedy": explanation.remedy.en,
                "exit_code": explanation.exit_code,
            }
            print(json.dumps({"scenario": scenario, "error": figures}))
        raise


def program() -> str:
    """How this program is called here: its name where the path finds it, else its file."""
    found = shutil.which("onecard")
    own = Path(sys.executable).parent / "onecard"
    if found is not None and Path(found).resolve() == own.resolve():
        return "onecard"
    with contextlib.suppress(ValueError):
        return str(own.relative_to(Path.cwd()))
    return str(own)


@dataclasses.dataclass(slots=True, kw_only=True)
class _Place:
    """Where a country's files lie, and whether they stay."""

    path: Path
    is_kept: bool


@contextlib.contextmanager
def _place(directory: Path | None, *, keep: bool) -> Iterator[_Place]:
    if directory is not None:
        check_directory(directory)
        yield _Place(path=directory.resolve(), is_kept=True)
        return
    place = _Place(path=Path(tempfile.mkdtemp(prefix="onecard-")), is_kept=keep)
    try:
        yield place
    except Exception:
        # The person is sent to these logs.
        place.is_kept = place.is_kept or any(place.path.glob("*.log"))
        raise
    finally:
        if not place.is_kept:
            remove_directory(place.path)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Tells steps on standard error: in one changing line at a terminal, else line by line. Nothing clears the line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: console.print(f"… {step}", style="dim") if step else None
        return
    with console.status("") as status:

        def report(step: str) -> None:
            if step:
                status.start()
                status.update(step)
            else:
                status.stop()

        yield report


def _show_country(country: Country, running: RunningCountry, language: Language) -> None:
    zh = language == "zh"
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold")
    table.add_column("进程" if zh else "process", no_wrap=True)
    table.add_column("pid", no_wrap=True)
    table.add_column("监听" if zh else "listens at", overflow="fold")
    for name, process_id in sorted(country.process_ids.items()):
        table.add_row(name, str(process_id), escape(running.places.get(name, "")))
    console.print(table, soft_wrap=True)
    onecard, config = program(), running.hub_config
    lines = {
        f"{onecard} scenario run {name} --directory {running.directory}": drill.what.of(language)
        for name, drill in SCENARIOS.items()
        if set(drill.provinces) <= running.stub_urls.keys()
    } | {
        f"{onecard} message list --config {config}": "最近投递的报文" if zh else "the messages last delivered",
        f"{onecard} message trace ID --config {config}": "一条报文的全程" if zh else "the journey of one of them",
        f"{onecard} stub behave --url {running.stub_urls.get('cn-51', 'URL')} --trade 0304 --lose-answer --calls 1": (
            "让四川下一次结算的应答丢失" if zh else "Sichuan's core loses the answer of its next settlement"
        ),
    }
    console.print("\n可以尝试：" if zh else "\nTry:")
    for command, what in lines.items():
        console.print(f"  [cyan]{escape(command)}[/]\n      {what}", soft_wrap=True)
    console.print(
        f"\n日志在 {running.directory}。按 Ctrl-C 结束全部进程。"
        if zh
        else f"\nLogs are in {running.directory}. Ctrl-C ends all of it."
    )


def _show_next(place: _Place, language: Language, *, is_demo: bool) -> None:
    zh = language == "zh"
    console = Console(highlight=False)
    onecard = program()
    if is_demo:
        lines = {
            f"{onecard} dev up": "保持运行，并列出可尝试的命令" if zh else "keeps it running, and says what to try",
            f"{onecard} dev up --log kafka --scenario medical": (
                "同样的流程，使用真实的 Kafka" if zh else "the same on a real Kafka"
            ),
            f"{onecard} --help": "全部命令" if zh else "all commands",
        }
        console.print("接下来：" if zh else "Next:")
        for command, what in lines.items():
            console.print(f"  [cyan]{escape(command)}[/]  {what}", soft_wrap=True)
    if place.is_kept:
        at = place.path
        console.print(f"日志和数据保留在 {at}" if zh else f"Logs and data stay in {at}", soft_wrap=True)
