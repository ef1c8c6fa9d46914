"""`onecard card drift` and `cases`: where a province's copy of cards differs, and what a person must decide."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
import json
import os
import socket
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard_broker.commands.card_calls import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    open_calls,
    open_database,
)
from onecard_broker.commands.card_screen import listing
from onecard_broker.commands.card_show import check_revealing, masked
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain.card_state import SentBack
from onecard_broker.operations.card_drift import ScopeDrift, find_drift, scope_name
from onecard_broker.records.card_cases import CardCase, list_cases
from onecard_broker.records.card_waiting import list_sent_back
from onecard_broker.records.operator_reads import OperatorRead, keep_read
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.china_time import shanghai_time
from onecard_protocol.clock import now_ms
from onecard_protocol.commands.usage import refuse
from onecard_protocol.explained import ExitCode, Language, Text, language_of
from onecard_protocol.identifiers import PROVINCES, ParticipantId

_COMPARED: Final = Text(en="cards compared with the registry", zh="与持卡库比对")
_SCOPE: Final = Text(en="cards", zh="范围")
_KIND: Final = Text(en="difference", zh="差异")
_COUNTS: Final = (
    Text(en="found", zh="发现"),
    Text(en="repaired", zh="已修复"),
    Text(en="for a person", zh="待人工"),
)
_CASE: Final = (
    Text(en="province", zh="省份"),
    _SCOPE,
    Text(en="card", zh="卡"),
    Text(en="kind", zh="差异"),
    Text(en="registry", zh="持卡库"),
    Text(en="province's copy", zh="省级副本"),
    Text(en="since", zh="起始时间"),
)
_LINK_KIND: Final = "link-sent-back"
_NO_CASE: Final = Text(
    en="No difference and no link of numbers waits for a person.", zh="没有待人工处理的差异或号码关联。"
)


def drift(
    config: ConfigOption,
    participant: Annotated[str, typer.Argument(help="The province, such as cn-42.")],
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Repair what can be repaired, and list the rest.")
    ] = True,
    gateway: GatewayOption = "",
    as_json: JsonOption = False,
) -> None:
    """Compare a province's copies of cards with the registry; repair by rule, list the rest for a person.

    The exit code says whether anything is left for a person, or to be repaired with --no-repair.
    """
    if ParticipantId(participant) not in PROVINCES:
        refuse(
            Text(
                en=f"{participant!r} is no province's code; `onecard directory list` shows those that take part.",
                zh=f"“{participant}”不是省份编号；已接入的省份见 `onecard directory list`。",
            ),
            "PARTICIPANT",
            "card drift",
        )
    settings = load_hub_settings(config)
    check(settings.database)
    results = asyncio.run(_find(settings, participant, gateway, is_repairing=repair))
    if as_json:
        print(json.dumps({"participant": participant, "scopes": [dataclasses.asdict(one) for one in results]}))
    else:
        Console().print(shown(participant, results, language_of(os.environ), is_repairing=repair))
    if any(one.listed if repair else one.found for one in results):
        raise typer.Exit(ExitCode.FOUND_WRONG)


def cases(
    config: ConfigOption,
    participant: Annotated[str, typer.Argument(help="The province; all of them if left out.")] = "",
    reveal: Annotated[bool, typer.Option("--reveal", help="Show card numbers in full; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept with your name. No personal data.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Differences between the registry and provinces' copies that wait for a person's decision, and links sent back.

    A link of two numbers is sent back (link-sent-back) where the province that linked them may not end the other's card
    in use, or where it closed a loop: ask that province. `onecard card link`, or `unlink` of the old number, ends it.
    """
    check_revealing(reveal, reason, "card cases")
    settings = load_hub_settings(config)
    check(settings.database)
    found, links = asyncio.run(_cases(settings, participant, reason.strip() if reveal else ""))
    rows = [_row(case, is_revealed=reveal) for case in found] + [_link_row(*link) for link in links]
    if as_json:
        print(json.dumps(rows))
        return
    language = language_of(os.environ)
    table = listing(_CASE, [tuple(row.values()) for row in rows], language)
    Console().print(table if rows else _NO_CASE.of(language))


async def _find(settings: HubSettings, participant: str, gateway: str, *, is_repairing: bool) -> list[ScopeDrift]:
    progress = Console(stderr=True)
    async with open_database(settings) as database:
        directory = await DirectoryStore(database).load()
        async with open_calls(settings, directory, gateway) as calls:
            return await find_drift(
                participant,
                CardComparisonServiceStub(calls.to(participant)),
                database,
                directory,
                is_repairing=is_repairing,
                tell=progress.print,
            )


async def _cases(
    settings: HubSettings, participant: str, reason: str
) -> tuple[list[CardCase], list[tuple[str, SentBack]]]:
    """The cases, and the links that were sent back; with a reason, which is kept first, their numbers will be shown."""
    async with open_database(settings) as database:
        connection = await database.get()
        if reason:
            read = OperatorRead(
                read_ms=now_ms(),
                operator=f"{getpass.getuser()}@{socket.gethostname()}",
                subject="",
                is_revealed=True,
                reason=f"card cases of {participant or 'all provinces'}: {reason}",
            )
            await keep_read(connection, read)
        return await list_cases(connection, participant), await list_sent_back(connection, participant)


def shown(participant: str, results: list[ScopeDrift], language: Language, *, is_repairing: bool) -> Table:
    """The results as a table."""
    table = Table(title=f"{participant}: {_COMPARED.of(language)}", title_justify="left")
    table.add_column(_SCOPE.of(language))
    table.add_column(_KIND.of(language), min_width=13)
    columns = _COUNTS if is_repairing else _COUNTS[:1]
    for name in columns:
        table.add_column(name.of(language), justify="right", no_wrap=True)
    for one in results:
        for kind in {**one.found, **one.listed}:
            counts = (one.found, one.repaired, one.listed)[: len(columns)]
            table.add_row(one.scope, kind, *(str(count.get(kind, 0)) for count in counts))
        table.add_row(one.scope, _summary(one).of(language), style="bold", end_section=True)
    return table


def _summary(one: ScopeDrift) -> Text:
    found = sum(one.found.values())
    return Text(
        en=f"{'more than ' if one.is_cut_off else ''}{found} of {one.here_count:,} cards; {one.byte_count:,} bytes in"
        f" {one.request_count} requests, {one.seconds:.1f} s",
        zh=f"共 {one.here_count:,} 张，差异{'超过' if one.is_cut_off else ''} {found} 张；"
        f"{one.request_count} 次请求，{one.byte_count:,} 字节，{one.seconds:.1f} 秒",
    )


def _row(case: CardCase, *, is_revealed: bool) -> dict[str, str]:
    return {
        "participant": case.participant,
        "scope": scope_name(case.scope),
        "card": f"{case.issuer} {case.number if is_revealed else masked(case.number)} {case.sequence}",
        "kind": case.kind,
        "here": case.here,
        "there": case.there,
        "found_time": _time(case.found_ms),
    }


def _link_row(subject: str, link: SentBack) -> dict[str, str]:
    return {
        "participant": link.linked_by,
        "scope": "",
        "card": "",
        "kind": _LINK_KIND,
        "here": f"subject {subject}",
        "there": f"linked to {link.primary}",
        "found_time": _time(link.since_ms),
    }


def _time(at_ms: int) -> str:
    return shanghai_time(at_ms).isoformat(timespec="seconds")
