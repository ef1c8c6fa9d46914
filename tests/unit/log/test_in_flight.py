"""The order of append calls and the bound on bytes in flight."""

import asyncio

import pytest

from onecard_broker.log.in_flight import AppendCall, InFlight
from onecard_broker.log.port import Appended, AppendFailed, LogUnavailable, Record


def record(size_bytes: int, partition: int = 0) -> Record:
    return Record(topic="t", partition=partition, key=b"", value=b"x" * size_bytes, headers=())


def succeed(call: AppendCall, first_position: int) -> None:
    call.results[:] = [Appended(position=first_position + n, append_time_ms=1) for n in range(len(call.records))]


async def test_calls_start_in_their_order_and_wait_for_room() -> None:
    started: list[AppendCall] = []
    in_flight = InFlight(bytes_max=100, record_bytes_max=1000, start=started.append)
    calls = [asyncio.create_task(in_flight.run([record(size)])) for size in (60, 60, 10)]
    await asyncio.sleep(0)
    # The third would fit, and still stands behind the second.
    assert [call.size_bytes for call in started] == [60]
    succeed(started[0], 0)
    in_flight.finish(started[0], None)
    assert [call.size_bytes for call in started] == [60, 60, 10]
    for call in started[1:]:
        succeed(call, call.number)
        in_flight.finish(call, None)
    assert [results[0].position for results in await asyncio.gather(*calls)] == [0, 2, 3]
    assert in_flight.size_bytes == 0


async def test_a_call_larger_than_the_bound_goes_alone() -> None:
    started: list[AppendCall] = []
    in_flight = InFlight(bytes_max=100, record_bytes_max=1000, start=started.append)
    call = asyncio.create_task(in_flight.run([record(500)]))
    await asyncio.sleep(0)
    succeed(started[0], 7)
    in_flight.finish(started[0], None)
    assert (await call)[0].position == 7


async def test_a_partial_failure_says_what_was_acknowledged() -> None:
    started: list[AppendCall] = []
    in_flight = InFlight(bytes_max=100, record_bytes_max=1000, start=started.append)
    call = asyncio.create_task(in_flight.run([record(1), record(1, 1)]))
    await asyncio.sleep(0)
    started[0].results[0] = Appended(position=4, append_time_ms=1)
    in_flight.finish(started[0], "the leader is gone")
    with pytest.raises(AppendFailed, match="1 of 2 records were not acknowledged: the leader is gone") as raised:
        await call
    assert raised.value.results == (Appended(position=4, append_time_ms=1), None)


async def test_waiting_calls_of_a_failed_partition_fail_and_others_go_on() -> None:
    started: list[AppendCall] = []
    in_flight = InFlight(bytes_max=10, record_bytes_max=1000, start=started.append)
    calls = [asyncio.create_task(in_flight.run([record(10, partition)])) for partition in (0, 0, 1)]
    await asyncio.sleep(0)
    in_flight.fail_waiting("behind a failure", frozenset({("t", 0)}))
    with pytest.raises(AppendFailed, match="behind a failure"):
        await calls[1]
    in_flight.finish(started[0], "failed")
    assert [call.records[0].partition for call in started] == [0, 1]
    with pytest.raises(AppendFailed):
        await calls[0]
    succeed(started[1], 0)
    in_flight.finish(started[1], None)
    assert len(await calls[2]) == 1


async def test_a_call_cancelled_while_it_waits_is_never_started() -> None:
    started: list[AppendCall] = []
    in_flight = InFlight(bytes_max=10, record_bytes_max=1000, start=started.append)
    calls = [asyncio.create_task(in_flight.run([record(10)])) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.wait([calls[1]])
    succeed(started[0], 0)
    in_flight.finish(started[0], None)
    assert [call.number for call in started] == [1, 3]
    succeed(started[1], 1)
    in_flight.finish(started[1], None)
    await asyncio.gather(calls[0], calls[2])


async def test_draining_waits_for_every_call_and_refuses_new_ones() -> None:
    started: list[AppendCall] = []
    in_flight = InFlight(bytes_max=10, record_bytes_max=1000, start=started.append)
    call = asyncio.create_task(in_flight.run([record(10)]))
    await asyncio.sleep(0)
    draining = asyncio.create_task(in_flight.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    with pytest.raises(LogUnavailable, match="closed"):
        await in_flight.run([record(1)])
    succeed(started[0], 0)
    in_flight.finish(started[0], None)
    await draining
    await call
