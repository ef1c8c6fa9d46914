"""An error as a person meets it: what happened, why, and what to do, in English and in Chinese; and the exit codes.

Owns the wording of what stops a command on a machine (configuration, missing programs, ports, a hub that is down); the
texts of the protocol's own reasons are the catalogue's (`errors`). Recognises errors of libraries by their names, so
that nothing is imported that the failed command did not use.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import os
import sys
from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["en", "zh"]


class ExitCode(enum.IntEnum):
    """What the program `onecard` says by its exit code."""

    DONE = 0
    """It was done."""
    FOUND_WRONG = 1
    """It was done, and what was checked is not as it must be: lost or doubled messages, a signature that fails."""
    USAGE = 2
    """The command line is wrong."""
    NOT_SET_UP = 3
    """Configuration, a key, a program or a package is wrong or missing: nothing was started."""
    REFUSED = 4
    """A participant, the hub or a local system refused."""
    UNREACHABLE = 5
    """Something that is needed does not answer: hub, database, log. Trying again later is right."""
    IN_DOUBT = 6
    """The outcome is unknown, not failed: query or reverse, never send again under a new id."""
    FAULT = 70
    """A fault of the program itself."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text in both languages."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        """The text in a language."""
        return self.zh if language == "zh" else self.en


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What happened, why, and what to do."""

    what: Text
    why: tuple[str, ...] = ()
    """Details as the failing part told them; no personal data."""
    remedy: Text
    exit_code: ExitCode
    reason: str = ""
    """Name of the catalogue's reason, if it has one."""


class Explained(Exception):
    """A command cannot go on, and says itself what a person needs to know."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        super().__init__(explanation.what.en, *explanation.why)


def language_of(environment: Mapping[str, str]) -> Language:
    """The language of the locale: Chinese where it is zh…, else English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def explain(error: BaseException) -> Explanation:
    """The explanation of any error; one that nobody foresaw is a fault of the program."""
    if isinstance(error, Explained):
        return error.explanation
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if "onecard_protocol.errors.OneCardError" in names:
        return _explain_reason(error)
    for name, (what, remedy, exit_code) in _KNOWN.items():
        if name in names:
            return Explanation(what=what, why=_first_lines(error), remedy=remedy, exit_code=exit_code)
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return Explanation(what=_PORT_TAKEN, why=_first_lines(error), remedy=_FREE_PORT, exit_code=ExitCode.NOT_SET_UP)
    if isinstance(error, OSError):
        return Explanation(what=_SYSTEM, why=_first_lines(error), remedy=_LOOK_AT_WHY, exit_code=ExitCode.NOT_SET_UP)
    # The text of an error that nobody foresaw may quote anything, a personal number included: only its kind is told.
    kind = str(error) if isinstance(error, ImportError) else type(error).__name__
    return Explanation(what=_FAULT, why=(kind,), remedy=_REPORT, exit_code=ExitCode.FAULT)


def is_debug(environment: Mapping[str, str]) -> bool:
    """Whether tracebacks are wanted."""
    return environment.get("ONECARD_DEBUG", "") not in {"", "0"}


def _first_lines(error: BaseException) -> tuple[str, ...]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return tuple(lines[:12])


def _explain_reason(error: BaseException) -> Explanation:
    errors = sys.modules["onecard_protocol.errors"]
    reason: int = error.reason  # type: ignore[attr-defined]
    policy = errors.policy(reason)
    name: str = errors.reason_name(reason)
    if name in {"CONFIGURATION_INVALID", "STORE_TOO_NEW"}:
        exit_code, remedy = ExitCode.NOT_SET_UP, _CORRECT
    elif name == "OUTCOME_UNKNOWN":
        exit_code, remedy = ExitCode.IN_DOUBT, _QUERY
    elif policy.retryable:
        exit_code, remedy = ExitCode.UNREACHABLE, _TRY_AGAIN
    else:
        exit_code, remedy = ExitCode.REFUSED, _LOOK_AT_WHY
    return Explanation(
        what=Text(en=policy.text_en, zh=policy.text_zh),
        why=error.particulars,  # type: ignore[attr-defined]
        remedy=remedy,
        exit_code=exit_code,
        reason=name,
    )


