"""A province's snapshot into the registry: taken whole or not at all, with what contradicts itself left to a person."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from onecard.card.v1 import change_pb2, snapshot_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.domain.card_state import Card, Cardholder, Machine, holder_key
from onecard_broker.domain.checks import check
from onecard_broker.operations.card_loading import CardLoader, Loaded
from onecard_broker.records.card_copy import lock_loading
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import Connection, connect
from onecard_protocol.card_snapshot import BLOCK_BYTES, write_snapshot
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.identity import normalise_identity
from tests.support.card_reports import REPORT_FINANCIAL, REPORT_SOCIAL
from tests.support.card_snapshots import citizen, snapshot_card, snapshot_cards
from tests.support.domain import METHODS, InMemoryWorker, make_message

pytest_plugins = ("tests.support.engines",)

KEY = bytes(range(32))
SUBJECTS = Subjects(KEY, 4)
PRODUCED = values_pb2.SOCIAL_STATE_PRODUCED


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[Connection]:
    async with await connect(postgres_dsn, application_name="registry") as connection:
        await CardRegistry().prepare(connection, range(4))
        yield connection


def snapshot(cards: Sequence[bytes], province: str = "cn-11") -> bytes:
    """A file."""
    stream = io.BytesIO()
    write_snapshot(stream, province, len(cards), cards)
    return stream.getvalue()


def of(*cards: snapshot_pb2.SnapshotCard) -> bytes:
    return snapshot([card.SerializeToString(deterministic=True) for card in cards])


async def load(dsn: str, directory: Path, content: bytes) -> Loaded:
    file = directory / "cards"
    file.write_bytes(content)
    loader = CardLoader(dsn, subject_key=KEY, partition_count=4, progress=lambda *_: None)
    return await loader.load(file)


def place(index: int) -> tuple[int, str]:
    subject = SUBJECTS.pseudonym(normalise_identity("", citizen(index)))
    return SUBJECTS.partition_of_pseudonym(subject), subject


async def holder(connection: Connection, index: int) -> Cardholder | None:
    partition, subject = place(index)
    key = partition, holder_key(subject)
    return (await CardRegistry().load(connection, [key])).get(key)


async def count(connection: Connection, table: str = "cards") -> int:
    row = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchone()
    assert row is not None
    return int(row[0])


def as_reported(card: snapshot_pb2.SnapshotCard, subject: str) -> Cardholder:
    """The holder after the issuer, and the bank where there is one, reported what the snapshot holds."""
    worker = InMemoryWorker()
    reports: list[tuple[str, str, Message]] = [("cn-11", REPORT_SOCIAL, card.social)]
    if card.HasField("financial"):
        reports.append(("bank-102", REPORT_FINANCIAL, card.financial))
    for sender, method, payload in reports:
        report = make_message(
            method,
            message_pb2.MESSAGE_KIND_EVENT,
            payload,
            sender=sender,
            recipient=HUB,
            created_ms=worker.now_ms,
            seed="report",
        )
        worker.submit(report, subject=subject)
    holder = worker.aggregates[holder_key(subject)]
    assert isinstance(holder, Cardholder)
    return holder


async def test_a_snapshot_is_taken_once_and_its_cards_stand_as_if_they_had_been_reported(
    connection: Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    replacing = snapshot_card(7)
    replacing.social.change = change_pb2.SOCIAL_CHANGE_DATA_CHANGED
    replacing.social.replaces.CopyFrom(values_pb2.CardReference(issuer="cn-12", number="B00000007", sequence=2))
    without_account = snapshot_card(8)
    without_account.ClearField("financial")
    bare = snapshot_card(9, state=PRODUCED)
    bare.ClearField("financial")
    bare.social.data.CopyFrom(values_pb2.CardData(generation=1, has_transit_mark=True, photo_digest=bytes(range(32))))
    bare.social.card.sequence = 0
    bare.social.ClearField("local_status")
    bare.social.holder.name = ""
    reported = {7: replacing, 8: without_account, 9: bare}
    cards = list(snapshot_cards(2_500))
    for index, card in reported.items():
        cards[index] = card.SerializeToString(deterministic=True)
    content = snapshot(cards)

    loaded = await load(postgres_dsn, tmp_path, content)

    assert (loaded.read_count, loaded.taken_count, loaded.known_count, loaded.left) == (2_500, 2_500, 0, [])
    for index, card in reported.items():
        known = await holder(connection, index)
        assert known is not None
        assert known == as_reported(card, known.subject)

    again = await load(postgres_dsn, tmp_path, content)
    assert (again.taken_count, again.known_count) == (0, 2_500)
    assert (await count(connection), await count(connection, "cardholders")) == (2_500, 2_500)


async def test_what_contradicts_itself_is_left_to_a_person_and_the_rest_is_taken(
    connection: Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    no_state = snapshot_card(5)
    no_state.social.state = values_pb2.SOCIAL_STATE_UNSPECIFIED
    no_bank = snapshot_card(6)
    no_bank.social.data.bank = "cn-99"
    wrong_number = snapshot_card(7)
    wrong_number.social.person.number = citizen(7)[:-1] + ("0" if citizen(7)[-1] != "0" else "1")
    too_great = snapshot_card(8, version=2**64 - 1)
    zero_byte, zero_byte_in_code = snapshot_card(10), snapshot_card(11)
    zero_byte.social.holder.name = "a\0b"
    zero_byte_in_code.social.local_status.system = "\0"
    content = of(
        snapshot_card(1, person_index=100),
        snapshot_card(2, person_index=100),
        snapshot_card(3, person_index=101),
        snapshot_card(4, person_index=101, state=PRODUCED),
        no_state,
        no_bank,
        wrong_number,
        too_great,
        snapshot_card(9),
        zero_byte,
        zero_byte_in_code,
    )

    loaded = await load(postgres_dsn, tmp_path, content)

    assert [(one.ordinal, one.cause) for one in loaded.left] == [
        (1, "two-active"),
        (2, "two-active"),
        (5, "data"),
        (6, "data"),
        (7, "identity"),
        (8, "data"),
        (10, "data"),
        (11, "data"),
    ]
    assert {one.subject.hex() for one in loaded.left if one.subject} == {place(100)[1]}
    assert (loaded.taken_count, loaded.known_count, loaded.left_count) == (3, 0, 8)
    assert await holder(connection, 100) is None
    both = await holder(connection, 101)
    assert both is not None
    assert sorted(card.social.state for card in both.cards) == [PRODUCED, values_pb2.SOCIAL_STATE_ACTIVE]


FULL_WIDTH = "王\u3000五"


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda it: setattr(it.social.card, "number", "A" * 20_000), "social.card.number: is no card number"),
        (lambda it: setattr(it.social.card, "number", "a00000001"), "social.card.number: is no card number"),
        (lambda it: setattr(it.social.card, "sequence", 5_000), "social.card.sequence: is above"),
        (lambda it: setattr(it.social, "version", 2**62), "social.version: is not 1 to"),
        (lambda it: setattr(it.social.occurred_time, "seconds", 10**15), "social.occurred_time: is no time"),
        (lambda it: setattr(it.social.holder, "name", "a\nb"), "social.holder.name: is longer than"),
        (lambda it: it.social.data.expiry_day.CopyFrom(it.social.data.issue_day), ""),
        (lambda it: setattr(it.social.holder, "name", FULL_WIDTH), ""),
        (lambda it: setattr(it.social.data.expiry_day, "year", 2020), "social.data.expiry_day: lies before issue_day"),
        (lambda it: setattr(it.social.data, "residence_area", "000000"), "social.data.residence_area: is no area"),
        (lambda it: setattr(it.social.data, "bank_card_number", "6228480000000000001"), "fails its check digit"),
        (lambda it: setattr(it.social.holder, "social_security_number", "1"), ""),
        (lambda it: it.social.replaces.CopyFrom(it.social.card), "social.replaces: is the card itself"),
        (lambda it: it.social.local_status.ClearField("code"), "social.local_status.code: is absent"),
        (lambda it: setattr(it.financial, "version", 2**63), "financial.version: is not 1 to"),
        (lambda it: setattr(it.financial.occurred_time, "seconds", 2**62), "financial.occurred_time: is no time"),
    ],
)
async def test_what_the_door_would_refuse_is_left_out_with_its_cause_and_what_it_takes_is_taken(
    connection: Connection, postgres_dsn: str, tmp_path: Path, change: Callable[[Any], object], detail: str
) -> None:
    card = snapshot_card(1)
    change(card)

    loaded = await load(postgres_dsn, tmp_path, of(card, snapshot_card(2)))

    assert [one.cause for one in loaded.left] == (["data"] if detail else [])
    assert [detail in one.detail for one in loaded.left] == [True] * len(loaded.left)
    assert citizen(1) not in "".join(one.detail for one in loaded.left)
    assert loaded.taken_count == await count(connection) == 2 - len(loaded.left)
    for report, method in ((card.social, REPORT_SOCIAL), (card.financial, REPORT_FINANCIAL)):
        if not detail:
            check(METHODS[method], report)


async def test_the_registry_keeps_what_it_knows_and_names_persons_whom_the_snapshot_contradicts(
    connection: Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    await load(postgres_dsn, tmp_path, of(snapshot_card(1), snapshot_card(2), snapshot_card(3)))
    partition, linked = place(3)
    await connection.execute(
        "UPDATE cardholders SET linked_to = %b WHERE partition = %b AND holder = %b::uuid",
        (bytes(32), partition, linked[:32]),
    )

    loaded = await load(
        postgres_dsn,
        tmp_path,
        of(
            snapshot_card(1, version=9),
            snapshot_card(22, person_index=2),
            snapshot_card(23, person_index=2, state=PRODUCED),
            snapshot_card(33, person_index=3, state=PRODUCED),
            snapshot_card(4),
        ),
    )

    assert [(one.ordinal, one.cause) for one in loaded.left] == [
        (2, "active-elsewhere"),
        (3, "active-elsewhere"),
        (4, "linked"),
    ]
    assert (loaded.taken_count, loaded.known_count) == (1, 1)
    first = await holder(connection, 1)
    assert first is not None
    assert first.cards[0].social.version == 3


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_last_line(content: bytes) -> bytes:
    return content[: content.rindex(b"end ")]


def one_bit_more(content: bytes) -> bytes:
    at = content.index("测试人".encode())
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def longer(content: bytes) -> bytes:
    return content + b"\n"


def other_count(content: bytes) -> bytes:
    return content.replace(b"cn-11 40\n", b"cn-11 41\n")


def of_nobody(content: bytes) -> bytes:
    return content.replace(b"cn-11 40\n", b"cn-99 40\n")


async def test_a_second_load_is_refused_while_another_one_is_under_way_and_not_after_it(
    connection: Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    content = snapshot(list(snapshot_cards(4)))
    other = await connect(postgres_dsn, application_name="another load")
    assert await lock_loading(other)
    with pytest.raises(OneCardError, match="another load") as caught:
        await load(postgres_dsn, tmp_path, content)
    assert caught.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    loading = asyncio.create_task(load(postgres_dsn, tmp_path, content))
    await asyncio.sleep(0.2)  # It ends after the next one asked first, as the server may notice late that it did.
    await other.close()

    assert (await loading).taken_count == 4


@pytest.mark.parametrize("damage", [cut, without_last_line, one_bit_more, longer, other_count, of_nobody])
async def test_nothing_of_a_damaged_snapshot_is_taken(
    connection: Connection, postgres_dsn: str, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    content = snapshot(list(snapshot_cards(40)))

    with pytest.raises(OneCardError) as caught:
        await load(postgres_dsn, tmp_path, damage(content))

    assert caught.value.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID
    assert await count(connection) == 0
    assert await count(connection, "card_code_systems") == 0
    assert (await load(postgres_dsn, tmp_path, content)).taken_count == 40


@pytest.mark.parametrize(
    "content", [snapshot([snapshot_card(1, issuer="cn-12").SerializeToString()]), snapshot([b"?"])]
)
async def test_a_snapshot_with_cards_that_are_not_the_provinces_is_refused(
    connection: Connection, postgres_dsn: str, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(OneCardError) as caught:
        await load(postgres_dsn, tmp_path, content)

    assert caught.value.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID
    assert citizen(1) not in str(caught.value)
    assert await count(connection) == 0


async def test_persons_of_a_large_file_are_found_together_wherever_their_cards_stand(
    connection: Connection, postgres_dsn: str, tmp_path: Path
) -> None:
    count_all, last = 12_000, 11_999
    cards = list(snapshot_cards(count_all))
    for index, card in (
        (last, snapshot_card(last, person_index=0)),
        (last - 1, snapshot_card(last - 1, person_index=1, state=PRODUCED)),
        (last - 2, snapshot_card(2, version=9)),
    ):
        cards[index] = card.SerializeToString(deterministic=True)
    content = snapshot(cards)
    assert len(content) > 2 * BLOCK_BYTES

    loaded = await load(postgres_dsn, tmp_path, content)

    assert [(one.ordinal, one.cause) for one in loaded.left] == [(1, "two-active"), (count_all, "two-active")]
    assert (loaded.read_count, loaded.taken_count, loaded.known_count) == (count_all, count_all - 3, 1)
    assert await count(connection) == count_all - 3
    two, twice = await holder(connection, 1), await holder(connection, 2)
    assert two is not None
    assert {card.social.state for card in two.cards} == {PRODUCED, values_pb2.SOCIAL_STATE_ACTIVE}
    assert twice is not None
    assert [card.social.version for card in twice.cards] == [9]


async def test_a_disk_without_room_is_named_and_nothing_is_taken(
    connection: Connection, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115, ASYNC230 - the load closes it.
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)

    with pytest.raises(OneCardError, match="TMPDIR") as caught:
        await load(postgres_dsn, tmp_path, snapshot(list(snapshot_cards(40))))

    assert caught.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert await count(connection) == 0


@pytest.mark.parametrize("is_known_partition", [True, False])
async def test_a_load_waits_for_the_worker_of_a_partition(
    connection: Connection, postgres_dsn: str, tmp_path: Path, *, is_known_partition: bool
) -> None:
    partition, subject = place(1)
    row = "INSERT INTO partitions VALUES (%b, 'epoch', 0, 0, 0)"
    if is_known_partition:
        await connection.execute(row, (partition,))
    before = Cardholder(subject=subject)
    async with await connect(postgres_dsn, application_name="worker") as worker:
        async with worker.transaction():
            if is_known_partition:
                await worker.execute("UPDATE partitions SET position = 1 WHERE partition = %b", (partition,))
            card = Card(issuer="cn-11", number="A00000001", sequence=1, social=Machine(state=PRODUCED, version=4))
            changes = {(partition, holder_key(subject)): (None, dataclasses.replace(before, cards=(card,)))}
            if not is_known_partition:  # It begins with the partition just now, so the load finds no row to lock.
                await worker.execute(row, (partition,))
                await CardRegistry().save(worker, changes)
            loading = asyncio.create_task(load(postgres_dsn, tmp_path, of(snapshot_card(1))))
            waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            async with asyncio.timeout(30):
                while not await count(connection, waiting):  # noqa: ASYNC110 - the database is all that tells.
                    await asyncio.sleep(0.02)
            if is_known_partition:
                await CardRegistry().save(worker, changes)
        loaded = await loading

    assert (loaded.taken_count, loaded.known_count) == (0, 1)
    known = await holder(connection, 1)
    assert known is not None
    assert known.cards[0].social.version == 4
