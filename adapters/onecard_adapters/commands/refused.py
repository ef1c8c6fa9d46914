"""`onecard adapter refused`: what of a province's own side did not get through, and what to do about it.

Numbers of persons are not shown, and card numbers are masked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onecard_protocol.china_time import shanghai_time
from onecard_protocol.explained import ExitCode, Language, Text, language_of

if TYPE_CHECKING:
    from onecard_adapters.runtime.outbox import StoredOutgoing
    from onecard_adapters.runtime.source_rows import RefusedRow

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ONECARD_ADAPTER_CONFIG", help="The adapter's configuration (YAML).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]

_NOTHING: Final = Text(en="Nothing was refused.", zh="没有未采集的数据，也没有被拒绝的上报。")
_ROWS: Final = Text(en="Rows of local tables that could not be taken", zh="未能采集的本地表数据")
_ROW_TITLES: Final = (
    Text(en="row", zh="数据行"),
    Text(en="since", zh="起始时间"),
    Text(en="reason", zh="原因"),
    Text(en="what exactly", zh="详情"),
)
_ROW_REMEDY: Final = Text(
    en="Correct the row, or add the code to the code table that is named, and start the adapter again for a changed"
    " table. Rows are tried again by themselves at each thorough reading; what was taken leaves this list.",
    zh="请更正该行数据，或在所列代码表中补充代码（修改代码表后须重启适配器）。"
    "每次全面重读时会自动重试，采集成功后不再列出。",
)
_EVENTS: Final = Text(en="Reports that the hub refused", zh="被枢纽拒绝的上报")
_EVENT_TITLES: Final = (
    Text(en="report", zh="上报"),
    Text(en="card", zh="社保卡"),
    Text(en="version", zh="版本"),
    Text(en="made", zh="生成时间"),
    Text(en="reason", zh="原因"),
    Text(en="message", zh="报文编号"),
)
_EVENT_REMEDY: Final = Text(
    en="A refused report is not sent again. Correct the record in the local system: its next change is told by itself,"
    " with a higher version. Where nothing is to be corrected, the hub's operator compares the province's cards with"
    " `onecard card drift`. Refused reports are listed for about three months.",
    zh="被拒绝的上报不会重发。请在本地系统更正该记录：下一次变更会以更高版本自动上报。"
    "如无需更正，请枢纽运维人员用 `onecard card drift` 比对本省持卡数据。被拒绝的上报保留约三个月。",
)


def refused(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Rows of local tables that could not be taken, and reports that the hub refused; also while the adapter runs.

    The exit code is 1 where there is any.
    """
    from onecard_adapters.runtime.outbox import list_refused_events
    from onecard_adapters.runtime.sealing import load_sealer
    from onecard_adapters.runtime.source_rows import refused_rows
    from onecard_adapters.runtime.store_file import read_store
    from onecard_adapters.settings import load_adapter_settings

    settings = load_adapter_settings(config)
    with read_store(settings.store.file) as store:
        sealer = load_sealer(settings.store.key_file, settings.store.file)
        rows = [_row(one) for one in refused_rows(store)]
        events = [_event(one) for one in list_refused_events(store, sealer)]
    if as_json:
        typer.echo(json.dumps({"rows": rows, "events": events}, ensure_ascii=False))
    else:
        _show(rows, events, Console(highlight=False), language_of(os.environ))
    raise typer.Exit(ExitCode.FOUND_WRONG if rows or events else ExitCode.DONE)


def _row(one: RefusedRow) -> dict[str, Any]:
    return {
        "source": one.source,
        "row": one.row.key,
        "since_time": _time(one.first_ms),
        **_reason(one.row.reason),
        "detail": one.row.detail,
    }


def _event(one: StoredOutgoing) -> dict[str, Any]:
    from onecard_protocol.identifiers import id_text, message_time_ms
    from onecard_protocol.methods import MethodRegistry

    method = MethodRegistry.load()[one.outgoing.method]
    payload: Any = method.input_class.FromString(one.outgoing.payload)
    fields = method.input_class.DESCRIPTOR.fields_by_name
    return {
        "report": method.name.rpartition("/")[2],
        "card": _card(payload.card) if "card" in fields else "",
        "version": payload.version if "version" in fields else None,
        "made_time": _time(message_time_ms(one.outgoing.id)),
        **_reason(one.reason),
        "detail": one.detail,
        "id": id_text(one.outgoing.id),
    }


def _reason(reason: int) -> dict[str, str]:
    from onecard_protocol.errors import reason_name, text

    return {"reason": reason_name(reason), "text_en": text(reason, "en"), "text_zh": text(reason, "zh")}


def _card(card: Any) -> str:
    from onecard_protocol.redaction import mask_number

    return f"{card.issuer} {mask_number(card.number)} {card.sequence or 1}"


def _time(time_ms: int) -> str:
    return shanghai_time(time_ms).isoformat(sep=" ", timespec="seconds")


def _show(rows: list[dict[str, Any]], events: list[dict[str, Any]], console: Console, language: Language) -> None:
    def why(one: dict[str, Any]) -> str:
        return f"{one['reason']}: {one[f'text_{language}']}"

    if not rows and not events:
        console.print(f"[bold green]{_NOTHING.of(language)}[/]")
    if rows:
        rows_told = [(f"{one['source']} {one['row']}", one["since_time"][:19], why(one), one["detail"]) for one in rows]
        _print(console, language, _ROWS, _ROW_TITLES, rows_told, _ROW_REMEDY)
    if events:
        events_told = [
            (
                *(one["report"], one["card"], str(one["version"] or ""), one["made_time"][:19]),
                "\n".join(filter(None, (why(one), one["detail"]))),
                one["id"],
            )
            for one in events
        ]
        _print(console, language, _EVENTS, _EVENT_TITLES, events_told, _EVENT_REMEDY)


def _print(
    console: Console,
    language: Language,
    title: Text,
    titles: tuple[Text, ...],
    cells: Sequence[tuple[str, ...]],
    remedy: Text,
) -> None:
    table = Table(title=f"{title.of(language)}: {len(cells)}", title_justify="left")
    for name in titles:
        table.add_column(name.of(language), overflow="fold")
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)
    console.print(f"[bold]{'怎么办' if language == 'zh' else 'What to do'}[/]  {escape(remedy.of(language))}\n")
