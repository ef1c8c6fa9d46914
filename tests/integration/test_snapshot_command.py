"""`onecard adapter snapshot`: from a card office's tables through its adapter's book into the registry of the hub."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import sqlalchemy
from typer.testing import CliRunner

from onecard.card.v1 import snapshot_pb2
from onecard_adapters.dialects.card_tables.office import build_office
from onecard_adapters.profiles import models
from onecard_broker.bootstrap import create_subject_key
from onecard_broker.commands.card import app
from onecard_protocol.card_snapshot import SnapshotReader, cards_of
from onecard_protocol.explained import ExitCode
from onecard_stubs.beijing.core import BeijingCardOffice
from tests.support.adapter_files import AdapterCommand, write_adapter, write_beijing
from tests.support.card_desk import DeskWorld, Registry, desk_world, make_card, standing
from tests.support.card_tables import PERSON, card_settings, insert_card, make_tables, update
from tests.support.eventually import eventually
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)

ENCRYPTED = ["aac002", "aac003", "aac007", "aae010"]
HOLDERS = 6
CARD_COUNT = HOLDERS + 4  # The rare-named have cards too.
PROFILES = Path(models.__file__).parent


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AdapterCommand:
    return AdapterCommand(capsys, monkeypatch)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cards.sqlite'}"


def cards_in(file: Path) -> list[snapshot_pb2.SnapshotCard]:
    with file.open("rb") as stream:
        blocks = SnapshotReader(stream).blocks()
        return [snapshot_pb2.SnapshotCard.FromString(card) for _, block in blocks for card in cards_of(block)]


@contextlib.asynccontextmanager
async def adapter(tmp_path: Path, url: str, registry: Registry | None = None) -> AsyncIterator[DeskWorld]:
    """Beijing's adapter at work on tables that are in the clear."""
    async with desk_world(tmp_path / "store.sqlite", registry) as world:
        office = build_office(card_settings(tmp_path, url), "cn-11", world.desk, world.store)
        await office.start()
        try:
            yield world
        finally:
            await office.stop()


async def test_a_card_office_its_adapter_the_file_and_the_registry_tell_the_same_versions(
    postgres_dsn: str, tmp_path: Path, url: str, command: AdapterCommand
) -> None:
    key_file, file = tmp_path / "office.key", tmp_path / "cards-cn-11"
    config = write_beijing(tmp_path, url, encrypted=ENCRYPTED, key_file=str(key_file))
    stub = BeijingCardOffice(url, key_file, holders=HOLDERS, reserve=5)
    await stub.start()
    try:
        lost = stub.population.people[3]
        async with desk_world(tmp_path / "store.sqlite") as world:
            settings = card_settings(tmp_path, url, database={"encrypted": ENCRYPTED, "key_file": key_file})
            office = build_office(settings, "cn-11", world.desk, world.store)
            await office.start()
            await eventually(lambda: len(world.social()) == CARD_COUNT)
            order = {"identity_number": lost.identity_number, "is_formal": True}
            async with aiohttp.ClientSession(raise_for_status=True) as session:
                await session.post(f"{stub.url}/control/command/report_lost", json=order)
            await eventually(lambda: len(world.social()) == CARD_COUNT + 1)

            # While the adapter works.
            written = await command.aside("snapshot", "-c", str(config), "--to", str(file), "--json")
            await office.stop()
    finally:
        await stub.stop()
    figures = written.json()
    assert (written.code, figures["cards"], figures["told"], figures["left"]) == (
        ExitCode.DONE,
        CARD_COUNT,
        CARD_COUNT,
        0,
    )

    create_subject_key(tmp_path / "subject.key")
    hub = write_hub_configuration(tmp_path, postgres_dsn)
    loading = await asyncio.to_thread(CliRunner().invoke, app, ["load", str(file), "--config", str(hub), "--json"])
    loaded = json.loads(loading.stdout)
    assert (loaded["cards"], loaded["taken"], loaded["left"]) == (CARD_COUNT, CARD_COUNT, 0)
    shown = await asyncio.to_thread(
        CliRunner().invoke,
        app,
        ["show", "--config", str(hub), "--person-number", "--json"],
        input=f"{lost.identity_number}\n",
    )
    (card,) = json.loads(shown.stdout[shown.stdout.index("{") :])["cards"]
    assert (card["issuer"], card["social"]["state"], card["social"]["version"]) == ("cn-11", "LOST", 2)


async def test_before_the_first_run_a_snapshot_leaves_the_adapter_nothing_to_tell(
    tmp_path: Path, url: str, command: AdapterCommand
) -> None:
    config, engine = write_beijing(tmp_path, url, page_rows=3), make_tables(url)
    keys = [insert_card(engine, index, aaz502=index % 2 + 1) for index in range(8)]
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    written = await command.aside("snapshot", "-c", str(config), "--to", str(first), "--json")
    assert (written.code, written.json()["local"]) == (ExitCode.DONE, 8)
    assert not (tmp_path / "store.sqlite").exists()
    cards = cards_in(first)
    assert [(card.social.card.number, card.social.version) for card in cards] == [(f"A9900000{n}", 1) for n in range(8)]
    assert first.stat().st_mode & 0o077 == 0

    registry = Registry()
    registry.standings = {card.social.card.number: standing(card.social, version=1) for card in cards}
    async with adapter(tmp_path, url, registry) as world:
        async with asyncio.timeout(10):
            while await world.count("card_book") < 8:  # noqa: ASYNC110 - the store has no event for it
                await asyncio.sleep(0.01)
        assert world.submitted == []
        # What the registry knows in this version is written in it, word for word as before.
        again = await command.aside("snapshot", "-c", str(config), "--to", str(second), "--json")
    assert (again.code, second.read_bytes()) == (ExitCode.DONE, first.read_bytes())

    # Changed while the adapter is down: the book has no report of it, and its version says something else.
    update(engine, "card_status", keys[0], aaz502=2)
    engine.dispose()
    changed = await command.aside("snapshot", "-c", str(config), "--to", str(third), "--json")
    figures = changed.json()
    assert (changed.code, figures["cards"], figures["registry"]) == (ExitCode.FOUND_WRONG, 7, 1)


