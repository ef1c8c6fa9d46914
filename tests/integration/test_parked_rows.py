"""Records that wait are stored whole, however many headers each has, in one statement a batch."""

import dataclasses
from collections.abc import AsyncIterator

import pytest

from onecard_broker.log.port import LoggedRecord
from onecard_broker.records import parking
from onecard_broker.records.parking import Parked
from onecard_broker.records.pool import Connection, connect

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def connection(postgres_dsn: str) -> AsyncIterator[Connection]:
    connection = await connect(postgres_dsn, application_name="parked rows", looks_up=True)
    yield connection
    await connection.close()


def parked(position: int, *headers: tuple[str, bytes], key: bytes = b"key") -> Parked:
    record = LoggedRecord(
        topic="journal",
        partition=3,
        position=position,
        append_time_ms=1_000 + position,
        key=key,
        value=b"\0value %d" % position,
        headers=headers,
    )
    return Parked(record=record, subject="s", sender="cn-44", id=b"%16d" % position, is_offender=False, cause="c")


ROWS = [
    parked(1, ("a", b"1"), ("b", b""), ("a", b"\xff\0")),
    parked(2),
    parked(3, ("c", b"3"), key=b""),
    parked(4, *((f"h{number}", b"%d" % number) for number in range(40))),
]


async def test_records_of_a_batch_come_back_as_they_were(connection: Connection) -> None:
    await parking.save_parked(connection, ROWS)

    assert await parking.load_waiting(connection, "journal", 3, {"s"}) == ROWS


async def test_a_record_that_is_parked_again_waits_for_another_reason(connection: Connection) -> None:
    await parking.save_parked(connection, ROWS)
    again = dataclasses.replace(ROWS[1], subject="t", cause="d", is_offender=True)
    await parking.save_parked(connection, [again])
    await parking.save_parked(connection, [])

    assert await parking.load_waiting(connection, "journal", 3, {"s", "t"}) == [ROWS[0], *ROWS[2:]]
    assert await parking.load_offender(connection, "journal", 3, "cn-44", again.id) == again
