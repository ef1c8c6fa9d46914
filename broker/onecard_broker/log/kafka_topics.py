"""Topics of the Kafka log: created, checked, measured, identified. Blocking calls, run in a thread of their own."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError

from onecard_broker.log.kafka_settings import KafkaSettings
from onecard_broker.log.port import LogMisconfigured, LogUnavailable, TopicMismatch, TopicSpec

_Result = TypeVar("_Result")
_NO_ERROR, _UNKNOWN_TOPIC, _TOPIC_EXISTS = 0, 3, 36
_TIMEOUT_MS = 10_000
_LEADERS_SECONDS = 60.0


class TopicIdentity(NamedTuple):
    """The identity that Kafka gave a topic at its making, and its number of partitions."""

    topic_id: str
    partition_count: int


class KafkaTopics:
    """What the log asks of Kafka beside appending and reading; one client, made anew after an error."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connects at the first question."""
        self._settings = settings
        self._client: KafkaAdminClient | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log-topics")

    async def identity(self, topic: str) -> TopicIdentity | None:
        """Return what Kafka says of this topic, None when it does not exist."""
        description = (await self._run(lambda: self._describe([topic]))).get(topic)
        return (
            None if description is None else TopicIdentity(str(description["topic_id"]), len(description["partitions"]))
        )

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return first kept position and end by partition; see `Log.bounds`."""
        return await self._run(lambda: self._bounds(topic))

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create and check topics; see `Log.ensure_topics`."""
        await self._run(lambda: self._ensure(topics))

    async def close(self) -> None:
        """Close the client and its thread."""

        def close() -> None:
            if self._client is not None:
                self._client.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown()

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        def guarded() -> _Result:
            with self._unavailable_on_error():
                return call()

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    @contextlib.contextmanager
    def _unavailable_on_error(self) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            client, self._client = self._client, None
            if client is not None:
                client.close()
            servers = self._settings.bootstrap_servers
            raise LogUnavailable(f"Kafka at {servers} does not answer as it should: {error!r}") from error

    def _connected(self) -> KafkaAdminClient:
        if self._client is None:
            self._client = KafkaAdminClient(request_timeout_ms=_TIMEOUT_MS, **self._settings.client_options())
        return self._client

    def _describe(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        prefix = self._settings.topic_prefix
        found = {}
        for topic in self._connected().describe_topics([prefix + name for name in names]):
            if topic["error_code"] == _NO_ERROR:
                found[topic["name"].removeprefix(prefix)] = topic
            elif topic["error_code"] != _UNKNOWN_TOPIC:
                raise LogUnavailable(f"Kafka answers error {topic['error_code']} about topic {topic['name']}")
        return found

    def _bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        description = self._describe([topic]).get(topic)
        if description is None:
            raise LogMisconfigured(
                f"Kafka has no topic {self._settings.topic_prefix}{topic}; `onecard hub topics` makes it"
            )
        name = self._settings.topic_prefix + topic
        partitions = [TopicPartition(name, entry["partition_index"]) for entry in description["partitions"]]
        client = self._connected()
        first = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST), timeout_ms=_TIMEOUT_MS)
        end = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST), timeout_ms=_TIMEOUT_MS)
        return {tp.partition: (first[tp].offset, end[tp].offset) for tp in partitions}

    def _topic_configuration(self, spec: TopicSpec) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(-1 if spec.retention_ms is None else spec.retention_ms),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(self._settings.min_insync_replicas),
            "unclean.leader.election.enable": "false",
            # Kafka counts whole batches: the largest record with what stands around it.
            "max.message.bytes": str(self._settings.record_bytes_max + 64 * 1024),
        }

    def _ensure(self, topics: Sequence[TopicSpec]) -> None:
        prefix = self._settings.topic_prefix
        client = self._connected()
        existing = self._describe([spec.name for spec in topics])
        missing = [spec for spec in topics if spec.name not in existing]
        if missing:
            answer = client.create_topics(
                {
                    prefix + spec.name: {
                        "num_partitions": spec.partition_count,
                        "replication_factor": self._settings.replication_factor,
                        "configs": self._topic_configuration(spec),
                    }
                    for spec in missing
                },
                timeout_ms=_TIMEOUT_MS,
                raise_errors=False,
            )
            for topic in answer["topics"]:
                # Another process may have made it in the meantime: it is checked like any other.
                if topic["error_code"] not in (_NO_ERROR, _TOPIC_EXISTS):
                    why = topic.get("error_message") or f"error {topic['error_code']}"
                    raise LogMisconfigured(f"Kafka does not create topic {topic['name']}: {why}")
            client.wait_for_topics([prefix + spec.name for spec in missing], timeout_ms=int(_LEADERS_SECONDS * 1000))
            self._wait_for_leaders(missing)
        self._check(topics)

    def _wait_for_leaders(self, topics: Sequence[TopicSpec]) -> None:
        """A topic that was just made is of use only when the leaders of its partitions are in office."""
        ends = {
            TopicPartition(self._settings.topic_prefix + spec.name, partition): OffsetSpec.LATEST
            for spec in topics
            for partition in range(spec.partition_count)
        }
        enough = time.monotonic() + _LEADERS_SECONDS
        while True:
            try:
                self._connected().list_partition_offsets(ends, timeout_ms=_TIMEOUT_MS)
                return
            except KafkaError:
                if time.monotonic() >= enough:
                    raise
                time.sleep(0.1)

    def _check(self, topics: Sequence[TopicSpec]) -> None:
        prefix = self._settings.topic_prefix
        described = self._describe([spec.name for spec in topics])
        resources = [ConfigResource(ConfigResourceType.TOPIC, prefix + spec.name) for spec in topics]
        configurations = self._connected().describe_configs(resources, config_filter="all")["topic"]
        differences: list[str] = []

        def compare(spec: TopicSpec, name: str, is_now: object, must_be: object) -> None:
            if is_now != must_be:
                differences.append(f"{prefix}{spec.name}: {name} is {is_now}, must be {must_be}")

        for spec in topics:
            partitions = described[spec.name]["partitions"]
            compare(spec, "partition count", len(partitions), spec.partition_count)
            replicas = min(len(partition["replica_nodes"]) for partition in partitions)
            compare(spec, "replication factor", replicas, self._settings.replication_factor)
            configuration = configurations[prefix + spec.name]
            for name, must_be in self._topic_configuration(spec).items():
                compare(spec, name, configuration[name]["value"], must_be)
        if differences:
            raise TopicMismatch(differences)
