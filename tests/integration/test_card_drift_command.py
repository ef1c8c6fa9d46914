"""`onecard card drift` and `onecard card cases`: what a person sees of differences, without card numbers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from onecard.card.v1 import comparison_pb2
from onecard_broker.commands.card import app
from onecard_broker.commands.card_drift import shown
from onecard_broker.domain.card_state import Cardholder, SentBack, holder_key
from onecard_broker.operations.card_drift import ScopeDrift
from onecard_broker.records.card_cases import CardCase, put_cases
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol.explained import ExitCode, Explained
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)

ISSUED = comparison_pb2.COMPARISON_SCOPE_ISSUED
FOUND_MS = 1_790_000_000_000


def case(number: str, participant: str = "cn-42", **changes: object) -> CardCase:
    values: dict[str, object] = {
        "participant": participant,
        "scope": ISSUED,
        "issuer": participant,
        "number": number,
        "sequence": 1,
        "kind": "other-data",
        "here": "ACTIVE 3, ACTIVE 2, data 00010203",
        "there": "ACTIVE 3, ACTIVE 2, data 00000000",
        "found_ms": FOUND_MS,
    }
    return CardCase(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def config(postgres_dsn: str, tmp_path: Path) -> Path:
    return write_hub_configuration(tmp_path, postgres_dsn)


async def keep(dsn: str, *cases: CardCase, is_complete: bool = True) -> None:
    async with await connect(dsn, application_name="test") as connection:
        await put_cases(connection, cases[0].participant, ISSUED, cases, is_complete=is_complete)


def run(*arguments: str, locale: str = "en_GB.UTF-8") -> str:
    result = CliRunner(env={"LC_ALL": locale, "COLUMNS": "200"}).invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_cases_are_shown_by_province_and_without_their_card_numbers(postgres_dsn: str, config: Path) -> None:
    asyncio.run(keep(postgres_dsn, case("A12345678"), case("A12345679", kind="missing-there", there="")))
    asyncio.run(keep(postgres_dsn, case("B00000001", "cn-11")))
    rows = json.loads(run("cases", "cn-42", "--config", str(config), "--json"))
    assert [(row["card"], row["kind"], row["there"][:6]) for row in rows] == [
        ("cn-42 ***78 1", "other-data", "ACTIVE"),
        ("cn-42 ***79 1", "missing-there", ""),
    ]
    assert rows[0]["found_time"] == "2026-09-21T22:13:20+08:00"
    everywhere = run("cases", "--config", str(config))
    assert "cn-11" in everywhere
    assert "A12345678" not in everywhere


def test_a_case_goes_when_a_whole_comparison_finds_it_no_more_and_keeps_its_time_while_it_stands(
    postgres_dsn: str, config: Path
) -> None:
    asyncio.run(keep(postgres_dsn, case("A00000001"), case("A00000002"), case("A00000003")))
    later = FOUND_MS + 60_000
    asyncio.run(keep(postgres_dsn, case("A00000004"), is_complete=False))
    asyncio.run(
        keep(
            postgres_dsn,
            case("A00000001", found_ms=later),
            case("A00000002", found_ms=later, here="LOST 3, ACTIVE 2"),
            case("A00000004"),
        )
    )
    rows = json.loads(run("cases", "--config", str(config), "--json"))
    assert [(row["card"], row["found_time"][14:19]) for row in rows] == [
        ("cn-42 ***01 1", "13:20"),
        ("cn-42 ***04 1", "13:20"),
        ("cn-42 ***02 1", "14:20"),
    ]


def test_card_numbers_are_shown_for_a_reason_that_is_kept(postgres_dsn: str, config: Path) -> None:
    asyncio.run(keep(postgres_dsn, case("A12345678")))
    with pytest.raises(Explained, match="--reveal needs --reason"):
        run("cases", "--config", str(config), "--reveal")
    rows = json.loads(run("cases", "cn-42", "--config", str(config), "--json", "--reveal", "--reason", "call 7"))
    assert rows[0]["card"] == "cn-42 A12345678 1"
    with psycopg.connect(postgres_dsn) as connection:
        kept = connection.execute("SELECT is_revealed, reason FROM operator_reads").fetchall()
    assert kept == [(True, "card cases of cn-42: call 7")]


def test_a_link_that_was_sent_back_is_listed_with_the_province_that_linked(postgres_dsn: str, config: Path) -> None:
    async def save() -> None:
        link = SentBack(primary="cd" * 32, linked_by="cn-45", since_ms=FOUND_MS)
        holder = Cardholder(subject="ab" * 32, number="110101199001011237", sent_back=link)
        async with await connect(postgres_dsn, application_name="test") as connection:
            await CardRegistry().prepare(connection, [1])
            await CardRegistry().save(connection, {(1, holder_key(holder.subject)): (None, holder)})

    asyncio.run(save())
    (row,) = json.loads(run("cases", "cn-45", "--config", str(config), "--json"))
    assert (row["participant"], row["kind"], row["found_time"]) == (
        "cn-45",
        "link-sent-back",
        "2026-09-21T22:13:20+08:00",
    )
    assert (row["here"], row["there"]) == (f"subject {'ab' * 32}", f"linked to {'cd' * 32}")
    assert json.loads(run("cases", "cn-42", "--config", str(config), "--json")) == []


def test_no_case_is_said_so_in_the_readers_language(config: Path) -> None:
    assert "没有待人工处理的差异" in run("cases", "--config", str(config), locale="zh_CN.UTF-8")
    assert "No difference and no link" in run("cases", "--config", str(config))


def test_cases_stand_under_titles_of_the_readers_language(postgres_dsn: str, config: Path) -> None:
    asyncio.run(keep(postgres_dsn, case("A12345678")))
    shown = {locale: run("cases", "--config", str(config), locale=locale) for locale in ("en_GB", "zh_CN")}
    assert [text.splitlines()[0].split() for text in shown.values()] == [
        ["province", "cards", "card", "kind", "registry", "province's", "copy", "since"],
        ["省份", "范围", "卡", "差异", "持卡库", "省级副本", "起始时间"],
    ]
    assert shown["zh_CN"].splitlines()[1].split() == shown["en_GB"].splitlines()[1].split()


def test_what_is_no_province_cannot_be_compared(config: Path) -> None:
    with pytest.raises(Explained, match="'bank-102' is no province's code") as refused:
        run("drift", "bank-102", "--config", str(config))
    assert refused.value.explanation.exit_code == ExitCode.USAGE


def test_the_table_tells_what_was_found_and_what_was_done() -> None:
    drift = ScopeDrift(
        scope="issued",
        here_count=1_000_000,
        there_count=999_999,
        found={"missing-there": 2, "other-version": 7},
        repaired={"other-version": 7},
        listed={"missing-there": 2},
        is_cut_off=False,
        request_count=12,
        byte_count=34_567,
        seconds=8.25,
    )
    console = Console(width=120, record=True)
    console.print(shown("cn-42", [drift], "en", is_repairing=True))
    text = " ".join(console.export_text().split())
    assert "missing-there │ 2 │ 0 │ 2" in text
    assert "other-version │ 7 │ 7 │ 0" in text
    assert "9 of 1,000,000 cards; 34,567 bytes in 12 requests" in text
    console.print(shown("cn-42", [drift], "en", is_repairing=False))
    assert "repaired" not in console.export_text()
    console.print(shown("cn-42", [drift], "zh", is_repairing=True))
    text = " ".join(console.export_text().split())
    for words in ("cn-42: 与持卡库比对", "范围 ┃ 差异 ┃ 发现 ┃ 已修复 ┃ 待人工", "共 1,000,000 张，差异 9 张"):
        assert words in text
