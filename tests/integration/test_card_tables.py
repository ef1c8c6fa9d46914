"""Beijing's tables on a real SQLite and a real PostgreSQL: what is updated is told, once, whatever batches do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from onecard.card.v1 import change_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_adapters.connectors.database import Database
from onecard_adapters.dialects.card_tables.listing import CardTablesListing
from onecard_adapters.runtime import source_rows
from onecard_protocol.errors import OneCardError
from tests.support.card_desk import Registry, standing
from tests.support.card_tables import CIPHER, PERSON, card_settings, insert, insert_card, make_tables, update
from tests.support.card_tables_office import asked_step, local, office
from tests.support.eventually import eventually

pytest_plugins = ("tests.support.engines", "tests.support.card_tables_databases")


async def test_the_sample_is_told_as_two_cards_of_one_number(tmp_path: Path, url: str) -> None:
    made = make_tables(url, with_rows=True)
    try:
        async with office(tmp_path, url) as (world, _):
            await eventually(lambda: len(world.submitted) == 2)
            assert [(step[0], step[3]) for step in world.social()] == [
                ("A99000080", "CANCELLED"),
                ("A99000080", "ACTIVE"),
            ]
            old, new = world.told()
            assert (old.card.sequence, new.card.sequence) == (1, 2)  # type: ignore[attr-defined]
            assert new.replaces == old.card  # type: ignore[attr-defined]
            assert not old.HasField("replaces")
    finally:
        made.dispose()


async def test_a_change_is_told_and_what_a_batch_writes_anew_is_not(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    keys = [insert_card(engine, index, updated=local(-60)) for index in range(20)]
    async with office(tmp_path, url) as (world, _):
        await eventually(lambda: len(world.submitted) == 20)
        # The hourly batch: all rows again, in another order, some with times that go back.
        for offset, key in enumerate(reversed(keys)):
            update(engine, "card_status", key, update_date=local(-offset))
        update(engine, "card_status", keys[7], aaz502=2, update_date=local())
        await eventually(lambda: len(world.submitted) == 21)
        update(engine, "card_status", keys[7], aaz502=1, update_date=local())
        await eventually(lambda: len(world.submitted) == 22)
        assert world.social()[-2:] == [("A99000007", 2, "LOST", "LOST"), ("A99000007", 3, "FOUND", "ACTIVE")]


async def test_a_row_without_an_update_time_counts_from_its_creation(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1, updated=None)
    async with office(tmp_path, url) as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        event = world.told()[0]
        assert event.occurred_time.ToDatetime().isoformat() == "2015-03-10T01:00:00"  # type: ignore[attr-defined]


async def test_a_change_of_the_person_or_the_application_is_told(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1)
    async with office(tmp_path, url) as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        update(engine, "csk_ac01", 1_001, aab301="110102", update_date=local())
        await eventually(lambda: len(world.submitted) == 2)
        update(engine, "csk_cc02", 2_001, aae010="6217000000000000004", update_date=local())
        await eventually(lambda: len(world.submitted) == 3)
        assert [step[2] for step in world.social()] == ["ENABLED", "DATA_CHANGED", "DATA_CHANGED"]


async def test_pages_of_rows_with_one_update_time_lose_none(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    for index in range(57):
        insert_card(engine, index)
    async with office(tmp_path, url, database={"page_rows": 10}) as (world, _):
        await eventually(lambda: len({step[0] for step in world.social()}) == 57)
        assert len(world.submitted) == 57


async def test_a_row_that_commits_late_is_found_by_the_thorough_reading(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1, updated=local(-1))
    async with office(tmp_path, url, database={"late_ms": 0, "overlap_every_s": 1}) as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        insert_card(engine, 2, updated=local(-3_600))
        await eventually(lambda: len(world.submitted) == 2)


async def test_a_row_from_the_future_hides_none(tmp_path: Path, url: str, engine: sqlalchemy.Engine) -> None:
    insert_card(engine, 1, updated="2099-01-01 00:00:00")
    async with office(tmp_path, url) as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        insert_card(engine, 2, updated=local())
        await eventually(lambda: len(world.submitted) == 2)


async def test_rows_that_cannot_be_mapped_are_kept_named_and_tried_again(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    for index in range(5):
        insert_card(engine, index)
    update(engine, "card_status", 3_001, aaz502=5)
    update(engine, "csk_cc02", 2_003, ac01_id=77)
    async with office(tmp_path, url, database={"overlap_every_s": 1}) as (world, made):
        await eventually(lambda: len(world.submitted) == 3 and len(made.reader.dead_rows) == 2)
        dead = await world.store.run(lambda connection: source_rows.dead_rows(connection, "card_status"))
        assert [(row.key, row.reason) for row in dead] == [
            (3_001, errors_pb2.ERROR_REASON_UNMAPPED_CODE),
            (3_003, errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID),
        ]
        assert dead[0].detail == (
            "card_status[3001].aaz502: local code '5' is not in table social_state version card-tables/2024.1"
        )
        assert dead[1].detail == "card_status[3003].aac002: missing"
        update(engine, "csk_cc02", 2_003, ac01_id=1_003)  # Mended, and its update time is as old as before.
        await eventually(lambda: len(world.submitted) == 4 and len(made.reader.dead_rows) == 1)
        assert await world.count("dead_source_rows") == 1
    async with office(tmp_path, url) as (world, _):
        update(engine, "card_status", 3_001, aaz502=4, update_date=local())
        await eventually(lambda: len(world.submitted) == 1)
        assert world.social() == [("A99000001", 1, "TEMPORARILY_LOST", "TEMPORARILY_LOST")]


@pytest.mark.parametrize("page_rows", [1, 3])
async def test_a_row_without_times_hides_none(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine, page_rows: int
) -> None:
    update(engine, "card_status", insert_card(engine, 0, updated=None), create_date=None)
    for index in range(1, 6):
        insert_card(engine, index)
    async with office(tmp_path, url, database={"page_rows": page_rows}) as (world, _):
        await eventually(lambda: len(world.submitted) == 5)


@pytest.mark.parametrize("page_rows", [1, 4, 500])
@pytest.mark.parametrize(
    ("table", "key", "column"), [("csk_ac01", 1_002, "aac006"), ("card_status", 3_002, "update_date")]
)
async def test_a_row_that_the_driver_cannot_read_is_named_and_the_others_are_told(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine, page_rows: int, table: str, key: int, column: str
) -> None:
    for index in range(7):
        insert_card(engine, index)
    # PostgreSQL has days that Python has not; SQLite takes any text.
    update(engine, table, key, **{column: "infinity" if url.startswith("postgresql") else "2024/03/15"})
    async with office(tmp_path, url, database={"page_rows": page_rows, "overlap_every_s": 1}) as (world, made):
        await eventually(lambda: len(world.submitted) == 6 and len(made.reader.dead_rows) == 1)
        [dead] = made.reader.dead_rows
        assert (dead.key, dead.reason) == (3_002, errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID)
        assert dead.detail.startswith("card_status.id 3002: ")
        listing = CardTablesListing(card_settings(tmp_path, url, database={"page_rows": page_rows}), "cn-11")
        listed = [card for page in [page async for page in listing.pages()] for card in page]
        await listing.close()
        assert [one.where for one in listed if isinstance(one.card, OneCardError)] == ["card_status[3002]"]
        assert len(listed) == 7
        update(engine, "card_status", 3_001, aaz502=2, update_date=local())
        await eventually(lambda: len(world.submitted) == 7)
        update(engine, table, key, **{column: local()[: None if column == "update_date" else 10]})
        await eventually(lambda: len(world.submitted) == 8 and not made.reader.dead_rows)


async def test_of_two_rows_of_one_application_the_newest_counts(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1, updated=local(-3_000))
    lost = {
        "id": 3_500,
        "cc02_id": 2_001,
        "aac002": PERSON,
        "aac003": "周小测",
        "aac018": 75,
        "aaz502": 2,
        "del_flag": "0",
    }
    insert(engine, "card_status", **lost, aaz161="20240315", create_date=local(-700), update_date=local(-600))
    waiting = {**lost, "id": 3_501, "aac018": 5, "aaz502": 1}
    insert(engine, "card_status", **waiting, create_date=local(-500), update_date=local(-400))
    registry = Registry()
    async with office(tmp_path, url, registry) as (world, made):
        await eventually(lambda: len(world.submitted) == 1)
        assert world.social() == [("A99000001", 1, "LOST", "LOST")]
        found = await made.find(asked_step().old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_LOST
        # Rows that come by the person's time come in the order of their numbers, whatever their own times say.
        update(engine, "csk_ac01", 1_001, aab301="110102", update_date=local())
        await eventually(lambda: len(world.submitted) == 2)
        assert world.social()[-1] == ("A99000001", 2, "DATA_CHANGED", "LOST")
        listing = CardTablesListing(card_settings(tmp_path, url), "cn-11")
        listed = [one.card for page in [page async for page in listing.pages()] for one in page]
        await listing.close()
        assert [one.state for one in listed if isinstance(one, LocalCard)] == [values_pb2.SOCIAL_STATE_LOST]


@pytest.mark.parametrize("is_taken_over", [False, True], ids=["told", "taken over from the registry"])
@pytest.mark.parametrize(
    ("table", "key", "values", "column"),
    [
        ("csk_ac01", 1_001, {"aac005": "ZZ"}, "aac005"),
        ("csk_ac01", 1_001, {"aac002": "11010519491231002X"}, "aac002"),
        ("card_status", 3_001, {"del_flag": "1"}, "del_flag"),
    ],
)
async def test_a_loss_in_a_row_that_cannot_be_read_whole_is_told_with_what_was_told_last(
    tmp_path: Path,
    url: str,
    engine: sqlalchemy.Engine,
    table: str,
    key: int,
    values: dict[str, str],
    column: str,
    is_taken_over: bool,
) -> None:
    insert_card(engine, 1, updated=local(-60))
    registry = Registry()
    async with office(tmp_path, url, registry) as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        before: Any = world.told()[0]
        registry.standings[before.card.number] = standing(before, version=1)
    async with office(tmp_path, url, registry, store="new" if is_taken_over else "store") as (world, made):
        while not await world.count("card_book"):  # noqa: ASYNC110 - the store has no event for it
            await asyncio.sleep(0.02)
        update(engine, table, key, **values, update_date=local())
        await eventually(lambda: len(made.reader.dead_rows) == 1)
        for status in (2, 1):
            update(engine, "card_status", 3_001, aaz502=status, update_date=local())
            await eventually(lambda: len(world.submitted) == 1)
        insert_card(engine, 2, updated=local())
        await eventually(lambda: len(world.submitted) == 2)
        # A row in doubt stops a card; it does not put one in use.
        assert world.social() == [("A99000001", 2, "LOST", "LOST"), ("A99000002", 1, "ENABLED", "ACTIVE")]
        lost: Any = world.told()[0]
        assert (lost.person, lost.data, lost.holder) == (before.person, before.data, before.holder)
        (dead,) = await world.store.run(lambda connection: source_rows.dead_rows(connection, "card_status"))
        assert dead.detail.startswith(f"card_status[3001].{column}: ")


async def test_a_card_that_was_told_does_not_vanish_with_its_process(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    for index in range(4):
        insert_card(engine, index, updated=local(-60))
    update(engine, "card_status", 3_002, aaz502=9)
    update(engine, "card_status", 3_003, aac018=5)
    async with office(tmp_path, url, database={"overlap_every_s": 1}) as (world, made):
        await eventually(lambda: len(world.submitted) == 3)
        for key in (3_000, 3_002, 3_003):
            update(engine, "card_status", key, aac018=22, update_date=local())
        update(engine, "card_status", 3_001, aac018=22, aaz502=9, update_date=local())
        await eventually(lambda: len(world.submitted) == 4)
        assert world.social()[-1] == ("A99000001", 2, "CANCELLED", "CANCELLED")
        # The end that was told is what its row tells; the card that is in use there, and was told so, is a fault.
        await eventually(lambda: len(made.reader.dead_rows) == 1)
        assert [row.detail for row in made.reader.dead_rows] == [
            "card_status[3000].aac018: says that there is no card, but one was told, which has not ended"
        ]


async def test_what_happened_while_the_adapter_was_down_is_told_and_nothing_twice(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    for index in range(10):
        insert_card(engine, index, updated=local(-20_000))
    registry = Registry()
    async with office(tmp_path, url, registry) as (world, _):
        await eventually(lambda: len(world.submitted) == 10)
    update(engine, "card_status", 3_004, aaz502=2, update_date=local(-9_000))
    insert_card(engine, 11, updated=local(-8_000))
    async with office(tmp_path, url, registry) as (world, _):
        await eventually(lambda: len(world.submitted) == 2)
        await asyncio.sleep(0.2)
        assert [step[:3] for step in world.social()] == [("A99000004", 2, "LOST"), ("A99000011", 1, "ENABLED")]


async def test_after_the_store_was_lost_versions_go_on_from_the_registry(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    registry = Registry()
    insert_card(engine, 1)
    lost = insert_card(engine, 2)
    async with office(tmp_path, url, Registry(), store="lost") as (world, _):
        await eventually(lambda: len(world.submitted) == 2)
        for told in world.told():
            assert isinstance(told, change_pb2.ReportSocialChangeRequest)
            registry.standings[told.card.number] = standing(told, version=6)
    update(engine, "card_status", lost, aaz502=2, update_date=local())
    async with office(tmp_path, url, registry, store="new") as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        assert world.social() == [("A99000002", 7, "LOST", "LOST")]


async def test_reading_goes_on_when_the_registry_and_the_database_are_back(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    registry = Registry()
    registry.failure = OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)
    insert_card(engine, 1)
    async with office(tmp_path, url, registry) as (world, _):
        await eventually(lambda: len(registry.asked) >= 2)
        assert world.submitted == []
        registry.failure = None
        await eventually(lambda: len(world.submitted) == 1)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE card_status RENAME TO elsewhere")
        await asyncio.sleep(0.2)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO card_status")
        update(engine, "card_status", 3_001, aaz502=2, update_date=local())
        await eventually(lambda: len(world.submitted) == 2)


async def test_a_card_that_the_registry_cannot_tell_of_stops_no_others_and_is_told_as_soon_as_it_can(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    keys = [insert_card(engine, index, updated=local(-600 + index)) for index in range(6)]
    registry = Registry()
    async with office(tmp_path, url, registry, database={"page_rows": 5, "late_ms": 0}) as (world, made):
        await eventually(lambda: len(world.submitted) == 6)
        registry.freshness = status_pb2.FRESHNESS_STALE  # Of the new card's partition: known cards need no answer.
        new = insert_card(engine, 7, updated=local(-1))
        for key in keys[:5]:
            update(engine, "card_status", key, update_date=local(-1))
        update(engine, "card_status", keys[5], aaz502=2, update_date=local())
        await eventually(lambda: len(world.submitted) == 7 and len(made.reader.dead_rows) == 1)
        assert world.social()[-1][2:] == ("LOST", "LOST")
        [waiting] = made.reader.dead_rows
        assert (waiting.key, waiting.reason) == (new, errors_pb2.ERROR_REASON_HUB_NOT_READY)
        registry.freshness = status_pb2.FRESHNESS_FRESH
        await eventually(lambda: len(world.submitted) == 8 and not made.reader.dead_rows)


async def test_while_the_registry_tells_of_none_of_a_page_reading_waits(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    for index in range(6):
        insert_card(engine, index, updated=local(-600 + index))
    registry = Registry()
    registry.freshness = status_pb2.FRESHNESS_STALE
    async with office(tmp_path, url, registry, database={"page_rows": 3}) as (world, made):
        await eventually(lambda: len(registry.asked) >= 2)
        assert made.reader.dead_rows == ()
        registry.freshness = status_pb2.FRESHNESS_FRESH
        await eventually(lambda: len(world.submitted) == 6)


async def test_a_connection_to_postgresql_notices_that_it_was_dropped_unless_its_url_says_how(
    postgres_dsn: str,
) -> None:
    mark = "&" if "?" in postgres_dsn else "?"
    url = f"{postgres_dsn.replace('postgresql://', 'postgresql+psycopg://')}{mark}keepalives_idle=77"
    database = Database(url)

    def settings(connection: sqlalchemy.Connection) -> dict[str, str]:
        driver: Any = connection.connection.driver_connection
        found: dict[str, str] = driver.info.get_parameters()
        return found

    found = await database.run(settings)
    await database.close()
    assert (found["keepalives_idle"], found["keepalives_count"], found["tcp_user_timeout"]) == ("77", "3", "25000")


async def test_encrypted_columns_are_opened_by_the_profiles_key(
    tmp_path: Path, url: str, engine: sqlalchemy.Engine
) -> None:
    insert_card(engine, 1, person=CIPHER.encrypt(PERSON))
    update(engine, "csk_ac01", 1_001, aac003=CIPHER.encrypt("陈㼆"))
    async with office(tmp_path, url, database={"encrypted": ["aac002", "aac003", "aac007", "aae010"]}) as (world, _):
        await eventually(lambda: len(world.submitted) == 1)
        event: Any = world.told()[0]
        assert (event.person.number, event.holder.name, event.holder.social_security_number) == (
            PERSON,
            "陈㼆",
            PERSON,
        )