async def test_a_change_that_was_not_told_yet_is_not_in_the_snapshot_of_the_version_that_was(
    tmp_path: Path, url: str, command: AdapterCommand
) -> None:
    config, engine, file = write_beijing(tmp_path, url), make_tables(url), tmp_path / "cards"
    key = insert_card(engine, 1)
    async with adapter(tmp_path, url) as world:
        await eventually(lambda: len(world.submitted) == 1)
        (told,) = world.told()
    update(engine, "card_status", key, aaz502=2)
    insert_card(engine, 2)
    engine.dispose()
    written = (await command.aside("snapshot", "-c", str(config), "--to", str(file), "--json")).json()
    assert (written["told"], written["local"]) == (1, 1)
    assert cards_in(file)[0].social == told


@pytest.mark.parametrize("locale", ["C", "zh_CN.UTF-8"])
def test_rows_that_cannot_be_mapped_are_named_and_counted_and_the_rest_is_written(
    tmp_path: Path, url: str, command: AdapterCommand, locale: str
) -> None:
    config, engine, file = write_beijing(tmp_path, url), make_tables(url), tmp_path / "cards"
    insert_card(engine, 1)
    unmapped, deleted = insert_card(engine, 2, aaz502=77), insert_card(engine, 3, del_flag="1")
    insert_card(engine, 4, aac018=30)  # No card: making it failed.
    engine.dispose()
    told = command.run("snapshot", "-c", str(config), "--to", str(file), locale=locale)
    assert told.code == ExitCode.FOUND_WRONG
    assert [card.social.card.number for card in cards_in(file)] == ["A99000001"]
    words = {"C": ("2 left out", "What to do"), "zh_CN.UTF-8": ("未写入 2 张", "怎么办")}[locale]
    for word in (*words, f"card_status[{unmapped}]", f"card_status[{deleted}]", "UNMAPPED_CODE", "'77'"):
        assert word in told.output
    assert PERSON not in told.output + told.errors


@pytest.mark.parametrize(("locale", "words"), [("C", "What to do"), ("zh_CN.UTF-8", "怎么办")])
def test_where_the_tables_cannot_be_read_to_their_end_there_is_no_file(
    tmp_path: Path, url: str, command: AdapterCommand, monkeypatch: pytest.MonkeyPatch, locale: str, words: str
) -> None:
    config, engine, file = write_beijing(tmp_path, url, page_rows=2), make_tables(url), tmp_path / "cards"
    for index in range(5):
        insert_card(engine, index)
    execute = sqlalchemy.Connection.execute
    pages = iter(range(2))

    def failing(connection: sqlalchemy.Connection, *arguments: object) -> object:
        if next(pages, None) is None:
            raise sqlalchemy.exc.OperationalError("", {}, Exception())
        return execute(connection, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(sqlalchemy.Connection, "execute", failing)
    before = set(tmp_path.iterdir())
    told = command.run("snapshot", "-c", str(config), "--to", str(file), locale=locale)
    assert told.code == ExitCode.UNREACHABLE
    assert "LOCAL_SYSTEM_DOWN" in told.errors
    assert words in told.errors
    assert set(tmp_path.iterdir()) == before
    engine.dispose()


def test_a_file_that_is_there_stays_and_a_bank_has_no_snapshot(
    tmp_path: Path, url: str, command: AdapterCommand
) -> None:
    file = tmp_path / "cards"
    file.write_text("mine")
    there = command.run("snapshot", "-c", str(write_beijing(tmp_path, url)), "--to", str(file))
    assert (there.code, file.read_text()) == (ExitCode.NOT_SET_UP, "mine")
    bank = write_adapter(tmp_path, "bank-102", str(PROFILES / "bank-102.yaml"))
    none = command.run("snapshot", "-c", str(bank), "--to", str(tmp_path / "accounts"), locale="zh_CN")
    assert (none.code, "不是发卡机构" in none.errors) == (ExitCode.NOT_SET_UP, True)


async def test_an_office_that_cannot_list_its_cards_writes_those_that_it_told(
    tmp_path: Path, command: AdapterCommand
) -> None:
    config = write_adapter(tmp_path, "cn-45", str(PROFILES / "cn-45.yaml"))
    cards = [make_card(f"A9900000{index}") for index in range(3)]
    for card in cards:
        card.card.issuer = "cn-45"
    registry = Registry()
    registry.standings = {cards[2].card.number: standing(cards[2], version=9)}
    async with desk_world(tmp_path / "store.sqlite", registry, "cn-45") as world:
        await world.desk.observe(cards)
        told = [number for number, *_ in world.social()]
    written = await command.aside("snapshot", "-c", str(config), "--to", str(tmp_path / "cards"), "--json")
    figures = written.json()
    assert (written.code, figures["told"], figures["registry"]) == (ExitCode.FOUND_WRONG, 2, 1)
    assert sorted(card.social.card.number for card in cards_in(tmp_path / "cards")) == told
