"""The cardholder registry on PostgreSQL: what is saved is loaded, and only what differs is written."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onecard.card.v1 import values_pb2
from onecard_broker.domain.card_state import Card, Cardholder, LocalStatus, Machine, SentBack, holder_key
from onecard_broker.records.card_columns import data_digest_of, pack_hex, unpack_hex
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.card_waiting import list_sent_back
from onecard_broker.records.pool import Connection, connect
from onecard_protocol.card_digests import key_of
from tests.support.card_holders import HEX, cardholders

pytest_plugins = ("tests.support.engines",)

ACTIVE, SUPERSEDED = values_pb2.SOCIAL_STATE_ACTIVE, values_pb2.SOCIAL_STATE_SUPERSEDED
SUBJECT = "ab" * 32


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[Connection]:
    async with await connect(postgres_dsn, application_name="registry") as connection:
        await CardRegistry().prepare(connection, range(4))
        yield connection


async def save(connection: Connection, partition: int, before: Cardholder | None, after: Cardholder | None) -> None:
    """As the worker does: in a pipeline within a transaction."""
    subject = (after or before or Cardholder(subject=SUBJECT)).subject
    async with connection.transaction(), connection.pipeline():
        await CardRegistry().save(connection, {(partition, holder_key(subject)): (before, after)})


async def load(connection: Connection, partition: int, subject: str) -> Cardholder | None:
    key = partition, holder_key(subject)
    return (await CardRegistry().load(connection, [key])).get(key)


def card(number: str, state: int = ACTIVE, **fields: object) -> Card:
    return Card(
        issuer="cn-11",
        number=number,
        sequence=1,
        social=Machine(state=state, version=3, local=LocalStatus(system="cn-11.AAZ502", version="1", code="1")),
        **fields,  # type: ignore[arg-type]
    )


async def test_a_cardholder_is_loaded_as_saved_and_as_changed(connection: Connection) -> None:
    made: list[tuple[Cardholder, Cardholder]] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def make(data: st.DataObject) -> None:
        first = data.draw(cardholders())
        made.append((first, data.draw(cardholders(first.subject))))

    make()
    for first, second in made:
        await save(connection, 1, None, first)
        assert await load(connection, 1, first.subject) == first
        await save(connection, 1, first, second)
        assert await load(connection, 1, first.subject) == second
        await save(connection, 1, second, None)
        assert await load(connection, 1, first.subject) is None
    for table in ("cardholders", "cards", "card_replacements", "card_replacement_steps"):
        assert await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchone() == (0,), table


async def test_many_are_loaded_at_once_each_from_its_own_partition(connection: Connection) -> None:
    holders = [Cardholder(subject=f"{index:064x}"[::-1], name=str(index), cards=(card("A1"),)) for index in range(50)]
    changes = {(index % 4, holder_key(one.subject)): (None, one) for index, one in enumerate(holders)}
    async with connection.transaction(), connection.pipeline():
        await CardRegistry().save(connection, changes)

    found = await CardRegistry().load(connection, [*changes, (3, holder_key(holders[0].subject))])

    assert found == {key: after for key, (_, after) in changes.items()}


async def test_only_the_card_that_changed_is_written(connection: Connection) -> None:
    before = Cardholder(subject=SUBJECT, cards=(card("A1", SUPERSEDED), card("A2")))
    await save(connection, 0, None, before)
    places = await versions(connection)
    late = dataclasses.replace(before.cards[1].social, late_count=1)

    after = before.with_card(dataclasses.replace(before.cards[1], social=late))
    await save(connection, 0, before, after)

    changed = await versions(connection)
    assert changed["A1"] == places["A1"]
    assert changed["A2"] != places["A2"]
    assert await load(connection, 0, SUBJECT) == after


async def versions(connection: Connection) -> dict[str, tuple[str, str]]:
    cursor = await connection.execute("SELECT number, xmin::text, ctid::text FROM cards")
    return {row[0]: row[1:] for row in await cursor.fetchall()}


@pytest.mark.parametrize("order", [("A1", "A2"), ("A2", "A1")])
async def test_the_old_card_makes_room_for_the_new_one_whichever_comes_first(
    connection: Connection, order: tuple[str, str]
) -> None:
    before = Cardholder(subject=SUBJECT, cards=(card("A1"), card("A2", values_pb2.SOCIAL_STATE_PRODUCED)))
    await save(connection, 0, None, before)
    new = {"A1": card("A1", SUPERSEDED), "A2": card("A2", ACTIVE)}

    await save(connection, 0, before, dataclasses.replace(before, cards=tuple(new[number] for number in order)))

    loaded = await load(connection, 0, SUBJECT)
    assert loaded is not None
    assert [one.social.state for one in loaded.cards] == [SUPERSEDED, ACTIVE]


async def test_two_active_cards_of_a_person_cannot_be_stored(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        await save(connection, 0, None, Cardholder(subject=SUBJECT, cards=(card("A1"), card("A2"))))
    assert await load(connection, 0, SUBJECT) is None


async def test_a_number_beyond_its_column_is_a_fault_of_the_record(connection: Connection) -> None:
    broken = dataclasses.replace(card("A1"), social=Machine(version=2**63))
    with pytest.raises(psycopg.DataError):
        await save(connection, 0, None, Cardholder(subject=SUBJECT, cards=(broken,)))


async def test_cards_carry_what_copies_are_compared_by(connection: Connection) -> None:
    one = card("A1", generation=3, recognition_code="11" * 16)
    await save(connection, 0, None, Cardholder(subject=SUBJECT, cards=(one,)))

    cursor = await connection.execute("SELECT key_hash, data_digest FROM cards", binary=True)

    assert await cursor.fetchall() == [(key_of("cn-11", "A1", 1), data_digest_of(one))]


@given(HEX)
def test_hex_digits_are_packed_and_any_text_comes_back(text: str) -> None:
    assert unpack_hex(pack_hex(text)) == text


async def test_a_link_that_was_sent_back_is_listed_and_told_in_the_log_once_until_the_number_is_linked_again(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    linked = Cardholder(subject=SUBJECT, number="110101199001011237", linked_to="cd" * 32)
    link = SentBack(primary="cd" * 32, linked_by="cn-45", since_ms=1_790_000_000_000)
    alone = dataclasses.replace(linked, linked_to="", sent_back=link)
    await save(connection, 1, None, linked)
    assert (await list_sent_back(connection), caplog.records) == ([], [])

    await save(connection, 1, linked, alone)
    with_card = dataclasses.replace(alone, cards=(card("A00000001"),))
    await save(connection, 1, alone, with_card)
    (warned,) = caplog.records
    assert all(part in warned.getMessage() for part in (SUBJECT, link.primary, "cn-45"))
    assert "110101199001011237" not in caplog.text
    assert await load(connection, 1, SUBJECT) == with_card
    assert await list_sent_back(connection, "cn-45") == await list_sent_back(connection) == [(SUBJECT, link)]
    assert await list_sent_back(connection, "cn-44") == []

    await save(connection, 1, with_card, linked)
    assert await list_sent_back(connection) == []
