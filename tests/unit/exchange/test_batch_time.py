"""The time of a partition (rule 9): max(its previous `now`, min(admitted time, the log's append time + 500 ms))."""

from __future__ import annotations

import pytest

from onecard_broker.directory.model import EMPTY_DIRECTORY
from onecard_broker.exchange.batch import Batch, OwnedPartition
from onecard_broker.exchange.inbounds import Entry
from onecard_broker.journal import JOURNAL_TOPIC
from onecard_broker.log.port import LoggedRecord
from onecard_broker.records.parking import Parked
from onecard_protocol import limits
from tests.support.exchange import NETWORK

NOW_MS = 1_790_000_000_000
SLACK_MS = limits.GATEWAY_CLOCK_SKEW_MS_MAX


def batch() -> Batch:
    """A batch of one partition, which stands at position 7."""
    owned = OwnedPartition(
        partition=3, log_epoch="e", position=7, now_ms=NOW_MS, control_number=0, directory=EMPTY_DIRECTORY
    )
    return Batch({3: owned}, network=NETWORK, partition_count=8)


def entry(*, claimed_ms: int, append_ms: int) -> Entry:
    record = LoggedRecord(
        topic=JOURNAL_TOPIC, partition=3, position=7, append_time_ms=append_ms, key=b"", value=b"", headers=()
    )
    return Entry(record=record, claimed_ms=claimed_ms)


@pytest.mark.parametrize(
    ("claimed_ms", "append_ms", "now_ms"),
    [
        pytest.param(NOW_MS + 40, NOW_MS + 50, NOW_MS + 40, id="the admitted time"),
        pytest.param(NOW_MS + 60_000, NOW_MS + 50, NOW_MS + 50 + SLACK_MS, id="a gateway's fast clock is capped"),
        pytest.param(NOW_MS - 60_000, NOW_MS + 50, NOW_MS, id="a slow clock takes nothing back"),
        pytest.param(NOW_MS + 60_000, NOW_MS - 60_000, NOW_MS, id="nor does the log's"),
    ],
)
def test_now_follows_the_admitted_time_within_bounds_and_never_falls(
    claimed_ms: int, append_ms: int, now_ms: int
) -> None:
    one = batch()
    assert one.take(entry(claimed_ms=claimed_ms, append_ms=append_ms), SLACK_MS) == now_ms
    ((before, row),) = one.moves()
    assert (before, row.position, row.now_ms) == (7, 8, now_ms)


def test_a_parked_record_that_is_decided_later_moves_neither_time_nor_position() -> None:
    one, again = batch(), entry(claimed_ms=NOW_MS + 40, append_ms=NOW_MS + 50)
    again.parked = Parked(record=again.record, subject="aa", sender="cn-44", id=b"", is_offender=False, cause="")
    assert one.take(again, SLACK_MS) == NOW_MS
    ((before, row),) = one.moves()
    assert (before, row.position, row.now_ms) == (7, 7, NOW_MS)
