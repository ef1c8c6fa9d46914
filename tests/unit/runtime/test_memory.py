"""The adapter's memory of persons, encounters and transactions."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.exchange.v1 import values_pb2
from onecard_adapters.runtime.memory import EdgeMemory, EncounterRecord, PersonRecord, Transaction
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_protocol.identifiers import new_message_id
from tests.support.sdk_country import person

SETTLE = "/onecard.medical.v1.SettlementService/Settle"
NUMBER = person().number
PERSONAL_NUMBER = "51000000000000987654"


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[EdgeMemory]:
    store = Store(directory / "store.sqlite")
    await store.open()
    try:
        yield EdgeMemory(store, Sealer(bytes(32)))
    finally:
        await store.close()


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[EdgeMemory]:
    async with opened(tmp_path) as made:
        yield made


def make_person(name: str = "张三") -> PersonRecord:
    return PersonRecord(
        identity=values_pb2.PersonIdentity(number=NUMBER),
        name=name,
        insurance_area="510100",
        personal_number=PERSONAL_NUMBER,
    )


def make_encounter() -> EncounterRecord:
    return EncounterRecord(
        encounter_id="e-1", person=make_person(), insured_participant="cn-51", care={"med_type": "21"}
    )


async def remember(memory: EdgeMemory, number: str = "t-1", digest: bytes = b"d", **more: str) -> Transaction:
    return await memory.remember_transaction(
        "H1", number, digest, new_message_id(1_700_000_000_000), SETTLE, "e-1", more
    )


async def test_persons_and_encounters_are_found_by_their_local_numbers_only(memory: EdgeMemory) -> None:
    await memory.remember_person("510100", PERSONAL_NUMBER, make_person())
    await memory.remember_encounter("H1", "v-1", make_encounter())

    assert memory.find_person("510100", PERSONAL_NUMBER) == make_person()
    assert memory.find_person("510200", PERSONAL_NUMBER) is None
    assert memory.find_encounter("H1", "v-1") == make_encounter()
    assert memory.find_encounter("H2", "v-1") is None


async def test_the_newest_word_about_a_person_holds(memory: EdgeMemory) -> None:
    await memory.remember_person("510100", PERSONAL_NUMBER, make_person("旧名"))
    await memory.remember_person("510100", PERSONAL_NUMBER, make_person("新名"))

    found = memory.find_person("510100", PERSONAL_NUMBER)
    assert found is not None
    assert found.name == "新名"


async def test_what_was_found_before_a_change_is_not_found_after_it(memory: EdgeMemory) -> None:
    made = await remember(memory, a="1")
    await memory.remember_encounter("H1", "v-1", make_encounter())
    before = memory.find_encounter("H1", "v-1"), memory.find_transactions("H1", "t-1")
    assert before == (make_encounter(), [made])
    changed = dataclasses.replace(make_encounter(), care={"filing_id": "f-2"})
    await memory.remember_encounter("H1", "v-1", changed)
    await memory.update_transaction(made.message_id, {"a": "2"})

    assert memory.find_encounter("H1", "v-1") == changed
    assert [item.attributes for item in memory.find_transactions("H1", "t-1")] == [{"a": "2"}]
    assert made.attributes == {"a": "1"}


async def test_a_repeat_keeps_its_national_message_id(memory: EdgeMemory) -> None:
    first = await remember(memory)
    again = await remember(memory)
    other_body = await remember(memory, digest=b"other")

    assert again == first
    assert other_body.message_id != first.message_id


async def test_two_originals_under_one_number_are_both_told(memory: EdgeMemory) -> None:
    first, second = await remember(memory), await remember(memory, digest=b"other")

    found = memory.find_transactions("H1", "t-1")
    assert {item.message_id for item in found} == {first.message_id, second.message_id}
    assert memory.find_transactions("H2", "t-1") == []


async def test_one_message_is_one_transaction_whatever_local_number_it_comes_under(memory: EdgeMemory) -> None:
    message_id = new_message_id(1)
    first = await memory.remember_transaction("H1", "a", b"d", message_id, SETTLE, "e-1", {"state": "done"})
    again = await memory.remember_transaction("H2", "b", b"d", message_id, SETTLE, "e-1", {})

    assert again == first


async def test_attributes_are_added_to_a_transaction(memory: EdgeMemory) -> None:
    made = await remember(memory, a="1", b="1")
    await memory.update_transaction(made.message_id, {"b": "2", "c": "3"})

    (found,) = memory.find_transactions_of_encounter("e-1", SETTLE)
    assert found.attributes == {"a": "1", "b": "2", "c": "3"}
    assert memory.find_transactions_of_encounter("e-2", SETTLE) == []
    with pytest.raises(KeyError):
        await memory.update_transaction(b"unknown", {})


async def test_transactions_of_several_methods_are_found_together_oldest_first(memory: EdgeMemory) -> None:
    ids = [new_message_id(1_700_000_000_000 + second) for second in range(3)]
    for message_id, method in reversed(list(zip(ids, (SETTLE, "other", SETTLE), strict=True))):
        await memory.remember_transaction("H1", message_id.hex(), b"d", message_id, method, "e-1", {})

    both = memory.find_transactions_of_encounter("e-1", "other", SETTLE)
    assert [item.message_id for item in both] == ids
    assert [item.message_id for item in memory.find_transactions_of_encounter("e-1", "other")] == ids[1:2]


async def test_a_transaction_is_told_the_same_from_memory_and_from_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        made = await remember(memory, answer='张三\n"', empty="")
        await memory.update_transaction(made.message_id, {"large": "x" * 10_000})
        await memory.update_transaction(made.message_id, {"large": "", "c": "3"})
        kept = memory.find_transactions("H1", "t-1")
    async with opened(tmp_path) as memory:
        assert memory.find_transactions("H1", "t-1") == kept
    assert kept == [dataclasses.replace(made, attributes={**made.attributes, "large": "", "c": "3"})]


def contents(directory: Path) -> list[bytes]:
    """Of all files but the lock, which has none."""
    return [path.read_bytes() for path in directory.iterdir() if path.suffix != ".lock"]


async def test_everything_is_there_after_a_restart_and_no_number_stands_in_the_files(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.remember_person("510100", PERSONAL_NUMBER, make_person())
        await memory.remember_encounter("H1", "v-1", make_encounter())
        made = await remember(memory, answer=f"psn_no {PERSONAL_NUMBER}")
    async with opened(tmp_path) as memory:
        assert memory.find_person("510100", PERSONAL_NUMBER) == make_person()
        assert memory.find_encounter("H1", "v-1") == make_encounter()
        assert memory.find_transactions("H1", "t-1") == [made]
        for content in contents(tmp_path):
            assert content
            for secret in (NUMBER, PERSONAL_NUMBER, "张三"):
                assert secret.encode() not in content


def test_the_text_of_a_record_shows_no_person() -> None:
    text = repr(make_encounter())
    assert NUMBER not in text
    assert PERSONAL_NUMBER not in text
    assert "张三" not in text


async def test_numbers_of_a_series_only_grow_also_over_a_restart_and_when_the_clock_goes_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        first = [await memory.next_number("S1", 50) for _ in range(3)]
        other = await memory.next_number("S2", 50)
    async with opened(tmp_path) as memory:
        later = [await memory.next_number("S1", at_least) for at_least in (10, 60, 60)]

    assert first == [50, 51, 52]
    assert other == 50
    assert later == [53, 60, 61]
