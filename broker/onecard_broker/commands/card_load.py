"""`onecard card load`: a province's snapshot into the registry."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard_broker.bootstrap import open_log, read_subject_key
from onecard_broker.operations.card_loading import CardLoader, Loaded
from onecard_broker.operations.card_loading import Progress as OnProgress
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.commands.progress import progress_bars
from onecard_protocol.explained import ExitCode

_STEPS: Final = {
    "read": "read and check / 读取并校验",
    "write": "write into the registry / 写入持卡库",
}
_CAUSES: Final = {
    "two-active": "the person has two cards in use in this file / 该人员在文件中有两张在用卡",
    "active-elsewhere": "the registry knows another card in use of this person / 持卡库中该人员另有在用卡",
    "linked": "the person's number is replaced by another; report the card under that one / 该号码已关联至其他号码",
    "identity": "the identity number fails its check / 证件号码校验不通过",
    "data": "the card's data are not what a report must hold / 卡数据不符合上报要求",
}


def load(
    file: Annotated[Path, typer.Argument(help="The snapshot.", exists=True, dir_okay=False, readable=True)],
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="ONECARD_CONFIG", help="The hub's configuration (YAML).")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Load a province's cards into the registry: all of a whole file, nothing of a damaged one.

    What the registry knows stays as it is. Persons whom the file or the registry contradicts are left out and listed,
    by the place of the card in the file; the exit code says whether there are any.
    """
    settings = load_hub_settings(config)
    check(settings.database)
    began = time.monotonic()
    with progress_bars(_STEPS) as progress:
        loaded = asyncio.run(_load(settings, file, progress))
    _show(loaded, time.monotonic() - began, as_json=as_json)
    if loaded.left_count:
        raise typer.Exit(ExitCode.FOUND_WRONG)


async def _load(settings: HubSettings, file: Path, progress: OnProgress) -> Loaded:
    log = await open_log(settings)
    try:
        loader = CardLoader(
            settings.database,
            subject_key=read_subject_key(settings.subject_key_file),
            partition_count=log.partition_count,
            progress=progress,
        )
        return await loader.load(file)
    finally:
        await log.close()


def _show(loaded: Loaded, seconds: float, *, as_json: bool) -> None:
    figures: dict[str, Any] = {
        "province": loaded.header.province,
        "cards": loaded.read_count,
        "taken": loaded.taken_count,
        "known": loaded.known_count,
        "left": loaded.left_count,
        "duration_ms": round(seconds * 1_000),
        "cards_per_s": round(loaded.read_count / seconds),
    }
    if as_json:
        left = [
            {"card": one.ordinal, "subject": one.subject.hex(), "cause": one.cause, "detail": one.detail}
            for one in loaded.left
        ]
        print(json.dumps(figures | {"left_cards": left}))
        return
    console = Console()
    console.print(
        f"{loaded.header.province}: {loaded.read_count} cards, {loaded.taken_count} new, {loaded.known_count} known"
        f" already, {loaded.left_count} left out; {figures['cards_per_s']} a second"
        f" / 共 {loaded.read_count} 张，新增 {loaded.taken_count}，已有 {loaded.known_count}，"
        f"未导入 {loaded.left_count}"
    )
    if loaded.left:
        table = Table("card / 序号", "person / 人员", "why / 原因")
        for one in loaded.left:
            table.add_row(
                str(one.ordinal), one.subject.hex()[:16], ": ".join(filter(None, (_CAUSES[one.cause], one.detail)))
            )
        console.print(table)
