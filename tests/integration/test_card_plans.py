"""Plans of the statements about cards as the code sends them: PostgreSQL chooses the indexes made for them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Final

import pytest

from onecard.card.v1 import comparison_pb2, replacement_pb2
from onecard_broker.domain.card_state import holder_key
from onecard_broker.records import card_copy
from onecard_broker.records.arrays import uuids
from onecard_broker.records.card_cases import list_cases, put_cases
from onecard_broker.records.card_columns import holder_of
from onecard_broker.records.card_ranges import KEY_SPACE, CardRanges, CardSelection, select_cards
from onecard_broker.records.card_registry import PARTITIONED, CardRegistry
from onecard_broker.records.card_waiting import list_waiting
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.pool import Connection
from onecard_protocol.identifiers import PROVINCE_CODES, PROVINCES
from tests.support.plans import Plans

pytest_plugins = ("tests.support.engines",)

PARTITION_COUNT: Final = 4
PERSON_COUNT: Final = 24_000
WAITING_COUNT: Final = 20
"""Replacements with a step that is stuck, and as many whose benefit account is overdue."""
HUBEI: Final = "cn-42"
LARGE: Final = {*PARTITIONED, "card_replacements", "card_replacement_steps"}
BENEFIT: Final = int(replacement_pb2.REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED)
ISSUED = comparison_pb2.COMPARISON_SCOPE_ISSUED
FOLLOWED = comparison_pb2.COMPARISON_SCOPE_FOLLOWED

BY_ISSUER: Final = "cards_issuer_key_hash_idx"
BY_PLACE: Final = "cards_left_key_hash_idx"
BY_FOLLOWER: Final = "cardholders_followers_idx"

RANGE: Final = ("key_hash >=", "key_hash <=")
ELSEWHERE: Final = (BY_PLACE, '"left"(residence_area, 2)', *RANGE)
FOLLOWERS: Final = (BY_FOLLOWER, "followers @>")

LOADED: Final = [{"cardholders_pkey"}, {"cards_pkey"}, {"card_replacements_pkey"}, {"card_replacement_steps_pkey"}]
FIFTEEN_CARDS: Final = bytes(8), bytes([0, 40]) + bytes(6)
"""About as many as a range of the comparison has."""


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[LiveConnection]:
    database = LiveConnection(postgres_dsn, application_name="test plans")
    await fill(await database.get())
    yield database
    await database.close()


@pytest.fixture
async def plans(database: LiveConnection, monkeypatch: pytest.MonkeyPatch) -> Plans:
    return Plans(await database.get(), monkeypatch, large=LARGE)


async def fill(connection: Connection) -> None:
    """Persons with a card each, of all issuers in all partitions: rows enough that no index would be a bad plan.

    One in ten lives elsewhere, one in fifty is followed, one in five replaces a card; some of these wait for a person.
    """
    await CardRegistry().prepare(connection, range(PARTITION_COUNT))
    codes = [int(code) for code in PROVINCE_CODES]
    count = {"count": PERSON_COUNT, "partitions": PARTITION_COUNT, "provinces": len(codes), "codes": codes}
    await connection.execute("INSERT INTO card_code_systems (system, version) VALUES ('', '')")
    await connection.execute(
        "INSERT INTO cardholders SELECT n %% %(partitions)s, md5(n::text)::uuid, decode(repeat('00', 16), 'hex'), '',"
        " '', '', NULL, NULL,"
        " CASE WHEN n %% 50 = 0 THEN ARRAY[(%(codes)s::smallint[])[n / 50 %% %(provinces)s + 1]] END"
        " FROM generate_series(1, %(count)s) AS n",
        count,
    )
    await connection.execute(
        "INSERT INTO cards SELECT 1, 1, 0, 0, n %% %(partitions)s, 1, 0, 0, 0, 0, (%(codes)s::int[])[home + 1], 0, 3,"
        " 2, 1, 0, 1, false, false, md5(n::text)::uuid, substr(decode(md5('key' || n), 'hex'), 1, 8),"
        " decode(md5(''), 'hex'), 'A' || lpad(n::text, 8, '0'), '', '', '', '', '', '', '', '', '', '', '', '', '',"
        " (%(codes)s::int[])[CASE WHEN n %% 10 = 0 THEN (home + n / 10) %% %(provinces)s ELSE home END + 1] || '0100',"
        " '' FROM (SELECT n, n / %(partitions)s %% %(provinces)s AS home FROM generate_series(1, %(count)s) AS n)",
        count,
    )
    replacing = {
        "count": PERSON_COUNT // 5,
        "partitions": PARTITION_COUNT,
        "waiting": WAITING_COUNT,
        "benefit": BENEFIT,
    }
    await connection.execute(
        "INSERT INTO card_replacements SELECT n %% %(partitions)s, md5(n::text)::uuid, decode(md5('id' || n), 'hex'),"
        " CASE WHEN n <= %(waiting)s THEN 'stuck' WHEN n <= 2 * %(waiting)s THEN 'open' ELSE 'completed' END,"
        " 11, '', 1, 11, '', 1, n, 0, n, n > %(waiting)s AND n <= 2 * %(waiting)s OR n %% 20 = 1 AND n > %(waiting)s"
        " FROM generate_series(1, %(count)s) AS n",
        replacing,
    )
    await connection.execute(
        "INSERT INTO card_replacement_steps SELECT n %% %(partitions)s, md5(n::text)::uuid,"
        " decode(md5('id' || n), 'hex'), s, CASE WHEN n <= %(waiting)s AND s = 3 THEN 'stuck'"
        " WHEN n <= 2 * %(waiting)s AND s = %(benefit)s THEN 'open' ELSE 'done' END,"
        " 11, 0, NULL, 0, n, '' FROM generate_series(1, %(count)s) AS n, generate_series(1, 6) AS s",
        replacing,
    )
    await connection.execute("ANALYZE")


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (select_cards(HUBEI, ISSUED), {(BY_ISSUER, "issuer = '42'", *RANGE)}),
        (select_cards(HUBEI, FOLLOWED, has_everything=True), {(BY_ISSUER, "issuer = ANY", *RANGE)}),
        (select_cards(HUBEI, FOLLOWED), {ELSEWHERE, FOLLOWERS}),
        (
            select_cards(HUBEI, FOLLOWED, residents_of=["cn-31", "cn-32"]),
            {ELSEWHERE, FOLLOWERS, (BY_ISSUER, "issuer = ANY", *RANGE)},
        ),
    ],
    ids=["issued", "everything", "followed", "residents"],
)
async def test_each_part_of_the_registry_is_counted_and_read_by_indexes(
    database: LiveConnection, plans: Plans, selection: CardSelection, expected: set[tuple[str, ...]]
) -> None:
    ranges = CardRanges(database, selection)

    assert await ranges.count()
    assert await ranges.leaves(0, KEY_SPACE // 100)

    for plan in plans.take():
        assert all(plan.looks_up(*one) for one in expected), plan


async def test_cards_of_a_range_are_read_with_their_holders_by_indexes(database: LiveConnection, plans: Plans) -> None:
    ranges = CardRanges(database, select_cards(HUBEI, FOLLOWED, has_everything=True))

    found = await ranges.cards([FIFTEEN_CARDS])

    assert 5 < len(found) < 30
    of_range, holders, *loaded = plans.take()
    assert (of_range.used, holders.used) == ({BY_ISSUER}, {"cardholders_pkey"})
    assert [plan.used - {"card_code_systems_pkey"} for plan in loaded] == LOADED[:2]


async def test_persons_are_loaded_by_indexes(database: LiveConnection, plans: Plans) -> None:
    keys = [(number % PARTITION_COUNT, holder_key(subject_of(number))) for number in range(100, 108)]

    loaded = await CardRegistry().load(await database.get(), keys)

    assert loaded.keys() == set(keys)
    assert [plan.used - {"card_code_systems_pkey"} for plan in plans.take()] == LOADED


async def test_what_a_load_asks_about_persons_is_answered_by_indexes(database: LiveConnection, plans: Plans) -> None:
    holders = uuids([holder_of(subject_of(number)) for number in range(4, 40, 4)])

    await (await database.get()).execute(card_copy.KNOWN, (0, holders))

    assert [plan.used for plan in plans.take()] == [{"cardholders_pkey", "cards_pkey"}]


async def test_a_replacement_is_found_by_its_id_through_an_index(database: LiveConnection, plans: Plans) -> None:
    replacement_id = hashlib.md5(b"id100", usedforsecurity=False).digest()

    assert await CardRegistry().find_replacement(await database.get(), replacement_id)

    assert [plan.used - {"card_code_systems_pkey"} for plan in plans.take()] == [
        {"card_replacements_id", "cardholders_pkey"},
        *LOADED,
    ]


async def test_what_waits_for_a_person_is_found_by_indexes_of_what_waits(
    database: LiveConnection, plans: Plans
) -> None:
    found = await list_waiting(await database.get())

    assert [one.is_overdue for one in found] == [False] * WAITING_COUNT + [True] * WAITING_COUNT
    stuck, overdue = plans.take()
    assert "card_replacement_steps_stuck" in stuck.used, stuck
    assert "card_replacements_alarmed" in overdue.used, overdue


async def test_a_provinces_cases_are_listed_and_put_right_by_an_index(
    database: LiveConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await database.get()
    await connection.execute(
        "INSERT INTO card_cases SELECT p, 1 + n %% 2, p, 'A' || n, 1, 'other-data', '', '', n"
        " FROM unnest(%s::text[]) AS p, generate_series(1, 400) AS n",
        (sorted(PROVINCES),),
    )
    await connection.execute("ANALYZE card_cases")
    plans = Plans(connection, monkeypatch, large={"card_cases"})

    found = await list_cases(connection, HUBEI)
    left = [case for case in found if case.scope == ISSUED][:150]
    await put_cases(connection, HUBEI, ISSUED, left, is_complete=True)

    assert (len(found), len(await list_cases(connection, HUBEI))) == (400, 350)
    listed, removed, _ = plans.take()
    assert listed.looks_up("card_cases_pkey", "participant ="), listed
    assert removed.looks_up("card_cases_pkey", "participant =", "scope ="), removed


def subject_of(number: int) -> str:
    """The pseudonym of a person of `fill`."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest() + "0" * 32
