"""`onecard adapter refused`: rows that were not taken and reports that were refused, while the adapter goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.card_tables.office import build_office
from onecard_adapters.runtime import outbox
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode
from onecard_protocol.identifiers import id_text
from tests.support.adapter_files import AdapterCommand, write_beijing
from tests.support.card_desk import desk_world
from tests.support.card_tables import PERSON, card_settings, insert_card, make_tables, update
from tests.support.eventually import eventually

NUMBER = "A99000001"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AdapterCommand:
    return AdapterCommand(capsys, monkeypatch)


async def test_rows_and_reports_that_did_not_get_through_are_listed_with_what_to_do(
    tmp_path: Path, command: AdapterCommand
) -> None:
    url = f"sqlite:///{tmp_path / 'cards.sqlite'}"
    config, engine = write_beijing(tmp_path, url), make_tables(url)
    insert_card(engine, 1)
    unmapped = insert_card(engine, 2, aaz502=77)
    async with desk_world(tmp_path / "store.sqlite") as world:
        settings = card_settings(tmp_path, url, database={"overlap_every_s": 1})
        office = build_office(settings, "cn-11", world.desk, world.store)
        await office.start()
        await eventually(lambda: bool(world.submitted and office.reader.dead_rows))
        (told,) = world.submitted

        refusal = OneCardError(
            errors_pb2.ERROR_REASON_ANOTHER_CARD_ACTIVE, "issued by cn-45", violations=[("card", "is the second")]
        )

        def refuse(store: sqlite3.Connection) -> None:
            outbox.accept(store, [told.id], ask_ms=0)
            outbox.refuse_event(store, told.id, refusal)

        await world.store.run(refuse)

        listed = command.run("refused", "--config", str(config), "--json")
        shown = {locale: command.run("refused", "-c", str(config), locale=locale).output for locale in ("C", "zh_CN")}

        assert listed.code == ExitCode.FOUND_WRONG
        (row,), (event,) = listed.json()["rows"], listed.json()["events"]
        assert (row["source"], row["row"], row["reason"]) == ("card_status", unmapped, "UNMAPPED_CODE")
        version = settings.tables().version
        assert row["detail"].startswith(f"card_status[{unmapped}].aaz502: local code '77' is not in table")
        assert row["detail"].endswith(f"version {version}")
        assert (event["report"], event["reason"], event["version"]) == ("ReportSocialChange", "ANOTHER_CARD_ACTIVE", 1)
        assert (event["id"], event["card"]) == (id_text(told.id), "cn-11 A9*****01 1")
        assert event["detail"] == "issued by cn-45; card: is the second"
        for words in (
            "What to do",
            "issued by cn-45; card",
            "Correct the row",
            "is not sent again",
            "The person has another card in use",
        ):
            assert words in shown["C"]
        for words in ("怎么办", "请更正该行数据", "不会重发", "该人员另有在用的社保卡"):
            assert words in shown["zh_CN"]
        for text in (listed.output, *shown.values()):
            assert PERSON not in text
            assert NUMBER not in text
            assert "周小测" not in text

        update(engine, "card_status", unmapped, aaz502=2)
        await eventually(lambda: not office.reader.dead_rows)
        assert command.run("refused", "-c", str(config), "--json").json()["rows"] == []
        await office.stop()
    engine.dispose()


async def test_where_nothing_was_refused_it_is_said_so(tmp_path: Path, command: AdapterCommand) -> None:
    config = write_beijing(tmp_path, "sqlite://")
    async with desk_world(tmp_path / "store.sqlite"):
        pass
    shown = command.run("refused", "-c", str(config), locale="zh_CN")
    assert (shown.code, "没有被拒绝的上报" in shown.output) == (ExitCode.DONE, True)


def test_a_store_that_was_never_there_is_named(tmp_path: Path, command: AdapterCommand) -> None:
    told = command.run("refused", "-c", str(write_beijing(tmp_path, "sqlite://")))
    assert told.code == ExitCode.NOT_SET_UP
    assert "never run" in told.errors
    assert not (tmp_path / "store.sqlite").exists()