_CORRECT: Final = Text(
    en="Correct what is named above and start the command again.", zh="请更正上面列出的内容，然后重新执行命令。"
)
_LOOK_AT_WHY: Final = Text(
    en="The lines above say where; correct it there, then try again.", zh="请按上面给出的位置更正后重试。"
)
_TRY_AGAIN: Final = Text(en="Nothing was lost. Try again in a few seconds.", zh="没有数据丢失，请稍后重试。")
_QUERY: Final = Text(
    en="Query the outcome, or reverse; never send it again under a new id.",
    zh="请查询结果或冲正，切勿换号重发。",
)
_PORT_TAKEN: Final = Text(en="A port is taken by another program.", zh="端口已被其他程序占用。")
_FREE_PORT: Final = Text(
    en="End the other program, or set another address in the configuration (port 0 takes a free one where allowed).",
    zh="请结束占用端口的程序，或在配置中改用其他地址。",
)
_SYSTEM: Final = Text(en="The operating system refused something.", zh="操作系统拒绝了某项操作。")
_FAULT: Final = Text(en="The program met a fault of its own.", zh="程序发生内部错误。")
_REPORT: Final = Text(
    en="Run it again as `onecard --debug …` and report what it prints; messages with a receipt are safe.",
    zh="请以 `onecard --debug …` 重新运行并反馈输出内容；已取得回执的报文不受影响。",
)
_DATABASE: Final = Text(en="PostgreSQL does not answer, or refuses.", zh="PostgreSQL 无响应或拒绝连接。")
_DATABASE_REMEDY: Final = Text(
    en="See that the server runs and that `database` in hub.yaml is right. Nothing admitted is lost: it is in the log.",
    zh="请确认数据库服务已启动，且 hub.yaml 中的 `database` 正确。已受理的报文保存在日志中，不会丢失。",
)
_LOG_REMEDY: Final = Text(
    en="See that the log's servers run and that `log` in hub.yaml names them, or `database` where it is embedded; then "
    "`onecard hub topics` checks it.",
    zh="请确认日志服务已启动，且 hub.yaml 中的 `log`（内嵌日志为 `database`）指向正确；"
    "然后用 `onecard hub topics` 检查。",
)
_KNOWN: Final[Mapping[str, tuple[Text, Text, ExitCode]]] = {
    "onecard_stubs.dev.kafka_jars.KafkaMissing": (
        Text(en="Kafka cannot be started on this machine.", zh="本机无法启动 Kafka。"),
        Text(
            en="Install what is named above, or leave out `--log kafka`: the embedded log needs nothing.",
            zh="请安装上面列出的程序；或去掉 `--log kafka`，内嵌日志无需额外安装。",
        ),
        ExitCode.NOT_SET_UP,
    ),
    "onecard_stubs.dev.kafka.KafkaFailed": (
        Text(en="A Kafka broker did not start, or ended.", zh="Kafka 代理未能启动或已退出。"),
        Text(
            en="Its log is named above. Often memory is short: each broker needs about 500 MB.",
            zh="日志文件见上。常见原因是内存不足：每个代理约需 500 MB。",
        ),
        ExitCode.UNREACHABLE,
    ),
    "onecard_broker.log.port.LogMisconfigured": (
        Text(en="The log is not as the exchange needs it.", zh="日志不符合交换平台的要求。"),
        _LOG_REMEDY,
        ExitCode.NOT_SET_UP,
    ),
    "onecard_broker.log.port.LogError": (
        Text(en="The log (journal and inboxes) does not answer.", zh="日志（流水与收件箱）无响应。"),
        _LOG_REMEDY,
        ExitCode.UNREACHABLE,
    ),
    "psycopg.errors.UndefinedTable": (
        Text(en="The database has no tables of the exchange yet.", zh="数据库中还没有交换平台的表。"),
        Text(en="Run `onecard hub migrate` first.", zh="请先执行 `onecard hub migrate`。"),
        ExitCode.NOT_SET_UP,
    ),
    "builtins.TimeoutError": (
        Text(en="Something did not answer in time.", zh="等待应答超时。"),
        Text(
            en="See that the system which was to answer runs, then try again.",
            zh="请确认应答方系统正在运行，然后重试。",
        ),
        ExitCode.UNREACHABLE,
    ),
    "psycopg.OperationalError": (_DATABASE, _DATABASE_REMEDY, ExitCode.UNREACHABLE),
    "psycopg.errors.OperationalError": (_DATABASE, _DATABASE_REMEDY, ExitCode.UNREACHABLE),
    "grpc.aio._call.AioRpcError": (
        Text(en="The hub did not answer as expected.", zh="枢纽未按预期应答。"),
        Text(
            en="See that a gateway runs at the address in the configuration. Nothing is lost: events and reversals "
            "drain when it returns.",
            zh="请确认配置的地址上有网关在运行。数据不会丢失：网关恢复后事件和冲正会继续发送。",
        ),
        ExitCode.UNREACHABLE,
    ),
}


def print_explanation(explanation: Explanation, language: Language) -> None:
    """Show it on standard error."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    labels = ("出了什么事", "原因", "怎么办") if language == "zh" else ("What happened", "Why", "What to do")
    head = explanation.what.of(language)
    if explanation.reason:
        head = f"{head} ({explanation.reason})"
    console.print(f"[bold red]{labels[0]}[/]  {escape(head)}", soft_wrap=True)
    if explanation.why:
        console.print(f"[bold]{labels[1]}[/]", soft_wrap=True)
        for line in explanation.why:
            console.print(f"  {escape(line)}", soft_wrap=True)
    console.print(f"[bold]{labels[2]}[/]  {escape(explanation.remedy.of(language))}", soft_wrap=True)


def show_error(error: Exception) -> ExitCode:
    """Explain an error on standard error in the language of the locale; with ONECARD_DEBUG after its traceback."""
    if is_debug(os.environ):
        import traceback

        traceback.print_exception(error)
    explanation = explain(error)
    print_explanation(explanation, language_of(os.environ))
    return explanation.exit_code
