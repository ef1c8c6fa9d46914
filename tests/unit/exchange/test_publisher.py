"""The publisher: in number order, again from the first that was not acknowledged, and never silent when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from onecard.medical.v1 import coverage_pb2
from onecard_broker.exchange import publisher as publisher_module
from onecard_broker.exchange.publisher import Publisher
from onecard_broker.log.port import Appended, AppendFailed, Log, Record
from onecard_broker.records.exchange_store import Output
from tests.support.exchange import make_message

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"


class FailingLog:
    """A log whose first append fails for one partition from its second record on, or as a whole by a fault of ours."""

    def __init__(self) -> None:
        self.appended: list[tuple[int, int]] = []
        self.fault: Exception | None = None
        self.failures_left = 1

    async def append(self, records: Sequence[Record]) -> Sequence[Appended]:
        if self.fault is not None:
            raise self.fault
        places = [(record.partition, int(dict(record.headers)["ce_number"])) for record in records]
        is_refused = self.failures_left > 0
        self.failures_left -= 1
        taken = [place for place in places if not is_refused or place[0] != 3 or place[1] < 2]
        self.appended += taken
        results: list[Any] = [Appended(position=0, append_time_ms=0) if place in taken else None for place in places]
        if len(taken) < len(places):
            raise AppendFailed(results, "no leader")
        return results


def output(partition: int, number: int) -> Output:
    """The next of an inbox."""
    message = make_message(sender="cn-44", recipient="cn-51", method=QUERY, payload=coverage_pb2.QueryCoverageRequest())
    return Output(
        recipient="cn-51",
        partition=partition,
        number=number,
        message=message,
        answers="",
        decided_ms=0,
        position=0,
    )


@pytest.fixture
def log() -> FailingLog:
    return FailingLog()


@pytest.fixture
async def publisher(log: FailingLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Publisher]:
    monkeypatch.setattr(publisher_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(publisher_module, "BACKLOG_COUNT_MAX", 4)
    one = Publisher(cast(Log, log))
    one.start()
    yield one
    await one.stop()


async def test_what_an_append_left_out_goes_again_in_its_order(log: FailingLog, publisher: Publisher) -> None:
    """Rule 6: of partition 3 the second and what follows it; what was acknowledged is not appended twice."""
    await publisher.put([output(3, 1), output(5, 1), output(3, 2), output(3, 3)])
    await publisher.drained()
    assert log.appended == [(3, 1), (5, 1), (3, 2), (3, 3)]
    assert publisher.take_published() == {("cn-51", 3): 3, ("cn-51", 5): 1}


async def test_a_publisher_that_ended_by_a_fault_is_told_to_whoever_puts_more(
    log: FailingLog, publisher: Publisher
) -> None:
    """Also to one that waits for room: the worker must end rather than decide on what nobody publishes."""
    log.fault = ValueError("a fault of ours")
    await publisher.put([output(3, number) for number in range(1, 5)])
    for ask in (publisher.put([output(3, 5)]), publisher.drained()):
        with pytest.raises(ValueError, match="a fault of ours"):
            await asyncio.wait_for(ask, 20)
