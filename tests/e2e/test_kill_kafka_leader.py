"""kill -9 of the Kafka broker that leads the journal, of three, in mid-flow."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from onecard_broker.journal import JOURNAL_TOPIC
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from tests.support.load import Ward, flows_go_on, patients, steady_load
from tests.support.reckoning import everything_agrees

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("killing"),
    pytest.mark.timeout(600),
    pytest.mark.needs("java", "mvn"),
]


async def test_a_killed_leader_of_the_journal_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    async with Country(CountryPlan(log="kafka", broker_count=3), tmp_path) as country, Ward(country) as ward:
        servers = country.kafka_servers
        assert servers is not None
        async with steady_load(ward, patients(4)):
            await flows_go_on(ward, 2)
            ((leader, led_count),) = (await asyncio.to_thread(journal_leaders, servers)).most_common(1)
            assert led_count > 1
            await country.kill(f"kafka-{leader}")
            await flows_go_on(ward, 4, timeout_s=120)
            await country.restart(f"kafka-{leader}")
            await flows_go_on(ward, 2)

        await everything_agrees(country, ward)


def journal_leaders(servers: str) -> Counter[int]:
    """How many of the journal's partitions each broker leads."""
    client = KafkaAdminClient(bootstrap_servers=servers.split(","))
    try:
        (journal,) = client.describe_topics([JOURNAL_TOPIC])
        return Counter(partition["leader_id"] for partition in journal["partitions"])
    finally:
        client.close()
