"""`onecard card sagas`: replacements that wait for a person, by the holders' pseudonyms."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated, Final

import typer
from rich.console import Console

from onecard_broker.commands.card_calls import ConfigOption, JsonOption, open_database
from onecard_broker.commands.card_screen import listing
from onecard_broker.records.card_waiting import Waiting, list_waiting, step_name
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.china_time import shanghai_time
from onecard_protocol.errors import reason_name
from onecard_protocol.explained import Text, language_of
from onecard_protocol.identifiers import id_text

_TITLES: Final = (
    Text(en="replacement", zh="换卡业务"),
    Text(en="phase", zh="阶段"),
    Text(en="step", zh="步骤"),
    Text(en="step phase", zh="步骤阶段"),
    Text(en="at", zh="办理方"),
    Text(en="since", zh="起始时间"),
    Text(en="why", zh="原因"),
    Text(en="subject", zh="化名"),
)
_NONE: Final = Text(en="No replacement waits for a person.", zh="没有待人工处理的换卡业务。")


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
    language = language_of(os.environ)
    table = listing(_TITLES, [tuple(row.values()) for row in rows], language)
    Console().print(table if rows else _NONE.of(language))


async def _list(settings: HubSettings, *, is_stuck: bool, is_overdue: bool) -> list[Waiting]:
    async with open_database(settings) as database:
        return await list_waiting(await database.get(), is_stuck=is_stuck, is_overdue=is_overdue)


def _row(one: Waiting) -> dict[str, str]:
    reason = reason_name(one.reason) if one.reason else ""
    return {
        "id": id_text(one.id),
        "phase": one.phase,
        "step": step_name(one.step),
        "step_phase": one.step_phase,
        "recipient": one.recipient,
        "since_time": shanghai_time(one.since_ms).isoformat(sep=" ", timespec="seconds"),
        "reason": "OVERDUE" if one.is_overdue else reason,
        "subject": one.subject,
    }
