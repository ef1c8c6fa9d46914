"""`onecard adapter snapshot`: a card office's cards as the file by which the hub's registry begins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onecard_adapters.commands.refused import ConfigOption, JsonOption
from onecard_protocol.commands.progress import progress_bars
from onecard_protocol.explained import ExitCode, Explained, Explanation, Language, Text, language_of

if TYPE_CHECKING:
    from onecard_adapters.cards.snapshot import Progress as OnProgress
    from onecard_adapters.cards.snapshot import Written
    from onecard_adapters.profiles.models import Profile
    from onecard_adapters.settings import AdapterSettings

_STEPS: Final = {
    "book": Text(en="cards that were told", zh="已上报的卡"),
    "local": Text(en="cards of the local system", zh="本地系统的卡"),
    "write": Text(en="write the file", zh="写入文件"),
}
_LEFT: Final = Text(en="Cards left out", zh="未写入的卡")
_TITLES: Final = (
    Text(en="where", zh="位置"),
    Text(en="reason", zh="原因"),
    Text(en="what exactly", zh="详情"),
)
_REMEDY: Final = Text(
    en="Correct these rows, or add the codes to the code tables that are named, and write the snapshot again; or let"
    " the adapter tell these cards one by one once they are right.",
    zh="请更正这些数据，或在所列代码表中补充代码，然后重新生成快照；也可在更正后由适配器逐张上报。",
)
_EXISTS: Final = Explanation(
    what=Text(en="The file is there already.", zh="文件已存在。"),
    remedy=Text(en="Give another name, or remove the file.", zh="请换用其他文件名，或先删除该文件。"),
    exit_code=ExitCode.NOT_SET_UP,
)
_NO_CARDS: Final = Explanation(
    what=Text(en="This adapter issues no cards.", zh="该适配器不是发卡机构。"),
    remedy=Text(
        en="A snapshot is written by the adapter of a card office; a bank tells its accounts one by one.",
        zh="快照由发卡机构的适配器生成；银行账户须逐个上报。",
    ),
    exit_code=ExitCode.NOT_SET_UP,
)


def snapshot(
    config: ConfigOption,
    to: Annotated[Path, typer.Option("--to", help="The file to write; it must not be there.")],
    as_json: JsonOption = False,
) -> None:
    """Write a snapshot of all cards for `onecard card load`: the whole file or none. Also while the adapter runs.

    Each card stands in it with the version by which it was told, or would be. Before the adapter of a large province is
    run for the first time, so that it need not tell every card by a message of its own. The file holds persons' numbers
    in the clear. The exit code is 1 where cards were left out: they are counted, and named by their rows.
    """
    from onecard_adapters.runtime.adapter import load_profiles
    from onecard_adapters.settings import load_adapter_settings

    settings = load_adapter_settings(config)
    profile = next((one for one in load_profiles(settings) if one.card is not None), None)
    if profile is None:
        raise Explained(_NO_CARDS)
    if to.exists():
        raise Explained(_EXISTS)
    language = language_of(os.environ)
    began = time.monotonic()
    with progress_bars({step: text.of(language) for step, text in _STEPS.items()}) as progress:
        written = asyncio.run(_write(settings, profile, to, progress))
    _show(profile.province, written, time.monotonic() - began, language, as_json=as_json)
    raise typer.Exit(ExitCode.FOUND_WRONG if written.left_count or written.registry_count else ExitCode.DONE)


async def _write(settings: AdapterSettings, profile: Profile, file: Path, progress: OnProgress) -> Written:
    from onecard_adapters.cards.snapshot import SnapshotWriter
    from onecard_adapters.runtime.adapter import card_listing
    from onecard_adapters.runtime.sealing import load_sealer
    from onecard_adapters.runtime.store_file import read_store

    async with contextlib.AsyncExitStack() as stack:
        book = None
        if settings.store.file.exists():
            store = stack.enter_context(read_store(settings.store.file))
            book = store, load_sealer(settings.store.key_file, settings.store.file)
        listing = card_listing(profile)
        if listing is not None:
            stack.push_async_callback(listing.close)
        writer = SnapshotWriter(profile.province, book=book, listing=listing, progress=progress)
        return await writer.write(file)


def _show(province: str, written: Written, seconds: float, language: Language, *, as_json: bool) -> None:
    from onecard_protocol.errors import reason_name, text

    figures: dict[str, Any] = {
        "province": province,
        "cards": written.card_count,
        "told": written.told_count,
        "local": written.local_count,
        "left": written.left_count,
        "registry": written.registry_count,
        "duration_ms": round(seconds * 1_000),
    }
    if as_json:
        left = [{"where": one.where, "reason": reason_name(one.reason), "detail": one.detail} for one in written.left]
        typer.echo(json.dumps(figures | {"left_cards": left}, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(_summary(province, written).of(language), soft_wrap=True)
    if written.registry_count:
        console.print(_registry(written.registry_count).of(language), soft_wrap=True)
    if written.left:
        table = Table(title=f"{_LEFT.of(language)}: {written.left_count}", title_justify="left")
        for title in _TITLES:
            table.add_column(title.of(language), overflow="fold")
        for one in written.left:
            told = f"{reason_name(one.reason)}: {text(one.reason, language)}"
            table.add_row(*map(escape, (one.where, told, one.detail)))
        console.print(table)
        console.print(f"[bold]{'怎么办' if language == 'zh' else 'What to do'}[/]  {escape(_REMEDY.of(language))}")


def _summary(province: str, written: Written) -> Text:
    return Text(
        en=f"{province}: {written.card_count} cards, {written.told_count} as they were told, {written.local_count} as"
        f" the local system shows them; {written.left_count} left out",
        zh=f"{province}：共 {written.card_count} 张，其中已上报 {written.told_count} 张，"
        f"取自本地系统 {written.local_count} 张；未写入 {written.left_count} 张",
    )


def _registry(count: int) -> Text:
    return Text(
        en=f"{count} cards are known by the registry's word only, and the local system does not show them as they stand"
        " there: they are not in the file. The registry has them; what changed since, the adapter tells by itself.",
        zh=f"另有 {count} 张卡的版本取自持卡库，且本地系统未显示为该状态，因此未写入文件。持卡库中已有这些卡；"
        "此后的变更由适配器自行上报。",
    )
