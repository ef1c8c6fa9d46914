"""What tests of the log import: topics, what opens a log, what Kafka needs; fixtures: tests/support/engines.py."""

import os
from collections.abc import Awaitable, Callable

import pytest

from onecard_broker.log.port import Log, TopicSpec
from onecard_stubs.dev.kafka_jars import missing_programs

JOURNAL = "onecard.journal"
INBOX = "onecard.inbox.cn-51"
CONTROL = "onecard.control"
PARTITION_COUNT = 8
IN_FLIGHT_BYTES_MAX = 4 * 1024 * 1024
TOPICS = (
    TopicSpec(name=JOURNAL, partition_count=PARTITION_COUNT),
    TopicSpec(name=INBOX, partition_count=PARTITION_COUNT, retention_ms=7 * 24 * 3600 * 1000),
    TopicSpec(name=CONTROL, partition_count=1),
)

LogOpener = Callable[[], Awaitable[Log]]


def require_kafka() -> None:
    """Skip the test where Kafka cannot run, or fail it where CI is set."""
    reason = missing_programs()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
