"""The topics of the hub, and how long they are kept."""

from __future__ import annotations

from onecard_broker.journal import JOURNAL_TOPIC, inbox_topic, topics
from onecard_protocol import limits


def test_what_left_an_inbox_can_still_be_filled_from_the_outputs_for_weeks() -> None:
    kept_ms = {spec.name: spec.retention_ms for spec in topics(4)}

    assert kept_ms[JOURNAL_TOPIC] is None
    assert kept_ms[inbox_topic("cn-44")] == limits.INBOX_KEPT_MS
    assert kept_ms[inbox_topic("bank-102")] == limits.INBOX_KEPT_MS
    # Nobody goes back in it, and it has ticks of every partition, several a second.
    assert kept_ms[inbox_topic("cn-00")] == limits.HUB_INBOX_KEPT_MS
    assert limits.OUTPUT_KEPT_MS - limits.INBOX_KEPT_MS >= 14 * 24 * 3_600_000
