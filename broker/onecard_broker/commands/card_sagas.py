"""`onecard card sagas`: replacements that wait for a person, by the holders' pseudonyms."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard_broker.commands.card_calls import SHANGHAI, ConfigOption, JsonOption, open_database
from onecard_broker.records.card_waiting import Waiting, list_waiting, step_name
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.errors import reason_name
from onecard_protocol.identifiers import id_text

_TITLES: Final = ("replacement", "phase", "step", "step phase", "at", "since", "why", "subject")


def sagas(
    config: ConfigOption,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only steps that are stuck.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only benefit accounts not confirmed in time.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replacements that wait for a person, the longest waiting first; without an option all of them.

    `onecard card saga ID` shows one step by step, `onecard card show --subject` its holder.
    """
    settings = load_hub_settings(config)
    check(settings.database)
    found = asyncio.run(_list(settings, is_stuck=stuck or not overdue, is_overdue=overdue or not stuck))
    rows = [_row(one) for one in found]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(*_TITLES, box=None)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table if rows else "No replacement waits for a person. / 没有待人工处理的换卡业务。")


async def _list(settings: HubSettings, *, is_stuck: bool, is_overdue: bool) -> list[Waiting]:
    async with open_database(settings) as database:
        return await list_waiting(await database.get(), is_stuck=is_stuck, is_overdue=is_overdue)


def _row(one: Waiting) -> dict[str, Any]:
    reason = reason_name(one.reason) if one.reason else ""
    return {
        "id": id_text(one.id),
        "phase": one.phase,
        "step": step_name(one.step),
        "step_phase": one.step_phase,
        "recipient": one.recipient,
        "since_time": datetime.fromtimestamp(one.since_ms / 1000, SHANGHAI).isoformat(sep=" ", timespec="seconds"),
        "reason": "OVERDUE" if one.is_overdue else reason,
        "subject": one.subject,
    }
