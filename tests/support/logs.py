"""Topics of the test logs, and the type of what opens one; the fixtures are in tests/support/engines.py."""

from collections.abc import Awaitable, Callable

from onecard_broker.log.port import Log, TopicSpec

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
