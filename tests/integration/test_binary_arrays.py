"""Arrays in PostgreSQL's binary form: what is sent is what the server has."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onecard_broker.records.arrays import bools, byteas, int2s, int4s, int8s, texts, uuids
from onecard_broker.records.pool import connect

pytest_plugins = ("tests.support.engines",)

INT2 = st.integers(-(2**15), 2**15 - 1)
INT4 = st.integers(-(2**31), 2**31 - 1)
INT8 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
BYTES = st.none() | st.binary(max_size=30) | st.just(b"\xff" * 5000)


@pytest.mark.parametrize(
    ("make", "type_name", "items"),
    [
        (bools, "boolean", st.booleans()),
        (int2s, "smallint", INT2),
        (int4s, "int", INT4),
        (int8s, "bigint", INT8),
        (texts, "text", TEXT),
        (byteas, "bytea", BYTES),
    ],
)
async def test_the_server_reads_back_what_was_sent(
    postgres_dsn: str, make: Callable[[Sequence[Any]], bytes], type_name: str, items: st.SearchStrategy[Any]
) -> None:
    connection = await connect(postgres_dsn, application_name="arrays")
    seen: list[list[Any]] = []

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(st.lists(items, max_size=20))
    def collect(values: list[Any]) -> None:
        seen.append(values)

    collect()
    try:
        for values in seen:
            cursor = await connection.execute(f"SELECT %b::{type_name}[]", (make(values),), binary=True)
            assert (await cursor.fetchone()) == (values,)
            cursor = await connection.execute(f"SELECT n FROM unnest(%b::{type_name}[]) AS n", (make(values),))
            assert len(await cursor.fetchall()) == len(values)
    finally:
        await connection.close()


async def test_numbers_of_128_bits_arrive_as_uuids(postgres_dsn: str) -> None:
    values = [bytes(16), bytes(range(16)), b"\xff" * 16]
    async with await connect(postgres_dsn, application_name="arrays") as connection:
        cursor = await connection.execute(
            "SELECT uuid_send(u) FROM unnest(%b::uuid[]) AS u", (uuids(values),), binary=True
        )
        assert [row[0] for row in await cursor.fetchall()] == values


@pytest.mark.parametrize(("make", "value"), [(int2s, 2**15), (int4s, -(2**31) - 1), (int8s, 2**63)])
def test_a_number_that_its_column_cannot_hold_is_a_fault_of_the_data(
    make: Callable[[Sequence[int]], bytes], value: int
) -> None:
    with pytest.raises(psycopg.DataError):
        make([value])
